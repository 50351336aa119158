//! Connections to servers: reuse, the race with a server that closes, failures and retries,
//! timeouts, and who is told what.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Backend, LIMIT, Proxy, Then, reply, simple, wait_for, with_pool};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An address nobody listens on.
fn nobody() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn config(servers: &str, pool: &str) -> String {
    format!(
        "workers: 1\nlisteners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app:\n    servers: [{servers}]\n{pool}"
    )
}

#[test]
fn connections_are_kept_and_used_again() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&config(&backend.address.to_string(), ""));
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn connections_are_kept_after_responses_of_any_length() {
    // Also one that a read, or the kernel's relay, took to the last byte.
    let backend = Backend::start(|request, stream| {
        let length: usize = request.target()[1..].parse().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        reply(stream, [head.into_bytes(), vec![b'x'; length]].concat());
        Then::Keep
    });
    let proxy = Proxy::start(&config(&backend.address.to_string(), ""));
    for length in [0, 1, 16_340, 16_342, 16_343, 16_344, 16_384, 32_768, 65_536, 100_000, 1_000_000]
    {
        assert_eq!(proxy.get(&format!("/{length}")).body.len(), length);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn keep_alive_can_be_turned_off() {
    let backend = Backend::named("only");
    let proxy =
        Proxy::start(&config(&backend.address.to_string(), "    keep_alive: { idle_max: 0 }\n"));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(backend.connections(), 3);
    assert_eq!(backend.received()[0].field("connection"), Some("close"));
}

/// Many clients, each on one connection; how many answers were not 200, and why.
fn hammer(proxy: &Proxy, request: impl Fn(usize) -> String + Sync) -> Vec<String> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let request = &request;
                scope.spawn(move || {
                    let mut failed = Vec::new();
                    let mut connection = proxy.connect();
                    for n in 0..400 {
                        connection.send(request(client * 400 + n));
                        let response = connection.response();
                        if response.status != 200 {
                            failed.push(response.reason().to_owned());
                        }
                    }
                    failed
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn a_server_that_closes_kept_connections_at_any_moment_costs_no_answer() {
    // A small form of the long proof: it closes up to 3 ms after a response, also with a request
    // in its queue that it never reads.
    let backend = Backend::start(|request, stream| {
        reply(stream, OK);
        let wait = (request.turn * 7919 + request.connection * 104_729) % 3000;
        std::thread::sleep(Duration::from_micros(wait as u64));
        if request.turn % 3 == 2 { Then::Close } else { Then::Keep }
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let failed = hammer(&proxy, |n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(backend.count(), 3200, "each was executed exactly once");
}

#[test]
fn a_post_that_met_a_close_is_executed_once_or_failed_never_twice() {
    // Where the FIN shows that the server had not received it, it is sent again. Where the server
    // closed with the request unread in its queue (a reset), that cannot be known from outside.
    let backend = Backend::start(|request, stream| {
        reply(stream, OK);
        if request.turn % 3 == 2 { Then::Close } else { Then::Keep }
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let failed = hammer(&proxy, |n| {
        format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    });
    assert!(
        failed.len() < 32 && failed.iter().all(|reason| reason == "upstream_reset"),
        "{failed:?}"
    );
    assert_eq!(backend.count() + failed.len(), 3200);
}

#[test]
fn a_reset_after_the_request_was_read_is_not_repeated_for_a_post() {
    // RFC 9110 §9.2.2 (G14)
    let backend = Backend::start(|request, stream| {
        if request.turn == 0 {
            reply(stream, OK);
            return Then::Keep;
        }
        Then::Reset
    });
    let proxy = Proxy::start(&config(&backend.address.to_string(), ""));
    assert_eq!(proxy.get("/").status, 200);
    let response = proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(response.status, 502);
    assert_eq!(backend.count(), 2);
    // The same for a GET is repeated on a new connection, unseen.
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_refused_connection_is_tried_on_another_server() {
    let backend = Backend::named("up");
    let proxy = Proxy::start(&config(
        &format!("{}, {}", nobody(), backend.address),
        "    balance: round_robin\n",
    ));
    for _ in 0..10 {
        assert_eq!(
            proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").text(),
            "up"
        );
    }
    assert!(backend.received().iter().all(|r| r.body == b"hi"));
}

#[test]
fn when_nobody_answers_the_client_is_told_why() {
    let proxy = Proxy::start(&config(&nobody().to_string(), ""));
    let response = proxy.get("/");
    assert_eq!((response.status, response.reason()), (502, "connect_refused"));
    assert!(response.field("x-request-id").is_some());
    // 192.0.2.0/24 is never routed here; the attempt hangs or fails at once.
    let proxy = Proxy::start(&config("192.0.2.1:9", "    timeouts: { connect: 200ms }\n"));
    let response = proxy.get("/");
    assert!(response.reason().starts_with("connect_"), "{response:?}");
}

#[test]
fn a_server_that_closes_without_an_answer() {
    let backend = Backend::start(|_, _| Then::Close);
    let proxy = Proxy::start(&config(&backend.address.to_string(), "    retry: { attempts: 0 }\n"));
    let response = proxy.get("/");
    assert_eq!((response.status, response.reason()), (502, "upstream_closed"));
    assert_eq!(backend.count(), 1);
}

#[test]
fn an_idempotent_request_is_tried_again_elsewhere_and_a_post_is_not() {
    let bad = Backend::start(|_, _| Then::Close);
    let good = Backend::named("good");
    let servers = format!("{}, {}", bad.address, good.address);
    let proxy = Proxy::start(&config(&servers, "    balance: round_robin\n"));
    // Fewer failures than eject it.
    for _ in 0..2 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    let statuses: Vec<u16> = (0..4)
        .map(|_| proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").status)
        .collect();
    assert_eq!(statuses.iter().filter(|s| **s == 502).count(), 2, "{statuses:?}");
}

#[test]
fn a_server_that_is_silent_is_given_up_on() {
    let backend = Backend::start(|_, _| {
        std::thread::sleep(LIMIT);
        Then::Close
    });
    let proxy = Proxy::start(&config(
        &backend.address.to_string(),
        "    timeouts: { first_byte: 150ms }\n",
    ));
    let response = proxy.get("/");
    assert_eq!((response.status, response.reason()), (504, "response_timeout"));
    wait_for("the request", || backend.count() > 0);
    assert_eq!(backend.count(), 1, "a request that may be running is not sent again");
}

#[test]
fn a_body_that_stops_is_cut_off() {
    let backend = Backend::start(|_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        std::thread::sleep(2 * LIMIT);
        Then::Close
    });
    let proxy =
        Proxy::start(&config(&backend.address.to_string(), "    timeouts: { idle: 150ms }\n"));
    let response = proxy.get("/");
    assert_eq!((response.status, response.complete), (200, false));
}

#[test]
fn a_client_that_leaves_is_noticed_at_the_server() {
    let noticed = Arc::new(AtomicUsize::new(0));
    let count = noticed.clone();
    let backend = Backend::start(move |_, stream| {
        stream.set_read_timeout(Some(2 * LIMIT)).unwrap();
        let gone = matches!(std::io::Read::read(stream, &mut [0; 1]), Ok(0) | Err(_));
        count.fetch_add(usize::from(gone), Ordering::SeqCst);
        Then::Close
    });
    let proxy = Proxy::start(&config(&backend.address.to_string(), ""));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for("the request to arrive", || backend.count() == 1);
    support::reset(&client.stream);
    drop(client);
    wait_for("the server to be told", || noticed.load(Ordering::SeqCst) == 1);
}

#[test]
fn in_flight_counts_are_true_across_workers() {
    // One request hangs on one server, through either worker; least connections sends all others,
    // through both workers, to the second.
    let slow = Backend::start(|request, stream| {
        if request.target() == "/hang" {
            std::thread::sleep(2 * LIMIT);
        }
        reply(stream, OK);
        Then::Keep
    });
    let fast = Backend::named("fast");
    let config = with_pool(&[&slow, &fast], "    balance: least_connections\n");
    let proxy = Proxy::start(&config.replace("listeners:", "workers: 2\nlisteners:"));
    let mut hanging = Vec::new();
    while slow.count() == 0 {
        let fast_before = fast.count();
        let mut client = proxy.connect();
        client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for("the request to arrive", || slow.count() > 0 || fast.count() > fast_before);
        hanging.push(client);
    }
    let fast_before = fast.count();
    for _ in 0..40 {
        proxy.get("/");
    }
    // Each worker by itself would send half of its share to the slow one. The last request of the
    // one worker may still be counted when the other chooses: a tie, now and then.
    assert!(fast.count() - fast_before >= 34, "{} of 40", fast.count() - fast_before);
}

#[test]
fn the_slow_server_gets_less() {
    let slow = Backend::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(100));
        reply(stream, OK);
        Then::Keep
    });
    let fast = Backend::named("fast");
    let proxy = Proxy::start(&simple(&[&slow, &fast]));
    for _ in 0..200 {
        proxy.get("/");
    }
    assert!(slow.count() < 40, "the slow one got {} of 200", slow.count());
}

#[test]
fn where_there_is_no_other_server_the_same_one_is_tried_again() {
    // It breaks off the first request of each second connection.
    let backend = Backend::start(|request, stream| {
        if request.connection % 2 == 0 {
            return Then::Close;
        }
        reply(stream, OK);
        Then::Close
    });
    let proxy = Proxy::start(&config(&backend.address.to_string(), ""));
    for _ in 0..5 {
        assert_eq!(proxy.get("/").status, 200);
    }
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(proxy.ask(post).status, 502, "a POST it may have acted on is not");
}
