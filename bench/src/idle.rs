//! Memory of the balancer for each idle kept-alive connection, after one request on it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use evenkeel_tools::peer::Peer;

const CONNECTIONS: u64 = 4000;

/// The growth with so many connections, and what all of it is then: who allocates at the start what
/// connections may need later does not grow.
pub(crate) fn run(peers: &[&Peer]) -> io::Result<Value> {
    measure("idle", peers, |peer| connection(peer.port))
}

/// The same over TLS, this far above the port without; all show this certificate.
pub(crate) fn run_encrypted(peers: &[&Peer], above: u16, certificate: &Path) -> io::Result<Value> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    measure("idletls", peers, |peer| {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let tcp = TcpStream::connect(("127.0.0.1", peer.port + above))?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        asked(StreamOwned::new(session, tcp))
    })
}

fn measure<T>(
    scenario: &str,
    peers: &[&Peer],
    connect: impl Fn(&Peer) -> io::Result<T>,
) -> io::Result<Value> {
    let mut rows = Vec::new();
    for peer in peers {
        let before = peer.memory();
        let mut kept = Vec::new();
        for _ in 0..CONNECTIONS {
            kept.push(connect(peer)?);
        }
        std::thread::sleep(Duration::from_millis(500));
        let after = peer.memory();
        let each = after.saturating_sub(before) / CONNECTIONS;
        println!(
            "{scenario:10} {:10} {each:>10} bytes for each idle connection; {:.1} MiB in all",
            peer.name,
            after as f64 / f64::from(1 << 20)
        );
        rows.push(json!({ "balancer": peer.name, "bytes": each, "bytes_in_all": after }));
    }
    Ok(json!({ "scenario": scenario, "connections": CONNECTIONS, "results": rows }))
}

fn connection(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    asked(stream)
}

/// A connection on which a response has been read.
fn asked<S: Read + Write>(mut stream: S) -> io::Result<S> {
    stream.write_all(b"GET /128 HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut buffer = [0; 2048];
    let mut got = 0;
    while !buffer[..got].ends_with(&[b'x'; 128]) {
        match stream.read(&mut buffer[got..])? {
            0 => return Err(io::Error::other("closed before the response's end")),
            read => got += read,
        }
    }
    Ok(stream)
}
