//! Session tickets (RFC 8446 §4.6.1, RFC 5077): sealed with one key, opened with several. Owns the
//! sealing; which keys there are, and when they change, is the control plane's business.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use rustls::server::ProducesTickets;

/// Names a key, so that the right one opens a ticket.
const NAME_LEN: usize = 16;
/// Beyond what RFC 8446 §4.6.1 allows.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What keys are made of.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketSecret(pub [u8; 32]);

impl TicketSecret {
    /// One that nobody knows.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random() -> Result<Self, &'static str> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| "the system gives no random numbers")?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret")
    }
}

/// Seals and opens tickets; see the module's head.
pub struct Tickets {
    /// The first seals.
    keys: Vec<Key>,
    lifetime: u32,
}

struct Key {
    name: [u8; NAME_LEN],
    cipher: LessSafeKey,
}

impl Tickets {
    /// The first of `secrets` seals, all open. Tickets are good only where `context` is the same:
    /// what a client proved elsewhere proves nothing here.
    ///
    /// # Errors
    /// When there is no secret.
    pub fn new(
        secrets: &[TicketSecret],
        context: &[u8],
        lifetime: Duration,
    ) -> Result<Self, &'static str> {
        let keys: Option<Vec<Key>> =
            secrets.iter().map(|secret| Key::derive(secret, context)).collect();
        let keys = keys.filter(|keys| !keys.is_empty()).ok_or("there is no key for tickets")?;
        let lifetime = u32::try_from(lifetime.min(LIFETIME_MAX).as_secs()).unwrap_or(u32::MAX);
        Ok(Self { keys, lifetime })
    }
}

impl Key {
    /// One secret makes another key for each context (HMAC as a pseudo-random function).
    fn derive(secret: &TicketSecret, context: &[u8]) -> Option<Self> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let expand = |what: &[u8]| {
            let mut text = hmac::Context::with_key(&secret);
            text.update(what);
            text.update(context);
            text.sign()
        };
        let (name, key) = (expand(b"evenkeel ticket name\0"), expand(b"evenkeel ticket key\0"));
        Some(Self {
            name: *name.as_ref().first_chunk()?,
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?),
        })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// The key's name, a random nonce, then the sealed state.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        key.cipher.seal_in_place_append_tag(nonce_used, Aad::from(key.name), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(NAME_LEN + NONCE_LEN + sealed.len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.keys.iter().find(|key| key.name == *name)?; // no secret: clients carry it
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.cipher.open_in_place(nonce, Aad::from(*name), &mut sealed).ok()?.len();
        sealed.truncate(plain);
        Some(sealed)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn tickets(secrets: &[u8], context: &str) -> Tickets {
        let secrets: Vec<_> = secrets.iter().map(|byte| TicketSecret([*byte; 32])).collect();
        Tickets::new(&secrets, context.as_bytes(), HOUR).expect("there are keys")
    }

    #[test]
    fn a_ticket_is_opened_by_whoever_has_its_key_the_first_or_not() {
        let ticket = tickets(&[1], "web").encrypt(b"state").expect("sealed");
        assert_eq!(tickets(&[1], "web").decrypt(&ticket).as_deref(), Some(&b"state"[..]));
        assert_eq!(tickets(&[2, 1], "web").decrypt(&ticket).as_deref(), Some(&b"state"[..]));
        assert_eq!(tickets(&[2], "web").decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_is_good_in_its_context_alone() {
        let ticket = tickets(&[1], "web").encrypt(b"state").expect("sealed");
        assert_eq!(tickets(&[1], "admin").decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_that_is_not_ours_is_none() {
        let tickets = tickets(&[1], "web");
        let ticket = tickets.encrypt(b"state").expect("sealed");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "the first {at} bytes");
        }
    }

    #[test]
    fn no_two_tickets_are_alike_and_none_lives_longer_than_a_week() {
        let own = tickets(&[1], "web");
        assert_ne!(own.encrypt(b"state"), own.encrypt(b"state"));
        let long =
            Tickets::new(&[TicketSecret([1; 32])], b"", HOUR * 1000).expect("there is a key");
        assert_eq!(long.lifetime(), 7 * 24 * 3600);
        assert!(Tickets::new(&[], b"", HOUR).is_err());
    }
}
