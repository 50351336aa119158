//! `client_certificate`: of those who are believed, who comes in.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::Stage;
use crate::quic::Site;
use crate::support::authority::{Authority, Issued, provider};
use crate::support::{Backend, LIMIT, Proxy, with_listener};

fn status(site: &Site, proxy: &Proxy, shown: &Issued) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(site.der.clone()).unwrap();
    let tls = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(shown.chain.clone(), shown.key.clone_key())
        .unwrap();
    let name = "localhost".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(tls), name).unwrap();
    let mut tcp = std::net::TcpStream::connect(proxy.addresses[0]).unwrap();
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut tcp);
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response); // it may just close
    String::from_utf8_lossy(&response).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_certificate_that_is_believed_comes_in_only_if_it_is_one_of_those_named() {
    let (site, authority) = (Site::new(), Authority::new("ca"));
    let ca = authority.write(&site.directory.0, "ca.pem");
    let (billing, other) =
        (authority.issue(&["billing.example"]), authority.issue(&["other.example"]));
    let directory = site.directory.0.display();
    let tls = format!(
        "    tls: {{ certificates: {{ cert: {directory}/cert.pem, key: {directory}/key.pem }}, \
         client_auth: {{ ca: {}, mode: optional }} }}\n    protocols: [h1, h2, h3]\n    policies: p\n",
        ca.display()
    );
    let app = Backend::named("app");
    let config = with_listener(&[&app], &tls);
    let policy = "policies:\n  p: { client_certificate: { names: \"DNS:billing.example\" } }\n";
    let proxy = Proxy::start(&format!("{config}{policy}"));
    assert_eq!(status(&site, &proxy, &billing), "200");
    assert_eq!(status(&site, &proxy, &other), "403");
    assert_eq!(app.count(), 1);
    let stage = Stage { site, proxy, app };
    let answer = stage.get("/", &[("x-client-cert-san", "DNS:billing.example")]);
    assert_eq!(
        (answer.status, answer.field("x-evenkeel-reason")),
        (403, Some("certificate_denied"))
    );
}
