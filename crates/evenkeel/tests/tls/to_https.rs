//! Requests without TLS are sent to `https`, and browsers told to stay there.

use std::sync::Arc;

use crate::authority::Authority;
use crate::client::{BOTH, TlsClient, config};
use crate::support::{Backend, Directory, Proxy, with_listener};

#[test]
fn a_redirect_keeps_host_path_and_query() {
    let backend = Backend::named("a");
    for (redirect, status, place) in [
        ("https", 308, "https://shop.example/a/b?c=d&e"),
        ("{ port: 8443, status: 301 }", 301, "https://shop.example:8443/a/b?c=d&e"),
    ] {
        let listener = format!("    redirect: {redirect}\n");
        let proxy = Proxy::start(&with_listener(&[&backend], &listener));
        let response = proxy.ask("GET /a/b?c=d&e HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n");
        assert_eq!((response.status, response.field("location")), (status, Some(place)));
        assert_eq!(response.field("strict-transport-security"), None, "RFC 6797 §7.2");
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn whom_a_trusted_peer_says_to_be_encrypted_is_not_redirected_for_ever() {
    let backend = Backend::named("a");
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Proto: https\r\n\r\n";
    let trusting = "    redirect: https\n    trusted_proxies: 127.0.0.1\n";
    let proxy = Proxy::start(&with_listener(&[&backend], trusting));
    assert_eq!(proxy.ask(request).status, 200);
    let proxy = Proxy::start(&with_listener(&[&backend], "    redirect: https\n"));
    assert_eq!(proxy.ask(request).status, 308, "anybody may say so");
}

#[test]
fn hsts_is_on_every_response_and_a_servers_own_gives_way() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let certificate = authority.issue(&["shop.example"]).write(&directory.0, "shop");
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=0\r\nContent-Length: 0\r\n\r\n",
    );
    let tls = format!(
        "    tls: {{ certificates: [{certificate}], hsts: {{ max_age: 1h, subdomains: true }} }}\n"
    );
    let proxy = Proxy::start(&with_listener(&[&backend], &tls));
    let config = Arc::new(config(&authority, BOTH, None));
    let mut client = TlsClient::connect(proxy.addresses[0], "shop.example", &config).unwrap();
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let (head, _) = client.ask(request).unwrap();
        let lines = crate::support::field_values(&head, "strict-transport-security");
        assert_eq!(lines, ["max-age=3600; includeSubDomains"], "{head}");
    }
}
