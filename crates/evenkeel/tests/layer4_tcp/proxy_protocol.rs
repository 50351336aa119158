//! Who the client is, from one proxy to the next.

use std::io::Read;
use std::sync::{Arc, Mutex};

use evenkeel_codec::proxy_protocol::{Header, Outgoing, Reading, read, write_v2};

use crate::server::{Server, config, line};
use crate::support::{Backend, Proxy, wait_for};

const TRUSTED: &str = "trusted_proxies: 127.0.0.0/8";

/// Reads all that comes on a connection until its end.
fn recorder() -> (Server, Arc<Mutex<Vec<u8>>>) {
    let seen = Arc::<Mutex<Vec<u8>>>::default();
    let to = seen.clone();
    let server = Server::start(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(read) = stream.read(&mut buffer) {
            to.lock().unwrap().extend_from_slice(&buffer[..read]);
            if read == 0 {
                break;
            }
        }
    });
    (server, seen)
}

#[test]
fn a_server_is_told_who_its_client_is_in_text_and_in_binary() {
    let (server, seen) = recorder();
    let proxy =
        Proxy::start(&config("tcp: { to: a }", &[server.address], "    proxy_protocol: v1\n"));
    let mut client = proxy.connect();
    client.send("first");
    client.end();
    client.is_closed();
    let own = client.stream.local_addr().unwrap();
    let to = proxy.addresses[0];
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nfirst", own.port(), to.port());
    assert_eq!(String::from_utf8_lossy(&seen.lock().unwrap()), expected);

    let (server, seen) = recorder();
    let pool = "    proxy_protocol: { version: v2, checksum: true, unique_id: true }\n";
    let proxy = Proxy::start(&config("tcp: { to: a }", &[server.address], pool));
    let mut client = proxy.connect();
    client.send("first");
    client.end();
    client.is_closed();
    let seen = seen.lock().unwrap();
    let Ok(Reading::Header(Header { length, ends, tlvs, .. })) = read(&seen) else {
        panic!("{seen:?}")
    };
    assert_eq!(ends, Some((client.stream.local_addr().unwrap(), proxy.addresses[0])));
    assert_eq!(tlvs.unique_id().map(<[u8]>::len), Some(16));
    assert_eq!(&seen[length..], b"first");
}

#[test]
fn the_client_is_who_a_trusted_peer_says() {
    let server = Server::echo("hi");
    let listener = format!("tcp: {{ to: a }}, proxy_protocol: require, {TRUSTED}");
    let proxy = Proxy::start(&config(&listener, &[server.address], ""));
    let mut client = proxy.connect();
    client.send("PROXY TCP4 203.0.113.7 198.51.100.1 4000 443\r\nping");
    assert_eq!(client.bytes(6), b"hiping");
    client.end();
    assert!(client.is_closed());
    let line = line(&proxy);
    assert_eq!((&line["client"], &line["client_port"]), (&"203.0.113.7".into(), &4000.into()));
    assert_eq!(line["bytes_in"], 4);
}

#[test]
fn a_header_that_comes_byte_by_byte_is_a_header() {
    let server = Server::echo("hi");
    let listener = format!("tcp: {{ to: a }}, proxy_protocol: accept, {TRUSTED}");
    let proxy = Proxy::start(&config(&listener, &[server.address], ""));
    let mut client = proxy.connect();
    let mut header = Vec::new();
    let ends = Some(("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap()));
    write_v2(&mut header, &Outgoing { ends, checksum: true, ..Outgoing::default() });
    for byte in header {
        client.send([byte]);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(client.bytes(2), b"hi");
    client.end();
    assert!(client.is_closed());
    assert_eq!(line(&proxy)["client"], "2001:db8::1");
}

#[test]
fn what_must_come_and_does_not_is_a_close() {
    let server = Server::echo("hi");
    let listener = format!(
        "tcp: {{ to: a }}, proxy_protocol: require, {TRUSTED}, timeouts: {{ handshake: 300ms }}"
    );
    let proxy = Proxy::start(&config(&listener, &[server.address], ""));
    for bytes in ["hello", "PROXY TCP4 1 2 3 4\r\n", "PROXY TCP4 ", ""] {
        let mut client = proxy.connect();
        client.send(bytes);
        assert!(client.is_closed(), "{bytes}");
    }
    assert_eq!(server.connections(), 0);
    assert!(proxy.log().iter().any(|line| line.contains("no header of the PROXY protocol")));
}

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    let (server, seen) = recorder();
    let line = "PROXY TCP4 203.0.113.7 198.51.100.1 4000 443\r\n";
    let listener = "tcp: { to: a }, proxy_protocol: accept, trusted_proxies: 10.0.0.0/8";
    let proxy = Proxy::start(&config(listener, &[server.address], ""));
    let mut client = proxy.connect();
    client.send(line);
    client.end();
    client.is_closed();
    assert_eq!(String::from_utf8_lossy(&seen.lock().unwrap()), line, "it is the client's own");
    let listener = "tcp: { to: a }, proxy_protocol: require, trusted_proxies: 10.0.0.0/8";
    let proxy = Proxy::start(&config(listener, &[server.address], ""));
    assert!(proxy.connect().is_closed());
}

#[test]
fn limits_are_those_of_the_client_that_is_told_of() {
    let server = Server::echo("hi");
    let listener = format!(
        "tcp: {{ to: a }}, proxy_protocol: require, {TRUSTED}, limits: {{ connections_per_ip: 1 }}"
    );
    let proxy = Proxy::start(&config(&listener, &[server.address], ""));
    let connect = |from: &str| {
        let mut client = proxy.connect();
        client.send(format!("PROXY TCP4 {from} 198.51.100.1 4000 443\r\n"));
        client
    };
    let (mut first, mut other) = (connect("203.0.113.1"), connect("203.0.113.2"));
    assert_eq!((first.bytes(2), other.bytes(2)), (b"hi".to_vec(), b"hi".to_vec()));
    assert!(connect("203.0.113.1").is_closed());
    drop(first);
    wait_for("its place to be free", || connect("203.0.113.1").bytes(2) == b"hi");
}

#[test]
fn a_request_of_http_comes_from_the_client_that_is_told_of() {
    let backend = Backend::named("a");
    let proxy = Proxy::start(&format!(
        "listeners: {{ web: {{ bind: 127.0.0.1:0, proxy_protocol: require, {TRUSTED} }} }}\n\
         routes: [ {{ to: a }} ]\npools: {{ a: {{ servers: [\"{}\"] }} }}\n",
        backend.address
    ));
    let mut client = proxy.connect();
    client.send("PROXY TCP4 203.0.113.7 198.51.100.1 4000 8443\r\nGET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let received = backend.only();
    assert_eq!(received.field("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(received.field("x-forwarded-port"), Some("8443"));
}

#[test]
fn the_client_is_known_from_one_balancer_in_front_of_another_to_the_server() {
    let backend = Backend::named("a");
    let behind = Proxy::start(&format!(
        "listeners: {{ web: {{ bind: 127.0.0.1:0, proxy_protocol: require, {TRUSTED} }} }}\n\
         routes: [ {{ to: a }} ]\npools: {{ a: {{ servers: [\"{}\"] }} }}\n",
        backend.address
    ));
    let pool = "    proxy_protocol: v2\n";
    let listener = format!("tcp: {{ to: a }}, proxy_protocol: accept, {TRUSTED}");
    let front = Proxy::start(&config(&listener, &[behind.addresses[0]], pool));
    let mut client = front.connect();
    client.send("PROXY TCP6 2001:db8::7 2001:db8::1 4000 443\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(backend.only().field("x-forwarded-for"), Some("2001:db8::7"));
}

#[test]
fn a_pool_of_http_tells_who_the_client_is_and_uses_no_connection_for_another() {
    let (heads, server) = {
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let to = heads.clone();
        let server = Server::start(move |mut stream| {
            let mut all = Vec::new();
            let mut buffer = [0; 4096];
            while !all.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut buffer).unwrap();
                all.extend_from_slice(&buffer[..read]);
                assert!(read > 0, "{all:?}");
            }
            to.lock().unwrap().push(String::from_utf8_lossy(&all).into_owned());
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            crate::support::reply(&mut stream, answer);
            let _ = stream.read(&mut buffer);
        });
        (heads, server)
    };
    let proxy = Proxy::start(&format!(
        "listeners: {{ web: {{ bind: 127.0.0.1:0 }} }}\nroutes: [ {{ to: a }} ]\n\
         pools: {{ a: {{ servers: [\"{}\"], proxy_protocol: v1 }} }}\n",
        server.address
    ));
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(server.connections(), 2);
    let own = client.stream.local_addr().unwrap().port();
    let expected =
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {own} {}\r\nGET / ", proxy.addresses[0].port());
    for head in heads.lock().unwrap().iter() {
        assert!(head.starts_with(&expected), "{head}");
    }
}
