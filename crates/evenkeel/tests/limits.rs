//! Slow and hostile clients: deadlines, minimum rates, connection limits, descriptors; and that
//! they do not disturb others.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use support::{Backend, Client, Gate, Proxy, Then, reply, simple, with_listener};

#[test]
fn a_head_that_takes_too_long_gets_408_and_a_close() {
    // RFC 9110 §15.5.9
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(&[&backend], "    timeouts: { head: 300ms }\n"));
    let begun = Instant::now();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    // Every byte is progress, and changes nothing: else it would go on for ever.
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    while client.stream.peek(&mut [0]).is_err() {
        assert!(begun.elapsed() < support::LIMIT && client.try_send("X: y\r\n"));
    }
    client.stream.set_read_timeout(Some(support::LIMIT)).unwrap();
    let response = client.response();
    assert_eq!((response.status, response.reason()), (408, "request_head_timeout"));
    assert!(client.is_closed());
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(backend.count(), 0);
}

#[test]
fn a_head_below_the_minimum_rate_is_cut_off_after_the_grace() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(
        &[&backend],
        "    timeouts: { head: 10m, head_rate_min: 1000 }\n",
    ));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_connection_without_a_request_is_closed_quietly() {
    let backend = Backend::named("only");
    let proxy =
        Proxy::start(&with_listener(&[&backend], "    timeouts: { head: 200ms, idle: 200ms }\n"));
    assert!(proxy.connect().is_closed(), "nothing is said to who said nothing");
    let proxy = Proxy::start(&with_listener(&[&backend], "    timeouts: { idle: 200ms }\n"));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert!(client.is_closed());
}

#[test]
fn a_body_that_stops_gets_408_and_the_server_is_not_left_with_half_of_it() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(&[&backend], "    timeouts: { body_idle: 200ms }\n"));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    let response = client.response();
    assert_eq!((response.status, response.reason()), (408, "request_body_timeout"));
    assert!(client.is_closed());
    assert_eq!(backend.count(), 0);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let cut = Gate::default();
    let noticed = cut.clone();
    let backend = Backend::start(move |_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
        if stream.write_all(&vec![b'x'; 50_000_000]).is_err() {
            noticed.open();
        }
        Then::Close
    });
    let proxy = Proxy::start(&with_listener(&[&backend], "    timeouts: { send_idle: 300ms }\n"));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    cut.pass();
    let mut all = Vec::new();
    let ended = client.stream.read_to_end(&mut all);
    assert!(ended.is_err() || all.len() < 50_000_000);
}

#[test]
fn a_thousand_slow_clients_do_not_disturb_the_others() {
    let backend = Backend::named("only");
    let proxy =
        Proxy::start(&with_listener(&[&backend], "    limits: { connections_per_ip: 2000 }\n"));
    let mut slow: Vec<Client> = (0..1000)
        .map(|_| {
            let mut client = proxy.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
            client
        })
        .collect();
    let mut client = proxy.connect();
    let mut took = Vec::new();
    for n in 0..200 {
        slow[n * 5].try_send("a");
        let begun = Instant::now();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
        took.push(begun.elapsed());
    }
    // Nobody waits for anybody's timeout; a machine may stand still now and then.
    took.sort_unstable();
    assert!(took[180] < Duration::from_secs(1), "{took:?}");
}

#[test]
fn one_client_may_have_only_so_many_connections() {
    let backend = Backend::named("only");
    let proxy =
        Proxy::start(&with_listener(&[&backend], "    limits: { connections_per_ip: 3 }\n"));
    let mut kept: Vec<Client> = (0..3).map(|_| proxy.connect()).collect();
    for client in &mut kept {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    let response = proxy.connect().response();
    assert_eq!((response.status, response.reason()), (429, "too_many_connections"));
    kept.pop();
    support::wait_for("room for one more", || {
        let mut client = proxy.connect();
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.response().status == 200
    });
}

#[test]
fn a_full_listener_makes_new_clients_wait() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(&[&backend], "    limits: { connections: 4 }\n"));
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
        kept.push(client);
    }
    let mut waiting = proxy.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    waiting.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(waiting.stream.read(&mut [0; 1]).is_err(), "it is not served yet");
    kept.clear();
    waiting.stream.set_read_timeout(Some(support::LIMIT)).unwrap();
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn running_out_of_descriptors_neither_ends_nor_spins() {
    let backend = Backend::named("only");
    let mut proxy = Proxy::start(&simple(&[&backend]));
    // Less than it has open with a few dozen clients.
    let limit = std::process::Command::new("prlimit")
        .args(["--pid", &proxy.id().to_string(), "--nofile=64:64"])
        .status()
        .unwrap();
    assert!(limit.success());
    let clients: Vec<Client> = (0..150).map(|_| proxy.connect()).collect();
    std::thread::sleep(Duration::from_millis(300));
    // A process that spins never has such a second.
    support::wait_for("a second of rest", || ticks_in_a_second(&proxy) < 30);
    assert!(proxy.is_running());
    drop(clients);
    support::wait_for("service to come back", || {
        let mut client = proxy.connect();
        client.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            && client.bytes(12).ends_with(b"200")
    });
}

/// User and system time of a process, in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn ticks_in_a_second(proxy: &Proxy) -> u64 {
    let before = cpu_ticks(proxy.id());
    std::thread::sleep(Duration::from_secs(1));
    cpu_ticks(proxy.id()) - before
}

#[test]
fn an_idle_process_does_nothing_to_speak_of() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let _clients: Vec<Client> = (0..50).map(|_| proxy.connect()).collect();
    // Once it has begun, and taken its clients on.
    support::wait_for("a second of rest", || ticks_in_a_second(&proxy) <= 3);
}

#[test]
fn long_lived_connections_are_spread_evenly_over_workers() {
    // The bound stated in the listener: 8, and the few that are accepted at the same moment.
    let backend = Backend::named("only");
    let config = simple(&[&backend]).replace("listeners:", "workers: 4\nlisteners:");
    let proxy = Proxy::start(&config);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..200 {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
        clients.push(client);
    }
    let counts = connections_by_thread(proxy.id());
    let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
    assert!(counts.len() >= 4, "{counts:?}");
    assert!(most - least <= 12, "{counts:?}");
}

/// Sockets watched by each epoll instance of a process (each may have several descriptors).
fn connections_by_thread(process: u32) -> Vec<usize> {
    let mut counts = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let watched = text.lines().filter(|line| line.starts_with("tfd:")).count();
        if watched > 20 {
            counts.push(watched);
        }
    }
    counts
}
