//! How a connection ends, and what its requests notice of it (RFC 9113 §6.8).

use std::io::Read as _;
use std::time::Duration;

use crate::support::{Backend, Gate, Proxy, Then, reply, wait_for};
use crate::wire::{self, Came, DATA, END_HEADERS, END_STREAM, HEADERS, Wire};
use crate::{Client, request};

/// A request that waits at the server.
const FIELDS: [(&[u8], &[u8]); 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/wait"), (b":authority", b"test")];

fn waiting(gate: &Gate) -> Backend {
    let gate = gate.clone();
    Backend::start(move |request, stream| {
        if request.target() == "/wait" {
            gate.pass();
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    })
}

fn config(backend: &Backend, listener: &str) -> String {
    format!(
        "workers: 1\nlisteners:\n  web:\n    bind: 127.0.0.1:0\n{listener}routes:\n  - to: app\n\
         pools:\n  app:\n    servers: [\"{}\"]\n",
        backend.address
    )
}

#[test]
fn a_drain_lets_requests_end_and_takes_no_new_ones() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let mut proxy = Proxy::start(&config(&backend, ""));
    let client = Client::connect(proxy.addresses[0]);
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let request = request("GET", "/wait").body(()).unwrap();
            client.runtime.spawn(crate::exchange(client.sender.clone(), request, "".into()))
        })
        .collect();
    wait_for("all to be at the server", || backend.count() == 20);
    proxy.signal("-TERM");
    // GOAWAY: nothing new is begun on this connection, as the client is told.
    wait_for("the client to be told", || {
        let ready = async { client.sender.clone().ready().await.is_err() };
        client.runtime.block_on(ready)
    });
    assert!(proxy.is_running());
    gate.open();
    for asked in asked {
        let answer = client.runtime.block_on(crate::within(asked)).unwrap().unwrap();
        assert_eq!(answer.text(), "ok");
    }
    let ended = client.runtime.block_on(crate::within(client.ended)).unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    assert!(proxy.wait().success());
}

#[test]
fn a_drains_deadlines_are_those_of_requests_and_of_tunnels_one_by_one() {
    let gate = Gate::default();
    let waits = gate.clone();
    let backend = Backend::start(move |request, stream| {
        if request.target() == "/wait" {
            waits.pass();
            return Then::Close;
        }
        crate::websocket::echo(request, stream)
    });
    let shutdown = "shutdown: { drain: 300ms, drain_tunnels: 4s }\n";
    let mut proxy = Proxy::start(&(config(&backend, "") + shutdown));
    let client = crate::websocket::ready(&proxy);
    let (response, mut send) = client.begin(crate::websocket::connect("websocket"));
    let mut content = client.runtime.block_on(crate::within(response)).unwrap().into_body();
    let slow = request("GET", "/wait").body(()).unwrap();
    let slow = client.runtime.spawn(crate::exchange(client.sender.clone(), slow, "".into()));
    wait_for("both to be at the server", || backend.count() == 2);
    proxy.signal("-TERM");
    client.runtime.block_on(async {
        match crate::within(slow).await.unwrap() {
            Ok(answer) => assert_eq!(answer.status(), 504),
            Err(error) => assert!(error.is_reset(), "{error:?}"),
        }
        // The tunnel on the same connection goes on, until its own time is up.
        send.send_data("still here".into(), false).unwrap();
        let mut got = Vec::new();
        while got.len() < "still here".len() {
            got.extend_from_slice(&crate::within(content.data()).await.unwrap().unwrap());
        }
        assert!(crate::within(crate::read_all(content)).await.is_err(), "cut");
    });
    assert!(proxy.wait().success());
    gate.open();
}

#[test]
#[cfg(feature = "fault-injection")]
fn a_panic_fails_its_own_stream_and_no_other() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let proxy = Proxy::start(&config(&backend, ""));
    let client = Client::connect(proxy.addresses[0]);
    let slow = request("GET", "/wait").body(()).unwrap();
    let slow = client.runtime.spawn(crate::exchange(client.sender.clone(), slow, "".into()));
    wait_for("it to be at the server", || backend.count() == 1);
    for _ in 0..20 {
        let lost = request("GET", "/").header("x-evenkeel-fault", "panic").body(()).unwrap();
        assert_eq!(client.ask(lost, b"").unwrap().status(), 500);
        assert_eq!(client.get("/").text(), "ok");
    }
    gate.open();
    assert_eq!(client.runtime.block_on(crate::within(slow)).unwrap().unwrap().text(), "ok");
}

#[test]
fn the_end_of_a_drain_is_told_before_the_connection_ends() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let shutdown = "shutdown: { drain: 300ms, drain_tunnels: 4s }\n";
    let mut proxy = Proxy::start(&(config(&backend, "") + shutdown));
    let idle = Client::connect(proxy.addresses[0]);
    assert_eq!(idle.get("/").text(), "ok");
    let client = Client::connect(proxy.addresses[0]);
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let request = request("GET", "/wait").body(()).unwrap();
            client.runtime.spawn(crate::exchange(client.sender.clone(), request, "".into()))
        })
        .collect();
    wait_for("all to be at the server", || backend.count() == 21);
    proxy.signal("-TERM");
    for asked in asked {
        let answer = client.runtime.block_on(crate::within(asked)).unwrap();
        assert_eq!(answer.unwrap().status(), 504);
    }
    for client in [client, idle] {
        let ended = client.runtime.block_on(crate::within(client.ended)).unwrap();
        assert!(ended.is_ok(), "{ended:?}");
    }
    proxy.wait();
    gate.open();
}

/// Bytes that the kernel holds between the proxy and a client that does not read.
fn in_kernel(wire: &Wire) -> u64 {
    let port = |address: std::net::SocketAddr| format!(":{:04X} ", address.port());
    let client = port(wire.stream.local_addr().unwrap());
    let server = port(wire.stream.peer_addr().unwrap());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().filter(|line| line.contains(&client) && line.contains(&server));
    let queues = lines.map(|line| line.split_whitespace().nth(4).unwrap().split_once(':').unwrap());
    let bytes = |text| u64::from_str_radix(text, 16).unwrap();
    queues.map(|(sent, received)| bytes(sent) + bytes(received)).sum()
}

#[test]
fn who_was_asked_to_leave_still_gets_the_last_bytes_of_what_it_asked_for() {
    const LENGTH: usize = 48 * 1024; // the stream's exchange is over before the client takes it
    let backend = Backend::start(|_, stream| {
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        reply(stream, vec![b'x'; LENGTH]);
        Then::Keep
    });
    let proxy = Proxy::start(&config(&backend, ""));
    let mut wire = Wire::with_wide_windows(proxy.addresses[0]);
    let block = wire::fields(&FIELDS);
    let (mut asked, mut full) = (0, 0);
    // Until an answer does not fit any more.
    while full >= asked * LENGTH {
        wire.frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * asked as u32, &block);
        asked += 1;
        wait_for("it to be at the server", || backend.count() == asked);
        for _ in 0..100 {
            full = in_kernel(&wire) as usize;
            if full >= asked * LENGTH {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    proxy.signal("-TERM");
    std::thread::sleep(Duration::from_millis(6500)); // long after it was asked to leave
    let mut taken = 0;
    while taken < asked * LENGTH
        && let Some(frame) = wire.next()
    {
        if frame.kind == DATA {
            taken += frame.payload.len();
        }
    }
    assert_eq!(taken, asked * LENGTH);
}

#[test]
fn a_reload_is_not_noticed_by_who_is_connected() {
    let gate = Gate::default();
    let (old, new) = (waiting(&gate), Backend::named("new"));
    let proxy = Proxy::start(&config(&old, ""));
    let client = Client::connect(proxy.addresses[0]);
    let slow = request("GET", "/wait").body(()).unwrap();
    let slow = client.runtime.spawn(crate::exchange(client.sender.clone(), slow, "".into()));
    wait_for("it to be at the server", || old.count() == 1);
    let said = proxy.reload(&config(&new, ""));
    assert!(said.contains("changed: "), "{said}");
    assert_eq!(client.get("/").text(), "new", "the same connection, another server");
    gate.open();
    assert_eq!(client.runtime.block_on(crate::within(slow)).unwrap().unwrap().text(), "ok");
}

#[test]
fn after_so_many_requests_the_client_is_asked_to_come_back() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let limits = "    limits: { requests_per_connection: 3 }\n";
    let proxy = Proxy::start(&config(&backend, limits));
    let client = Client::connect(proxy.addresses[0]);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "ok");
    }
    let ended = client.runtime.block_on(crate::within(client.ended)).unwrap();
    assert!(ended.is_ok(), "{ended:?}");
}

#[test]
fn who_says_nothing_is_let_go() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let timeouts = "    timeouts: { idle: 300ms, head: 300ms }\n";
    let proxy = Proxy::start(&config(&backend, timeouts));
    // Before its first request, and after it.
    for asks in [false, true] {
        let client = Client::connect(proxy.addresses[0]);
        if asks {
            assert_eq!(client.get("/").text(), "ok");
        }
        let ended = client.runtime.block_on(crate::within(client.ended)).unwrap();
        assert!(ended.is_ok(), "{ended:?}");
    }
    // A preface that does not go on.
    let mut silent = crate::support::Client::connect(proxy.addresses[0]);
    silent.send("PRI * HTTP/2.0\r\n\r\nSM");
    silent.rest();
}

#[test]
fn content_that_does_not_come_is_not_waited_for() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let timeouts = "    timeouts: { body_idle: 300ms }\n";
    let proxy = Proxy::start(&config(&backend, timeouts));
    let client = Client::connect(proxy.addresses[0]);
    let (response, _send) = client.begin(request("POST", "/").body(()).unwrap());
    let response = client.runtime.block_on(crate::within(response)).unwrap();
    assert_eq!(response.status(), 408);
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn a_listener_without_h2_refuses_it() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let proxy = Proxy::start(&config(&backend, "    protocols: [h1]\n"));
    let mut client = crate::support::Client::connect(proxy.addresses[0]);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.response().status, 505);
}

#[test]
fn a_listener_of_http2_alone_tells_others_so() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let proxy = Proxy::start(&config(&backend, "    protocols: [h2]\n"));
    assert_eq!(proxy.get("/").status, 505);
    assert_eq!(Client::connect(proxy.addresses[0]).get("/").text(), "ok");
}

#[test]
fn j18_more_streams_than_allowed_are_refused_and_may_be_sent_again() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let proxy = Proxy::start(&config(&backend, ""));
    let mut wire = Wire::connect(proxy.addresses[0]);
    for stream in 0..101_u32 {
        wire.frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * stream, &wire::fields(&FIELDS));
    }
    let refused = std::iter::from_fn(|| wire.next()).find(|frame| frame.kind == wire::RST_STREAM);
    let refused = refused.unwrap();
    assert_eq!((refused.stream, refused.payload), (201, vec![0, 0, 0, 7]));
    wait_for("all the others to be at the server", || backend.count() == 100);
    gate.open();
}

#[test]
fn j11_frames_on_streams_that_are_none_end_the_connection() {
    let gate = Gate::default();
    let backend = waiting(&gate);
    let proxy = Proxy::start(&config(&backend, ""));
    for (kind, stream) in [(DATA, 0), (DATA, 5), (HEADERS, 2), (wire::RST_STREAM, 7)] {
        let mut wire = Wire::connect(proxy.addresses[0]);
        let payload: &[u8] = if kind == wire::RST_STREAM { &[0; 4] } else { &[] };
        wire.frame(kind, END_HEADERS, stream, payload);
        let came = wire.came();
        assert!(matches!(came, Came::GoAway(_)), "{kind} on {stream}: {came:?}");
        let _ = wire.stream.set_read_timeout(Some(Duration::from_secs(60)));
        let _ = wire.stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn j22_settings_that_are_never_acknowledged_end_the_connection_rfc_9113_6_5_3() {
    let backend = Backend::named("app");
    let proxy = Proxy::start(&config(&backend, ""));
    let mut settled = Wire::connect(proxy.addresses[0]);
    settled.settle();
    let mut wire = Wire::connect(proxy.addresses[0]);
    wire.frame(HEADERS, END_HEADERS | END_STREAM, 1, &wire::fields(&FIELDS));
    let said: Vec<_> = std::iter::from_fn(|| wire.next()).collect();
    assert!(said.iter().any(|frame| (frame.kind, frame.stream) == (HEADERS, 1)));
    let goaway = said.iter().find(|frame| frame.kind == wire::GOAWAY).unwrap();
    assert_eq!(goaway.payload[4..8], [0, 0, 0, 4]); // SETTINGS_TIMEOUT
    settled.frame(HEADERS, END_HEADERS | END_STREAM, 1, &wire::fields(&FIELDS));
    assert!(std::iter::from_fn(|| settled.next()).any(|frame| frame.kind == HEADERS));
}
