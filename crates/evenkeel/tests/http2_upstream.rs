//! Servers that are spoken to in HTTP/2 (RFC 9113): few connections for many requests, their limits
//! and their ends, and servers that break the rules.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};
use rustls::version::TLS13;
use support::authority::Authority;
use support::h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, H2Backend, HEADERS, Manner, OK, PING,
    RST_STREAM, RawH2, SETTINGS, answer, give, whole,
};
use support::{Client, Directory, Gate, Proxy, wait_for};

fn config(servers: &str, pool: &str) -> String {
    format!(
        "workers: 1\nlisteners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app:\n    protocol: h2\n    servers: [{servers}]\n{pool}"
    )
}

fn start(servers: &str) -> Proxy {
    Proxy::start(&config(servers, ""))
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_request_and_its_response_are_translated() {
    let backend = H2Backend::start(Manner::default(), |mut asked| async move {
        let (parts, body) = (asked.request, &mut asked.respond);
        let (head, mut content) = parts.into_parts();
        let (content, trailers) = whole(&mut content).await;
        let text = format!(
            "{} {} {:?} {}",
            head.method,
            head.uri,
            head.headers.get("x-one"),
            String::from_utf8_lossy(&content)
        );
        assert!(trailers.is_none() && !head.headers.contains_key("connection"));
        assert!(
            !head.headers.contains_key("host") && !head.headers.contains_key("transfer-encoding")
        );
        let response = Response::builder().status(201).header("x-two", "2").body(()).unwrap();
        let mut stream = body.send_response(response, false).unwrap();
        give(&mut stream, Bytes::from(text), true).await;
    });
    let proxy = start(&backend.address.to_string());
    let response = proxy.ask(
        "PUT /a?b=c HTTP/1.1\r\nHost: shop.example\r\nX-One: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert_eq!((response.status, response.field("x-two")), (201, Some("2")));
    assert_eq!(response.text(), "PUT http://shop.example/a?b=c Some(\"1\") abcde");
}

#[test]
fn trailers_pass_both_ways() {
    let backend = H2Backend::start(Manner::default(), |mut asked| async move {
        let (_, trailers) = whole(asked.request.body_mut()).await;
        let response = Response::builder().body(()).unwrap();
        let mut stream = asked.respond.send_response(response, false).unwrap();
        give(&mut stream, Bytes::from_static(b"content"), false).await;
        let mut back = HeaderMap::new();
        back.insert("x-back", trailers.unwrap().get("x-sum").unwrap().clone());
        stream.send_trailers(back).unwrap();
    });
    let proxy = start(&backend.address.to_string());
    let response = proxy.ask(
        "POST / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    assert_eq!(
        (response.text().as_str(), response.trailers.as_str()),
        ("content", "x-back: 42\r\n")
    );
}

#[test]
fn responses_without_content_have_none() {
    let backend = H2Backend::start(Manner::default(), |mut asked| async move {
        let status = asked.request.uri().path()[1..].parse::<u16>().unwrap();
        let response = Response::builder().status(status);
        let response = match asked.request.method().as_str() {
            "HEAD" => response.header("content-length", 5),
            _ => response,
        };
        asked.respond.send_response(response.body(()).unwrap(), true).unwrap();
    });
    let proxy = start(&backend.address.to_string());
    let mut client = proxy.connect();
    for status in [204, 304, 200] {
        client.send(format!("GET /{status} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (status, 0));
    }
    client.send("HEAD /200 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response_to("HEAD").field("content-length"), Some("5"));
    client.send("GET /200 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().status, 200, "the same connection goes on");
}

#[test]
fn long_content_passes_both_ways_through_small_windows() {
    let backend = H2Backend::start(Manner { window: 1000, ..Manner::default() }, |mut asked| {
        Box::pin(async move {
            let (content, _) = whole(asked.request.body_mut()).await;
            let response = Response::builder().body(()).unwrap();
            let mut stream = asked.respond.send_response(response, false).unwrap();
            give(&mut stream, Bytes::from(content), true).await;
        })
    });
    let proxy = start(&backend.address.to_string());
    let sent: Vec<u8> = (0..600_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = proxy.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", sent.len()));
    let mut writer = client.stream.try_clone().unwrap();
    let to_send = sent.clone();
    let sender = std::thread::spawn(move || writer.write_all(&to_send).unwrap());
    let response = client.response();
    sender.join().unwrap();
    assert!(response.complete && response.body == sent);
}

#[test]
fn interim_responses_pass() {
    // 103 as `:status` is no entry of the static table: a literal with an indexed name.
    let server = RawH2::start(&[], |mut peer| {
        while let Some(stream) = peer.request() {
            let early = [&[0x08, 3][..], b"103"].concat();
            peer.write(&Frame::new(HEADERS, END_HEADERS, stream, early));
            peer.answer(stream, b"ok");
        }
    });
    let proxy = start(&server.address.to_string());
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().status, 103);
    assert_eq!((client.response().status, server.connections()), (200, 1));
}

/// Sends so many requests at once, each on a connection of its own; their clients.
fn at_once(proxy: &Proxy, count: usize, request: &str) -> Vec<Client> {
    let send = |_| {
        let mut client = proxy.connect();
        client.send(request);
        client
    };
    (0..count).map(send).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn many_requests_share_one_connection_also_while_it_is_opened() {
    let gate = Gate::default();
    let waits = gate.clone();
    let backend = H2Backend::start(Manner::default(), move |asked| {
        let waits = waits.clone();
        async move {
            while !waits.is_open() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            answer(asked, b"ok").await;
        }
    });
    let proxy = start(&backend.address.to_string());
    let clients = at_once(&proxy, 60, GET);
    wait_for("all requests to be there", || backend.requests() == 60);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_servers_limit_of_streams_is_respected_with_more_connections() {
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = most.clone();
    let manner = Manner { streams_max: 1, ..Manner::default() };
    let backend = H2Backend::start(manner, move |asked| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            answer(asked, b"ok").await;
        }
    });
    let proxy = start(&backend.address.to_string());
    for _ in 0..3 {
        for mut client in at_once(&proxy, 10, GET) {
            assert_eq!(client.response().status, 200);
        }
    }
    assert!(backend.connections() >= 2 && backend.connections() <= 30, "{}", backend.connections());
    assert!(highest.load(Ordering::SeqCst) > 1);
}

#[test]
fn a_pools_limit_of_connections_counts_connections_and_not_streams() {
    let backend = H2Backend::named("only");
    let proxy = Proxy::start(&config(
        &backend.address.to_string(),
        "    breaker: { server_connections: 1 }\n",
    ));
    for _ in 0..3 {
        for mut client in at_once(&proxy, 40, GET) {
            assert_eq!(client.response().status, 200);
        }
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn goaway_loses_no_request_under_load() {
    let manner = Manner { goaway_after: 100, ..Manner::default() };
    let backend = H2Backend::start(manner, |asked| async move { answer(asked, b"ok").await });
    let proxy = start(&backend.address.to_string());
    let requests: usize = std::env::var("EVENKEEL_REQUESTS").map_or(4_000, |n| n.parse().unwrap());
    let threads: Vec<_> = (0..16)
        .map(|at| {
            let address = proxy.addresses[0];
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let request = if at % 2 == 0 { GET.to_owned() } else { post("content") };
                for _ in 0..requests / 16 {
                    client.send(&request);
                    let response = client.response();
                    assert_eq!(response.status, 200, "{}", response.head);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(backend.connections() >= requests / 16 * 16 / 120, "{}", backend.connections());
    assert!(!proxy.log().iter().any(|line| line.contains("server failed")));
}

#[test]
fn streams_above_the_last_one_of_a_goaway_are_sent_again_whatever_their_method() {
    // RFC 9113 §6.8: those were not processed.
    let server = RawH2::start(&[], |mut peer| {
        let Some(first) = peer.request() else { return };
        if peer.connection == 0 {
            let second = peer.request().unwrap();
            assert!(second > first);
            peer.go_away(first, 0);
            peer.answer(first, b"first");
            while peer.read().is_some() {}
            return;
        }
        peer.answer(first, b"again");
        while peer.request().map(|stream| peer.answer(stream, b"again")).is_some() {}
    });
    let proxy = start(&server.address.to_string());
    let clients = at_once(&proxy, 2, &post("content"));
    let mut bodies: Vec<_> =
        clients.into_iter().map(|mut client| client.response().text()).collect();
    bodies.sort();
    assert_eq!(bodies, ["again", "first"]);
}

#[test]
fn a_refused_stream_is_sent_again_whatever_its_method() {
    // RFC 9113 §8.7: REFUSED_STREAM says that nothing was done.
    let server = RawH2::start(&[], |mut peer| {
        let mut refused = false;
        while let Some(stream) = peer.request() {
            match std::mem::replace(&mut refused, true) {
                false => peer.reset(stream, 7),
                true => peer.answer(stream, b"ok"),
            };
        }
    });
    let proxy = start(&server.address.to_string());
    assert_eq!(proxy.ask(post("content")).status, 200);
    assert!(!proxy.log().iter().any(|line| line.contains("server failed")));
}

#[test]
fn a_server_that_refuses_everything_is_told_of() {
    let server = RawH2::start(&[], |mut peer| {
        while let Some(stream) = peer.request() {
            peer.reset(stream, 7);
        }
    });
    let proxy = start(&server.address.to_string());
    let response = proxy.ask(post("content"));
    assert_eq!((response.status, response.reason()), (503, "stream_refused"));
    let line = format!("server={} reason=stream_refused", server.address);
    wait_for("the log", || proxy.log().iter().any(|said| said.contains(&line)));
}

#[test]
fn a_post_of_which_only_the_head_could_leave_is_not_sent_again() {
    // No content fits the window (RFC 9113 §6.9.2), but the head is with the server.
    const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];
    let asked = Arc::new(AtomicUsize::new(0));
    let refusing = || {
        let count = asked.clone();
        RawH2::start(NO_WINDOW, move |mut peer| {
            while let Some(stream) = peer.request() {
                count.fetch_add(1, Ordering::SeqCst);
                peer.reset(stream, 2); // INTERNAL_ERROR
            }
        })
    };
    let (one, two) = (refusing(), refusing());
    let proxy = start(&format!("{}, {}", one.address, two.address));
    let response = proxy.ask(post("content"));
    assert_eq!((response.status, response.reason()), (502, "upstream_reset"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_post_that_a_server_may_have_seen_is_not_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = RawH2::start(&[], move |mut peer| {
        while let Some(stream) = peer.request() {
            count.fetch_add(1, Ordering::SeqCst);
            peer.reset(stream, 2); // INTERNAL_ERROR
        }
    });
    let proxy = start(&server.address.to_string());
    let response = proxy.ask(post("content"));
    assert_eq!((response.status, response.reason()), (502, "upstream_reset"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// What the client gets from a server that does this with its stream, and whether all of it.
fn from(
    talk: impl Fn(&mut support::h2::RawPeer, u32) + Send + Sync + 'static,
) -> (u16, String, bool) {
    let server = RawH2::start(&[], move |mut peer| {
        while let Some(stream) = peer.request() {
            talk(&mut peer, stream);
        }
    });
    let proxy = Proxy::start(&config(
        &server.address.to_string(),
        "    timeouts: { first_byte: 3s, idle: 3s, connect: 3s }\n",
    ));
    let response = proxy.ask(post("content"));
    let reason = response.reason().to_owned();
    let reason = match reason.is_empty() {
        true => {
            let mut said = None;
            wait_for("the log", || {
                said = proxy.log().iter().find(|line| line.contains("server failed")).cloned();
                said.is_some()
            });
            let said = said.unwrap();
            said.split("reason=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
        }
        false => reason,
    };
    (response.status, reason, response.complete)
}

#[test]
fn a_server_that_asks_for_calm_is_told_of() {
    let calm = |peer: &mut support::h2::RawPeer, stream| {
        peer.reset(stream, 11);
    };
    assert_eq!(from(calm), (503, "upstream_calm".into(), true));
}

#[test]
fn a_response_that_is_reset_in_the_middle_is_cut_off_for_the_client() {
    let (status, reason, complete) = from(|peer, stream| {
        peer.write(&Frame::new(HEADERS, END_HEADERS, stream, OK));
        peer.write(&Frame::new(DATA, 0, stream, b"begin".as_slice()));
        std::thread::sleep(Duration::from_millis(100));
        peer.reset(stream, 2);
    });
    assert_eq!((status, reason.as_str(), complete), (200, "response_truncated", false));
}

#[test]
fn a_response_of_another_length_than_it_says_is_no_success() {
    // RFC 9113 §8.1.1. `content-length: 9`, and 5 bytes.
    let (status, _, complete) = from(|peer, stream| {
        let head = [OK, &[0x0f, 0x0d, 1, b'9']].concat();
        peer.write(&Frame::new(HEADERS, END_HEADERS, stream, head));
        peer.write(&Frame::new(DATA, END_STREAM, stream, b"short".as_slice()));
    });
    assert!(!complete || status == 502, "{status}");
}

#[test]
fn a_head_that_never_ends_is_refused() {
    // CONTINUATION frames without END_HEADERS.
    let (status, reason, _) = from(|peer, stream| {
        peer.write(&Frame::new(HEADERS, 0, stream, OK));
        let field = [&[0, 5][..], b"x-big", &[0x7f, 0x81, 0x7e], &[b'x'; 16_000][..]].concat();
        for _ in 0..1000 {
            if !peer.write(&Frame::new(CONTINUATION, 0, stream, field.clone())) {
                return;
            }
        }
    });
    assert_eq!((status, reason.as_str()), (502, "upstream_protocol"));
}

#[test]
fn a_frame_that_breaks_the_rules_ends_the_connection() {
    let (status, reason, _) = from(|peer, stream| {
        peer.write(&Frame::new(DATA, 0, stream, b"before the head".as_slice()));
    });
    assert_eq!((status, reason.as_str()), (502, "upstream_protocol"));
}

#[test]
fn a_server_that_speaks_http_1_is_told_of() {
    let server = RawH2::accepting(|mut peer| {
        let _ = peer.stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        while peer.read().is_some() {}
    });
    let proxy = start(&server.address.to_string());
    assert_eq!(proxy.get("/").reason(), "upstream_protocol");
}

#[test]
fn a_server_that_never_says_its_settings_is_given_up_in_time() {
    let server = RawH2::accepting(|mut peer| while peer.read().is_some() {});
    let proxy =
        Proxy::start(&config(&server.address.to_string(), "    timeouts: { connect: 300ms }\n"));
    let response = proxy.get("/");
    assert_eq!((response.status, response.reason()), (504, "connect_timeout"));
}

#[test]
fn a_server_that_answers_no_ping_is_given_up() {
    let gate = Gate::default();
    let silent = gate.clone();
    let server = RawH2::start(&[], move |mut peer| {
        // It stays up and says nothing any more, as a host that lost its network does.
        while let Some(frame) = peer.read() {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    peer.write(&Frame::new(SETTINGS, ACK, 0, []));
                }
                PING => silent.open(),
                _ => {}
            }
        }
    });
    let proxy = start(&server.address.to_string());
    let begun = Instant::now();
    let response = proxy.ask(post("content"));
    assert_eq!((response.status, response.reason()), (504, "upstream_silent"));
    assert!(gate.is_open() && begun.elapsed() < Duration::from_secs(19), "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_answers_pings_may_take_its_time() {
    let server = RawH2::start(&[], |mut peer| {
        let Some(stream) = peer.request() else { return };
        peer.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let (begun, mut pings) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(12) {
            if let Some(frame) = peer.read()
                && frame.kind == PING
                && frame.flags & ACK == 0
            {
                pings += 1;
                peer.write(&Frame::new(PING, ACK, 0, frame.payload));
            }
        }
        peer.answer(stream, pings.to_string().as_bytes());
        while peer.read().is_some() {}
    });
    let proxy = start(&server.address.to_string());
    // Not more than twice: servers of gRPC end the connection of who asks more often.
    assert_eq!(proxy.ask(post("content")).text(), "2");
}

#[test]
fn a_slow_client_stops_its_server_and_nobody_else() {
    let backend = H2Backend::start(Manner::default(), |mut asked| async move {
        if asked.request.uri().path() != "/big" {
            return answer(asked, b"ok").await;
        }
        let response = Response::builder().body(()).unwrap();
        let mut stream = asked.respond.send_response(response, false).unwrap();
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        while give(&mut stream, piece.clone(), false).await {}
    });
    let proxy = start(&backend.address.to_string());
    let slow = at_once(&proxy, 40, "GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the streams to begin", || backend.requests() == 40);
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5) && backend.connections() == 1);
    drop(slow);
}

#[test]
fn a_client_that_goes_away_cancels_its_stream() {
    let gate = Gate::default();
    let cancelled = gate.clone();
    let backend = H2Backend::start(Manner::default(), move |mut asked| {
        let cancelled = cancelled.clone();
        async move {
            let reset = std::future::poll_fn(|cx| asked.respond.poll_reset(cx)).await;
            assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
            cancelled.open();
        }
    });
    let proxy = start(&backend.address.to_string());
    let mut client = proxy.connect();
    client.send(GET);
    wait_for("the request", || backend.requests() == 1);
    support::reset(&client.stream);
    drop(client);
    wait_for("the stream to be cancelled", || gate.is_open());
}

#[test]
fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let backend = H2Backend::start(Manner::default(), |mut asked| async move {
        let response =
            Response::builder().status(413).header("content-length", 3).body(()).unwrap();
        let mut stream = asked.respond.send_response(response, false).unwrap();
        give(&mut stream, Bytes::from_static(b"big"), true).await;
        tokio::time::sleep(Duration::from_millis(100)).await; // a reset overtakes what is not out
        stream.send_reset(h2::Reason::NO_ERROR);
    });
    let proxy = start(&backend.address.to_string());
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\nbegin");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    assert!(!proxy.log().iter().any(|line| line.contains("server failed")));
}

#[test]
fn connections_to_a_server_that_leaves_end_after_their_streams() {
    let gate = Gate::default();
    let waits = gate.clone();
    let leaving = H2Backend::start(Manner::default(), move |asked| {
        let waits = waits.clone();
        async move {
            while !waits.is_open() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            answer(asked, b"late").await;
        }
    });
    let staying = H2Backend::named("staying");
    let proxy = start(&leaving.address.to_string());
    let mut client = proxy.connect();
    client.send(GET);
    wait_for("the request", || leaving.requests() == 1);
    proxy.reload(&config(&staying.address.to_string(), ""));
    assert_eq!(proxy.get("/").text(), "staying");
    gate.open();
    assert_eq!(client.response().text(), "late");
    wait_for("the connection to be closed", || leaving.open() == 0);
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let backend = H2Backend::named("only");
    let proxy =
        Proxy::start(&config(&backend.address.to_string(), "    keep_alive: { idle: 200ms }\n"));
    assert_eq!(proxy.get("/").status, 200);
    wait_for("the connection to be closed", || backend.open() == 0);
    assert_eq!((proxy.get("/").status, backend.connections()), (200, 2));
}

#[test]
fn an_upgrade_becomes_an_extended_connect_where_the_server_takes_it() {
    // RFC 8441: the key and its answer are HTTP/1's alone.
    let manner = Manner { extended_connect: true, ..Manner::default() };
    let backend = H2Backend::start(manner, |mut asked| async move {
        assert_eq!(asked.request.method(), "CONNECT");
        let protocol = asked.request.extensions().get::<h2::ext::Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        let response = Response::builder().body(()).unwrap();
        let mut stream = asked.respond.send_response(response, false).unwrap();
        let body = asked.request.body_mut();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            give(&mut stream, piece, false).await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let proxy = start(&backend.address.to_string());
    let mut client = proxy.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 101, "{}", response.head);
    assert_eq!(response.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client.send("ping");
    assert_eq!(client.bytes(4), b"ping");
    client.end();
    assert!(client.is_closed());
}

#[test]
fn an_upgrade_to_a_server_that_takes_none_is_refused_with_a_reason() {
    let backend = H2Backend::named("only");
    let proxy = start(&backend.address.to_string());
    let response = proxy.ask("GET /ws HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_eq!((response.status, response.reason()), (501, "no_tunnel"));
}

#[test]
fn a_stream_that_ends_after_its_last_byte_is_not_cancelled() {
    let gate = Gate::default();
    let seen = gate.clone();
    let server = RawH2::start(&[], move |mut peer| {
        let Some(stream) = peer.request() else { return };
        // `content-length: 2`; END_STREAM comes by itself.
        let head = [OK, &[0x0f, 0x0d, 1, b'2']].concat();
        peer.write(&Frame::new(HEADERS, END_HEADERS, stream, head));
        peer.write(&Frame::new(DATA, 0, stream, b"ok".as_slice()));
        std::thread::sleep(Duration::from_millis(200));
        peer.write(&Frame::new(DATA, END_STREAM, stream, []));
        peer.write(&Frame::new(PING, 0, 0, [7; 8]));
        while let Some(frame) = peer.read() {
            assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
            if frame.kind == PING && frame.payload == [7; 8] {
                return seen.open();
            }
        }
    });
    let proxy = start(&server.address.to_string());
    assert_eq!(proxy.get("/").text(), "ok");
    wait_for("the answer to the ping", || gate.is_open());
}

#[test]
fn endless_interim_responses_end_the_exchange_and_disturb_nobody() {
    let server = RawH2::start(&[], |mut peer| {
        let Some(stream) = peer.request() else { return };
        let early = [&[0x08, 3][..], b"103"].concat();
        while peer.write(&Frame::new(HEADERS, END_HEADERS, stream, early.clone())) {}
    });
    let proxy = start(&server.address.to_string());
    let mut client = proxy.connect();
    client.send(post("content"));
    let last = loop {
        let response = client.response();
        if response.status != 103 {
            break response;
        }
    };
    assert_eq!(last.status, 502);
    assert!(["bad_response", "upstream_protocol"].contains(&last.reason()), "{}", last.head);
}

#[test]
fn a_server_whose_window_stays_shut_is_given_up_in_time() {
    // `SETTINGS_INITIAL_WINDOW_SIZE: 0`.
    let server = RawH2::start(&[0, 4, 0, 0, 0, 0], |mut peer| while peer.request().is_some() {});
    let proxy =
        Proxy::start(&config(&server.address.to_string(), "    timeouts: { idle: 300ms }\n"));
    let response = proxy.ask(post("content"));
    assert_eq!((response.status, response.reason()), (504, "upstream_idle_timeout"));
}

#[test]
fn a_second_server_is_asked_on_its_own_connection() {
    let slow = H2Backend::start(Manner::default(), |asked| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(asked);
    });
    let fast = H2Backend::named("fast");
    let servers = format!("{}, {}", slow.address, fast.address);
    let proxy =
        Proxy::start(&config(&servers, "    balance: round_robin\n    hedge: { delay: 50ms }\n"));
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(proxy.get("/").text(), "fast");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(slow.requests() > 0 && slow.connections() == 1 && fast.connections() == 1);
}

#[test]
fn another_server_is_asked_where_one_breaks_off() {
    let broken = RawH2::start(&[], |mut peer| {
        peer.request(); // and the connection is closed
    });
    let well = H2Backend::named("well");
    let servers = format!("{}, {}", broken.address, well.address);
    let proxy = Proxy::start(&config(&servers, "    balance: round_robin\n"));
    for _ in 0..4 {
        assert_eq!(proxy.get("/").text(), "well");
    }
}

/// A proxy in front of a server over TLS that takes these protocols, spoken to in `protocol`.
fn over_tls(takes: &[&[u8]], protocol: &str) -> (Proxy, H2Backend, Directory) {
    let (authority, directory) = (Authority::new("test"), Directory::new());
    let mut server = authority.issue(&["127.0.0.1"]).server(&[&TLS13], None);
    server.alpn_protocols = takes.iter().map(|name| name.to_vec()).collect();
    let backend = H2Backend::over_tls(server);
    let ca = authority.write(&directory.0, "ca.pem");
    let tls = format!("    tls: {{ ca: \"{}\" }}\n", ca.display());
    let config = config(&backend.address.to_string(), &tls);
    (Proxy::start(&config.replace("protocol: h2", protocol)), backend, directory)
}

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";

#[test]
fn http_2_is_spoken_over_tls_too() {
    let (proxy, backend, _directory) = over_tls(BOTH, "protocol: h2");
    for mut client in at_once(&proxy, 20, GET) {
        assert_eq!(client.response().text(), "h2");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_server_over_tls_that_takes_no_http_2_is_told_of() {
    let (proxy, ..) = over_tls(&[b"http/1.1"], "protocol: h2");
    assert_eq!(proxy.get("/").reason(), "upstream_tls_handshake");
}

#[test]
fn where_it_is_left_to_the_server_its_own_version_is_spoken() {
    let (proxy, backend, _directory) = over_tls(BOTH, "protocol: auto");
    for mut client in at_once(&proxy, 20, GET) {
        assert_eq!(client.response().text(), "h2");
    }
    assert_eq!(backend.connections(), 1);
    let (proxy, backend, _directory) = over_tls(&[b"http/1.1"], "protocol: auto");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "h1");
    }
    assert_eq!(backend.connections(), 1, "it is kept");
    for mut client in at_once(&proxy, 20, GET) {
        assert_eq!(client.response().text(), "h1");
    }
}

#[test]
fn where_it_is_left_to_the_server_an_upgrade_goes_over_http_1() {
    let (proxy, ..) = over_tls(BOTH, "protocol: auto");
    assert_eq!(proxy.get("/").text(), "h2");
    assert_eq!(proxy.ask(UPGRADE).text(), "h1");
    assert_eq!(proxy.get("/").text(), "h2");
}
