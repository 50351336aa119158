//! TLS, of clients' connections and of those to servers. The only module of the data plane that
//! knows the TLS library: what others see is a [`Channel`](crate::channel::Channel) and a
//! [`Session`]. Key material is read by the control plane and comes in with a snapshot; nothing here
//! touches a file.

mod client;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_runtime::TcpStream;

pub use self::client::{ClientSettings, ClientTls, Trust};
pub(crate) use self::client::{Complaint, refusal};
pub(crate) use self::stream::TlsStream;

/// What listeners and pools need for TLS, made from files before a snapshot is compiled.
#[derive(Clone, Debug, Default)]
pub struct Materials {
    /// By the listener's name.
    pub listeners: HashMap<String, Arc<ServerTls>>,
    /// By the pool's name.
    pub pools: HashMap<String, Arc<ClientTls>>,
}

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct ServerTls {
    /// For connections over TCP.
    pub config: Arc<rustls::ServerConfig>,
}

/// What a client's handshake settled, for as long as its connection lasts.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The name asked for (RFC 6066 §3), lower case.
    pub server_name: Option<Box<str>>,
}

impl Session {
    /// After the handshake.
    pub(crate) fn of(session: &rustls::Connection) -> Self {
        let server_name = match session {
            rustls::Connection::Server(server) => server.server_name().map(Into::into),
            rustls::Connection::Client(_) => None,
        };
        Self { server_name }
    }
}

impl ServerTls {
    /// A client's connection, before its handshake.
    ///
    /// # Errors
    /// When the settings cannot make a session; validation keeps this from happening.
    pub(crate) fn accept(&self, tcp: TcpStream) -> Result<TlsStream, rustls::Error> {
        let session = rustls::ServerConnection::new(self.config.clone())?;
        Ok(TlsStream::new(tcp, session.into()))
    }
}
