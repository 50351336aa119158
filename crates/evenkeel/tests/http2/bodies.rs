//! Content in both directions: how much of it waits where, and for whom (RFC 9113 §5.2).

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::support::{Backend, Gate, Proxy, Then, reply, simple, wait_for};
use crate::wire::{self, Wire};
use crate::{Client, request};

fn proxied(backend: &Backend) -> Proxy {
    Proxy::start(&format!("workers: 1\n{}", simple(&[backend])))
}

/// What memory may grow by, in KiB, where tens of MiB would be if bodies were kept: windows and blocks
/// of a connection, and what the allocator takes at once.
const STEPS: u64 = 8 * 1024;

#[test]
fn a_hundred_requests_are_served_at_once_on_one_connection() {
    let gate = Gate::default();
    let arrived = Arc::new(AtomicUsize::new(0));
    let (opened, count) = (gate.clone(), arrived.clone());
    let backend = Backend::start(move |request, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        opened.pass();
        let name = request.target().to_owned();
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()));
        Then::Keep
    });
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let asked: Vec<_> = (0..100)
        .map(|turn| {
            let request = request("GET", &format!("/{turn}")).body(()).unwrap();
            client.runtime.spawn(crate::exchange(client.sender.clone(), request, Bytes::new()))
        })
        .collect();
    wait_for("all to be at the server", || arrived.load(Ordering::SeqCst) == 100);
    gate.open();
    for (turn, asked) in asked.into_iter().enumerate() {
        let answer = client.runtime.block_on(crate::within(asked)).unwrap().unwrap();
        assert_eq!((answer.status(), answer.text()), (200, format!("/{turn}")));
    }
}

#[test]
fn long_content_arrives_whole_both_ways() {
    let backend = Backend::start(|request, stream| {
        let sum: u64 = request.body.iter().map(|byte| u64::from(*byte)).sum();
        reply(
            stream,
            format!(
                "HTTP/1.1 200 OK\r\nX-Sum: {sum}\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            ),
        );
        reply(stream, &request.body);
        Then::Keep
    });
    let proxy = proxied(&backend);
    let client = Client::with(proxy.addresses[0], |builder| {
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
    });
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let answer = client.ask(request("POST", "/").body(()).unwrap(), &body).unwrap();
    assert!(answer.body == body, "{} bytes", answer.body.len());
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    assert_eq!(answer.field("x-sum"), sum.to_string());
    let known = request("POST", "/").header("content-length", body.len()).body(()).unwrap();
    assert!(client.ask(known, &body).unwrap().body == body);
}

#[test]
fn a_client_that_reads_nothing_makes_nobody_hold_its_content() {
    const LENGTH: usize = 8 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let backend = Backend::start(move |_, stream| {
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        for _ in 0..LENGTH / 65_536 {
            if std::io::Write::write_all(stream, &[b'x'; 65_536]).is_err() {
                break;
            }
            count.fetch_add(65_536, Ordering::SeqCst);
        }
        Then::Keep
    });
    let proxy = proxied(&backend);
    // Its code is in memory already.
    assert_eq!(Client::connect(proxy.addresses[0]).get("/").body.len(), LENGTH);
    sent.store(0, Ordering::SeqCst);
    let before = proxy.memory() / 1024;
    // Streams are read one after the other: each must have its own window's worth of the connection.
    let client = Client::with(proxy.addresses[0], |builder| {
        builder.initial_connection_window_size(4 << 20);
    });
    let responses: Vec<_> = (0..16)
        .map(|_| {
            let request = request("GET", "/").body(()).unwrap();
            client.sender.clone().send_request(request, true).unwrap().0
        })
        .collect();
    // Until nothing moves any more: the sockets' buffers are full.
    let mut last = (0, 0);
    wait_for("everything to stand still", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = sent.load(Ordering::SeqCst);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        now > 0 && last.1 > 5
    });
    let grown = (proxy.memory() / 1024).saturating_sub(before);
    assert!(grown < STEPS, "grown by {grown} KiB");
    // It reads after all, and has all of it.
    for response in responses {
        let length = client.runtime.block_on(async {
            let response = crate::within(response).await.unwrap();
            crate::within(crate::read_all(response.into_body())).await.unwrap().0.len()
        });
        assert_eq!(length, LENGTH);
    }
}

#[test]
fn a_server_that_reads_nothing_stops_the_client() {
    const LENGTH: usize = 32 << 20;
    let gate = Gate::default();
    let opened = gate.clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        opened.pass();
        let mut taken = Vec::new();
        let mut buffer = [0; 65_536];
        loop {
            let read = stream.read(&mut buffer).unwrap();
            taken.extend_from_slice(&buffer[..read]);
            let head = taken.windows(4).position(|end| end == b"\r\n\r\n");
            if head.is_some_and(|head| taken.len() >= head + 4 + LENGTH) {
                break;
            }
        }
        reply(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let proxy = Proxy::start(&format!(
        "workers: 1\nlisteners:\n  web: {{ bind: \"127.0.0.1:0\" }}\nroutes:\n  - to: app\n\
         pools:\n  app: {{ servers: [\"{address}\"] }}\n"
    ));
    let before = proxy.memory() / 1024;
    let client = Client::connect(proxy.addresses[0]);
    let asked = request("POST", "/").header("content-length", LENGTH).body(()).unwrap();
    let (response, mut send) = client.begin(asked);
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let task = client.runtime.spawn(async move {
        for _ in 0..LENGTH / 65_536 {
            crate::send_all(&mut send, Bytes::from(vec![b'x'; 65_536]), false).await.unwrap();
            count.fetch_add(65_536, Ordering::SeqCst);
        }
        send.send_data(Bytes::new(), true).unwrap();
    });
    let mut last = (0, 0);
    wait_for("everything to stand still", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = sent.load(Ordering::SeqCst);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        now > 0 && last.1 > 5
    });
    assert!(last.0 < LENGTH, "all of it was taken");
    let grown = (proxy.memory() / 1024).saturating_sub(before);
    assert!(grown < STEPS, "grown by {grown} KiB");
    gate.open();
    client.runtime.block_on(async {
        crate::within(task).await.unwrap();
        assert_eq!(crate::within(response).await.unwrap().status(), 200);
    });
}

#[test]
fn rfc9113_8_1_an_answer_before_the_end_of_the_request_ends_it_without_an_error() {
    let backend = Backend::on_head(|_, stream| {
        reply(
            stream,
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
        );
        Then::Close
    });
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let (response, mut send) = client.begin(request("POST", "/").body(()).unwrap());
    client.runtime.block_on(async {
        send.send_data("some".into(), false).unwrap();
        let response = crate::within(response).await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(crate::within(crate::read_all(response.into_body())).await.unwrap().0, b"big");
        let reason = crate::within(std::future::poll_fn(|cx| send.poll_reset(cx))).await.unwrap();
        assert_eq!(reason, h2::Reason::NO_ERROR);
    });
    assert_eq!(client.get("/").status(), 413, "the connection goes on");
}

#[test]
fn a_client_that_gives_up_frees_its_server() {
    let gone = Gate::default();
    let seen = gone.clone();
    let backend = Backend::start(move |request, stream| {
        if request.target() == "/slow" {
            // Nothing is sent: it can only be the end.
            let _ = stream.read(&mut [0]);
            seen.open();
            return Then::Close;
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    for ended in [true, false] {
        let mut sender = client.sender.clone();
        let (response, mut send) =
            sender.send_request(request("GET", "/slow").body(()).unwrap(), ended).unwrap();
        let before = backend.count();
        wait_for("the server to be asked", || backend.count() > before.min(usize::from(!ended)));
        send.send_reset(h2::Reason::CANCEL);
        drop((response, send));
        wait_for("the server to be let go", || gone.is_open());
        assert_eq!(client.get("/").text(), "ok");
    }
}

#[test]
fn a_client_that_gives_up_while_its_server_is_silent_frees_it() {
    let gone = Gate::default();
    let seen = gone.clone();
    let backend = Backend::on_head(move |_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
        seen.open();
        Then::Close
    });
    let proxy = Proxy::start(&format!(
        "workers: 1\nlisteners:\n  web: {{ bind: \"127.0.0.1:0\" }}\nroutes:\n  - to: app\n\
         pools:\n  app: {{ servers: [\"{}\"], timeouts: {{ idle: 10m }} }}\n",
        backend.address
    ));
    let client = Client::connect(proxy.addresses[0]);
    let mut sender = client.sender.clone();
    client.runtime.block_on(async {
        let request = request("GET", "/").body(()).unwrap();
        let (response, send) = sender.send_request(request, true).unwrap();
        let mut content = crate::within(response).await.unwrap().into_body();
        let piece = crate::within(content.data()).await.unwrap().unwrap();
        assert_eq!(piece, "event");
        drop((content, send)); // RST_STREAM (RFC 9113 §8.1)
    });
    wait_for("the server to be let go", || gone.is_open());
}

/// KiB of memory once nothing moves any more.
fn at_rest(proxy: &Proxy) -> u64 {
    let mut last = 0;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(700));
        let now = proxy.memory() / 1024;
        if now.abs_diff(std::mem::replace(&mut last, now)) < 16 {
            return now;
        }
    }
}

/// KiB that so many connections may hold, and a step of the allocator's.
fn bound(connections: usize) -> u64 {
    connections as u64 * 2048 + 2048
}

#[test]
fn s6_a_connection_whose_windows_are_wide_and_that_is_not_read_holds_little() {
    const CONNECTIONS: usize = 4;
    const PIECES: usize = 128;
    static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
    let backend = Backend::start(|_, stream| {
        let length = PIECES * PIECE.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let _ = std::io::Write::write_all(stream, head.as_bytes());
        for _ in 0..PIECES {
            let _ = std::io::Write::write_all(stream, &PIECE);
        }
        Then::Keep
    });
    let proxy = proxied(&backend);
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"test")];
    let block = wire::fields(&fields);
    let attack = || -> Wire {
        let before = backend.count();
        let mut wire = Wire::with_wide_windows(proxy.addresses[0]);
        for stream in 0..100 {
            let flags = wire::END_HEADERS | wire::END_STREAM;
            wire.frame(wire::HEADERS, flags, 1 + 2 * stream, &block);
        }
        wait_for("all requests to be at the server", || backend.count() >= before + 100);
        wire
    };
    let first = attack(); // what the worker keeps for all
    let before = at_rest(&proxy);
    let wires: Vec<_> = (0..CONNECTIONS).map(|_| attack()).collect();
    let grown = at_rest(&proxy).saturating_sub(before);
    println!("{grown} KiB for {CONNECTIONS} connections");
    assert!(grown < bound(CONNECTIONS), "{grown} KiB for {CONNECTIONS} connections");
    drop((first, wires));
}

#[test]
fn s6_a_connection_that_asks_for_all_it_may_and_takes_nothing_holds_little() {
    const CONNECTIONS: usize = 6;
    let backend = Backend::start(|_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
        reply(stream, vec![b'x'; 200_000]);
        Then::Keep
    });
    let proxy = proxied(&backend);
    assert_eq!(Client::connect(proxy.addresses[0]).get("/").status(), 200);
    let cookie = vec![b'c'; 2000];
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"test"),
        (b"cookie", &cookie),
    ];
    let block = wire::fields(&fields);
    let attack = |connections: usize| -> Vec<Wire> {
        let before = backend.count();
        let wires = std::iter::repeat_with(|| {
            let mut wire = Wire::connect(proxy.addresses[0]);
            wire.settle();
            wire.frame(wire::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]); // no window (RFC 9113 §6.5.2)
            for stream in 0..100 {
                let flags = wire::END_HEADERS | wire::END_STREAM;
                wire.frame(wire::HEADERS, flags, 1 + 2 * stream, &block);
            }
            wire
        });
        let wires = wires.take(connections).collect();
        wait_for("all requests to be at the server", || {
            backend.count() >= before + 100 * connections
        });
        wires
    };
    let first = attack(2); // what the worker keeps for all
    let before = at_rest(&proxy);
    let wires = attack(CONNECTIONS);
    let grown = at_rest(&proxy).saturating_sub(before);
    println!("{grown} KiB for {CONNECTIONS} connections");
    // What a hundred exchanges cost, and not a hundred blocks and their answers.
    assert!(grown < bound(CONNECTIONS), "{grown} KiB for {CONNECTIONS} connections");
    drop((first, wires));
}
