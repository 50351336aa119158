//! One request over each version of HTTP, for what must hold over all of them.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::quic::{Answer, Raw, Site, limited, over_tcp, run};

/// Name and value.
pub type Field<'f> = (&'f str, &'f str);

/// What is answered over HTTP/1.1, HTTP/2 and HTTP/3, in this order.
pub fn ask(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> [Answer; 3] {
    run(async {
        [
            limited(over_h1(site, address, method, path, fields)).await,
            limited(over_h2(site, address, method, path, fields)).await,
            limited(over_h3(site, address, method, path, fields)).await,
        ]
    })
}

/// The statuses of [`ask`], which are to be the same; and the first answer.
pub fn same(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> Answer {
    let [h1, h2, h3] = ask(site, address, method, path, fields);
    assert_eq!([h1.status, h2.status, h3.status], [h1.status; 3], "{method} {path} {fields:?}");
    h1
}

async fn over_h1(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> Answer {
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
    Answer {
        status: status.parse().unwrap_or_else(|_| panic!("no response: {text:?}")),
        fields: lines.filter_map(field).collect(),
        interim: Vec::new(),
        body: body.as_bytes().to_vec(),
        trailers: Vec::new(),
    }
}

async fn over_h2(
    site: &Site,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[Field<'_>],
) -> Answer {
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
    Answer {
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
) -> Answer {
    let mut all = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ];
    all.extend_from_slice(fields);
    Raw::dial(site, address).await.ask(&all).await.unwrap()
}
