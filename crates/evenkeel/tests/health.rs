//! Active checks as clients and operators see them: who gets requests, what the log says, and whose
//! fault it is when somebody stands still.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)] // test code

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Backend, Client, Proxy, Then, reply, wait_for, with_pool};

/// A server whose check says what it is told, whatever its other answers are.
fn checked(name: &'static str) -> (Backend, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let says = well.clone();
    let backend = Backend::start(move |request, stream| {
        let is_well = request.target() != "/health" || says.load(Ordering::SeqCst);
        let status = if is_well { "200 OK" } else { "500 Oops" };
        let length = name.len();
        reply(stream, format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{name}"));
        Then::Keep
    });
    (backend, well)
}

const CHECK: &str = "    health: { http: { path: /health }, interval: 100ms, interval_changing: 100ms, timeout: 2s, \
                     interval_down_max: 100ms }\n    slow_start: 0s\n    balance: round_robin\n";

fn transitions(proxy: &Proxy, to: &str) -> Vec<String> {
    let to = format!("to=\"{to}\"");
    proxy.log().into_iter().filter(|l| l.contains("health check") && l.contains(&to)).collect()
}

/// Which of the servers answer.
fn who(address: SocketAddr, requests: usize) -> Vec<String> {
    let mut client = Client::connect(address);
    let mut all: Vec<String> = (0..requests)
        .map(|_| {
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            let response = client.response();
            if response.status == 200 { response.text() } else { response.status.to_string() }
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn a_server_that_fails_its_checks_gets_no_request_until_it_passes_them() {
    let ((a, well), (b, _)) = (checked("a"), checked("b"));
    let proxy = Proxy::start(&with_pool(&[&a, &b], CHECK));
    let web = proxy.addresses[0];
    assert_eq!(who(web, 40), ["a", "b"]);
    well.store(false, Ordering::SeqCst);
    wait_for("the transition", || !transitions(&proxy, "down").is_empty());
    assert_eq!(who(web, 40), ["b"]);
    let down = transitions(&proxy, "down");
    let [line] = down.as_slice() else { panic!("once: {down:#?}") };
    let server = format!("server=\"{}\"", a.address);
    for said in ["pool=\"app\"", &server, "3 checks in a row failed", "got=\"HTTP 500\""] {
        assert!(line.contains(said), "{said} in {line}");
    }
    well.store(true, Ordering::SeqCst);
    wait_for("the way back", || transitions(&proxy, "up").iter().any(|l| l.contains(&server)));
    wait_for("requests", || who(web, 40) == ["a", "b"]);
}

#[test]
fn a_dead_server_is_noticed_without_a_request() {
    let (a, _) = checked("a");
    let mut dead = Backend::named("dead");
    dead.address = nobody();
    let proxy = Proxy::start(&with_pool(&[&a, &dead], CHECK));
    wait_for("it to be down", || !transitions(&proxy, "down").is_empty());
    assert!(transitions(&proxy, "down")[0].contains("connection refused"));
    assert_eq!(who(proxy.addresses[0], 40), ["a"]);
}

fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn kept_connections_to_a_server_that_was_down_are_not_used_again() {
    let (a, well) = checked("a");
    let mut config = with_pool(&[&a], CHECK);
    config.push_str("    panic_threshold: 0\n");
    let proxy = Proxy::start(&config);
    let web = proxy.addresses[0];
    assert_eq!(who(web, 20), ["a"]);
    let used = |a: &Backend| {
        let requests = a.received().into_iter().filter(|r| r.target() == "/");
        requests.map(|request| request.connection).collect::<Vec<_>>()
    };
    let before = used(&a);
    well.store(false, Ordering::SeqCst);
    wait_for("it to be down", || !transitions(&proxy, "down").is_empty());
    assert_eq!(who(web, 3), ["503"]);
    well.store(true, Ordering::SeqCst);
    wait_for("it to be up", || who(web, 1) == ["a"]);
    assert_eq!(who(web, 20), ["a"]);
    let after = used(&a).split_off(before.len());
    assert!(!after.is_empty());
    let again: Vec<_> = after.iter().filter(|connection| before.contains(connection)).collect();
    assert!(again.is_empty(), "before {before:?}, after {after:?}");
}

#[test]
fn every_kind_of_check_is_made_as_it_is_configured() {
    let (a, _) = checked("a");
    let port = a.address.port();
    let pools: Vec<(&str, String)> = vec![
        ("body", "{ http: { path: /, expect: { contains: zzz } }".into()),
        ("json", "{ http: { path: /, expect: { json: { $.db: connected } } }".into()),
        ("port", format!("{{ tcp: {{}}, port: {}", nobody().port())),
        ("tcp", "{ tcp: { send: \"GET / HTTP/1.1\\r\\n\\r\\n\", expect: zzz }".into()),
        ("tls", "{ https: { path: / }".into()),
        ("udp", "{ udp: { send: hi, expect: ho }".into()),
        ("grpc", "{ grpc: {}".into()),
        (
            "command",
            "{ command: { run: [sh, -c, 'echo $EVENKEEL_PORT is bad; exit 7'] }, timeout: 30s"
                .into(),
        ),
        ("well", "{ command: { run: [sh, -c, 'exit 0'] }, timeout: 30s".into()),
    ];
    let mut config = with_pool(&[&a], "");
    for (name, health) in &pools {
        let rest = "interval: 100ms, interval_changing: 100ms, fall: 1 }";
        config.push_str(&format!(
            "  {name}:\n    servers: [{}]\n    health: {health}, {rest}\n",
            a.address
        ));
    }
    let proxy = Proxy::start(&config);
    let down = |pool: &str| {
        let pool = format!("pool=\"{pool}\"");
        transitions(&proxy, "down").into_iter().find(|line| line.contains(&pool))
    };
    let all =
        || pools.iter().filter(|(name, _)| *name != "well").all(|(name, _)| down(name).is_some());
    wait_for("all to be down", all);
    assert_eq!(down("well"), None);
    let command = format!("exit status 7: {port} is bad");
    for (pool, why) in [
        ("body", "`zzz` is not in the body `a`"),
        ("json", "the body is no JSON"),
        ("port", "connection refused"),
        ("tcp", "no answer within 2s"),
        ("udp", "connection refused"),
        ("command", &command),
    ] {
        let line = down(pool).unwrap();
        assert!(line.contains(why), "{why} in {line}");
    }
}

/// Another process that answers 200 to everything.
fn process() -> Proxy {
    Proxy::start(
        "listeners: { web: { bind: 127.0.0.1:0 } }\nroutes: [{ respond: { status: 200, body: b } }]\n",
    )
}

#[test]
fn a_server_that_stands_still_and_goes_on_is_back_and_stays() {
    let (a, _) = checked("a");
    let b = process();
    let servers = format!("[{}, {}]", a.address, b.addresses[0]);
    let config = with_pool(&[&a], "").replace(&format!("[{}]", a.address), &servers);
    let health = "{ http: { path: / }, interval: 100ms, timeout: 1s, interval_changing: 100ms, \
                  interval_down_max: 200ms }";
    let proxy = Proxy::start(&format!(
        "{config}    health: {health}\n    slow_start: 0s\n    balance: round_robin\n"
    ));
    let web = proxy.addresses[0];
    wait_for("both", || who(web, 20) == ["a", "b"]);
    b.signal("-STOP");
    wait_for("it to be down", || !transitions(&proxy, "down").is_empty());
    assert!(transitions(&proxy, "down")[0].contains("no answer within 1s"));
    assert_eq!(who(web, 20), ["a"]);
    b.signal("-CONT");
    wait_for("both again", || who(web, 20) == ["a", "b"]);
    let downs = transitions(&proxy, "down").len();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(transitions(&proxy, "down").len(), downs, "{:#?}", proxy.log());
    assert_eq!(who(web, 20), ["a", "b"]);
}

#[test]
fn a_balancer_that_stands_still_blames_no_server() {
    let ((a, _), (b, _)) = (checked("a"), checked("b"));
    let health = "    health: { http: { path: /health }, interval: 100ms, timeout: 1s, \
                  interval_changing: 100ms, fall: 1 }\n    slow_start: 0s\n    balance: round_robin\n";
    let proxy = Proxy::start(&with_pool(&[&a, &b], health));
    let web = proxy.addresses[0];
    assert_eq!(who(web, 20), ["a", "b"]);
    for _ in 0..4 {
        proxy.signal("-STOP");
        std::thread::sleep(Duration::from_millis(1600));
        proxy.signal("-CONT");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(who(web, 20), ["a", "b"]);
    assert_eq!(transitions(&proxy, "down"), [""; 0]);
}

#[test]
fn without_descriptors_no_check_is_made_and_no_server_blamed() {
    let ((a, _), (b, _)) = (checked("a"), checked("b"));
    let proxy = Proxy::start(&with_pool(&[&a, &b], CHECK));
    let web = proxy.addresses[0];
    assert_eq!(who(web, 20), ["a", "b"]);
    let limit = "--nofile=3:"; // the soft one; the first three are always taken
    let id = proxy.id().to_string();
    let Ok(status) = Command::new("prlimit").args(["--pid", &id, limit]).status() else {
        return; // this system has no such program
    };
    assert!(status.success());
    let told = || proxy.log().iter().any(|line| line.contains("could not be made"));
    wait_for("it to be told of", told);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(transitions(&proxy, "down"), [""; 0]);
}
