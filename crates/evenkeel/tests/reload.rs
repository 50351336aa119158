//! Another configuration while requests are served: what differs is applied, what does not is not
//! touched, and what is wrong changes nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_types, reason = "test code outside the workers")]
#![allow(clippy::disallowed_methods, reason = "test code outside the workers")]

mod support;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Backend, Client, Gate, LIMIT, Proxy, Then, reply, simple, wait_for};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

fn says(proxy: &Proxy, words: &str) -> bool {
    proxy.log().iter().any(|line| line.contains(words))
}

/// A backend that becomes a tunnel, and echoes.
fn echoing() -> Backend {
    Backend::start(|_, stream| {
        reply(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        );
        let mut copy = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut copy, stream);
        Then::Close
    })
}

fn tunnel(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.response().status, 101);
    client
}

fn config(addresses: &[SocketAddr], ws: SocketAddr, more: &str) -> String {
    let servers: Vec<String> = addresses.iter().map(|a| a.to_string()).collect();
    format!(
        "listeners: {{ web: {{ bind: 127.0.0.1:0 }} }}\n\
         routes:\n  - to: app\n  - {{ match: {{ path: /ws }}, to: ws }}\n{more}\
         pools:\n  app: {{ servers: [{}] }}\n  ws: {{ servers: [{ws}] }}\n",
        servers.join(", ")
    )
}

#[test]
fn a_hundred_reloads_fail_no_request_and_close_no_connection() {
    let backends = [Backend::named("a"), Backend::named("b"), Backend::named("c")];
    let ws = echoing();
    let all: Vec<SocketAddr> = backends.iter().map(|b| b.address).collect();
    let proxy = Proxy::start(&config(&all, ws.address, ""));
    let mut tunnels: Vec<Client> = (0..5).map(|_| tunnel(&proxy)).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served, address) = (stop.clone(), served.clone(), proxy.addresses[0]);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    client.send(GET);
                    let response = client.response();
                    assert_eq!(response.status, 200, "{}", response.head);
                    assert_ne!(response.field("connection"), Some("close"));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for turn in 0..100 {
        let servers = if turn % 2 == 0 { &all[..2] } else { &all[..] };
        let more = format!("  - {{ match: {{ path: /n{turn} }}, respond: {{ status: 204 }} }}\n");
        let said = proxy.reload(&config(servers, ws.address, &more));
        assert!(said.contains("changed: "), "{said}");
        assert_eq!(proxy.get(&format!("/n{turn}")).status, 204);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 100);
    for tunnel in &mut tunnels {
        tunnel.send("still there");
        assert_eq!(tunnel.bytes(11), b"still there");
    }
}

#[test]
fn a_wrong_file_changes_nothing_and_every_mistake_is_said() {
    let backend = Backend::named("a");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    let said = proxy.reload("listeners: { web: { bnd: 1 } }\nroutes: [{ to: nowhere }]\n");
    assert!(said.contains("refused: the configuration stays as it was"), "{said}");
    wait_for("the mistakes", || says(&proxy, "bnd") && says(&proxy, "nowhere"));
    client.send(GET);
    assert_eq!(client.response().status, 200);
    assert!(proxy.reload(&simple(&[&backend])).contains("nothing changed"));
}

#[test]
fn many_signals_at_once_are_one_reload() {
    let backend = Backend::named("a");
    let proxy = Proxy::start(&simple(&[&backend]));
    let answers = || proxy.log().iter().filter(|line| line.contains("nothing changed")).count();
    let id = proxy.id().to_string();
    let mut kill = vec!["-c".to_owned()];
    kill.push(format!("for i in $(seq 300); do kill -HUP {id}; done"));
    assert!(std::process::Command::new("sh").args(kill).status().unwrap().success());
    proxy.write(
        &simple(&[&backend]).replace("routes:", "routes:\n  - { match: { path: /x }, to: app }"),
    );
    proxy.signal("-HUP");
    wait_for("the last one's answer", || says(&proxy, "route added"));
    assert!(answers() < 300, "each was done by itself");
    assert_eq!(proxy.get("/x").status, 200);
}

#[test]
fn listeners_come_move_and_go_and_the_others_do_not_notice() {
    let backend = Backend::named("a");
    let with = |listeners: &str| {
        let servers = backend.address;
        format!(
            "listeners:\n{listeners}routes: [{{ to: app }}]\npools: {{ app: {{ servers: [{servers}] }} }}\n"
        )
    };
    let proxy = Proxy::start(&with("  web: { bind: 127.0.0.1:0 }\n"));
    let mut first = proxy.connect();
    first.send(GET);
    assert_eq!(first.response().status, 200);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let two = with(&format!("  web: {{ bind: 127.0.0.1:0 }}\n  other: {{ bind: '{free}' }}\n"));
    assert!(proxy.reload(&two).contains("listener added: `other`"));
    let mut second = Client::connect(free);
    second.send(GET);
    assert_eq!(second.response().status, 200);

    // Another address beside: both are the same listener.
    let free2 = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let moved = with(&format!(
        "  web: {{ bind: 127.0.0.1:0 }}\n  other: {{ bind: ['{free}', '{free2}'] }}\n"
    ));
    assert!(proxy.reload(&moved).contains("listener changed: `other`"));
    second.send(GET);
    assert_eq!(second.response().status, 200, "its address stayed");
    let mut third = Client::connect(free2);
    third.send(GET);
    assert_eq!(third.response().status, 200);

    let less = with("  web: { bind: 127.0.0.1:0 }\n");
    assert!(proxy.reload(&less).contains("listener removed: `other`"));
    wait_for("the address to be free", || TcpStream::connect(free).is_err());
    assert!(second.is_closed(), "idle connections end after the grace");
    assert!(third.is_closed());
    first.send(GET);
    assert_eq!(first.response().status, 200, "another listener's connection is not touched");
    wait_for("the drain to end", || says(&proxy, "drained: nothing is left of listener `other`"));
}

#[test]
fn a_listener_that_cannot_listen_refuses_the_whole_change() {
    let backend = Backend::named("a");
    let proxy = Proxy::start(&simple(&[&backend]));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = simple(&[&backend]).replace(
        "routes:\n",
        &format!(
            "  more: {{ bind: '{address}' }}\nroutes:\n  - {{ match: {{ path: /new }}, to: app }}\n"
        ),
    );
    let said = proxy.reload(&config);
    assert!(said.contains("refused") && said.contains("another process listens there"), "{said}");
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn changed_limits_hold_for_open_connections_from_their_next_request() {
    let backend = Backend::named("a");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send(GET);
    assert_eq!(client.response().status, 200);
    let strict = simple(&[&backend]).replace(
        "bind: 127.0.0.1:0\n",
        "bind: 127.0.0.1:0\n    limits: { requests_per_connection: 2 }\n",
    );
    assert!(proxy.reload(&strict).contains("listener changed: `web`"));
    client.send(GET);
    assert_eq!(client.response().field("connection"), Some("close"));
}

#[test]
fn a_removed_server_gets_nothing_new_and_finishes_what_it_has() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Backend::start(move |request, stream| {
        if request.target() == "/slow" {
            reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
            held.pass();
            reply(stream, "lf");
        } else {
            reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        Then::Keep
    });
    let other = Backend::named("b");
    let proxy = Proxy::start(&simple(&[&slow]));
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request to arrive", || slow.count() == 1);
    proxy.reload(&simple(&[&other]));
    for _ in 0..100 {
        assert_eq!(proxy.get("/").field("x-backend"), Some("b"));
    }
    assert_eq!(slow.count(), 1, "not one request after the reload was done");
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "half"));
    wait_for("the drain to end", || says(&proxy, "drained: nothing is left of server"));
}

#[test]
fn what_is_left_at_a_removed_server_is_cut_at_the_deadline() {
    let stuck = Backend::start(|_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        std::thread::sleep(2 * LIMIT);
        Then::Close
    });
    let other = Backend::named("b");
    let shutdown = "shutdown: { drain: 1s }\n";
    let proxy = Proxy::start(&format!("{shutdown}{}", simple(&[&stuck])));
    let mut client = proxy.connect();
    client.send(GET);
    wait_for("the request to arrive", || stuck.count() == 1);
    let begun = Instant::now();
    proxy.reload(&format!("{shutdown}{}", simple(&[&other])));
    let response = client.response();
    let took = begun.elapsed();
    assert!(!response.complete, "it could not complete");
    assert!(took >= Duration::from_millis(900) && took < LIMIT, "{took:?}");
}

#[test]
fn access_logs_are_opened_and_left_with_the_policies_that_name_them() {
    let backend = Backend::named("a");
    let proxy = Proxy::start(&simple(&[&backend]));
    let log = |name: &str| {
        simple(&[&backend])
            .replace("bind: 127.0.0.1:0\n", "bind: 127.0.0.1:0\n    policies: [log]\n")
            + &format!("policies: {{ log: {{ access_log: {{ to: {name} }} }} }}\n")
    };
    let lines = |name: &str| {
        let text = std::fs::read_to_string(proxy.directory().join(name)).unwrap_or_default();
        text.lines().count()
    };
    assert!(proxy.reload(&log("one.log")).contains("policy added: `log`"));
    assert_eq!(proxy.get("/").status, 200);
    wait_for("the line", || lines("one.log") == 1);
    assert!(proxy.reload(&log("two.log")).contains("policy changed: `log`"));
    assert_eq!(proxy.get("/").status, 200);
    wait_for("the line", || lines("two.log") == 1);
    assert_eq!(lines("one.log"), 1);
}

#[test]
fn watched_files_are_taken_over_however_they_are_replaced() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let watched = |backend: &Backend| format!("watch: true\n{}", simple(&[backend]));
    let proxy = Proxy::start(&watched(&a));
    let served_by = |name: &str| proxy.get("/").field("x-backend") == Some(name);
    // Renamed over, as editors do.
    proxy.write(&watched(&b));
    wait_for("the renamed file", || served_by("b"));
    // Written in place.
    std::fs::write(proxy.directory().join("evenkeel.yaml"), watched(&a)).unwrap();
    wait_for("the written file", || served_by("a"));
    // A link that is exchanged, as Kubernetes does.
    let place = proxy.directory();
    for (version, backend) in [("..1", &b), ("..2", &a)] {
        std::fs::create_dir(place.join(version)).unwrap();
        std::fs::write(place.join(version).join("evenkeel.yaml"), watched(backend)).unwrap();
        std::os::unix::fs::symlink(version, place.join("..data_tmp")).unwrap();
        std::fs::rename(place.join("..data_tmp"), place.join("..data")).unwrap();
        if version == "..1" {
            std::os::unix::fs::symlink("..data/evenkeel.yaml", place.join("new")).unwrap();
            std::fs::rename(place.join("new"), place.join("evenkeel.yaml")).unwrap();
        }
        wait_for("the exchanged link", || served_by(if version == "..1" { "b" } else { "a" }));
    }
    // A file that is wrong while it is written is refused, and taken once it is right.
    std::fs::write(place.join("..2/evenkeel.yaml"), "listeners: {").unwrap();
    wait_for("the refusal", || says(&proxy, "refused"));
    assert!(served_by("a"));
}
