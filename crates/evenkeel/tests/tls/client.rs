//! A client that speaks TLS as the library does.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use rustls_pki_types::ServerName;

use crate::authority::{Authority, Issued};
use crate::support::{LIMIT, field_values};

pub type Versions<'v> = &'v [&'static SupportedProtocolVersion];

pub const BOTH: Versions<'static> = &[&rustls::version::TLS13, &rustls::version::TLS12];
pub const ONLY_12: Versions<'static> = &[&rustls::version::TLS12];
pub const ONLY_13: Versions<'static> = &[&rustls::version::TLS13];

/// A client's settings: it trusts `authority`, speaks `versions` and shows `identity`.
pub fn config(
    authority: &Authority,
    versions: Versions<'_>,
    identity: Option<&Issued>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        Some(issued) => {
            builder.with_client_auth_cert(vec![issued.der.clone()], issued.key_der()).unwrap()
        }
        None => builder.with_no_client_auth(),
    }
}

/// A connection whose handshake is over.
pub struct TlsClient {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    pub fn connect(
        address: SocketAddr,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(config.clone(), name).unwrap();
        let mut tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(LIMIT))?;
        tcp.set_write_timeout(Some(LIMIT))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self { stream: StreamOwned::new(tls, tcp) })
    }

    /// One request, its response's head and body; an error if the connection ends before.
    pub fn ask(&mut self, request: &str) -> io::Result<(String, String)> {
        self.stream.write_all(request.as_bytes())?;
        let mut received = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&received).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = field_values(head, "content-length");
                let length = length.first().map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return Ok((head.to_owned(), body.to_owned()));
                }
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => received.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// `GET /`; its status line.
    pub fn get(&mut self) -> io::Result<String> {
        let (head, _) = self.ask("GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
        Ok(head.lines().next().unwrap().to_owned())
    }

    /// What the server showed.
    pub fn shown(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }
}

/// Connects and asks once; the first error on the way, since with TLS 1.3 a server refuses a client's
/// certificate only after the client believes that the handshake is over.
pub fn get(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<String> {
    TlsClient::connect(address, name, config)?.get()
}
