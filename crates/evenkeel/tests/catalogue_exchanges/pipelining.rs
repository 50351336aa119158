//! G11 to G13: requests behind each other on one connection, and how a connection ends while its
//! client still sends (RFC 9112 §9.3.2, §9.6).

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc;

use evenkeel_tools::oracle::Case;

use crate::stage::Stage;
use crate::support::{Backend, Proxy, Then, reply, simple, wait_for, with_listener};

/// Answers with the target, the first request only when it is told to.
fn echo_after_the_gate() -> (Backend, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let backend = Backend::start(move |request, stream| {
        if request.target() == "/0" {
            let _ = gate.lock().unwrap().recv_timeout(crate::support::LIMIT);
        }
        let target = request.target();
        reply(
            stream,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()),
        );
        Then::Keep
    });
    (backend, open)
}

#[test]
fn g11_a_hundred_pipelined_requests_are_answered_in_order_behind_a_slow_one() {
    // RFC 9112 §9.3.2
    let (backend, gate) = echo_after_the_gate();
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    let requests: String =
        (0..100).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests);
    wait_for("the first to arrive", || backend.count() == 1);
    gate.send(()).unwrap();
    for n in 0..100 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
    let targets: Vec<_> = backend.received().iter().map(|r| r.target().to_owned()).collect();
    assert_eq!(targets, (0..100).map(|n| format!("/{n}")).collect::<Vec<_>>());
}

#[test]
fn g11_what_is_pipelined_behind_a_slow_request_stays_in_the_kernel() {
    let (backend, gate) = echo_after_the_gate();
    let proxy = Proxy::start(&simple(&[&backend]));
    assert_eq!(proxy.get("/warm").status, 200);
    let before = proxy.memory();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.connect();
        client.send("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.stream.set_nonblocking(true).unwrap();
        clients.push(client);
    }
    wait_for("all to arrive", || backend.count() == 5);
    let flood = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000);
    // Until nobody takes any more: the kernel's buffers are full and stay so.
    let mut refusals = 0;
    let mut sent = 0;
    wait_for("the kernel to be full", || {
        for client in &mut clients {
            match client.stream.write(flood.as_bytes()) {
                Ok(taken) => (sent, refusals) = (sent + taken, 0),
                Err(_) => refusals += 1,
            }
        }
        refusals > 40 || sent > 400_000_000
    });
    let grown = proxy.memory().saturating_sub(before);
    assert!(sent < 400_000_000, "{sent} bytes were taken");
    assert!(grown < 8 << 20, "grew by {grown} bytes for {sent} sent");
    drop(gate);
}

#[test]
fn g12_nothing_behind_connection_close_is_a_request() {
    // RFC 9112 §9.6
    let behind = "GET /echo/behind HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = |name, bytes: &str| (name, format!("{bytes}{behind}"));
    let rows = [
        last("GET", "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        last(
            "among others",
            "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: x, CLOSE\r\n\r\n",
        ),
        last("1.0", "GET /echo HTTP/1.0\r\n\r\n"),
        last(
            "a body",
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        ),
        last(
            "chunks",
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
    ];
    let stage = Stage::new();
    for (name, bytes) in &rows {
        stage.judge(&[Case { name, bytes: bytes.as_bytes(), statuses: &[200], reach: 1 }]);
    }
}

#[test]
fn g13_a_client_reads_all_of_a_refusal_while_it_uploads_ten_megabytes() {
    // RFC 9112 §9.6: no reset before it has read the response and stopped.
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(&[&backend], "    limits: { body: 1KiB }\n"));
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\nTransfer-Encoding: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA00000\r\n",
    ] {
        let mut client = proxy.connect();
        client.send(head);
        let mut upload = client.stream.try_clone().unwrap();
        let uploading = std::thread::spawn(move || {
            let piece = [b'x'; 64 * 1024];
            for n in 0..160 {
                upload.write_all(&piece).map_err(|error| format!("{n} of 160: {error}"))?;
            }
            Ok::<(), String>(())
        });
        // Like most clients it looks at the response only once it has sent all.
        let uploaded = uploading.join().unwrap();
        assert_eq!(uploaded, Ok(()), "{head}");
        let response = client.response();
        assert!(matches!(response.status, 400 | 413), "{head}: {response:?}");
        assert!(response.complete, "{head}");
        assert_eq!(client.stream.read(&mut [0; 1]).ok(), Some(0), "{head}: an end, not a reset");
    }
    assert_eq!(backend.count(), 0);
}
