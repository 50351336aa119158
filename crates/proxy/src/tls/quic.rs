//! A listener's TLS over QUIC (RFC 9001): the same certificates, clients and tickets, but HTTP/3 and
//! nothing older. Owns the difference.

use std::sync::Arc;

use evenkeel_config::model::ForwardedCertificate;
use quinn::crypto::rustls::HandshakeData;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache};

use super::{Alpn, Identity, ServerTls, Session, identity};

/// Sessions that early data may be sent with: each once (RFC 8446 §8.1).
const SESSIONS_MAX: usize = 4096;

impl ServerTls {
    /// Of QUIC connections of all workers. With early data sessions are kept here instead of in tickets,
    /// so that each is good for one connection: what is replayed is told from what is sent once.
    pub(crate) fn for_quic(&self, early_data: bool) -> Arc<ServerConfig> {
        let [without, with] = &self.quic;
        let made = if early_data { with } else { without };
        made.get_or_init(|| {
            let mut config = ServerConfig::clone(&self.config);
            config.alpn_protocols = vec![b"h3".to_vec()];
            config.max_early_data_size = 0;
            if early_data {
                config.max_early_data_size = u32::MAX; // as QUIC has it (RFC 9001 §4.6.1)
                config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
                config.ticketer = Arc::new(NoTickets);
                config.send_tls13_tickets = 2;
            }
            Arc::new(config)
        })
        .clone()
    }
}

/// Nothing is sealed, nothing opened.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl Session {
    /// After the handshake of a QUIC connection. The library does not say which cipher it has.
    pub(crate) fn of_quic(connection: &quinn::Connection, forward: ForwardedCertificate) -> Self {
        let handshake = connection.handshake_data();
        let handshake = handshake.and_then(|data| data.downcast::<HandshakeData>().ok());
        let chain = connection.peer_identity();
        let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        let chain = chain.as_deref().map_or(&[][..], Vec::as_slice);
        Self {
            server_name: handshake.and_then(|data| data.server_name).map(Into::into),
            version: "TLSv1.3",
            cipher: "",
            alpn: Some(Alpn::H3),
            resumed: false,
            client: Identity::of(chain, forward),
            good_until: identity::good_until(chain),
        }
    }
}
