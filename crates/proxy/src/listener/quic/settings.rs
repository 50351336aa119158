//! What QUIC connections are like: their windows, their identifiers, their keys. Owns the numbers; the
//! keys are the process's, so that a successor can answer for what its predecessor has begun.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::{hkdf, hmac, rand};
use evenkeel_config::model::Listener;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, ServerConfig, TokenLog,
    TokenReuseError, TransportConfig, ValidationTokenConfig, VarInt,
};

use super::super::QUIC_ID_LENGTH as ID_LENGTH;
use crate::http::affinity::process_key;
use crate::tls::ServerTls;

/// Unread bytes of one stream.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Unread bytes of a connection. With what is unacknowledged, and blocks of exchanges, this stays below
/// the 1 MiB that no connection goes beyond.
const RECEIVE_WINDOW: u32 = 384 * 1024;
/// Unacknowledged bytes of a connection.
const SEND_WINDOW: u64 = 384 * 1024;
/// Requests at the same time (RFC 9114 §6.1: at least 100).
const STREAMS_MAX: u32 = 100;
/// Unidirectional streams at the same time: control, QPACK's two, and some that mean nothing.
const UNI_STREAMS_MAX: u32 = 8;
/// Bytes of a handshake that arrive out of order.
const CRYPTO_BUFFER: usize = 16 * 1024;
/// First packets that wait to be looked at; the accept loop takes them at once.
const INCOMING_MAX: usize = 1024;
/// What arrives for one of them until then.
const INCOMING_BYTES_MAX: u64 = 16 * 1024;
/// For all of them.
const INCOMING_BYTES_TOTAL_MAX: u64 = 1024 * 1024;
/// How long a client's address is believed without asking again.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// A connection without a packet is given up after at least this time: a client that waits for a slow
/// answer says nothing meanwhile, and browsers ask every 15 s whether we live.
const SILENCE_MIN: Duration = Duration::from_secs(60);

/// For the endpoint whose socket is at `place`; `None` without randomness.
pub(super) fn endpoint(place: u8) -> Option<EndpointConfig> {
    let mut key = [0; 32];
    derive(b"quic stateless reset", &mut key)?;
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &key)));
    config.cid_generator(move || Box::new(Ids { place }));
    Some(config)
}

/// For new connections of a listener.
///
/// # Errors
/// When its TLS cannot be spoken over QUIC.
pub(super) fn server(tls: &ServerTls, listener: &Listener) -> Result<ServerConfig, String> {
    let early = takes_early_data(listener);
    let crypto =
        QuicServerConfig::try_from(tls.for_quic(early)).map_err(|error| error.to_string())?;
    let mut key = [0; 32];
    derive(b"quic address token", &mut key).ok_or("there is no randomness")?;
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&key);
    let mut config = ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
    config
        .transport_config(Arc::new(transport(listener)))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
    if early {
        // Only who has a token for its address is believed before the handshake is over.
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(2).lifetime(TOKEN_LIFETIME).log(Arc::new(AnyUse));
        config.validation_token_config(tokens);
    }
    Ok(config)
}

/// Requests in early data (RFC 8470).
pub(super) fn takes_early_data(listener: &Listener) -> bool {
    listener.tls.as_ref().is_some_and(|tls| tls.early_data)
}

/// Tokens that prove an address (RFC 9000 §8.1.3) are bound to it and soon worth nothing: how often
/// one is used is not kept, early data is taken once by its session.
struct AnyUse;

impl TokenLog for AnyUse {
    fn check_and_insert(&self, _: u128, _: SystemTime, _: Duration) -> Result<(), TokenReuseError> {
        Ok(())
    }
}

fn transport(listener: &Listener) -> TransportConfig {
    let timeouts = &listener.timeouts;
    let silence = timeouts.idle.max(timeouts.body_idle).max(timeouts.send_idle).max(SILENCE_MIN);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .crypto_buffer_size(CRYPTO_BUFFER)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(silence).ok());
    config
}

/// A key for one purpose, from the process's own.
fn derive(purpose: &[u8], key: &mut [u8; 32]) -> Option<()> {
    let secret = process_key().first()?;
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"evenkeel").extract(secret.expose());
    let purpose = [purpose];
    secret.expand(&purpose, hkdf::HKDF_SHA256).ok()?.fill(key).ok()
}

/// Connection IDs: the socket's place, then what nobody can guess.
struct Ids {
    place: u8,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_LENGTH as usize];
        let _ = rand::fill(&mut id); // never fails once it has worked, as for the keys
        if let Some(first) = id.first_mut() {
            *first = self.place;
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_LENGTH.into()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
