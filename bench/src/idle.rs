//! Memory of the balancer for each idle kept-alive connection, after one request on it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::{Value, json};

use evenkeel_tools::peer::Peer;

const CONNECTIONS: u64 = 4000;

/// The growth with so many connections, and what all of it is then: who allocates at the start what
/// connections may need later does not grow.
pub(crate) fn run(peers: &[&Peer]) -> io::Result<Value> {
    measure("idle", peers, |peer| connection(peer.port))
}

/// The same over TLS, this far above the port without.
pub(crate) fn run_encrypted(peers: &[&Peer], above: u16) -> io::Result<Value> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
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

/// Takes any certificate: what is measured is memory.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
