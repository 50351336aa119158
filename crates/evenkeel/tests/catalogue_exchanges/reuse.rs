//! G: interim and early responses, pipelining, and which connections may serve another request
//! (RFC 9110 §10.1.1, §15.2; RFC 9112 §9).

use std::time::Duration;

use evenkeel_tools::oracle::Case;

use crate::stage::Stage;
use crate::support::{Backend, Client, Proxy, Then, reply, simple, wait_for, with_pool};

/// One worker, so that everything goes through the same kept connections.
fn one_worker(backend: &Backend) -> Proxy {
    Proxy::start(&format!("workers: 1\n{}", simple(&[backend])))
}

/// Another client's request is answered as the first of a connection of its own.
fn canary_is_alone(proxy: &Proxy, backend: &Backend) {
    let response = proxy.get("/canary");
    let received = backend.received().into_iter().rfind(|one| one.target() == "/canary").unwrap();
    assert_eq!((response.text().as_str(), received.turn), ("canary", 0));
}

/// Answers `/canary` so, and everything else otherwise, as soon as its head is there.
fn answering(other: &'static str) -> Backend {
    Backend::on_head(move |request, stream| {
        match request.target() {
            "/canary" => reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary"),
            "/smuggled" => {
                // Late enough to be taken for the answer to whatever was asked meanwhile.
                std::thread::sleep(Duration::from_millis(100));
                reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen");
            }
            _ => reply(stream, other),
        }
        Then::Keep
    })
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn g01_a_refused_expectation_ends_the_use_of_both_connections() {
    // RFC 9110 §10.1.1: whether such a server goes on to read the body cannot be known.
    let backend = answering("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    let proxy = one_worker(&backend);
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        SMUGGLED.len()
    );
    // The body that was not asked for is not sent.
    let mut client = proxy.connect();
    client.send(&head);
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (417, Some("close")));
    client.try_send(SMUGGLED);
    assert!(client.is_closed());
    assert_eq!(backend.count(), 1);
    canary_is_alone(&proxy, &backend);
    // Nor is one that was sent all the same another client's request or answer.
    let mut client = proxy.connect();
    client.send(format!("{head}{SMUGGLED}"));
    assert_eq!(client.response().status, 417);
    canary_is_alone(&proxy, &backend);
}

#[test]
fn g02_an_expectation_is_understood_whole_or_refused() {
    // RFC 9110 §10.1.1
    let refused = |name, bytes: &'static str, statuses: &'static [u16]| Case {
        name,
        bytes: bytes.as_bytes(),
        statuses,
        reach: 0,
    };
    Stage::new().judge(&[
        refused("y 100-continue", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\nContent-Length: 1\r\n\r\nx", &[417]),
        refused("a list", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 1\r\n\r\nx", &[417]),
        refused("two lines", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", &[417]),
        refused("folded", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect:\r\n 100-continue\r\nContent-Length: 1\r\n\r\nx", &[400]),
        refused("empty", "GET /echo HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", &[417]),
        refused("parameters", "GET /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue;q=1\r\n\r\n", &[417]),
        Case {
            name: "without a body",
            bytes: b"GET /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\nOPTIONS /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            statuses: &[200],
            reach: 2,
        },
    ]);
}

#[test]
fn g02_who_waits_for_a_continue_that_never_comes_is_let_go() {
    let backend = Backend::on_head(|_, stream| {
        let ended = matches!(std::io::Read::read(stream, &mut [0; 1]), Ok(0) | Err(_));
        assert!(ended, "not a byte of the body");
        Then::Close
    });
    let proxy = Proxy::start(&with_pool(&[&backend], "    timeouts: { first_byte: 200ms }\n"));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().status, 504);
    assert!(client.is_closed());
}

#[test]
fn g03_an_expectation_of_http_1_0_is_ignored() {
    // RFC 9110 §10.1.1
    let backend = Backend::named("only");
    let proxy = one_worker(&backend);
    let response =
        proxy.ask("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((response.status, response.text().as_str()), (200, "only"));
    assert_eq!(backend.only().field("expect"), None);
}
