//! TLS that ends here, TLS that begins here, and both.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::server::{Server, config, line};
use crate::support::authority::{Authority, client};
use crate::support::{Directory, Proxy};

fn listener(authority: &Authority, directory: &Directory, more: &str) -> String {
    let (cert, key) = authority.issue(&["db.example"]).write(&directory.0, "db");
    format!(
        "tcp: {{ to: a{more} }}, tls: {{ certificates: [ {{ cert: {}, key: {} }} ] }}",
        cert.display(),
        key.display()
    )
}

fn connect(
    proxy: &Proxy,
    authority: &Authority,
    alpn: &[&str],
) -> StreamOwned<ClientConnection, std::net::TcpStream> {
    let alpn: Vec<&[u8]> = alpn.iter().map(|name| name.as_bytes()).collect();
    let config = client(authority.roots(), &alpn);
    let name = rustls::pki_types::ServerName::try_from("db.example").unwrap();
    let session = ClientConnection::new(config, name).unwrap();
    StreamOwned::new(session, proxy.connect().stream)
}

#[test]
fn tls_ends_here_and_the_server_gets_what_was_inside() {
    let (authority, directory) = (Authority::new("test"), Directory::new());
    let server = Server::echo("hello ");
    let text = listener(&authority, &directory, ", alpn: postgresql");
    let proxy = Proxy::start(&config(&text, &[server.address], ""));
    let mut stream = connect(&proxy, &authority, &["postgresql"]);
    stream.write_all(b"there").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap(); // in order: with a close_notify
    assert_eq!(said, "hello there");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"postgresql"[..]));
    let line = line(&proxy);
    assert_eq!((&line["sni"], &line["tls"]), (&"db.example".into(), &"TLSv1.3".into()));
    assert_eq!(line["bytes_in"], 5);
}

#[test]
fn tls_begins_here_again_after_the_header_of_the_proxy_protocol() {
    let (authority, directory) = (Authority::new("test"), Directory::new());
    let tls = Arc::new(authority.issue(&["127.0.0.1"]).server(&[&TLS13], None));
    let server = Server::start(move |mut tcp| {
        let mut byte = [0];
        let mut header = Vec::new();
        while !header.ends_with(b"\r\n") {
            tcp.read_exact(&mut byte).unwrap();
            header.push(byte[0]);
        }
        let session = ServerConnection::new(tls.clone()).unwrap();
        let mut stream = StreamOwned::new(session, tcp);
        let mut said = [0; 4];
        stream.read_exact(&mut said).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), None);
        stream.write_all(&header).unwrap();
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    let text = listener(&authority, &directory, "");
    let ca = authority.write(&directory.0, "ca.pem");
    let pool = format!("    proxy_protocol: v1\n    tls: {{ ca: {} }}\n", ca.display());
    let proxy = Proxy::start(&config(&text, &[server.address], &pool));
    let mut stream = connect(&proxy, &authority, &[]);
    stream.write_all(b"ping").unwrap();
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said);
    assert!(said.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{said}");
}
