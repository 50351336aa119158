//! What a sticky cookie's value is: which server of which pool, and since when, sealed with a key
//! that only instances of this proxy share. A client can neither read it nor make one, and whoever
//! has the key understands it, also after a restart. Owns the token; not the cookie around it.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evenkeel_config::model::SecretKey;

/// Key id, nonce, what is sealed (server and time), tag.
const LENGTH: usize = 1 + NONCE_LEN + 16 + 16;
/// The same in base64url, without padding: 45 bytes are 60 characters.
pub(super) const TEXT_LENGTH: usize = LENGTH / 3 * 4;

/// The keys of one pool. Tokens are made with the first and understood with all.
pub(crate) struct Tokens {
    keys: Box<[Key]>,
    /// Binds tokens to their pool.
    context: Box<[u8]>,
}

struct Key {
    /// Tells keys apart without trying all of them; says nothing about the key.
    id: u8,
    key: LessSafeKey,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Hash of the server's key.
    pub(super) server: u64,
    /// Seconds since 1970.
    pub(super) issued: u64,
}

impl Tokens {
    pub(super) fn new(pool: &str, keys: &[SecretKey]) -> Self {
        let keys = keys.iter().filter_map(Key::new).collect();
        Self { keys, context: [b"evenkeel sticky 1 ", pool.as_bytes()].concat().into() }
    }

    /// Appends a token; nothing if the system has no random numbers or there is no key.
    pub(super) fn write(&self, out: &mut Vec<u8>, claim: Claim) -> Option<()> {
        let Key { id, key } = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        if !evenkeel_runtime::fill_from_seed(&mut nonce) {
            rand::fill(&mut nonce).ok()?;
        }
        let mut text = [0; 16];
        let (server, issued) = text.split_at_mut(8);
        server.copy_from_slice(&claim.server.to_be_bytes());
        issued.copy_from_slice(&claim.issued.to_be_bytes());
        let context = Aad::from(&*self.context);
        let sealed = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(sealed, context, &mut text).ok()?;
        let token = [&[*id], nonce.as_slice(), text.as_slice(), tag.as_ref()].concat();
        let at = out.len();
        out.resize(at + TEXT_LENGTH, b'A');
        let written = URL_SAFE_NO_PAD.encode_slice(token, out.get_mut(at..)?);
        written.is_ok().then_some(())
    }

    /// What a token says; `None` if it was not made with one of the keys, for this pool, or if it is
    /// older than `ttl`.
    pub(super) fn read(&self, text: &[u8], ttl: Option<Duration>, now: u64) -> Option<Claim> {
        if text.len() != TEXT_LENGTH {
            return None;
        }
        let mut token = [0; LENGTH];
        URL_SAFE_NO_PAD.decode_slice(text, &mut token).ok()?;
        let (id, rest) = token.split_first()?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let claim =
            self.keys.iter().filter(|key| key.id == *id).find_map(|Key { key, .. }| {
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let mut sealed: [u8; 32] = sealed.try_into().ok()?;
                let open = key.open_in_place(nonce, Aad::from(&*self.context), &mut sealed).ok()?;
                let (server, issued) = open.split_at_checked(8)?;
                Some(Claim {
                    server: u64::from_be_bytes(server.try_into().ok()?),
                    issued: u64::from_be_bytes(issued.try_into().ok()?),
                })
            })?;
        // One from the future was made by an instance whose clock is ahead: it is new.
        let age = Duration::from_secs(now.saturating_sub(claim.issued));
        ttl.is_none_or(|ttl| age < ttl).then_some(claim)
    }
}

impl Key {
    fn new(key: &SecretKey) -> Option<Self> {
        let secret = key.expose();
        let named = digest::digest(
            &digest::SHA256,
            &[b"evenkeel sticky key id", secret.as_slice()].concat(),
        );
        let id = *named.as_ref().first()?;
        Some(Self { id, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, secret).ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim { server: 0x0123_4567_89ab_cdef, issued: 1_000_000 };
    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    fn tokens(pool: &str, keys: &[u8]) -> Tokens {
        Tokens::new(
            pool,
            &keys.iter().map(|byte| SecretKey::new([*byte; 32], None)).collect::<Vec<_>>(),
        )
    }

    fn made(tokens: &Tokens) -> Vec<u8> {
        let mut out = b"before ".to_vec();
        tokens.write(&mut out, CLAIM).unwrap();
        out.split_off(7)
    }

    #[test]
    fn every_instance_with_the_key_understands_it() {
        let token = made(&tokens("app", &[1]));
        assert_eq!(token.len(), TEXT_LENGTH);
        assert!(token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
        assert_eq!(tokens("app", &[1]).read(&token, None, 1_000_000), Some(CLAIM));
        assert_eq!(tokens("app", &[2]).read(&token, None, 1_000_000), None, "another key");
        assert_eq!(tokens("shop", &[1]).read(&token, None, 1_000_000), None, "another pool");
    }

    #[test]
    fn keys_are_rotated_by_putting_the_new_one_first() {
        let old = made(&tokens("app", &[1]));
        let both = tokens("app", &[2, 1]);
        assert_eq!(both.read(&old, None, 0), Some(CLAIM));
        let new = made(&both);
        assert_eq!(tokens("app", &[2]).read(&new, None, 0), Some(CLAIM));
        assert_eq!(tokens("app", &[1]).read(&new, None, 0), None);
    }

    #[test]
    fn two_tokens_for_one_server_have_nothing_in_common() {
        let app = tokens("app", &[1]);
        let (one, two) = (made(&app), made(&app));
        let same = one.iter().zip(&two).skip(2).filter(|(a, b)| a == b).count();
        assert!(same < TEXT_LENGTH / 2, "{same} of {TEXT_LENGTH}");
    }

    #[test]
    fn no_bit_of_it_can_be_changed() {
        let app = tokens("app", &[1]);
        let token = made(&app);
        for at in 0..token.len() {
            for other in *b"Aa0_-=" {
                let mut changed = token.clone();
                changed[at] = other;
                let expected = (changed == token).then_some(CLAIM);
                assert_eq!(app.read(&changed, None, 0), expected, "{at}");
            }
            assert_eq!(app.read(&token[..at], None, 0), None);
        }
        assert_eq!(app.read(&[token.as_slice(), b"A"].concat(), None, 0), None);
        assert_eq!(app.read(&[0xff; TEXT_LENGTH], None, 0), None);
    }

    #[test]
    fn it_is_believed_for_its_time_to_live() {
        let app = tokens("app", &[1]);
        let token = made(&app);
        assert_eq!(app.read(&token, HOUR, 1_003_599), Some(CLAIM));
        assert_eq!(app.read(&token, HOUR, 1_003_600), None);
        assert_eq!(app.read(&token, HOUR, 999_000), Some(CLAIM), "a clock that is behind");
        assert_eq!(app.read(&token, None, u64::MAX), Some(CLAIM), "without one: always");
    }
}
