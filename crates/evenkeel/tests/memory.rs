//! What one client can make the binary hold: for each kind of unfinished request the growth of its
//! memory is bounded by ten times what was sent and a fixed amount.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Proxy, wait_for};

/// Clients of one kind at a time. The kernel gives memory in steps of up to 2 MiB: with so many
/// clients a step is 1 KiB for each.
const CLIENTS: usize = 2_000;
/// What an unfinished request may hold however short it is: a block of 16 KiB and what serves it. One
/// that waits for a server holds no block for the answer yet.
const FIXED: usize = 28 * 1024;

/// A backend that takes connections, counts them and never answers.
struct Silent {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<AtomicUsize>::default();
        let count = taken.clone();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                held.push(stream);
                count.store(held.len(), Ordering::SeqCst);
            }
        });
        Self { address, taken }
    }
}

/// A proxy of one worker: what it answers a later client comes after what it read from earlier ones.
fn proxy(backend: &Silent) -> Proxy {
    let address = backend.address;
    Proxy::start(&format!(
        "workers: 1
listeners:
  web:
    bind: \"127.0.0.1:0\"
    limits: {{ connections_per_ip: 20000 }}
    timeouts: {{ head: 60s, head_rate_min: 0, body_idle: 60s, body_rate_min: 0 }}
pools: {{ app: {{ servers: [\"{address}\"] }} }}
routes:
  - {{ match: {{ path: /here }}, respond: {{ status: 204 }} }}
  - {{ to: app }}
"
    ))
}

/// Growth for each client that has sent these bytes.
fn growth(bytes: &[u8], is_forwarded: bool) -> usize {
    let backend = Silent::start();
    let proxy = proxy(&backend);
    let ask = || assert_eq!(proxy.get("/here").status, 204);
    ask();
    let before = proxy.memory();
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = TcpStream::connect(proxy.addresses[0]).unwrap();
            client.write_all(bytes).unwrap();
            client
        })
        .collect();
    let forwarded = if is_forwarded { CLIENTS } else { 0 };
    wait_for("the server to be reached", || backend.taken.load(Ordering::SeqCst) >= forwarded);
    ask();
    ask();
    let grown = proxy.memory().saturating_sub(before);
    drop(clients);
    grown as usize / CLIENTS
}

/// Unfinished requests, some of them as bad as is allowed, and whether a server hears of them.
fn kinds() -> Vec<(&'static str, bool, Vec<u8>)> {
    let head = "POST /x HTTP/1.1\r\nHost: a\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let text = |text: String| text.into_bytes();
    vec![
        ("nothing", false, Vec::new()),
        ("one byte", false, text("G".into())),
        ("half a line", false, text(format!("GET /{}", "a".repeat(500)))),
        ("a long line", false, text(format!("GET /{}", "a".repeat(16_000)))),
        ("short fields", false, text(format!("{head}{}", "a:\r\n".repeat(90)))),
        (
            "long fields",
            false,
            text(format!("{head}{}", format!("x: {}\r\n", "y".repeat(300)).repeat(90))),
        ),
        ("a long head", false, text(format!("{head}x: {}", "y".repeat(32_000)))),
        ("options", false, text(format!("{head}Connection: {}", "x,".repeat(400)))),
        (
            "half a body",
            true,
            text(format!("{head}Content-Length: 1000000\r\n\r\n{}", "b".repeat(5_000))),
        ),
        ("small chunks", true, text(format!("{chunked}{}", "1\r\nx\r\n".repeat(1_000)))),
        ("extensions", true, text(format!("{chunked}1;{}", "e".repeat(4_000)))),
        ("trailers", true, text(format!("{chunked}0\r\n{}", "t: u\r\n".repeat(90)))),
        (
            "pipelined",
            true,
            text(format!("{head}\r\n{}", "GET /y HTTP/1.1\r\nHost: a\r\n\r\n".repeat(400))),
        ),
    ]
}

#[test]
fn no_unfinished_request_holds_more_than_ten_times_what_was_sent_and_a_fixed_amount() {
    let sockets = evenkeel_runtime::raise_descriptor_limit();
    assert!(sockets > 2 * CLIENTS as u64 + 100, "no more than {sockets} sockets may be open");
    let mut wrong = Vec::new();
    for (name, is_forwarded, bytes) in kinds() {
        let (grown, allowed) = (growth(&bytes, is_forwarded), 10 * bytes.len() + FIXED);
        println!("{name}: {} bytes sent, {grown} held, {allowed} allowed", bytes.len());
        if grown > allowed {
            wrong.push(format!("{name}: {grown} bytes for {}", bytes.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
