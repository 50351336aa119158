//! One request over each version of HTTP, and what came back in one form: what is true of an exchange
//! is true however it was said. Needs `support::quic` beside it.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::sync::Arc;

use tokio_rustls::TlsConnector;

use crate::quic::{self, Raw, Site};
use crate::support::{Backend, Proxy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    H1,
    H2,
    H3,
}

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
    pub fn ask(
        &self,
        version: Version,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        match version {
            Version::H1 => self.ask_h1(method, path, fields),
            Version::H2 => self.ask_h2(method, path, fields),
            Version::H3 => self.ask_h3(method, path, fields),
        }
    }

    fn ask_h1(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let lines: String =
            fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{lines}connection: close\r\n\r\n"
        );
        let text = quic::run(quic::over_tcp(&self.site, self.proxy.addresses[0], &request));
        let (head, body) = text.split_once("\r\n\r\n").expect("a response");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let fields: Vec<_> = lines.map(field).collect();
        let chunked = fields.iter().any(|(name, _)| name == "transfer-encoding");
        let body = if chunked { unchunk(body) } else { body.as_bytes().to_vec() };
        Answer { status, fields, body }
    }

    fn ask_h2(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        quic::run(async {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.site.der.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut tls = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            tls.alpn_protocols = vec![b"h2".to_vec()];
            let tcp = tokio::net::TcpStream::connect(self.proxy.addresses[0]).await.unwrap();
            let name = "localhost".try_into().unwrap();
            let stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let mut sender = sender.ready().await.unwrap();
            let mut request =
                http::Request::builder().method(method).uri(format!("https://localhost{path}"));
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
            let (head, mut content) = response.await.unwrap().into_parts();
            let mut body = Vec::new();
            while let Some(piece) = content.data().await {
                let piece = piece.unwrap();
                let _ = content.flow_control().release_capacity(piece.len());
                body.extend_from_slice(&piece);
            }
            let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
            };
            Answer {
                status: head.status.as_u16(),
                fields: head.headers.iter().map(field).collect(),
                body,
            }
        })
    }

    fn ask_h3(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        quic::run(async {
            let client = Raw::dial(&self.site, self.proxy.addresses[0]).await;
            let mut all = vec![
                (":method", method),
                (":scheme", "https"),
                (":authority", "localhost"),
                (":path", path),
            ];
            all.extend_from_slice(fields);
            let answer = client.ask(&all).await.unwrap();
            Answer { status: answer.status, fields: answer.fields, body: answer.body }
        })
    }
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
