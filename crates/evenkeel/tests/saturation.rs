//! What happens when all servers have as much as they may: requests wait in order, for a limited
//! time and in limited number, and whoever cannot be served is told so.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Backend, Client, Proxy, Then, reply, wait_for, with_pool};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn proxy(backends: &[&Backend], pool: &str) -> Proxy {
    let config = with_pool(backends, pool);
    Proxy::start(&config.replace("listeners:", "workers: 1\nlisteners:"))
}

/// A backend that holds every request until the gate is opened.
fn gated() -> (Backend, Arc<AtomicBool>) {
    let gate = Arc::new(AtomicBool::new(false));
    let opened = gate.clone();
    let backend = Backend::start(move |_, stream| {
        wait_for("the gate", || opened.load(Ordering::SeqCst));
        reply(stream, OK);
        Then::Keep
    });
    (backend, gate)
}

fn ask(proxy: &Proxy, target: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    client
}

/// Until the proxy has seen everything that was sent to it before: its one worker takes what comes
/// in the order it comes, and answers this itself.
fn settle(proxy: &Proxy) {
    for _ in 0..3 {
        assert_eq!(proxy.ask("NONSENSE\r\n\r\n").status, 400);
    }
}

#[test]
fn requests_wait_for_a_server_and_are_served_in_the_order_they_came() {
    let (backend, gate) = gated();
    let proxy =
        proxy(&[&backend], "    breaker: { server_in_flight: 1 }\n    queue: { timeout: 2m }\n");
    let mut clients = Vec::new();
    for n in 0..8 {
        clients.push(ask(&proxy, &format!("/{n}")));
        settle(&proxy);
    }
    assert_eq!(backend.count(), 1, "the others wait");
    gate.store(true, Ordering::SeqCst);
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    let order: Vec<String> = backend.received().iter().map(|r| r.target().to_owned()).collect();
    assert_eq!(order, (0..8).map(|n| format!("/{n}")).collect::<Vec<_>>());
}

#[test]
fn a_request_whose_server_failed_holds_nobody_up_who_could_be_served() {
    // It breaks off what it is asked once, and serves everything else.
    let unkind = Backend::start(|request, stream| {
        if request.target() == "/fails" {
            return Then::Reset;
        }
        reply(stream, OK);
        Then::Keep
    });
    let (full, gate) = gated();
    let pool = "    balance: round_robin\n    breaker: { server_in_flight: 1 }\n    queue: { timeout: 2m }\n    outlier: false\n";
    let proxy = proxy(&[&unkind, &full], pool);
    let mut first = ask(&proxy, "/held");
    if full.count() == 0 {
        wait_for("one of the two", || unkind.count() + full.count() == 1);
    }
    if full.count() == 0 {
        first = ask(&proxy, "/held");
        wait_for("the other", || full.count() == 1);
    }
    // The other has no room: the head of the queue has nowhere to go but where it failed.
    let mut retried = ask(&proxy, "/fails");
    wait_for("it to fail", || unkind.received().iter().any(|r| r.target() == "/fails"));
    for _ in 0..5 {
        assert_eq!(ask(&proxy, "/").response().status, 200);
    }
    gate.store(true, Ordering::SeqCst);
    assert_eq!(first.response().status, 200);
    let _ = retried.response();
}

#[test]
fn whoever_waits_too_long_is_told_to_come_back() {
    let (backend, gate) = gated();
    let pool = "    breaker: { server_in_flight: 1 }\n    queue: { timeout: 150ms }\n";
    let proxy = proxy(&[&backend], pool);
    let mut first = ask(&proxy, "/first");
    wait_for("the first", || backend.count() == 1);
    let begun = Instant::now();
    let response = ask(&proxy, "/second").response();
    assert_eq!((response.status, response.reason()), (503, "queue_timeout"));
    assert_eq!(response.field("retry-after"), Some("1"));
    assert!(begun.elapsed() >= Duration::from_millis(150));
    gate.store(true, Ordering::SeqCst);
    assert_eq!(first.response().status, 200);
    assert_eq!(backend.count(), 1, "what was given up on never reaches a server");
}

#[test]
fn no_more_wait_than_may() {
    let (backend, gate) = gated();
    let pool = "    breaker: { in_flight: 1 }\n    queue: { max: 1, timeout: 2m }\n";
    let proxy = proxy(&[&backend], pool);
    let mut first = ask(&proxy, "/first");
    wait_for("the first", || backend.count() == 1);
    let mut second = ask(&proxy, "/second");
    settle(&proxy);
    let third = ask(&proxy, "/third").response();
    assert_eq!((third.status, third.reason()), (503, "queue_full"));
    assert_eq!(third.field("retry-after"), Some("1"));
    gate.store(true, Ordering::SeqCst);
    assert_eq!((first.response().status, second.response().status), (200, 200));
}

#[test]
fn where_nobody_may_wait_the_answer_comes_at_once() {
    let (backend, gate) = gated();
    let proxy = proxy(&[&backend], "    breaker: { in_flight: 1 }\n    queue: { max: 0 }\n");
    let mut first = ask(&proxy, "/first");
    wait_for("the first", || backend.count() == 1);
    assert_eq!(ask(&proxy, "/second").response().reason(), "queue_full");
    gate.store(true, Ordering::SeqCst);
    assert_eq!(first.response().status, 200);
}

#[test]
fn a_client_that_goes_leaves_the_queue() {
    let (backend, gate) = gated();
    let pool = "    breaker: { server_in_flight: 1 }\n    queue: { max: 1, timeout: 2m }\n";
    let proxy = proxy(&[&backend], pool);
    let mut first = ask(&proxy, "/first");
    wait_for("the first", || backend.count() == 1);
    let gone = ask(&proxy, "/gone");
    settle(&proxy);
    support::reset(&gone.stream);
    drop(gone);
    settle(&proxy);
    let mut last = ask(&proxy, "/last");
    settle(&proxy);
    gate.store(true, Ordering::SeqCst);
    assert_eq!(first.response().status, 200);
    assert_eq!(last.response().status, 200, "it had the place of the one that went");
    assert_eq!(backend.count(), 2, "nobody asked for the one that went");
}

#[test]
fn a_body_that_came_while_its_request_waited_arrives_whole() {
    let (backend, gate) = gated();
    let pool = "    breaker: { server_in_flight: 1 }\n    queue: { timeout: 2m }\n";
    let proxy = proxy(&[&backend], pool);
    let mut first = ask(&proxy, "/first");
    wait_for("the first", || backend.count() == 1);
    let body: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let mut second = proxy.connect();
    second.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    let (begin, rest) = body.split_at(10_000);
    second.send(begin);
    settle(&proxy);
    gate.store(true, Ordering::SeqCst);
    second.send(rest);
    assert_eq!((first.response().status, second.response().status), (200, 200));
    assert_eq!(backend.received()[1].body, body);
}

#[test]
fn a_server_never_has_more_connections_than_it_may() {
    let backend = Backend::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(5));
        reply(stream, OK);
        Then::Keep
    });
    let pool = "    breaker: { server_connections: 3 }\n    queue: { timeout: 2m }\n";
    let proxy = proxy(&[&backend], pool);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(proxy.get("/").status, 200);
                }
            });
        }
    });
    assert_eq!(backend.count(), 120);
    assert!(backend.connections() <= 3, "{} connections", backend.connections());
}

#[test]
fn a_pool_whose_answers_are_failures_is_left_alone() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    let backend = Backend::start(move |_, stream| {
        let bad = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        reply(stream, if failing.load(Ordering::SeqCst) { bad } else { OK });
        Then::Keep
    });
    let breaker = "    breaker: { errors: { share: 50%, requests_min: 10, open: 3s } }\n";
    let proxy = proxy(&[&backend], breaker);
    let mut reason = String::new();
    for _ in 0..30 {
        let response = proxy.get("/");
        reason = response.reason().to_owned();
        if reason == "breaker_open" {
            assert_eq!((response.status, response.field("retry-after")), (503, Some("1")));
            break;
        }
    }
    assert_eq!(reason, "breaker_open");
    let count = backend.count();
    assert_eq!(proxy.get("/").reason(), "breaker_open");
    assert_eq!(backend.count(), count, "it is left alone");
    fails.store(false, Ordering::SeqCst);
    wait_for("the breaker to close", || proxy.get("/").status == 200);
}
