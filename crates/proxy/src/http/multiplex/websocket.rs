//! The part of the WebSocket handshake that HTTP/1 has and extended CONNECT has not: a key, and the
//! proof that the server has understood it (RFC 6455 §4.1, §4.2.2; RFC 8441 §5; RFC 9220 §3).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evenkeel_balancer::Rng;

/// The name of the protocol, as `:protocol` and as `upgrade`.
pub(crate) const PROTOCOL: &str = "websocket";

/// What a server adds to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Key`: 16 bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key([u8; 24]);

impl Key {
    /// One that was not used before. It is no secret: it keeps caches and servers that do not know
    /// the protocol from answering by accident.
    pub(crate) fn make(rng: &mut Rng) -> Self {
        let mut nonce = [0; 16];
        for eight in nonce.as_chunks_mut::<8>().0 {
            *eight = rng.next_u64().to_le_bytes();
        }
        let mut text = [b'='; 24];
        let _ = STANDARD.encode_slice(nonce, &mut text); // 16 bytes are 24 digits
        Self(text)
    }

    /// As it is sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `answer` is the `Sec-WebSocket-Accept` that belongs to it.
    pub(crate) fn is_accepted_by(&self, answer: &[u8]) -> bool {
        accept(&self.0) == answer
    }
}

/// `Sec-WebSocket-Accept` for a key.
pub(crate) fn accept(key: &[u8]) -> [u8; 28] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    let mut text = [b'='; 28];
    let _ = STANDARD.encode_slice(context.finish(), &mut text); // 20 bytes are 28 digits
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_1_3() {
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_16_bytes_and_accepted_by_its_own_answer_only() {
        let mut rng = Rng::from_seed(1);
        let (one, other) = (Key::make(&mut rng), Key::make(&mut rng));
        assert_ne!(one, other);
        assert_eq!(STANDARD.decode(one.as_bytes()).map(|bytes| bytes.len()), Ok(16));
        assert!(one.is_accepted_by(&accept(one.as_bytes())));
        assert!(!one.is_accepted_by(&accept(other.as_bytes())) && !one.is_accepted_by(b""));
    }
}
