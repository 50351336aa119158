//! TLS, of clients' connections and of those to servers. The only module of the data plane that
//! knows the TLS library: what others see is a [`Channel`](crate::channel::Channel) and a
//! [`Session`]. Key material is read by the control plane and comes in with a snapshot; nothing here
//! touches a file.

mod certificates;
mod client;
mod identity;
#[cfg(feature = "http3")]
mod quic;
#[cfg(feature = "http3")]
mod quic_client;
mod server;
mod stream;
mod tickets;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use evenkeel_config::model::ForwardedCertificate;

pub use self::certificates::{ACME_TLS, Certificate, Certificates};
pub use self::client::{ClientSettings, ClientTls, Trust};
pub(crate) use self::client::{Complaint, Offer, refusal};
pub use self::identity::Identity;
pub(crate) use self::identity::Shown;
#[cfg(feature = "http3")]
pub(crate) use self::quic_client::refuses_certificate;
pub use self::server::{ServerParts, ServerTls, client_verifier, provider};
pub(crate) use self::stream::TlsStream;
pub use self::tickets::{TicketSecret, Tickets};

/// What listeners and pools need for TLS, made from files before a snapshot is compiled.
#[derive(Clone, Debug, Default)]
pub struct Materials {
    /// By the listener's name.
    pub listeners: HashMap<String, Arc<ServerTls>>,
    /// By the pool's name.
    pub pools: HashMap<String, Arc<ClientTls>>,
    /// What an ACME authority is answered that asks over HTTP, by token (RFC 8555 §8.3); none but
    /// while an order is under way.
    pub challenges: HashMap<String, String>,
}

/// What a client's handshake settled, for as long as its connection lasts.
#[derive(Clone, Debug)]
pub struct Session {
    /// The name asked for (RFC 6066 §3), lower case.
    pub server_name: Option<Box<str>>,
    /// As other tools write it: `TLSv1.3`.
    pub version: &'static str,
    /// As the registry has it: `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// What was agreed on by ALPN (RFC 7301).
    pub alpn: Option<Alpn>,
    /// It went on from an earlier one.
    pub resumed: bool,
    /// What servers are told about the client's certificate; nothing if it showed none.
    pub client: Identity,
    /// How long the certificates that the client has shown are good.
    pub good_until: Option<SystemTime>,
}

/// A protocol agreed on by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1` or `http/1.0`.
    H1,
    /// `h2`.
    H2,
    /// `h3`.
    H3,
    /// `acme-tls/1`: nothing is said on the connection (RFC 8737 §3).
    AcmeTls,
}

impl Alpn {
    /// From the registry's name (RFC 7301 §6).
    pub fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"http/1.1" | b"http/1.0" => Some(Self::H1),
            b"h2" => Some(Self::H2),
            b"h3" => Some(Self::H3),
            ACME_TLS => Some(Self::AcmeTls),
            _ => None,
        }
    }

    /// As it is logged.
    pub fn name(self) -> &'static str {
        match self {
            Self::H1 => "http/1.1",
            Self::H2 => "h2",
            Self::H3 => "h3",
            Self::AcmeTls => "acme-tls/1",
        }
    }
}

impl Session {
    /// The name that a client asks for, as soon as it has.
    pub(crate) fn name_asked_for(session: &rustls::Connection) -> Option<Box<str>> {
        match session {
            rustls::Connection::Server(server) => server.server_name().map(Into::into),
            rustls::Connection::Client(_) => None,
        }
    }

    /// Whether what the client has once shown is good no more: a session that goes on brings it along,
    /// and nobody looks at its dates again.
    pub(crate) fn has_ended(&self, now: SystemTime) -> bool {
        self.good_until.is_some_and(|until| until < now)
    }

    /// After the handshake.
    pub(crate) fn of(session: &rustls::Connection, forward: ForwardedCertificate) -> Self {
        let server_name = Self::name_asked_for(session);
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        };
        let cipher = session.negotiated_cipher_suite();
        Self {
            server_name,
            version,
            cipher: cipher.and_then(|cipher| cipher.suite().as_str()).unwrap_or_default(),
            alpn: session.alpn_protocol().and_then(Alpn::of),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            client: Identity::of(session.peer_certificates().unwrap_or_default(), forward),
            good_until: identity::good_until(session.peer_certificates().unwrap_or_default()),
        }
    }
}
