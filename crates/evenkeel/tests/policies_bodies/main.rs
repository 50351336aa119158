//! Rules for the content of requests, end to end over every version of HTTP.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/quic.rs"]
mod quic;

#[path = "../support/spoken.rs"]
mod spoken;

use spoken::{ALL, Polyglot};
use support::{Backend, Then, reply};

/// Up to 1000 bytes, on `/large` up to 100000.
fn limited(backend: &Backend) -> Polyglot {
    Polyglot::start(
        backend,
        "    policies: small\n    limits: { body: 50000B }\n",
        "routes:\n  - { to: app }\n  - { match: { path: /large }, to: app, policies: large }\n\
         policies:\n  small: { body: { max: 1000B } }\n  large: { body: { max: 100000B } }\n",
    )
}

fn counting() -> Backend {
    Backend::start(|request, stream| {
        let text = request.body.len().to_string();
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        Then::Keep
    })
}

#[test]
fn content_within_the_bound_of_its_route_passes() {
    let backend = counting();
    let proxy = limited(&backend);
    for version in ALL {
        for (path, length) in [("/", 0), ("/", 1000), ("/large", 1001), ("/large/x", 50_000)] {
            let said = proxy.post(version, path, &[], &vec![b'x'; length]);
            assert_eq!((said.status, said.text()), (200, length.to_string()), "{version:?} {path}");
        }
    }
}

#[test]
fn content_that_says_it_is_too_long_reaches_no_server() {
    // RFC 9110 §15.5.14.
    let backend = counting();
    let proxy = limited(&backend);
    for version in ALL {
        for (path, length) in [("/", 1001), ("/large", 50_001)] {
            let told = length.to_string();
            let said = proxy.post(version, path, &[("content-length", &told)], &vec![b'x'; length]);
            assert_eq!(
                (said.status, said.reason()),
                (413, "request_body_too_large"),
                "{version:?}"
            );
        }
    }
    assert_eq!(backend.count(), 0);
    // Nor is it waited for.
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(client.response().status, 413);
}

#[test]
fn content_that_turns_out_to_be_too_long_is_never_whole_at_a_server() {
    let backend = counting();
    let proxy = limited(&backend);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        client.try_send(format!("190\r\n{}\r\n", "x".repeat(0x190)));
    }
    client.try_send("0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.reason()), (413, "request_body_too_large"));
    assert_eq!(backend.count(), 0, "it has seen no whole request");
}
