//! Answers that come slowly, are long, or are many.

use std::io::Write as _;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::write::GzDecoder;

use crate::spoken::{ALL, Version};
use crate::support::{Backend, Gate, Then, reply, wait_for};
use crate::{compressing, decode, text};

/// A server that sends an event each time it is told to.
fn events() -> (Backend, mpsc::Sender<String>) {
    let (send, receive) = mpsc::channel::<String>();
    let receive = Arc::new(Mutex::new(receive));
    let backend = Backend::start(move |_, stream| {
        let fields = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
        reply(stream, format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        while let Ok(event) = receive.lock().unwrap().recv() {
            reply(stream, format!("{:x}\r\n{event}\r\n", event.len()));
        }
        reply(stream, "0\r\n\r\n");
        Then::Close
    });
    (backend, send)
}

#[test]
fn each_event_of_a_stream_arrives_at_once() {
    let (backend, send) = events();
    let proxy = compressing(&backend, "{}");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = String::from_utf8(until(&mut client, b"\r\n\r\n")).unwrap();
    assert!(head.to_ascii_lowercase().contains("content-encoding: gzip"), "{head}");
    let mut decoder = GzDecoder::new(Vec::new());
    for turn in 0..20 {
        let event = format!("data: number {turn}\n\n");
        send.send(event.clone()).unwrap();
        // The next one is not sent before this one has been read.
        while decoder.get_ref().len() < event.len() {
            let size = String::from_utf8(until(&mut client, b"\r\n")).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            decoder.write_all(&client.bytes(size)).unwrap();
            client.bytes(2);
            decoder.flush().unwrap();
        }
        assert_eq!(std::mem::take(decoder.get_mut()), event.as_bytes());
    }
}

fn until(client: &mut crate::support::Client, end: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        let byte = client.bytes(1);
        assert!(!byte.is_empty(), "it ended: {all:?}");
        all.extend(byte);
    }
    all
}

#[test]
fn content_of_any_length_and_framing_is_whole() {
    for length in [1_usize, 1023, 16_384, 100_000, 3_000_000] {
        let body = text(length);
        let content = body.clone();
        let backend = Backend::start(move |request, stream| {
            let fields = "Content-Type: text/plain\r\n";
            match request.target() {
                "/exact" => reply(
                    stream,
                    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n"),
                ),
                "/close" => reply(stream, format!("HTTP/1.1 200 OK\r\n{fields}\r\n")),
                _ => {
                    let head =
                        format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
                    reply(stream, head);
                    for piece in content.chunks(7001) {
                        reply(stream, format!("{:x}\r\n", piece.len()));
                        reply(stream, piece);
                        reply(stream, "\r\n");
                    }
                    reply(stream, "0\r\n\r\n");
                    return Then::Keep;
                }
            }
            reply(stream, &content);
            if request.target() == "/close" { Then::Close } else { Then::Keep }
        });
        let proxy = compressing(&backend, "{ min_size: 0B }");
        for version in ALL {
            for path in ["/exact", "/chunked", "/close"] {
                for coding in ["gzip", "br", "zstd"] {
                    let said = proxy.get(version, path, &[("accept-encoding", coding)]);
                    assert_eq!(said.field("content-encoding"), coding);
                    let whole = said.complete && decode(coding, &said.body) == body;
                    assert!(whole, "{version:?} {path} {coding} {length}");
                }
            }
        }
    }
}

#[test]
fn beyond_the_most_that_are_compressed_at_the_same_time_answers_pass_as_they_are() {
    let gate = Gate::default();
    let opened = gate.clone();
    let backend = Backend::start(move |request, stream| {
        let fields = "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n";
        reply(stream, format!("HTTP/1.1 200 OK\r\n{fields}\r\n3\r\nabc\r\n"));
        if request.target() == "/slow" {
            opened.pass();
        }
        reply(stream, "0\r\n\r\n");
        Then::Keep
    });
    let proxy = compressing(&backend, "{ concurrent: 1 }");
    let mut slow = proxy.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    until(&mut slow, b"\r\n\r\n");
    let said = proxy.get(Version::H1, "/", &[("accept-encoding", "gzip")]);
    assert_eq!((said.field("content-encoding"), said.text()), ("", "abc".to_owned()));
    assert_eq!(said.field("vary"), "accept-encoding");
    gate.open();
    assert!(slow.bytes(1).len() == 1);
    wait_for("the place to be free", || {
        let said = proxy.get(Version::H2, "/", &[("accept-encoding", "gzip")]);
        said.field("content-encoding") == "gzip"
    });
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let backend = Backend::start(|_, stream| {
        let fields = "Content-Type: text/event-stream\r\n";
        reply(stream, format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        while stream.write_all(b"data: x\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Then::Close
    });
    let proxy = compressing(&backend, "{ concurrent: 1 }");
    for _ in 0..3 {
        wait_for("a place", || {
            let mut client = proxy.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
            let head = String::from_utf8(until(&mut client, b"\r\n\r\n")).unwrap();
            head.to_ascii_lowercase().contains("content-encoding")
        });
    }
}
