//! Datagrams to servers and back: who gets them, what a session is, how it moves and ends, and that
//! no flood, reload or upgrade harms those that go on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests may wait and share")]

mod support;

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{LIMIT, Proxy, wait_for};

/// A server: says its name and what it was told, to whoever tells it something.
struct Echo {
    address: SocketAddr,
    heard: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    fn named(name: &'static str) -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").unwrap(), move |datagram, _| {
            vec![[name.as_bytes(), b" ", datagram].concat()]
        })
    }

    fn on(
        socket: UdpSocket,
        answers: impl Fn(&[u8], SocketAddr) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let address = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (heard, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, over) = (heard.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                for answer in answers(&buffer[..length], from) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, heard, ended, thread: Some(thread) }
    }

    /// One that says from which port it was asked: each session's own.
    fn of_ports() -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").unwrap(), |datagram, from| {
            vec![[format!("{} ", from.port()).as_bytes(), datagram].concat()]
        })
    }

    fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// The answer to `text`, which is sent again as long as none comes: datagrams may be lost.
fn ask(client: &UdpSocket, proxy: SocketAddr, text: &str) -> String {
    let (begun, mut buffer) = (Instant::now(), [0; 2048]);
    while begun.elapsed() < LIMIT {
        client.send_to(text.as_bytes(), proxy).unwrap();
        while let Ok((length, from)) = client.recv_from(&mut buffer) {
            assert_eq!(from, proxy, "answers come from where was asked");
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if answer.ends_with(text) {
                return answer;
            }
        }
    }
    panic!("no answer to {text}");
}

fn config(servers: &[SocketAddr], listener: &str, pool: &str) -> String {
    let servers: Vec<String> = servers.iter().map(|at| format!("'{at}'")).collect();
    let servers = servers.join(", ");
    format!(
        "listeners: {{ game: {{ bind: '127.0.0.1:0', udp: {{ to: app{listener} }} }} }}\n\
         pools: {{ app: {{ servers: [{servers}]{pool} }} }}\nworkers: 2\n"
    )
}

/// Who of "a" and "b" answered.
fn name(answer: &str) -> &str {
    answer.split(' ').next().unwrap()
}

#[test]
fn datagrams_go_to_a_server_and_its_answers_come_back() {
    let server = Echo::named("a");
    let proxy = Proxy::start(&config(&[server.address], "", ""));
    let client = client();
    for n in 0..20 {
        assert_eq!(ask(&client, proxy.addresses[0], &format!("hello {n}")), format!("a hello {n}"));
    }
}

#[test]
fn a_datagram_of_any_length_arrives_as_it_was_also_an_empty_one() {
    let server =
        Echo::on(UdpSocket::bind("127.0.0.1:0").unwrap(), |datagram, _| vec![datagram.into()]);
    let proxy = Proxy::start(&config(&[server.address], "", ""));
    let client = client();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    for length in [1, 0, 1200, 1472, 9000, 65_507] {
        let sent: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        client.send_to(&sent, proxy.addresses[0]).unwrap();
        let mut buffer = vec![0; 65_536];
        let got = client.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..got], sent);
    }
}

#[test]
fn a_session_stays_with_its_server_and_many_are_spread() {
    let (a, b) = (Echo::named("a"), Echo::named("b"));
    let proxy = Proxy::start(&config(&[a.address, b.address], "", ", balance: round_robin"));
    let clients: Vec<_> = (0..20).map(|_| client()).collect();
    let mut seen = HashSet::new();
    for client in &clients {
        let first = ask(client, proxy.addresses[0], "1");
        for n in 2..6 {
            let answer = ask(client, proxy.addresses[0], &n.to_string());
            assert_eq!(name(&answer), name(&first));
        }
        seen.insert(name(&first).to_owned());
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn instances_that_know_nothing_of_each_other_choose_the_same_server() {
    let (a, b) = (Echo::named("a"), Echo::named("b"));
    let hash = ", balance: { consistent_hash: { key: client_ip, table: maglev } }";
    let proxies: Vec<_> =
        (0..2).map(|_| Proxy::start(&config(&[a.address, b.address], "", hash))).collect();
    let mut seen = HashSet::new();
    for n in 1..16 {
        let client = UdpSocket::bind(format!("127.0.0.{n}:0")).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let answers = [&proxies[0], &proxies[1]].map(|p| ask(&client, p.addresses[0], "?"));
        assert_eq!(answers[0], answers[1]);
        seen.insert(answers[0].clone());
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn all_ports_of_a_client_go_to_one_server_if_sessions_are_clients() {
    let (a, b) = (Echo::named("a"), Echo::named("b"));
    let servers = [a.address, b.address];
    let proxy = Proxy::start(&config(&servers, ", session: client", ", balance: round_robin"));
    let mut seen = HashSet::new();
    for n in 1..8 {
        let own: HashSet<_> = (0..6)
            .map(|_| {
                let client = UdpSocket::bind(format!("127.0.0.{n}:0")).unwrap();
                client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                ask(&client, proxy.addresses[0], "?")
            })
            .collect();
        assert_eq!(own.len(), 1, "client {n}");
        seen.extend(own);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_server_that_is_not_there_costs_no_datagram_rfc_1122_4_1_3_3() {
    let (a, gone) = (Echo::named("a"), client().local_addr().unwrap());
    let proxy = Proxy::start(&config(&[gone, a.address], "", ", balance: round_robin"));
    for _ in 0..6 {
        let client = client();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.send_to(b"once", proxy.addresses[0]).unwrap(); // and never again
        let mut buffer = [0; 64];
        let got = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..got], b"a once");
    }
}

#[test]
fn a_session_moves_when_its_server_goes_away_in_the_middle() {
    let (a, b) = (Echo::named("a"), Echo::named("b"));
    let proxy = Proxy::start(&config(&[a.address, b.address], "", ", balance: round_robin"));
    let client = client();
    let first = name(&ask(&client, proxy.addresses[0], "1")).to_owned();
    let other = if first == "a" { "b" } else { "a" };
    let rest = if first == "a" { (drop(a), b) } else { (drop(b), a) };
    assert_eq!(name(&ask(&client, proxy.addresses[0], "2")), other);
    drop(rest);
}

#[test]
fn one_question_has_one_answer_and_then_the_session_is_over() {
    let twice = Echo::on(UdpSocket::bind("127.0.0.1:0").unwrap(), |datagram, _| {
        vec![datagram.to_vec(), b"forged".to_vec()]
    });
    let proxy = Proxy::start(&config(&[twice.address], ", reply: once", ""));
    let client = client();
    for n in 0..10 {
        client.send_to(&[n], proxy.addresses[0]).unwrap();
        let mut buffer = [0; 64];
        assert_eq!((client.recv(&mut buffer).unwrap(), buffer[0]), (1, n));
    }
    assert!(client.recv(&mut [0; 64]).is_err(), "the second answers are thrown away");
}

#[test]
fn nothing_comes_back_where_no_answer_is_expected() {
    let server = Echo::named("a");
    let proxy = Proxy::start(&config(&[server.address], ", reply: never", ""));
    let client = client();
    for _ in 0..10 {
        client.send_to(b"log", proxy.addresses[0]).unwrap();
    }
    wait_for("datagrams", || server.heard() == 10);
    assert!(client.recv(&mut [0; 64]).is_err());
}

#[test]
fn a_session_ends_by_silence_and_the_next_datagram_begins_another() {
    let ports: Arc<std::sync::Mutex<HashSet<SocketAddr>>> = Arc::default();
    let seen = ports.clone();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..3 {
            let (_, from) = socket.recv_from(&mut [0; 64]).unwrap();
            seen.lock().unwrap().insert(from);
            socket.send_to(b"!", from).unwrap();
        }
    });
    let proxy = Proxy::start(&config(&[address], ", idle_timeout: 300ms", ""));
    let client = client();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    for (pause, known) in [(0, 1), (1000, 2), (0, 2)] {
        std::thread::sleep(Duration::from_millis(pause));
        client.send_to(b"?", proxy.addresses[0]).unwrap();
        client.recv(&mut [0; 64]).unwrap();
        assert_eq!(ports.lock().unwrap().len(), known);
    }
    server.join().unwrap();
}

#[test]
fn a_reload_keeps_sessions_and_new_ones_go_by_the_new_settings() {
    let (a, b) = (Echo::named("a"), Echo::named("b"));
    let proxy = Proxy::start(&config(&[a.address], "", ""));
    let (old, address) = (client(), proxy.addresses[0]);
    assert_eq!(name(&ask(&old, address, "1")), "a");
    let changed = config(&[a.address, b.address], "", ", balance: round_robin");
    proxy.reload(&changed);
    // A server that joins gets little at first.
    wait_for("the new server", || name(&ask(&client(), address, "2")) == "b");
    assert_eq!(name(&ask(&old, address, "3")), "a");
}

/// A client of an address of its own.
fn client_at(n: usize) -> UdpSocket {
    let socket = UdpSocket::bind(format!("127.1.{}.{}:0", n / 250, n % 250 + 1)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

#[test]
fn a_flood_of_invented_sources_pushes_out_no_session_that_goes_on() {
    let server = Echo::of_ports();
    let proxy = Proxy::start(&config(&[server.address], ", sessions: 200", ""));
    let address = proxy.addresses[0];
    let real: Vec<_> = (0..20).map(|_| client()).collect();
    let ports = |text: &str| -> Vec<String> {
        real.iter().map(|client| name(&ask(client, address, text)).to_owned()).collect()
    };
    let (first, second) = (ports("1"), ports("2"));
    assert_eq!(first, second);
    for n in 0..5000 {
        client_at(n).send_to(b"flood", address).unwrap();
        if n % 1000 == 0 {
            assert_eq!(ports("3"), first, "after {n}");
        }
    }
    assert_eq!(ports("4"), first);
    // And somebody new has time for a second datagram.
    let new = client();
    assert_eq!(name(&ask(&new, address, "5")), name(&ask(&new, address, "6")));
}

#[test]
fn ten_thousand_sessions_cost_what_is_said() {
    const SESSIONS: usize = 10_000;
    /// Bytes of our own for each; the kernel's socket comes on top.
    const EACH_MAX: u64 = 1536;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let hard: usize = open.split_whitespace().nth(4).unwrap().parse().unwrap_or(usize::MAX);
    let count = SESSIONS.min(hard / 2);
    if count < SESSIONS {
        println!("{count} sessions only: a process may open {hard} files");
    }
    let server = Echo::of_ports();
    let proxy = Proxy::start(&config(&[server.address], ", idle_timeout: 10m", ""));
    let address = proxy.addresses[0];
    let open = |from: usize, to: usize| -> Vec<(SocketAddr, String)> {
        let one = |n| {
            let client = client_at(n);
            let port = name(&ask(&client, address, "1")).to_owned();
            (client.local_addr().unwrap(), port)
        };
        (from..to).map(one).collect()
    };
    open(20_000, 20_100); // what is there for all of them
    let before = proxy.memory();
    let sessions = open(0, count);
    let each = (proxy.memory() - before) / count as u64;
    println!("{count} sessions: {each} bytes each");
    assert!(each <= EACH_MAX, "{each}");
    for (own, port) in sessions.iter().step_by(100) {
        let client = UdpSocket::bind(own).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(name(&ask(&client, address, "2")), port);
    }
}

#[test]
fn a_drain_ends_when_sessions_are_silent_and_takes_nobody_new() {
    let server = Echo::of_ports();
    let mut proxy = Proxy::start(&config(&[server.address], ", idle_timeout: 1s", ""));
    let (old, address) = (client(), proxy.addresses[0]);
    let first = name(&ask(&old, address, "1")).to_owned();
    proxy.signal("-TERM");
    wait_for("the drain", || proxy.log().iter().any(|line| line.contains("drain")));
    for n in 0..8 {
        assert_eq!(name(&ask(&old, address, &format!("more {n}"))), first);
        std::thread::sleep(Duration::from_millis(50));
    }
    let new = client();
    new.send_to(b"?", address).unwrap();
    assert!(new.recv(&mut [0; 64]).is_err());
    assert!(proxy.is_running());
    assert!(proxy.wait().success());
}

#[test]
fn a_listener_that_is_taken_away_stops_and_comes_back() {
    let server = Echo::named("a");
    let with = config(&[server.address], "", "");
    let proxy = Proxy::start(&with);
    let address = proxy.addresses[0];
    assert_eq!(ask(&client(), address, "1"), "a 1");
    let fixed = with.replace("127.0.0.1:0", &address.to_string());
    proxy.reload(&fixed.replace("game", "other"));
    assert_eq!(ask(&client(), address, "2"), "a 2");
    proxy.reload(&fixed.replace("to: app", "to: app, session: client"));
    assert_eq!(ask(&client(), address, "3"), "a 3");
}

/// What a server of names answers: 192.0.2.7 (RFC 1035 §4).
fn resolve(query: &[u8]) -> Option<Vec<u8>> {
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += usize::from(query[end]) + 1;
    }
    let mut answer = query.get(..end + 5)?.to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 7]);
    Some(answer)
}

#[test]
fn names_are_resolved_though_one_server_is_not_there() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Echo::on(socket, |query, _| resolve(query).into_iter().collect());
    let gone = client().local_addr().unwrap();
    let listener = ", reply: once, idle_timeout: 5s";
    let proxy = Proxy::start(&config(&[gone, server.address], listener, ", balance: round_robin"));
    let address = proxy.addresses[0];
    let query =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01";
    for _ in 0..4 {
        let client = client();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.send_to(query, address).unwrap();
        let mut answer = [0; 512];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(answer[..length], resolve(query).unwrap());
    }
    // And with a client of another make.
    let port = address.port().to_string();
    let dig = ["+short", "+tries=1", "+time=5", "-p", &port, "@127.0.0.1", "www.example"];
    match std::process::Command::new("dig").args(dig).output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "192.0.2.7\n"),
        Err(error) => println!("not asked with dig: {error}"),
    }
}

#[test]
fn each_session_is_a_line_in_the_access_log_and_counted() {
    let server = Echo::named("a");
    let listener = ", reply: once }, policies: [log], x: {";
    let config = config(&[server.address], listener, "").replace(", x: { }", "")
        + "policies: { log: { access_log: { format: json, to: stdout } } }\n";
    let proxy = Proxy::start(&config);
    let client = client();
    assert_eq!(ask(&client, proxy.addresses[0], "hello"), "a hello");
    wait_for("a line", || !proxy.output().is_empty());
    let line: serde_json::Value = serde_json::from_str(&proxy.output()[0]).unwrap();
    assert_eq!(line["protocol"], "udp");
    assert_eq!((&line["listener"], &line["pool"]), (&"game".into(), &"app".into()));
    assert_eq!(line["server"], server.address.to_string());
    assert_eq!(line["client_port"], client.local_addr().unwrap().port());
    assert_eq!(line["reason"], "answered");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&5.into(), &7.into()));
    let mut api = std::os::unix::net::UnixStream::connect(proxy.admin_socket()).unwrap();
    let request = "GET /v1/listeners HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut api, request.as_bytes()).unwrap();
    let answer = std::io::read_to_string(api).unwrap();
    assert!(answer.contains(r#""bytes_in":5"#) && answer.contains(r#""sessions":1"#), "{answer}");
}
