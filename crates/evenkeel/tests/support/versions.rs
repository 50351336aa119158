//! One request over each version of HTTP, and what came back in one form: what is true of an exchange
//! is true however it was said. Needs `support::quic` beside it.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::quic::{self, Raw, Site, over_tcp};
use crate::support::{Backend, Proxy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    H1,
    H2,
    H3,
}

/// Name and value.
pub type Field<'f> = (&'f str, &'f str);

pub const ALL: [Version; 3] = [Version::H1, Version::H2, Version::H3];

/// A response, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the field of this name, of which there must be one at most.
    pub fn field(&self, name: &str) -> &str {
        let values = self.values(name);
        assert!(values.len() <= 1, "several {name}: {values:?}");
        values.first().copied().unwrap_or_default()
    }

    pub fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A proxy that speaks every version on one port, encrypted.
pub struct Everywhere {
    pub site: Site,
    pub proxy: Proxy,
}

impl Everywhere {
    /// With a pool `app`, these options of the listener (each a line, indented by four), and these
    /// other sections.
    pub fn start(backends: &[&Backend], listener: &str, sections: &str) -> Self {
        let site = Site::new();
        let servers: Vec<String> =
            backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
        let config = format!(
            "workers: 1\nlisteners:\n  web:\n    bind: \"127.0.0.1:0\"\n{}{listener}\
             pools: {{ app: {{ servers: [{}] }} }}\n{sections}",
            site.listener(),
            servers.join(", ")
        );
        let proxy = Proxy::start(&config);
        Self { site, proxy }
    }

    pub fn get(&self, version: Version, path: &str) -> Answer {
        self.ask(version, "GET", path, &[])
    }

    /// A request without content, on a connection of its own, for the host `localhost`.
    pub fn ask(&self, version: Version, method: &str, path: &str, fields: &[Field<'_>]) -> Answer {
        let of = over(version, &self.site, self.proxy.addresses[0], method, path, fields);
        let quic::Answer { status, fields, body, .. } = quic::run(quic::limited(of));
        Answer { status, fields, body }
    }
}

/// The answers over each version, in the order of [`ALL`].
pub fn ask(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> [quic::Answer; 3] {
    ALL.map(|version| quic::run(quic::limited(over(version, site, address, method, path, fields))))
}

/// The first answer of [`ask`], whose statuses are to be the same.
pub fn same(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> quic::Answer {
    let [h1, h2, h3] = ask(site, address, method, path, fields);
    assert_eq!([h1.status, h2.status, h3.status], [h1.status; 3], "{method} {path} {fields:?}");
    h1
}

async fn over(
    version: Version,
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> quic::Answer {
    match version {
        Version::H1 => over_h1(site, address, method, path, fields).await,
        Version::H2 => over_h2(site, address, method, path, fields).await,
        Version::H3 => over_h3(site, address, method, path, fields).await,
    }
}

async fn over_h1(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> quic::Answer {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let text = over_tcp(site, address, &request).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let fields: Vec<_> = lines.filter_map(field).collect();
    let chunked = fields.iter().any(|(name, _)| name == "transfer-encoding");
    quic::Answer {
        status: status.parse().unwrap_or_else(|_| panic!("no response: {text:?}")),
        fields,
        interim: Vec::new(),
        body: if chunked { unchunk(body) } else { body.as_bytes().to_vec() },
        trailers: Vec::new(),
    }
}

async fn over_h2(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> quic::Answer {
    let mut roots = RootCertStore::empty();
    roots.add(site.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request =
        http::Request::builder().method(method).uri(format!("https://localhost{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut sender = sender.ready().await.unwrap();
    let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        content.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    driver.abort();
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    quic::Answer {
        status: parts.status.as_u16(),
        fields: parts.headers.iter().map(field).collect(),
        interim: Vec::new(),
        body: content,
        trailers: Vec::new(),
    }
}

async fn over_h3(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> quic::Answer {
    let mut all = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ];
    all.extend_from_slice(fields);
    Raw::dial(site, address).await.ask(&all).await.unwrap()
}

fn unchunk(mut body: &str) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        all.extend_from_slice(&rest.as_bytes()[..size]);
        body = &rest[size + 2..];
    }
    all
}
