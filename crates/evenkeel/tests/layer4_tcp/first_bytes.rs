//! One port, several protocols: chosen by what a connection begins with, which the server gets as it
//! came.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::version::TLS13;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::server::{Server, line};
use crate::support::Proxy;
use crate::support::authority::{Authority, client};

/// A TLS server that says which name was asked for.
fn secure(authority: &Authority, name: &'static str) -> Server {
    let config = Arc::new(authority.issue(&[name]).server(&[&TLS13], None));
    Server::start(move |tcp| {
        let session = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(session, tcp);
        let mut buffer = [0; 4];
        if stream.read_exact(&mut buffer).is_ok() {
            let asked = stream.conn.server_name().unwrap_or("-").to_owned();
            let _ = stream.write_all(format!("{name}/{asked}").as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    })
}

fn ask(proxy: &Proxy, authority: &Authority, name: &str) -> String {
    let config = client(authority.roots(), &[]);
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(config, name).unwrap();
    let tcp = proxy.connect().stream;
    let mut stream = StreamOwned::new(session, tcp);
    stream.write_all(b"ping").unwrap();
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said);
    said
}

fn start(rules: &str, pools: &[(&str, &Server)]) -> Proxy {
    let pools: String = pools
        .iter()
        .map(|(name, server)| format!("  {name}: {{ servers: [\"{}\"] }}\n", server.address))
        .collect();
    Proxy::start(&format!(
        "listeners:\n  l: {{ bind: 127.0.0.1:0, policies: log, timeouts: {{ handshake: 500ms }}, passthrough: [ {rules} ] }}\n\
         pools:\n{pools}policies:\n  log: {{ access_log: {{ format: json, to: stdout }} }}\n"
    ))
}

#[test]
fn the_name_asked_for_decides_and_tls_is_between_client_and_server() {
    let authority = Authority::new("test");
    let shop = secure(&authority, "a.shop.example");
    let other = secure(&authority, "other.example");
    let rules = "{ sni: \"*.shop.example\", to: shop }, { to: other }";
    let proxy = start(rules, &[("shop", &shop), ("other", &other)]);
    assert_eq!(ask(&proxy, &authority, "a.shop.example"), "a.shop.example/a.shop.example");
    assert_eq!(ask(&proxy, &authority, "other.example"), "other.example/other.example");
    assert_eq!(line(&proxy)["sni"], "a.shop.example");
}

#[test]
fn tls_http_and_what_waits_for_the_server_share_a_port() {
    let authority = Authority::new("test");
    let tls = secure(&authority, "a.example");
    let (web, ssh) = (Server::echo("web:"), Server::echo("ssh:"));
    let rules =
        "{ protocol: tls, to: tls }, { protocol: http, to: web }, { protocol: other, to: ssh }";
    let proxy = start(rules, &[("tls", &tls), ("web", &web), ("ssh", &ssh)]);
    assert_eq!(ask(&proxy, &authority, "a.example"), "a.example/a.example");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.bytes(20), b"web:GET / HTTP/1.1\r\n");
    let mut client = proxy.connect();
    client.send("SSH-2.0-x\r\n");
    assert_eq!(client.bytes(15), b"ssh:SSH-2.0-x\r\n");
    let mut silent = proxy.connect();
    assert_eq!(silent.bytes(4), b"ssh:", "after the deadline it is for who speaks first");
    let mut short = proxy.connect();
    short.send("GE");
    short.end();
    assert_eq!(short.rest(), b"ssh:GE");
}

#[test]
fn what_is_for_no_pool_is_closed_and_said() {
    let web = Server::echo("web:");
    let proxy = start("{ sni: a.example, to: web }", &[("web", &web)]);
    let mut client = proxy.connect();
    client.send("hello, this is no TLS");
    assert!(client.is_closed());
    assert_eq!(line(&proxy)["reason"], "no_match");
    assert_eq!(web.connections(), 0);
}

#[test]
fn a_client_hello_that_comes_in_pieces_is_waited_for() {
    let authority = Authority::new("test");
    let config = client(authority.roots(), &[]);
    let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
    let mut session = ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let echo = Server::echo("");
    let proxy = start("{ sni: a.example, to: echo }", &[("echo", &echo)]);
    let mut client = proxy.connect();
    for piece in hello.chunks(hello.len() / 7) {
        client.send(piece);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.bytes(hello.len()), hello);
}
