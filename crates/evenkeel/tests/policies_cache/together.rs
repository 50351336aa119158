//! Many who want the same at once, and servers that fail while they wait.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::stage::{Stage, config};
use crate::support::{Backend, Client, Gate, Proxy, Then, reply, wait_for};

const CLIENTS: usize = 200;

fn ask(proxy: &Proxy, target: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
    client
}

/// All of them have been read: what they wait for is the server.
fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn one_fetch_serves_all_who_wait_and_streams_to_them_as_it_comes() {
    let (begin, finish) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let gates = (begin.clone(), finish.clone());
    let backend = Backend::start(move |_, stream| {
        gates.0.pass();
        let head =
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
        reply(stream, format!("{head}5\r\nfirst\r\n"));
        gates.1.pass();
        reply(stream, "4\r\nlast\r\n0\r\n\r\n");
        Then::Keep
    });
    let proxy = Proxy::start(&config(&[&backend], ""));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| ask(&proxy, "/x")).collect();
    settle();
    begin.open();
    for client in &mut clients {
        let mut seen = Vec::new();
        while !seen.ends_with(b"first\r\n") {
            seen.extend(client.bytes(1)); // before the server has said the last word
        }
    }
    finish.open();
    for mut client in clients {
        let rest = String::from_utf8(client.rest()).unwrap();
        assert_eq!(rest, "4\r\nlast\r\n0\r\n\r\n");
    }
    assert_eq!(backend.count(), 1);
    assert_eq!(proxy.get("/x").text(), "firstlast");
    assert_eq!(backend.count(), 1);
}

#[test]
fn the_first_client_may_leave_without_the_others_noticing() {
    let gate = Arc::new(Gate::default());
    let passes = gate.clone();
    let backend = Backend::start(move |_, stream| {
        passes.pass();
        reply(
            stream,
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok",
        );
        Then::Keep
    });
    let proxy = Proxy::start(&config(&[&backend], ""));
    let first = ask(&proxy, "/x");
    wait_for("the server to be asked", || backend.count() == 1);
    let mut second = ask(&proxy, "/x");
    settle();
    drop(first);
    settle();
    gate.open();
    assert_eq!(second.response().text(), "ok");
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_slow_client_does_not_keep_others_waiting() {
    let body = "x".repeat(4 << 20);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let backend = Backend::replying(answer);
    let proxy = Proxy::start(&config(&[&backend], ""));
    let slow = ask(&proxy, "/x"); // and reads nothing
    wait_for("the server to be asked", || backend.count() == 1);
    assert_eq!(proxy.get("/x").body.len(), length);
    assert_eq!(proxy.get("/x").body.len(), length);
    assert_eq!(backend.count(), 1);
    drop(slow);
}

#[test]
fn an_answer_that_is_for_one_lets_the_others_go_at_once() {
    let (gate, together) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let (passes, at) = (gate.clone(), together.clone());
    let backend = Backend::start(move |request, stream| {
        if (request.connection, request.turn) == (0, 0) {
            passes.pass();
        } else {
            // Nobody waits for another: they are all here before one of them is answered.
            at.fetch_add(1, Ordering::SeqCst);
            wait_for("the others", || at.load(Ordering::SeqCst) >= 19);
        }
        reply(
            stream,
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok",
        );
        Then::Keep
    });
    let proxy = Proxy::start(&config(&[&backend], ""));
    let clients: Vec<_> = (0..20).map(|_| ask(&proxy, "/x")).collect();
    settle();
    assert_eq!(backend.count(), 1);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!(backend.count(), 20);
}

#[test]
fn m4_rfc_9111_3_3_what_breaks_off_is_not_kept_and_those_who_have_a_part_are_told() {
    let backend = Backend::start(|request, stream| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        match request.target() {
            "/length" => reply(stream, format!("{head}Content-Length: 10\r\n\r\nhalf")),
            _ => reply(stream, format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")),
        }
        let _ = stream.flush();
        std::thread::sleep(Duration::from_millis(50)); // so that a part of it has been passed on
        Then::Close
    });
    let proxy = Proxy::start(&config(&[&backend], ""));
    for target in ["/length", "/chunks"] {
        for _ in 0..2 {
            let mut client = ask(&proxy, target);
            let text = String::from_utf8_lossy(&client.rest()).into_owned();
            assert!(!text.ends_with("0\r\n\r\n"), "{text}");
        }
    }
    assert!(backend.count() >= 4, "{}", backend.count());
}

#[test]
fn rfc_5861_3_a_stale_answer_is_given_while_it_is_renewed() {
    let stage = Stage::new("", &["Cache-Control: max-age=1, stale-while-revalidate=60"]);
    assert_eq!(stage.get("/x", &[]).text(), "answer 1 to /x");
    std::thread::sleep(Duration::from_millis(1100)); // ages are in seconds of this world
    let stale = stage.get("/x", &[]);
    assert_eq!(stale.text(), "answer 1 to /x");
    let status = "evenkeel; hit; detail=stale-while-revalidate";
    assert_eq!(stale.field("cache-status"), Some(status));
    wait_for("the answer to be renewed", || stage.get("/x", &[]).text() == "answer 2 to /x");
    assert_eq!(stage.backend.count(), 2);
}

#[test]
fn rfc_5861_4_a_stale_answer_is_better_than_an_error() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let backend = Backend::start(move |request, stream| {
        match (failing.load(Ordering::SeqCst), request.target()) {
            (false, _) => reply(
                stream,
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-if-error=60\r\nETag: \"a\"\r\nContent-Length: 2\r\n\r\nok",
            ),
            (true, "/says-so") => reply(stream, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
            (true, _) => return Then::Reset,
        }
        Then::Keep
    });
    let proxy = Proxy::start(&config(&[&backend], ""));
    for target in ["/says-so", "/breaks-off"] {
        fails.store(false, Ordering::SeqCst);
        assert_eq!(proxy.get(target).text(), "ok");
        fails.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            let stale = proxy.get(target);
            assert_eq!((stale.status, stale.text()), (200, "ok".into()), "{target}");
            let status = "evenkeel; hit; detail=stale-if-error";
            assert_eq!(stale.field("cache-status"), Some(status));
        }
    }
    assert!(proxy.get("/never-seen").status >= 500);
}
