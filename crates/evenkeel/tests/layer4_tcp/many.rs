//! What an idle session costs.

use std::io::Write;

use crate::server::{Server, config};
use crate::support::{Client, Proxy, wait_for};

/// Of this process: for sessions that are open and have passed something on. Stated in `docs/layer4.md`.
const BYTES_PER_SESSION: u64 = 6 * 1024;

fn measure(sessions: usize) -> u64 {
    let server = Server::start(|mut stream| {
        let _ = stream.write_all(b"x");
        crate::support::wait_for("the end of the test", || {
            std::io::Read::read(&mut stream, &mut [0]).map_or(true, |read| read == 0)
        });
    });
    let text = config(
        "tcp: { to: a }, limits: { connections: 20_000, connections_per_ip: 100_000 }",
        &[server.address],
        "",
    );
    let proxy = Proxy::start(&text);
    // What is made once, and kept.
    let warm: Vec<Client> = (0..50).map(|_| proxy.connect()).collect();
    drop(warm);
    wait_for("the first ones to end", || crate::server::lines(&proxy).len() >= 50);
    let before = proxy.memory();
    let mut clients: Vec<Client> = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        let mut client = proxy.connect();
        assert_eq!(client.bytes(1), b"x");
        clients.push(client);
    }
    let each = proxy.memory().saturating_sub(before) / sessions as u64;
    println!("{sessions} sessions: {each} bytes each");
    each
}

#[test]
fn an_idle_session_costs_no_buffer() {
    let each = measure(500);
    assert!(each < BYTES_PER_SESSION, "{each} bytes for a session");
}

/// Each process needs more than 20,000 descriptors (`ulimit -n`), the test as many threads as sessions.
#[test]
#[ignore = "takes a minute; run it with `--run-ignored all`"]
fn ten_thousand_sessions_cost_no_buffers() {
    let each = measure(10_000);
    assert!(each < BYTES_PER_SESSION, "{each} bytes for a session");
}
