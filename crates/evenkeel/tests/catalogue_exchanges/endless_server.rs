//! H4, and the slow half of group H: servers that never come to an end (RFC 9110 §17.5), and the
//! misdeeds that the misbehaving backend knows by name, to requests in pieces.

use std::io::Write;
use std::time::Duration;

use evenkeel_tools::oracle::Case;

use crate::stage::{CANARY, Stage};
use crate::support::{Backend, Proxy, Then, reply, with_pool};

/// Writes one piece for ever, and says when nobody takes it any more.
pub(crate) fn endless(
    begin: &'static str,
    piece: String,
) -> (Backend, std::sync::mpsc::Receiver<usize>) {
    let (told, heard) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let backend = Backend::start(move |request, stream| {
        if request.target() == "/canary" {
            reply(stream, CANARY);
            return Then::Keep;
        }
        reply(stream, begin);
        let mut written = 0;
        while written < 100 << 20 && stream.write_all(piece.as_bytes()).is_ok() {
            written += piece.len();
        }
        told.lock().unwrap().send(written).unwrap();
        Then::Close
    });
    (backend, heard)
}

#[test]
fn h04_a_head_without_end_is_given_up_within_its_bounds() {
    let start = "HTTP/1.1 200 OK\r\n";
    for (name, begin, piece) in [
        ("one value", "HTTP/1.1 200 OK\r\nX: ", "x".repeat(10_000)),
        ("one name", start, "x".repeat(10_000)),
        ("fields", start, "a: b\r\n".repeat(1_000)),
        ("large fields", start, format!("a: {}\r\n", "b".repeat(4_000))),
        ("a phrase", "HTTP/1.1 200 ", "x".repeat(10_000)),
        ("a phrase of zeros", "HTTP/1.1 200 ", "\0".repeat(10_000)),
        ("empty lines", "", "\r\n".repeat(5_000)),
    ] {
        let (backend, ended) = endless(begin, piece);
        let proxy = Proxy::start(&format!("workers: 1\n{}", with_pool(&[&backend], "")));
        let mut early = 0;
        for round in 0..60 {
            let response = proxy.get("/");
            assert_eq!((response.status, response.reason()), (502, "bad_response"), "{name}");
            let written = ended.recv_timeout(crate::support::LIMIT).expect("the server to be told");
            assert!(written < 100 << 20, "{name}");
            assert_eq!(proxy.get("/canary").text(), "canary", "{name}");
            if round == 9 {
                early = proxy.memory();
            }
        }
        // The allocator takes 2 MiB at a time; a lost block for each head would be more than 3.
        let grown = proxy.memory().saturating_sub(early);
        assert!(grown < 3 << 20, "{name}: grew by {grown} bytes");
    }
}

#[test]
fn h04_a_head_that_comes_byte_by_byte_does_not_put_off_the_deadline() {
    let (told, heard) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let backend = Backend::start(move |_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nX: ");
        // Never silent for long; it ends when nobody reads any more.
        while stream.write_all(b"y").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        told.lock().unwrap().send(()).unwrap();
        Then::Close
    });
    let pool = "    timeouts: { first_byte: 300ms, idle: 300ms }\n    retry: { attempts: 0 }\n";
    let proxy = Proxy::start(&with_pool(&[&backend], pool));
    let response = proxy.get("/");
    assert_eq!((response.status, response.reason()), (504, "response_timeout"));
    heard.recv_timeout(crate::support::LIMIT).expect("the server to be told");
}

#[test]
fn h_hostile_servers_touch_nobody_else_however_the_request_arrives() {
    let stage = Stage::new();
    for (path, statuses) in [
        ("/two-lengths", &[502_u16][..]),
        ("/length-and-chunks", &[502]),
        ("/bad-status", &[502]),
        ("/bad-field", &[502]),
        ("/garbage", &[502]),
        ("/extra", &[200]),
        ("/truncate/100/50", &[200]),
        ("/early/413", &[413]),
        ("/hints/3/echo", &[103]),
        ("/hints/17/echo", &[103]),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
        );
        stage.judge(&[Case { name: path, bytes: request.as_bytes(), statuses, reach: 1 }]);
    }
}
