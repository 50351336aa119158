//! Bytes both ways: nothing added, nothing lost, ends carried over, another server where one cannot be
//! reached, and nothing that outlives its time.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::server::{Server, config, line, nobody};
use crate::support::{Client, LIMIT, Proxy, reset, wait_for};

#[test]
fn bytes_pass_both_ways_and_a_half_close_is_carried_over() {
    let server = Server::start(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap(); // only a half-close brings this to its end
        all.reverse();
        stream.write_all(&all).unwrap();
    });
    let proxy = Proxy::start(&config("tcp: { to: a }", &[server.address], ""));
    let mut client = proxy.connect();
    client.send("abc");
    client.end();
    assert_eq!(client.rest(), b"cba");
    let line = line(&proxy);
    assert_eq!(line["reason"], "closed");
    assert_eq!((line["bytes_in"].as_u64(), line["bytes_out"].as_u64()), (Some(3), Some(3)));
    assert_eq!(line["listener"], "l");
    assert_eq!(line["server"], server.address.to_string());
}

#[test]
fn the_server_may_speak_first_and_end_first() {
    let server = Server::start(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"bye");
    });
    let proxy = Proxy::start(&config("tcp: { to: a }", &[server.address], ""));
    let mut client = proxy.connect();
    assert_eq!(client.rest(), b"220 ready\r\n");
    client.send("bye");
    client.end();
    assert_eq!(line(&proxy)["bytes_in"], 3);
}

#[test]
fn a_long_stream_arrives_as_it_was_sent_in_both_directions_at_once() {
    const LENGTH: usize = 40_000_000;
    let server = Server::echo("");
    let proxy = Proxy::start(&config("tcp: { to: a }", &[server.address], ""));
    let client = proxy.connect();
    let mut sending = client.stream.try_clone().unwrap();
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    let sender = std::thread::spawn(move || {
        let all: Vec<u8> = (0..LENGTH).map(byte).collect();
        // In pieces of all sizes, so that the way they take changes.
        let mut rest = &all[..];
        let mut size = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(size.min(rest.len()));
            sending.write_all(now).unwrap();
            rest = later;
            size = size * 3 % 300_007 + 1;
        }
        sending.shutdown(Shutdown::Write).unwrap();
    });
    let mut receiving = client.stream.try_clone().unwrap();
    let mut received = Vec::with_capacity(LENGTH);
    receiving.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert_eq!(received.len(), LENGTH);
    assert!(received.iter().enumerate().all(|(at, got)| *got == byte(at)), "something changed");
}

#[test]
fn a_server_that_refuses_is_passed_over_and_told_of() {
    let (dead, server) = (nobody(), Server::echo("hello"));
    let proxy = Proxy::start(&config(
        "tcp: { to: a }",
        &[dead, server.address],
        "    balance: round_robin\n    outlier: false\n",
    ));
    for _ in 0..4 {
        let mut client = proxy.connect();
        assert_eq!(client.bytes(5), b"hello");
    }
    assert_eq!(server.connections(), 4);
    wait_for("the failure to be told of", || {
        proxy
            .log()
            .iter()
            .any(|line| line.contains("server failed") && line.contains("connect_refused"))
    });
}

#[test]
fn where_no_server_can_be_reached_the_client_is_reset_and_the_line_says_why() {
    let proxy = Proxy::start(&config("tcp: { to: a }", &[nobody()], ""));
    let mut client = proxy.connect();
    assert!(client.is_closed());
    assert_eq!(line(&proxy)["reason"], "connect_refused");
}

#[test]
fn a_server_that_is_checked_and_found_down_gets_nothing() {
    let (dead, server) = (nobody(), Server::echo("up"));
    let proxy = Proxy::start(&config(
        "tcp: { to: a }",
        &[dead, server.address],
        "    balance: round_robin\n    health: { tcp: {}, interval: 100ms, fall: 1 }\n    retry: { attempts: 0 }\n",
    ));
    wait_for("the check to fail", || {
        proxy.log().iter().any(|line| line.contains(&dead.to_string()))
    });
    for _ in 0..6 {
        assert_eq!(proxy.connect().bytes(2), b"up");
    }
}

#[test]
fn silence_ends_a_session_and_so_does_its_longest_life() {
    let server = Server::echo("hi");
    let proxy = Proxy::start(&config("tcp: { to: a, idle_timeout: 300ms }", &[server.address], ""));
    let begun = Instant::now();
    let mut client = proxy.connect();
    assert_eq!(client.bytes(2), b"hi");
    assert!(client.is_closed());
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(line(&proxy)["reason"], "idle_timeout");
    let proxy = Proxy::start(&config("tcp: { to: a, timeout: 400ms }", &[server.address], ""));
    let mut client = proxy.connect();
    let begun = Instant::now();
    while client.try_send("x") && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begun.elapsed() >= Duration::from_millis(350));
    assert_eq!(line(&proxy)["reason"], "timeout");
}

#[test]
fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let server = Server::start(|mut stream| {
        stream.write_all(b"x").unwrap();
        let mut buffer = [0; 1];
        let _ = stream.read(&mut buffer);
        reset(&stream);
    });
    let proxy = Proxy::start(&config("tcp: { to: a }", &[server.address], ""));
    let mut client = proxy.connect();
    assert_eq!(client.bytes(1), b"x");
    client.send("go");
    let error = client.stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(line(&proxy)["reason"], "server_reset");
}

#[test]
fn a_client_address_has_as_many_connections_as_it_may() {
    let server = Server::echo("hi");
    let proxy = Proxy::start(&config(
        "tcp: { to: a }, limits: { connections_per_ip: 2 }",
        &[server.address],
        "",
    ));
    let mut kept: Vec<Client> = (0..2).map(|_| proxy.connect()).collect();
    for client in &mut kept {
        assert_eq!(client.bytes(2), b"hi");
    }
    assert!(proxy.connect().is_closed());
    kept.pop();
    wait_for("the place to be free", || proxy.connect().bytes(2) == b"hi");
}

#[test]
fn a_session_lives_through_reloads_and_a_drain_waits_for_it_until_its_deadline() {
    let server = Server::echo("hi");
    let text = config("tcp: { to: a }", &[server.address], "");
    let mut proxy = Proxy::start(&format!("shutdown: {{ drain: 0s, drain_tunnels: 1s }}\n{text}"));
    let mut client = proxy.connect();
    assert_eq!(client.bytes(2), b"hi");
    let said = proxy.reload(&format!(
        "shutdown: {{ drain: 0s, drain_tunnels: 1s }}\n{}",
        config("tcp: { to: a, idle_timeout: 1h }", &[server.address], "")
    ));
    assert!(said.contains("listener changed: `l`"), "{said}");
    client.send("still");
    assert_eq!(client.bytes(5), b"still");
    proxy.signal("-TERM");
    client.send("there");
    assert_eq!(client.bytes(5), b"there");
    assert!(client.is_closed());
    proxy.wait();
}

#[test]
fn clients_are_spread_by_their_ports_and_one_connection_keeps_its_server() {
    let servers = [Server::echo("a"), Server::echo("b"), Server::echo("c")];
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let pool = "    balance: { consistent_hash: { key: connection } }\n";
    let proxy = Proxy::start(&config("tcp: { to: a }", &addresses, pool));
    for _ in 0..60 {
        proxy.connect().bytes(1);
    }
    assert!(servers.iter().all(|server| server.connections() > 3), "60 ports, three servers");
    let pool = "    balance: { consistent_hash: { key: client_ip } }\n";
    let proxy = Proxy::start(&config("tcp: { to: a }", &addresses, pool));
    let first = proxy.connect().bytes(1);
    assert!((0..10).all(|_| proxy.connect().bytes(1) == first), "one address, one server");
}
