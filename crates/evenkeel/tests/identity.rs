//! What servers are told about the client, and that a client cannot tell them itself.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use support::{Backend, Proxy, Received, simple, with_listener, with_pool};

const FORGED: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: forged\r\nX-Evenkeel-Internal: 1\r\n";

fn received(listener: &str, fields: &str) -> (Received, Proxy) {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(&[&backend], listener));
    assert_eq!(proxy.ask(format!("GET / HTTP/1.1\r\nHost: site:81\r\n{fields}\r\n")).status, 200);
    (backend.only(), proxy)
}

#[test]
fn a_stranger_is_not_believed() {
    // RFC 9110 §17.2, RFC 7239 §8 (I1)
    let (received, proxy) = received("", FORGED);
    assert_eq!(received.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(received.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(received.field("x-forwarded-proto"), Some("http"));
    assert_eq!(received.field("x-forwarded-host"), Some("site:81"));
    assert_eq!(
        received.field("x-forwarded-port"),
        Some(proxy.addresses[0].port().to_string().as_str())
    );
    assert_eq!(received.field("forwarded"), None);
    assert_eq!(received.field("x-evenkeel-internal"), None);
    let id = received.field("x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
}

#[test]
fn a_trusted_proxy_speaks_for_its_client() {
    let (received, _proxy) = received(
        "    trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\n",
        "X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Request-Id: abc-1\r\n",
    );
    assert_eq!(received.field("x-forwarded-for"), Some("6.6.6.6, 9.9.9.9, 10.1.1.1, 127.0.0.1"));
    // Counted from the right: 9.9.9.9 is the last that a trusted proxy vouches for.
    assert_eq!(received.field("x-real-ip"), Some("9.9.9.9"));
    assert_eq!(received.field("x-forwarded-proto"), Some("https"));
    assert_eq!(received.field("x-request-id"), Some("abc-1"));
}

#[test]
fn the_standard_fields_are_written_when_asked_for() {
    // RFC 7239 §4, RFC 9110 §7.6.3
    let (received, _proxy) = received(
        "    identity: { x_forwarded: false, forwarded: true, via: edge-1, request_id: false }\n",
        FORGED,
    );
    assert_eq!(received.field("forwarded"), Some("for=127.0.0.1;proto=http;host=\"site:81\""));
    assert_eq!(received.field("via"), Some("1.1 edge-1"));
    for gone in ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-request-id"] {
        assert_eq!(received.field(gone), None, "{gone}");
    }
}

#[test]
fn a_client_cannot_have_our_fields_removed() {
    // RFC 9110 §7.6.1 (F1): nominated fields go first, ours are added after
    let (received, _proxy) =
        received("", "Connection: X-Forwarded-For, X-Real-Ip, X-Request-Id\r\n");
    assert_eq!(received.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(received.field("x-real-ip"), Some("127.0.0.1"));
    assert!(received.field("x-request-id").is_some());
}

#[test]
fn the_host_is_kept_or_rewritten_for_each_pool() {
    let backend = Backend::named("only");
    let own = backend.address.to_string();
    for (setting, host) in [
        ("preserve", "site:81"),
        ("server", own.as_str()),
        ("internal.example", "internal.example"),
    ] {
        let proxy = Proxy::start(&with_pool(&[&backend], &format!("    host: {setting}\n")));
        assert_eq!(proxy.ask("GET / HTTP/1.1\r\nHost: site:81\r\n\r\n").status, 200);
        let received = backend.received().pop().unwrap();
        assert_eq!(
            (received.field("host"), received.field("x-forwarded-host")),
            (Some(host), Some("site:81"))
        );
    }
}

#[test]
fn policies_edit_fields_in_both_directions() {
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nServer: leaky/1.0\r\nX-Old: 1\r\nContent-Length: 0\r\n\r\n",
    );
    let config = simple(&[&backend])
        .replace("bind: 127.0.0.1:0\n", "bind: 127.0.0.1:0\n    policies: tidy\n")
        + "policies:\n  tidy:\n    fields:\n      request: { set: { x-team: blue }, remove: [cookie], add: { x-more: \"1\" } }\n      response: { remove: server, set: { x-old: \"2\", strict: \"yes\" } }\n";
    let proxy = Proxy::start(&config);
    let response =
        proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nX-Team: red\r\nX-More: 0\r\n\r\n");
    assert_eq!(
        (response.field("server"), response.field("x-old"), response.field("strict")),
        (None, Some("2"), Some("yes"))
    );
    let received = backend.only();
    assert_eq!((received.field("x-team"), received.field("cookie")), (Some("blue"), None));
    assert_eq!(received.fields("x-more"), ["0", "1"]);
}
