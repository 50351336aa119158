//! Clients of HTTP/3: one by other people's library, and one that says what it is told to, frame by
//! frame. Both over the same QUIC library as the product, which has been tested elsewhere.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;

use crate::support::{self, Backend, Directory, LIMIT, Proxy};

/// A certificate for `localhost`, its files, and a listener that uses it.
pub struct Site {
    pub directory: Directory,
    pub der: CertificateDer<'static>,
}

impl Site {
    pub fn new() -> Self {
        let directory = Directory::new();
        let der = write_certificate(&directory);
        Self { directory, der }
    }

    /// Another certificate in the same files.
    pub fn renew(&mut self) -> CertificateDer<'static> {
        std::mem::replace(&mut self.der, write_certificate(&self.directory))
    }

    /// Options of a listener (indented by four) with HTTP/3.
    pub fn listener(&self) -> String {
        format!("{}    protocols: [h1, h2, h3]\n", self.tls_only())
    }

    pub fn tls_only(&self) -> String {
        let path = self.directory.0.display();
        format!("    tls: {{ certificates: {{ cert: {path}/cert.pem, key: {path}/key.pem }} }}\n")
    }

    pub fn config(&self, backends: &[&Backend]) -> String {
        support::with_listener(backends, &self.listener())
    }

    pub fn endpoint(&self) -> Endpoint {
        self.endpoint_with(|_| {})
    }

    pub fn endpoint_with(&self, adjust: impl FnOnce(&mut quinn::TransportConfig)) -> Endpoint {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        tls.enable_early_data = true;
        let mut config =
            quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = quinn::TransportConfig::default();
        transport.max_idle_timeout(Some(Duration::from_secs(30).try_into().unwrap()));
        adjust(&mut transport);
        config.transport_config(Arc::new(transport));
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(config);
        endpoint
    }

    /// One that takes a few bytes of all there is for it.
    pub async fn dial_stingy(&self, address: SocketAddr) -> Connection {
        let endpoint = self.endpoint_with(|transport| {
            transport.receive_window(VarInt::from_u32(1000));
        });
        limited(endpoint.connect(address, "localhost").unwrap()).await.unwrap()
    }

    /// A connection of a client that says nothing by itself.
    pub async fn dial(&self, address: SocketAddr) -> Connection {
        let connecting = self.endpoint().connect(address, "localhost").unwrap();
        limited(connecting).await.unwrap()
    }
}

fn write_certificate(directory: &Directory) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.0.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.0.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

pub fn with_site(backends: &[&Backend]) -> (Site, Proxy) {
    let site = Site::new();
    let proxy = Proxy::start(&site.config(backends));
    (site, proxy)
}

/// Runs a client; nothing it waits for takes longer than a test may.
pub fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(limited(client))
}

pub async fn limited<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("it took too long")
}

/// A response, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub interim: Vec<u16>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A client that says what it is told to.
pub struct Raw {
    pub connection: Connection,
    /// Kept open, as it must be.
    pub control: SendStream,
}

/// SETTINGS, empty, on a control stream.
pub const CONTROL: &[u8] = &[0x00, 0x04, 0x00];

impl Raw {
    pub async fn new(connection: Connection) -> Self {
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(CONTROL).await.unwrap();
        Self { connection, control }
    }

    pub async fn dial(site: &Site, address: SocketAddr) -> Self {
        Self::new(site.dial(address).await).await
    }

    /// Sends these bytes on a stream of its own; `end`: and nothing else.
    pub async fn send(&self, bytes: &[u8], end: bool) -> (SendStream, RecvStream) {
        let (mut send, receive) = self.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        if end {
            send.finish().unwrap();
        }
        (send, receive)
    }

    pub async fn ask(&self, fields: &[(&str, &str)]) -> Result<Answer, u64> {
        let (_send, receive) = self.send(&headers(fields), true).await;
        answer(receive).await
    }

    pub async fn get(&self, path: &str) -> Result<Answer, u64> {
        self.ask(&get(path)).await
    }

    /// Why the server closes the connection.
    pub async fn closed(&self) -> u64 {
        match limited(self.connection.closed()).await {
            quinn::ConnectionError::ApplicationClosed(closed) => closed.error_code.into_inner(),
            other => panic!("{other}"),
        }
    }
}

pub fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
}

pub fn post(path: &str) -> [(&str, &str); 4] {
    [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
}

/// A frame.
pub fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let varint = |n: u64| match n {
        0..0x40 => vec![n as u8],
        0x40..0x4000 => (n as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (n as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    };
    [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
}

/// A HEADERS frame.
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    let fields = fields.iter().map(|(name, value)| qpack::HeaderField::new(*name, *value));
    qpack::encode_stateless(&mut section, fields).unwrap();
    frame(1, &section)
}

/// A DATA frame.
pub fn data(bytes: &[u8]) -> Vec<u8> {
    frame(0, bytes)
}

/// Reads a response to its end, or the code that it was reset with.
pub async fn answer(mut receive: RecvStream) -> Result<Answer, u64> {
    let read = limited(receive.read_to_end(64 << 20)).await;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
            return Err(code.into_inner());
        }
        Err(other) => panic!("{other}"),
    };
    let (mut bytes, mut sections) = (Bytes::from(bytes), Vec::new());
    let (mut body, mut interim) = (Vec::new(), Vec::new());
    while bytes.has_remaining() {
        let (kind, length) = (take_varint(&mut bytes), take_varint(&mut bytes) as usize);
        let payload = bytes.split_to(length);
        match kind {
            0 => body.extend_from_slice(&payload),
            1 => {
                let fields = qpack::decode_stateless(&mut &*payload, 1 << 20).unwrap().fields;
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let fields: Vec<_> =
                    fields.iter().map(|f| (text(&f.name), text(&f.value))).collect();
                match fields.first() {
                    Some((name, status)) if name == ":status" && status.starts_with('1') => {
                        interim.push(status.parse().unwrap());
                    }
                    _ => sections.push(fields),
                }
            }
            other => panic!("a frame of type {other}"),
        }
    }
    let mut sections = sections.into_iter();
    let fields = sections.next().unwrap();
    let status = fields[0].1.parse().unwrap();
    Ok(Answer { status, fields, interim, body, trailers: sections.next().unwrap_or_default() })
}

pub fn take_varint(bytes: &mut Bytes) -> u64 {
    let first = bytes.get_u8();
    let more = (1_usize << (first >> 6)) - 1;
    (0..more).fold(u64::from(first & 0x3f), |value, _| value << 8 | u64::from(bytes.get_u8()))
}

pub fn code(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap()
}

/// First packets of so many new connections, each a client's own.
pub async fn first_packets(site: &Site, count: usize) -> Vec<Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = site.endpoint();
    let (mut packets, mut seen, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    while packets.len() < count {
        clients.push(endpoint.connect(sink.local_addr().unwrap(), "localhost").unwrap());
        let mut buffer = [0; 2048];
        let wait = Duration::from_millis(20);
        while let Ok(Ok(length)) = tokio::time::timeout(wait, sink.recv(&mut buffer)).await {
            let packet = buffer[..length].to_vec();
            // An Initial of whole size with an ID that was not there before (RFC 9000 §14.1).
            let id = packet.get(6..14).unwrap_or_default().to_vec();
            if length >= 1200 && packet[0] & 0xb0 == 0x80 && !seen.contains(&id) {
                seen.push(id);
                packets.push(packet);
                break;
            }
        }
    }
    packets
}

/// What an HTTP/1 client over TLS gets.
pub async fn over_tcp(site: &Site, address: SocketAddr, request: &str) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(site.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(tls), name).unwrap();
    let mut tcp = std::net::TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut tcp);
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut response = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut response); // it may just close
    String::from_utf8_lossy(&response).into_owned()
}

/// `Sec-WebSocket-Accept` (RFC 6455 §4.2.2).
pub fn websocket_accept(key: &str) -> String {
    use base64::Engine as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// By what Chromium is told to trust a certificate.
pub fn key_hash(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).unwrap();
    let key = certificate.public_key().raw;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
    base64::engine::general_purpose::STANDARD.encode(digest)
}
