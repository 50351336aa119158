//! Compares passwords with hashes, which is meant to take long: on threads of its own, since a worker
//! would serve nobody meanwhile. Owns how many are compared at once and how many may wait.
#![allow(clippy::disallowed_types, reason = "the queue's end is locked by these threads alone")]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_proxy::services::PasswordCheck;

/// Threads at most: they take turns with the workers for the cores, and argon2id memory for each.
const THREADS_MAX: usize = 4;
/// Checks that may wait: beyond that clients are told to come again, or a flood of wrong passwords would
/// make all others wait for minutes.
const WAITING_MAX: usize = 64;

/// Where checks are left. The threads end when nobody can leave any more.
pub(crate) fn start() -> std::io::Result<SyncSender<PasswordCheck>> {
    let (sender, checks) = sync_channel(WAITING_MAX);
    #[allow(
        clippy::disallowed_types,
        reason = "held only while a check is taken, by these threads"
    )]
    let checks = Arc::new(Mutex::new(checks));
    let count = evenkeel_runtime::available_cores().len().clamp(1, THREADS_MAX);
    for index in 0..count {
        let checks = checks.clone();
        let thread = std::thread::Builder::new().name(format!("password-{index}"));
        thread.spawn(move || work(&checks))?;
    }
    Ok(sender)
}

fn work(checks: &Mutex<Receiver<PasswordCheck>>) {
    loop {
        let next = checks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(PasswordCheck { hash, password, reply }) = next else { return };
        let fits = std::panic::catch_unwind(|| fits(&hash, &password)).unwrap_or(false);
        let _ = reply.try_send(fits); // the client may have gone
    }
}

/// Whether it is the password that was hashed; both libraries compare in constant time.
#[cfg(feature = "passwords")]
fn fits(hash: &str, password: &[u8]) -> bool {
    use argon2::password_hash::{PasswordHash, PasswordVerifier as _};
    if hash.starts_with("$argon2id$") {
        let Ok(hash) = PasswordHash::new(hash) else { return false };
        return argon2::Argon2::default().verify_password(password, &hash).is_ok();
    }
    bcrypt::verify(password, hash).unwrap_or(false)
}

#[cfg(not(feature = "passwords"))]
fn fits(_: &str, _: &[u8]) -> bool {
    false
}

#[cfg(all(test, feature = "passwords"))]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_hashes_fit_their_password_and_no_other() {
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        let argon2 = argon2id("secret");
        for hash in [&bcrypt, &argon2] {
            assert!(fits(hash, b"secret"), "{hash}");
            assert!(!fits(hash, b"secrets") && !fits(hash, b""), "{hash}");
            assert_eq!(evenkeel_config::model::password_hash(hash), Ok(()));
        }
        assert!(!fits("$argon2id$nonsense", b"secret") && !fits("", b""));
    }

    fn argon2id(password: &str) -> String {
        use argon2::password_hash::{PasswordHasher as _, SaltString};
        let params = argon2::Params::new(64, 1, 1, None).expect("they are valid");
        let argon2 =
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let salt = SaltString::from_b64("c29tZXNhbHRzb21lc2FsdA").expect("it is one");
        argon2.hash_password(password.as_bytes(), &salt).expect("it can be hashed").to_string()
    }
}
