//! `basic_auth`: lets in who has a name and a password (RFC 7617). Verifying takes tens of milliseconds,
//! which is what the hashes are for: others do it, and what was right is remembered as a keyed hash. Owns
//! that memory, and what is asked of a client.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evenkeel_codec::Known;
use evenkeel_config::model::{self, password_hash};
use evenkeel_runtime::{self as runtime, mailbox};
use quick_cache::sync::Cache;

use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::services::{PasswordCheck, Services};
use crate::snapshot::Resolved;

/// Name and password that are remembered; some hundred bytes each.
const REMEMBERED_MAX: usize = 10_000;
/// Longest name and password. bcrypt looks at 72 bytes of a password alone.
const CREDENTIALS_MAX: usize = 1024;

/// See the module's head.
pub(super) struct BasicAuth {
    users: HashMap<Box<str>, Arc<str>>,
    challenge: Box<[u8]>,
    user_field: Option<Box<[u8]>>,
    pass: bool,
    remember: Duration,
    /// When what was right has to be verified again, by the keyed hash of user, hash and password.
    remembered: Cache<[u8; 32], Instant>,
    key: hmac::Key,
    services: Services,
}

/// The users of a file: `name:hash` on each line; `#` begins a comment.
///
/// # Errors
/// The first line that is none.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut users = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, hash)) = line.split_once(':') else {
            return Err(format!("line {}: it is not `name:hash`", at + 1));
        };
        // Never the line itself: it is a secret.
        password_hash(hash).map_err(|why| format!("line {}: {why}", at + 1))?;
        if name.is_empty() || !name.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(format!("line {}: a name is visible ASCII", at + 1));
        }
        users.push((name.to_owned(), hash.to_owned()));
    }
    Ok(users)
}

impl BasicAuth {
    pub(super) fn compile(settings: &model::BasicAuth, resolved: &Resolved) -> Self {
        let bytes = settings.file.as_ref().and_then(|file| resolved.documents.get(file));
        // What cannot be read was a diagnostic before.
        let listed = bytes.and_then(|bytes| read(bytes).ok()).unwrap_or_default();
        let inline = settings.users.iter().map(|(name, hash)| (name.clone(), hash.expose().into()));
        let users = listed.into_iter().chain(inline);
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", settings.realm);
        Self {
            users: users.map(|(name, hash): (_, String)| (name.into(), hash.into())).collect(),
            challenge: challenge.into_bytes().into(),
            user_field: settings.user_field.as_ref().map(|name| name.as_bytes().into()),
            pass: settings.pass,
            remember: settings.remember,
            remembered: Cache::new(REMEMBERED_MAX),
            key: fresh_key(),
            services: resolved.services.clone(),
        }
    }

    fn refuse<'v>(&self, exchange: &mut Exchange<'_>) -> Verdict<'v> {
        exchange.changes().response.set(b"www-authenticate", &self.challenge);
        Verdict::Refuse(Failure::new(Reason::NoCredentials))
    }

    fn let_in(&self, exchange: &mut Exchange<'_>, name: &[u8]) {
        let request = &mut exchange.changes().request;
        if let Some(field) = &self.user_field {
            request.add(field, name);
        }
        if !self.pass {
            request.remove(b"authorization");
        }
    }

    /// What stands for these in memory: of a hash that is another one, it is another.
    fn digest(&self, given: &Given) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [given.name.as_bytes(), given.hash.as_bytes(), &given.password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref().get(..32).unwrap_or(&[0; 32]));
        digest
    }
}

/// A key for one policy in one process: what it makes is good nowhere else.
fn fresh_key() -> hmac::Key {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes);
    assert!(filled.is_ok(), "no randomness"); // at a start or reload, never because of a request
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

/// What a client has given, and the hash that it is to fit.
struct Given {
    name: Box<str>,
    password: Vec<u8>,
    hash: Arc<str>,
    is_known: bool,
}

/// Verified for names that nobody has, so that the time does not tell which there are. It fits nothing:
/// what comes of it is not looked at.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$nCcLA7rRqVBsRYCqSMG0jyf9iJeB2HyR6fgfsUjWCnI";

fn given(auth: &BasicAuth, exchange: &Exchange<'_>) -> Option<Given> {
    let mut values = exchange.head.values(exchange.buffer.all(), Known::Authorization);
    // Of two, nobody can say which one servers would believe.
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || rest.len() > CREDENTIALS_MAX * 4 / 3 + 4 {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(decoded.get(..colon)?).ok()?;
    let password = decoded.get(colon + 1..)?.to_vec();
    let hash = auth.users.get(name).cloned();
    let is_known = hash.is_some();
    // A name that is nobody's costs as much as another, with a hash of the kind that others have.
    let hash =
        hash.or_else(|| auth.users.values().next().cloned()).unwrap_or_else(|| NOBODY.into());
    Some(Given { name: name.into(), password, hash, is_known })
}

impl Policy for BasicAuth {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        if let Some(field) = &self.user_field {
            exchange.changes().request.claim(field);
        }
        let Some(given) = given(self, exchange) else { return self.refuse(exchange) };
        let digest = self.digest(&given);
        let now = runtime::now();
        if given.is_known && self.remembered.get(&digest).is_some_and(|until| now < until) {
            self.let_in(exchange, given.name.as_bytes());
            return Verdict::Pass;
        }
        let (reply, mut answer) = mailbox::channel(1);
        let Given { name, password, hash, is_known } = given;
        let check = PasswordCheck { hash, password, reply };
        let asked = self.services.passwords.as_ref().map(|passwords| passwords.try_send(check));
        // So many wait already that this one would wait long: a flood of wrong ones must not queue.
        let Some(Ok(())) = asked else {
            return Verdict::Refuse(Failure::new(Reason::AuthUnavailable));
        };
        Verdict::Later(Box::pin(async move {
            match answer.recv().await {
                Some(true) if is_known => {
                    if !self.remember.is_zero() {
                        self.remembered.insert(digest, runtime::now() + self.remember);
                    }
                    self.let_in(exchange, name.as_bytes());
                    Verdict::Pass
                }
                Some(_) => self.refuse(exchange),
                None => Verdict::Refuse(Failure::new(Reason::AuthUnavailable)),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuSm0sD2KDHU9gRZKl8Ic1g7lA3w5p5a2";

    #[test]
    fn a_file_has_a_name_and_a_hash_on_each_line() {
        let text = format!("# people\nalice:{HASH}\n\nbob:{NOBODY}\r\n");
        let users = read(text.as_bytes()).unwrap();
        assert_eq!(
            users.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["alice", "bob"]
        );
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_without_its_secrets() {
        for (text, says) in [
            ("alice\n", "line 1: it is not `name:hash`"),
            ("# x\nalice:secret\n", "line 2: this is neither an argon2id nor a bcrypt hash"),
            ("alice:$apr1$x$y\n", "line 1: this is neither an argon2id nor a bcrypt hash"),
            (
                "alice:$2y$31$abc\n",
                "line 1: a bcrypt hash of a cost above 16 takes too long to verify",
            ),
            ("alice:$argon2id$v=19$m=9999999,t=2,p=1$a$b\n", "takes too much"),
        ] {
            let told = read(text.as_bytes()).unwrap_err();
            assert!(told.ends_with(says) && !told.contains("secret"), "{told}");
        }
    }
}
