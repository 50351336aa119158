//! Certificates that come by themselves (RFC 8555), from an authority that looks whether names are
//! ours: ordered, kept, renewed; and that nothing waits for it or ends with it.
#![cfg(feature = "acme")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

#[path = "support/acme.rs"]
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use server::{AcmeServer, Found};
use support::authority::client;
use support::{Backend, Directory, LIMIT, Proxy, simple, wait_for};

const NAME: &str = "shop.example";

/// A proxy with a listener that wants a certificate and, first, one that is not encrypted.
struct World {
    authority: AcmeServer,
    proxy: Proxy,
    config: String,
    storage: Directory,
    _backend: Backend,
}

fn config(authority: &AcmeServer, backend: &Backend, storage: &Directory, more: &str) -> String {
    let (place, ca) = (storage.0.join("acme"), storage.0.join("ca.pem"));
    let acme = authority.section(&place, &ca, more);
    let tls = format!("  secure:\n    bind: 127.0.0.1:0\n    tls: {{ acme: {NAME} }}\n");
    let both = simple(&[backend]).replace("routes:\n", &format!("{tls}routes:\n"));
    format!("{acme}{both}")
}

fn start(authority: AcmeServer, more: &str) -> World {
    let (storage, backend) = (Directory::new(), Backend::named("shop"));
    let config = config(&authority, &backend, &storage, more);
    let proxy = Proxy::start(&config);
    authority.find(found(&proxy));
    World { authority, proxy, config, storage, _backend: backend }
}

/// Sockets are told of in the order of the file.
fn found(proxy: &Proxy) -> Found {
    Found { port_80: Some(proxy.addresses[0]), port_443: Some(proxy.addresses[1]) }
}

/// The certificate that is shown, if a client believes it; what the route answers.
fn ask(authority: &AcmeServer, address: SocketAddr) -> Result<(Vec<u8>, String), String> {
    let config = client(authority.roots(), &[b"http/1.1"]);
    let mut session = rustls::ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut tcp).map_err(|error| error.to_string())?;
    }
    let shown = session.peer_certificates().unwrap()[0].to_vec();
    let mut stream = rustls::Stream::new(&mut session, &mut tcp);
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"shop") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&buffer[..read]);
    }
    Ok((shown, String::from_utf8_lossy(&response).into_owned()))
}

fn wait_for_certificate(world: &World) -> Vec<u8> {
    let mut shown = None;
    wait_for("a certificate that clients believe", || {
        shown = ask(&world.authority, world.proxy.addresses[1]).ok();
        shown.is_some()
    });
    shown.unwrap().0
}

#[test]
fn a_certificate_comes_by_way_of_a_request_at_port_80_and_is_kept_for_this_user_alone() {
    let world = start(AcmeServer::start(), ", challenge: http-01");
    wait_for_certificate(&world);
    assert_eq!((world.authority.orders(), world.authority.accounts()), (1, 1));
    let kept = world.storage.0.join("acme").join(format!("{NAME}.pem"));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&kept) & 0o777, 0o600);
    assert_eq!(mode(kept.parent().unwrap()) & 0o777, 0o700);
    let text = std::fs::read_to_string(kept).unwrap();
    assert!(text.contains("PRIVATE KEY") && text.contains("BEGIN CERTIFICATE"));
    // What is asked when nobody was told to ask is routed like anything else.
    let after = world.proxy.get("/.well-known/acme-challenge/token");
    assert_eq!(after.text(), "shop");
}

#[test]
fn a_certificate_comes_by_way_of_a_handshake_at_port_443() {
    let world = start(AcmeServer::start(), ", challenge: tls-alpn-01");
    wait_for_certificate(&world);
    assert_eq!(world.authority.orders(), 1);
}

#[test]
fn a_restart_needs_no_authority() {
    let World { authority, proxy, config, storage, _backend } =
        start(AcmeServer::start(), ", challenge: http-01");
    wait_for("a certificate", || ask(&authority, proxy.addresses[1]).is_ok());
    drop(proxy);
    authority.set_down(true);
    let again = Proxy::start(&config);
    assert!(ask(&authority, again.addresses[1]).is_ok(), "from its first connection on");
    assert_eq!(authority.orders(), 1);
    drop(storage);
}

#[test]
fn a_certificate_is_replaced_when_two_thirds_of_its_time_are_over() {
    let authority = AcmeServer::start();
    authority.set_lifetime(Duration::from_secs(9));
    let world = start(authority, ", challenge: http-01");
    let first = wait_for_certificate(&world);
    world.authority.set_lifetime(Duration::from_secs(90 * 24 * 3600));
    wait_for("another certificate", || {
        ask(&world.authority, world.proxy.addresses[1]).is_ok_and(|(shown, _)| shown != first)
    });
    assert_eq!((world.authority.issued(), world.authority.accounts()), (2, 1));
}

#[test]
fn an_authority_that_is_away_is_asked_again_and_all_else_is_served_meanwhile() {
    let authority = AcmeServer::start();
    authority.set_down(true);
    let world = start(authority, ", challenge: http-01");
    wait_for("a line about it", || {
        world.proxy.log().iter().any(|line| line.contains("acme: no certificate"))
    });
    assert_eq!(world.proxy.get("/").text(), "shop", "the other listener serves");
    let refused = ask(&world.authority, world.proxy.addresses[1]).unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "a placeholder is shown: {refused}");
    world.authority.set_down(false);
    wait_for_certificate(&world);
}

#[test]
fn an_authority_that_does_not_believe_us_is_told_of_with_its_reason_and_not_asked_again_soon() {
    let authority = AcmeServer::start();
    let stranger = Backend::replying("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
    let (storage, backend) = (Directory::new(), Backend::named("shop"));
    let config = config(&authority, &backend, &storage, ", challenge: http-01");
    authority.find(Found { port_80: Some(stranger.address), port_443: None });
    let proxy = Proxy::start(&config);
    let mut line = None;
    wait_for("a line about it", || {
        line = proxy.log().into_iter().find(|line| line.contains("acme: no certificate"));
        line.is_some()
    });
    let line = line.unwrap();
    assert!(line.contains("unauthorized") && line.contains("404 none"), "{line}");
    assert!(line.contains(NAME), "{line}");
    assert_eq!(proxy.get("/").text(), "shop");
    assert_eq!(authority.orders(), 1);
}

#[test]
fn instances_that_share_a_directory_order_once() {
    let authority = AcmeServer::start();
    let (storage, backend) = (Directory::new(), Backend::named("shop"));
    let config = config(&authority, &backend, &storage, ", challenge: http-01");
    let one = Proxy::start(&config);
    authority.find(found(&one));
    wait_for("a certificate", || ask(&authority, one.addresses[1]).is_ok());
    let other = Proxy::start(&config);
    assert!(ask(&authority, other.addresses[1]).is_ok());
    assert_eq!(authority.orders(), 1);
}
