//! Another try on another server: on which failures, for which requests, how often, how soon, and
//! before the first has failed. A request that may not be repeated never is.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Backend, LIMIT, Proxy, Then, field_values, reply, wait_for, with_pool};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nX-Backend: busy\r\n\r\nbusy";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
/// Nothing is ejected, each server in turn, and a budget that is not what is tested.
const PLAIN: &str = "    balance: round_robin\n    outlier: { consecutive: 0, rate: false }\n";
const AMPLE: &str = "budget: { min: 1000 }";

fn proxy(backends: &[&Backend], pool: &str) -> Proxy {
    let config = with_pool(backends, &format!("{PLAIN}{pool}"));
    Proxy::start(&config.replace("listeners:", "workers: 1\nlisteners:"))
}

/// Answers after `wait`.
fn slow(wait: Duration) -> Backend {
    Backend::start(move |_, stream| {
        std::thread::sleep(wait);
        reply(stream, OK);
        Then::Keep
    })
}

#[test]
fn a_status_asked_for_is_tried_elsewhere_before_the_client_is_told_anything() {
    let (busy, good) = (Backend::replying(BUSY), Backend::named("good"));
    let proxy = proxy(&[&busy, &good], &format!("    retry: {{ on: [503], {AMPLE} }}\n"));
    for _ in 0..10 {
        let response = proxy.get("/");
        assert_eq!((response.status, response.text()), (200, "good".into()));
    }
    assert!(busy.count() >= 5, "{}", busy.count());
    assert_eq!(busy.connections(), 1, "an answer that is here whole costs no connection");
    // RFC 9110 §9.2.2: a request that is not idempotent is not repeated, a PUT is, body and all.
    let statuses = [proxy.ask(POST).status, proxy.ask(POST).status];
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 1);
    for _ in 0..4 {
        assert_eq!(proxy.ask(PUT).text(), "good");
    }
    assert!(
        good.received().iter().filter(|r| r.line().starts_with("PUT")).all(|r| r.body == b"hi")
    );
}

#[test]
fn other_statuses_and_those_not_asked_for_are_passed_on() {
    let (busy, good) = (Backend::replying(BUSY), Backend::named("good"));
    let proxy = proxy(&[&busy, &good], &format!("    retry: {{ on: [502], {AMPLE} }}\n"));
    let statuses: Vec<u16> = (0..4).map(|_| proxy.get("/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 2, "{statuses:?}");
}

#[test]
fn where_nobody_does_better_the_client_gets_the_servers_own_answer() {
    let (one, two) = (Backend::replying(BUSY), Backend::replying(BUSY));
    let proxy = proxy(&[&one, &two], &format!("    retry: {{ on: [503], {AMPLE} }}\n"));
    let response = proxy.get("/");
    assert_eq!((response.status, response.text()), (503, "busy".into()));
    assert_eq!((one.count(), two.count()), (1, 1), "each is asked once");
}

#[test]
fn a_request_that_is_not_idempotent_is_repeated_only_if_asked_to() {
    let (busy, good) = (Backend::replying(BUSY), Backend::named("good"));
    let retry = format!("    retry: {{ on: [503], non_idempotent: true, {AMPLE} }}\n");
    let proxy = proxy(&[&busy, &good], &retry);
    for _ in 0..4 {
        assert_eq!(proxy.ask(POST).text(), "good");
    }
    assert!(good.received().iter().all(|received| received.body == b"hi"));
}

#[test]
fn a_slow_try_is_given_up_for_another_server() {
    let (stuck, good) = (slow(LIMIT), Backend::named("good"));
    let retry = format!("    retry: {{ try_timeout: 1s, {AMPLE} }}\n");
    let proxy = proxy(&[&stuck, &good], &retry);
    for _ in 0..4 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    assert!(stuck.count() >= 2, "{}", stuck.count());
}

#[test]
fn a_slow_try_that_may_not_be_repeated_is_waited_for() {
    let (one, two) = (slow(Duration::from_millis(400)), slow(Duration::from_millis(400)));
    let proxy = proxy(&[&one, &two], &format!("    retry: {{ try_timeout: 50ms, {AMPLE} }}\n"));
    assert_eq!(proxy.ask(POST).status, 200);
    assert_eq!(one.count() + two.count(), 1);
}

#[test]
fn a_slow_try_is_waited_for_where_there_is_nobody_else() {
    let only = slow(Duration::from_millis(400));
    let proxy = proxy(&[&only], &format!("    retry: {{ try_timeout: 50ms, {AMPLE} }}\n"));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(only.count(), 3);
}

#[test]
fn a_try_beyond_the_budget_is_waited_for() {
    let (one, two) = (slow(Duration::from_millis(400)), slow(Duration::from_millis(400)));
    let retry = "    retry: { try_timeout: 50ms, budget: { ratio: 0%, min: 0 } }\n";
    let proxy = proxy(&[&one, &two], retry);
    assert_eq!(proxy.get("/").status, 200, "it is slow, not lost");
    assert_eq!(one.count() + two.count(), 1);
}

#[test]
fn when_everything_fails_there_are_next_to_no_retries() {
    let fails = Arc::new(AtomicBool::new(false));
    let servers: Vec<Backend> = (0..3)
        .map(|_| {
            let fails = fails.clone();
            Backend::start(move |_, stream| {
                reply(stream, if fails.load(Ordering::SeqCst) { BUSY } else { OK });
                Then::Keep
            })
        })
        .collect();
    let servers: Vec<&Backend> = servers.iter().collect();
    let proxy = proxy(&servers, "    retry: { on: [connect, reset, 503] }\n");
    let asked = || servers.iter().map(|server| server.count()).sum::<usize>();
    let mut client = proxy.connect();
    let mut ask = |n: usize| {
        for _ in 0..n {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.response();
        }
    };
    ask(100);
    fails.store(true, Ordering::SeqCst);
    ask(200); // what was saved up is spent
    let before = asked();
    ask(1000);
    let amplification = (asked() - before) as f64 / 1000.0;
    assert!(amplification <= 1.1, "{amplification}");
}

#[test]
fn a_post_is_never_executed_twice_whatever_servers_do() {
    // Each kills its requests in its own way, before or after they were read.
    let unkind: Vec<Backend> = (0..3)
        .map(|which| {
            Backend::start(move |request, stream| match (request.turn * 7 + which * 3) % 10 {
                0 => Then::Reset,
                1 => Then::Close,
                2 => {
                    reply(stream, BUSY);
                    Then::Close
                }
                3 => {
                    std::thread::sleep(Duration::from_millis(60));
                    reply(stream, OK);
                    Then::Keep
                }
                4 => {
                    reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
                    Then::Reset
                }
                _ => {
                    reply(stream, OK);
                    Then::Keep
                }
            })
        })
        .collect();
    let backends: Vec<&Backend> = unkind.iter().collect();
    let retry = format!(
        "    retry: {{ attempts: 5, on: [connect, reset, timeout, 503], try_timeout: 20ms, {AMPLE} }}\n    hedge: {{ delay: 5ms }}\n"
    );
    let proxy = proxy(&backends, &retry);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let proxy = &proxy;
            scope.spawn(move || {
                for n in 0..100 {
                    let mut client_ = proxy.connect();
                    let id = client * 100 + n;
                    client_.send(format!(
                        "POST / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
                    ));
                    client_.rest();
                }
            });
        }
    });
    let mut times: HashMap<String, usize> = HashMap::new();
    for received in backends.iter().flat_map(|backend| backend.received()) {
        *times.entry(field_values(&received.head, "x-id")[0].to_owned()).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(times.len(), 400);
}

#[test]
fn a_hedge_hides_a_server_that_stalls() {
    let left = Arc::new(AtomicUsize::new(0));
    let noticed = left.clone();
    let stalls = Backend::start(move |_, stream| {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // Until the other one has won: then this connection is closed.
        let ended = matches!(std::io::Read::read(stream, &mut [0; 1]), Ok(0));
        noticed.fetch_add(usize::from(ended), Ordering::SeqCst);
        Then::Close
    });
    let good = Backend::named("good");
    let hedge = format!("    hedge: {{ delay: 30ms }}\n    retry: {{ {AMPLE} }}\n");
    let proxy = proxy(&[&stalls, &good], &hedge);
    let begun = Instant::now();
    for _ in 0..6 {
        let response = proxy.get("/");
        assert_eq!((response.status, response.text()), (200, "good".into()));
    }
    assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
    let stalled = stalls.count();
    assert!(stalled >= 3, "{stalled}");
    wait_for("the loser's connections to be closed", || left.load(Ordering::SeqCst) == stalled);
    // Neither what is not safe nor what has a body is asked for twice.
    let slow_one = slow(Duration::from_millis(200));
    let other = slow(Duration::from_millis(200));
    let proxy = self::proxy(&[&slow_one, &other], &hedge);
    assert_eq!(proxy.ask(PUT).status, 200);
    let delete = "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.ask(delete).status, 200);
    assert_eq!(slow_one.count() + other.count(), 2);
}

#[test]
fn a_hedge_that_fails_fast_does_not_win() {
    // Whichever server is asked first is slow, and the second says at once that it cannot serve.
    let asked = Arc::<AtomicUsize>::default();
    let server = || {
        let asked = asked.clone();
        Backend::start(move |_, stream| {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            let first = number % 2 == 0;
            if first {
                wait_for("the second", || asked.load(Ordering::SeqCst) > number + 1);
                std::thread::sleep(Duration::from_millis(200));
            }
            reply(stream, if first { OK } else { BUSY });
            Then::Keep
        })
    };
    let (one, two) = (server(), server());
    let hedge = format!("    hedge: {{ delay: 20ms }}\n    retry: {{ {AMPLE} }}\n");
    let proxy = proxy(&[&one, &two], &hedge);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);
}

#[test]
fn interim_responses_of_both_racers_reach_the_client() {
    // RFC 9110 §15.2: a proxy forwards them.
    let hinted = |wait: u64| {
        Backend::start(move |_, stream| {
            std::thread::sleep(Duration::from_millis(wait));
            reply(stream, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            std::thread::sleep(Duration::from_millis(wait));
            reply(stream, OK);
            Then::Keep
        })
    };
    let (one, two) = (hinted(100), hinted(100));
    let hedge = format!("    hedge: {{ delay: 20ms }}\n    retry: {{ {AMPLE} }}\n");
    let proxy = proxy(&[&one, &two], &hedge);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) {
        statuses.push(client.response().status);
    }
    assert!(statuses.len() >= 2, "{statuses:?}");
    // The connection is good for the next one.
    client.send("GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while client.response().status != 200 {}
    assert!(client.is_closed());
}
