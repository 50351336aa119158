//! Memory of the balancer for each idle kept-alive connection, after one request on it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use evenkeel_tools::peer::Peer;

const CONNECTIONS: u64 = 4000;

/// The growth with so many connections, and what all of it is then: who allocates at the start what
/// connections may need later does not grow.
pub(crate) fn run(peers: &[&Peer]) -> io::Result<Value> {
    let mut rows = Vec::new();
    for peer in peers {
        let before = peer.memory();
        let mut kept = Vec::new();
        for _ in 0..CONNECTIONS {
            kept.push(connection(peer.port)?);
        }
        std::thread::sleep(Duration::from_millis(500));
        let after = peer.memory();
        let each = after.saturating_sub(before) / CONNECTIONS;
        println!(
            "{:10} {:10} {each:>10} bytes for each idle connection; {:.1} MiB in all",
            "idle",
            peer.name,
            after as f64 / f64::from(1 << 20)
        );
        rows.push(json!({ "balancer": peer.name, "bytes": each, "bytes_in_all": after }));
    }
    Ok(json!({ "scenario": "idle", "connections": CONNECTIONS, "results": rows }))
}

/// A connection on which a response has been read.
fn connection(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /128 HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut buffer = [0; 2048];
    let mut got = 0;
    while !buffer[..got].ends_with(&[b'x'; 128]) {
        match stream.read(&mut buffer[got..])? {
            0 => return Err(io::Error::other(format!("{port} closed before its response's end"))),
            read => got += read,
        }
    }
    Ok(stream)
}
