//! HTTP/3 (RFC 9114) over QUIC (RFC 9000): what clients of it get, what they may not say, and how
//! their connections live through migrations, reloads and drains. One client is other people's
//! library, the other says what it is told to.
#![cfg(feature = "http3")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests may wait and share")]

#[path = "support/quic.rs"]
mod quic;
mod support;

use std::io::Write as _;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use quic::{
    Raw, Site, answer, data, first_packets, frame, get, headers, limited, post, run, with_site,
};
use support::{Backend, Gate, Then, reply, wait_for};

const MESSAGE_ERROR: u64 = 0x10e;
const FRAME_UNEXPECTED: u64 = 0x105;

#[test]
fn a_client_of_another_make_is_served_rfc_9114_4_1() {
    let backend = Backend::start(|request, stream| {
        let length = request.body.len();
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Who: app\r\n\r\n"));
        reply(stream, &request.body);
        Then::Keep
    });
    let (site, proxy) = with_site(&[&backend]);
    let body = vec![b'x'; 3 << 20];
    let (status, who, echoed) = run(async {
        let connection = site.dial(proxy.addresses[0]).await;
        let quic = h3_quinn::Connection::new(connection);
        let (mut driver, mut requests) = h3::client::new(quic).await.unwrap();
        let driving = tokio::spawn(async move {
            std::future::poll_fn(|cx| driver.poll_close(cx)).await;
        });
        let request = http::Request::post("https://localhost/up?q=1").body(()).unwrap();
        let stream = requests.send_request(request).await.unwrap();
        let (mut send, mut receive) = stream.split();
        let sent = Bytes::from(body.clone());
        tokio::spawn(async move {
            send.send_data(sent).await.unwrap();
            send.finish().await.unwrap();
        });
        let response = receive.recv_response().await.unwrap();
        let mut echoed = Vec::new();
        while let Some(mut piece) = receive.recv_data().await.unwrap() {
            echoed.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        driving.abort();
        (response.status(), response.headers()["x-who"].clone(), echoed)
    });
    assert_eq!((status, who.as_bytes()), (http::StatusCode::OK, &b"app"[..]));
    assert!(echoed == body);
    let request = backend.only();
    assert_eq!(request.line(), "POST /up?q=1 HTTP/1.1");
    assert_eq!(request.field("host"), Some("localhost"));
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn a_request_without_content_has_none_in_http_1_either() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    let answer = run(async { Raw::dial(&site, proxy.addresses[0]).await.get("/").await.unwrap() });
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"app"[..]));
    assert_eq!(answer.field("alt-svc"), None);
    let request = backend.only();
    assert_eq!((request.field("transfer-encoding"), request.field("content-length")), (None, None));
}

#[test]
fn content_of_any_framing_and_trailers_pass_both_ways_rfc_9114_4_1() {
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n",
    );
    let (site, proxy) = with_site(&[&backend]);
    let answer = run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let fields = [&post("/")[..], &[("te", "trailers")]].concat();
        let said = [
            headers(&fields),
            data(b"12"),
            frame(0x21, b"grease"),
            data(b""),
            data(b"345"),
            headers(&[("x-check", "ok")]),
        ]
        .concat();
        let (_send, receive) = client.send(&said, true).await;
        answer(receive).await.unwrap()
    });
    assert_eq!(answer.body, b"abcde");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "5".to_owned())]);
    let request = backend.only();
    assert_eq!(request.body, b"12345");
    assert!(String::from_utf8_lossy(&request.raw).contains("x-check: ok"));
}

#[test]
fn interim_responses_come_before_the_final_one_rfc_9114_4_1() {
    let backend = Backend::replying(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let (site, proxy) = with_site(&[&backend]);
    let answer = run(async { Raw::dial(&site, proxy.addresses[0]).await.get("/").await.unwrap() });
    assert_eq!((answer.interim.as_slice(), answer.status), (&[103][..], 200));
}

#[test]
fn a_hundred_requests_at_once_do_not_wait_for_each_other_rfc_9114_6_1() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |request, stream| {
        if request.target() == "/slow" {
            held.pass();
        }
        reply(
            stream,
            format!(
                "HTTP/1.1 200 OK\r\nX-Target: {}\r\nContent-Length: 0\r\n\r\n",
                request.target()
            ),
        );
        Then::Keep
    });
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let (_slow, slow) = client.send(&headers(&get("/slow")), true).await;
        let mut others = Vec::new();
        for n in 0..99 {
            others.push(client.send(&headers(&get(&format!("/{n}"))), true).await);
        }
        for (n, (_send, receive)) in others.into_iter().enumerate() {
            let answer = answer(receive).await.unwrap();
            assert_eq!(answer.field("x-target"), Some(format!("/{n}").as_str()));
        }
        gate.open();
        assert_eq!(answer(slow).await.unwrap().field("x-target"), Some("/slow"));
    });
}

#[test]
fn a_client_that_gives_up_a_request_gives_up_that_alone_rfc_9114_4_1_1() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |request, stream| {
        if request.target() == "/slow" {
            held.pass();
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        Then::Keep
    });
    let site = Site::new();
    let proxy = support::Proxy::start(&logged(&site.config(&[&backend])));
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let (mut send, mut receive) = client.send(&headers(&get("/slow")), true).await;
        while backend.count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        receive.stop(quic::code(0x10c)).unwrap();
        let _ = send.reset(quic::code(0x10c));
        wait_for("the request to be given up", || {
            proxy.output().iter().any(|line| line.contains("/slow"))
        });
        assert_eq!(client.get("/").await.unwrap().status, 200);
    });
    gate.open();
}

#[test]
fn a_flood_of_requests_that_are_given_up_ends_its_connection_alone_rfc_9114_10_5() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let other = Raw::dial(&site, proxy.addresses[0]).await;
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let head = headers(&get("/"));
        let flood = async {
            loop {
                let Ok((mut send, mut receive)) = client.connection.open_bi().await else { return };
                let _ = send.write_all(&head).await; // until the connection is closed
                let (_, _) = (send.reset(quic::code(0x10c)), receive.stop(quic::code(0x10c)));
            }
        };
        limited(flood).await;
        assert_eq!(client.closed().await, 0x107);
        assert_eq!(other.get("/").await.unwrap().status, 200);
    });
    assert!(backend.count() < 2000, "{}", backend.count());
}

#[test]
fn a_message_reaches_a_client_with_little_room_before_the_server_says_more() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n");
        reply(stream, vec![b'x'; 20_000]);
        reply(stream, "\r\n");
        held.pass();
        reply(stream, "0\r\n\r\n");
        Then::Keep
    });
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let endpoint = site.endpoint_with(|transport| {
            transport.stream_receive_window(2000_u32.into());
        });
        let connecting = endpoint.connect(proxy.addresses[0], "localhost").unwrap();
        let client = Raw::new(limited(connecting).await.unwrap()).await;
        let (_send, mut receive) = client.send(&headers(&get("/")), true).await;
        let mut heard = 0;
        while heard < 20_000 {
            let piece = limited(receive.read_chunk(4096, true)).await.unwrap().unwrap();
            heard += piece.bytes.iter().filter(|byte| **byte == b'x').count();
        }
        gate.open();
        while limited(receive.read_chunk(4096, true)).await.unwrap().is_some() {}
    });
}

#[test]
fn malformed_requests_end_their_streams_and_reach_no_server_rfc_9114_4_1_2() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    let ok = get("/");
    let with = |more: &'static [(&'static str, &'static str)]| [&get("/")[..], more].concat();
    let malformed = [
        vec![ok[0], ok[0], ok[1], ok[2], ok[3]],
        vec![ok[0], ok[1], ok[2], ok[3], (":path", "/other")],
        vec![ok[0], ok[1], ("accept", "*/*"), ok[2], ok[3]],
        vec![ok[0], ok[1], ok[2]],
        vec![ok[0], ok[1], ok[3]],
        vec![ok[0], ok[1], ok[2], (":path", "x")],
        with(&[("host", "other.example")]),
        with(&[("connection", "keep-alive")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "websocket")]),
        with(&[("te", "gzip")]),
        with(&[("Accept", "upper")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", " a")]),
        with(&[("content-length", "5")]),
        with(&[("content-length", "0"), ("content-length", "1")]),
    ];
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        for fields in &malformed {
            let refused = client.ask(fields).await.map(|answer| answer.status);
            assert!(matches!(refused, Err(MESSAGE_ERROR) | Ok(400)), "{fields:?}: {refused:?}");
        }
        for (length, content) in [("3", "1234"), ("5", "1234")] {
            let fields = [&post("/")[..], &[("content-length", length)]].concat();
            let said = [headers(&fields), data(content.as_bytes())].concat();
            let (_send, receive) = client.send(&said, true).await;
            let refused = answer(receive).await.map(|answer| answer.status);
            assert!(!matches!(refused, Ok(200)), "{length}: {refused:?}");
        }
        assert_eq!(client.get("/").await.unwrap().status, 200);
    });
    assert!(backend.received().iter().all(|r| !r.line().starts_with("GET") || r.target() == "/"));
    assert_eq!(backend.received().iter().filter(|r| r.line().starts_with("GET")).count(), 1);
}

#[test]
fn content_beyond_its_length_is_malformed_whenever_it_comes_rfc_9114_4_1_2() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |_, stream| {
        held.pass();
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        Then::Keep
    });
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let fields = [&post("/")[..], &[("content-length", "3")]].concat();
        let said = [headers(&fields), data(b"123")].concat();
        let (mut send, receive) = client.send(&said, false).await;
        while backend.count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        send.write_all(&data(b"4")).await.unwrap();
        assert_eq!(answer(receive).await.err(), Some(MESSAGE_ERROR));
    });
    gate.open();
}

/// With a line for each exchange.
fn logged(config: &str) -> String {
    let config = config.replace("    tls:", "    policies: log\n    tls:");
    config + "policies: { log: { access_log: {} } }\n"
}

#[test]
fn a_head_that_is_too_long_is_answered_with_431_rfc_9114_4_2_2() {
    let backend = Backend::named("app");
    let site = Site::new();
    let proxy = support::Proxy::start(&logged(&site.config(&[&backend])));
    let long = "x".repeat(33 * 1024);
    let answer = run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        client.ask(&[&get("/")[..], &[("x", long.as_str())]].concat()).await
    });
    assert_eq!(answer.unwrap().status, 431);
    assert_eq!(backend.count(), 0);
    wait_for("a line about it", || {
        proxy.output().iter().any(|line| line.contains("431") && line.contains("HTTP/3"))
    });
}

#[test]
fn frames_where_they_do_not_belong_end_the_connection_rfc_9114_7_2() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    let head = headers(&get("/"));
    for (said, code) in [
        (data(b"x"), FRAME_UNEXPECTED),
        (frame(4, &[]), FRAME_UNEXPECTED),
        ([head.clone(), frame(7, &[0])].concat(), FRAME_UNEXPECTED),
        ([head.clone(), frame(2, &[])].concat(), FRAME_UNEXPECTED),
        ([head.clone(), frame(5, &[0])].concat(), FRAME_UNEXPECTED),
        (frame(1, &[0, 0, 0x80]), 0x200),
        (frame(1, &[0, 0, 0x51, 0x85, 1]), 0x200),
        (vec![0x01, 0x05, 0x00], 0x106),
        (frame(0x21, &vec![0; 70_000]), 0x107),
        (vec![0x01, 0xc0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 0x107),
    ] {
        let closed = run(async {
            let client = Raw::dial(&site, proxy.addresses[0]).await;
            let (mut send, _receive) = client.connection.open_bi().await.unwrap();
            let _ = send.write_all(&said).await; // it may be closed before all is sent
            let _ = send.finish();
            client.closed().await
        });
        assert_eq!(closed, code, "{:?}", &said[..said.len().min(12)]);
    }
}

#[test]
fn a_control_stream_is_one_begins_with_settings_and_stays_rfc_9114_6_2_1() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    for (streams, code) in [
        (vec![(&[0x00, 0x04, 0x00][..], true)], 0x104),
        (vec![(&[0x00, 0x07, 0x01, 0x00], false)], 0x10a),
        (vec![(&[0x00, 0x04, 0x00, 0x04, 0x00], false)], FRAME_UNEXPECTED),
        (vec![(&[0x00, 0x04, 0x02, 0x02, 0x00], false)], 0x109),
        (vec![(&[0x00, 0x04, 0x00, 0x00, 0x00], false)], FRAME_UNEXPECTED),
        (vec![(&[0x00, 0x04, 0x00], false), (&[0x00, 0x04, 0x00], false)], 0x103),
        (vec![(&[0x01, 0x00], false)], 0x103),
        (vec![(&[0x02, 0x3f, 0x01], false)], 0x201),
        (vec![(&[0x03, 0x80], false)], 0x202),
    ] {
        let closed = run(async {
            let connection = site.dial(proxy.addresses[0]).await;
            let mut open = Vec::new();
            for (bytes, ends) in &streams {
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(bytes).await.unwrap();
                if *ends {
                    stream.finish().unwrap();
                }
                open.push(stream);
            }
            match limited(connection.closed()).await {
                quinn::ConnectionError::ApplicationClosed(closed) => closed.error_code.into_inner(),
                other => panic!("{other}"),
            }
        });
        assert_eq!(closed, code, "{streams:?}");
    }
}

#[test]
fn streams_of_unknown_types_mean_nothing_rfc_9114_6_2_3() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        for _ in 0..30 {
            let mut stream = limited(client.connection.open_uni()).await.unwrap();
            let _ = stream.write_all(&[0x21, 1, 2, 3]).await; // it may be refused already
            let _ = stream.finish();
        }
        assert_eq!(client.get("/").await.unwrap().status, 200);
    });
}

#[test]
fn websockets_are_tunnels_by_extended_connect_rfc_9220() {
    let backend = Backend::on_head(|request, stream| {
        let key = request.field("sec-websocket-key").unwrap_or_default().to_owned();
        let accept = quic::websocket_accept(&key);
        reply(
            stream,
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\nhello"
            ),
        );
        let mut said = [0; 4];
        std::io::Read::read_exact(stream, &mut said).unwrap();
        stream.write_all(&said).unwrap();
        Then::Close
    });
    let (site, proxy) = with_site(&[&backend]);
    let heard = run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/chat"),
            ("sec-websocket-version", "13"),
        ];
        let said = [headers(&fields), data(b"ping")].concat();
        let (_send, receive) = client.send(&said, false).await;
        answer(receive).await.unwrap()
    });
    assert_eq!((heard.status, heard.body.as_slice()), (200, &b"helloping"[..]));
    assert_eq!(backend.only().line(), "GET /chat HTTP/1.1");
}

#[test]
fn clients_over_tcp_are_told_of_http_3_and_those_of_other_listeners_are_not_rfc_7838() {
    let backend =
        Backend::replying("HTTP/1.1 200 OK\r\nAlt-Svc: h2=\":1\"\r\nContent-Length: 0\r\n\r\n");
    let (site, proxy) = with_site(&[&backend]);
    let told = |proxy: &support::Proxy| {
        let address = proxy.addresses[0];
        run(quic::over_tcp(
            &site,
            address,
            "GET / HTTP/1.1\r\nHost: localhost:444\r\nConnection: close\r\n\r\n",
        ))
    };
    let head = told(&proxy);
    assert!(head.contains("alt-svc: h3=\":444\"; ma=3600\r\n"), "{head}");
    assert!(!head.contains("h2="), "{head}");
    let off = support::Proxy::start(&support::with_listener(&[&backend], &site.tls_only()));
    let head = told(&off);
    assert!(!head.contains("h3="), "{head}");
}

#[test]
fn a_client_that_changes_its_address_keeps_its_connection_rfc_9000_9() {
    let backend = Backend::named("app");
    let site = Site::new();
    let proxy = support::Proxy::start(&format!("{}workers: 4\n", site.config(&[&backend])));
    run(async {
        for _ in 0..4 {
            let endpoint = site.endpoint();
            let connecting = endpoint.connect(proxy.addresses[0], "localhost").unwrap();
            let client = Raw::new(limited(connecting).await.unwrap()).await;
            for _ in 0..4 {
                assert_eq!(client.get("/").await.unwrap().status, 200);
                endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            }
            assert_eq!(client.get("/").await.unwrap().status, 200);
            assert!(client.connection.close_reason().is_none());
        }
    });
}

#[test]
fn garbage_harms_nobody_rfc_9000_5_2() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let firsts = first_packets(&site, 4).await;
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut random = 0x9e37_79b9_u32;
        let mut draw = move || {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random
        };
        for turn in 0..20_000_u32 {
            let mut packet = match turn % 3 {
                0 => (0..draw() % 80).map(|_| draw() as u8).collect(),
                _ => firsts[turn as usize % firsts.len()].clone(),
            };
            match turn % 5 {
                0 => packet.truncate(draw() as usize % packet.len().max(1)),
                1 if packet.len() > 30 => packet[draw() as usize % 30] ^= 1 << (draw() % 8),
                2 if packet.len() > 6 => packet[5] = draw() as u8,
                _ => {}
            }
            let _ = socket.send_to(&packet, proxy.addresses[0]); // a full buffer loses some
        }
        assert_eq!(client.get("/").await.unwrap().status, 200);
        assert_eq!(Raw::dial(&site, proxy.addresses[0]).await.get("/").await.unwrap().status, 200);
    });
    assert!(!proxy.log().iter().any(|line| line.contains("panic") || line.contains("lost")));
}

#[test]
fn many_new_clients_at_once_have_to_prove_their_addresses_and_get_little_until_then_rfc_9000_8_1() {
    let backend = Backend::named("app");
    let site = Site::new();
    let proxy = support::Proxy::start(&format!("{}workers: 1\n", site.config(&[&backend])));
    run(async {
        let packets = first_packets(&site, 80).await;
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let (mut sent, mut received, mut retries) = (0, 0, 0);
        for packet in &packets {
            sent += socket.send_to(packet, proxy.addresses[0]).unwrap();
            let mut buffer = [0; 2048];
            while let Ok(length) = socket.recv(&mut buffer) {
                received += length;
                retries += usize::from(buffer[0] & 0xf0 == 0xf0);
                socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            }
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        }
        assert!(retries > 0, "nobody was asked");
        assert!(received <= 3 * sent, "{received} for {sent}");
        // Who is really there gets in.
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
    });
}

#[test]
fn a_drain_tells_clients_and_lets_requests_finish_rfc_9114_5_2() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |_, stream| {
        held.pass();
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let (site, mut proxy) = with_site(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let (_send, receive) = client.send(&headers(&get("/slow")), true).await;
        while backend.count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.signal("-TERM");
        let mut control = limited(client.connection.accept_uni()).await.unwrap();
        let mut said = Vec::new();
        // Type, SETTINGS; then GOAWAY, first for all, then for those that come too late.
        while said.windows(3).filter(|w| w[0] == 0x07 && (w[1] == 8 || w[1] == 1)).count() < 2 {
            let piece = limited(control.read_chunk(100, true)).await.unwrap().unwrap();
            said.extend_from_slice(&piece.bytes);
        }
        assert!(said.ends_with(&[0x07, 0x01, 0x04]), "{said:?}");
        let (_late, late) = client.send(&headers(&get("/late")), true).await;
        assert_eq!(answer(late).await.err(), Some(0x10b), "H3_REQUEST_REJECTED: may be repeated");
        gate.open();
        assert_eq!(answer(receive).await.unwrap().body, b"ok");
        assert_eq!(client.closed().await, 0x100);
    });
    assert!(proxy.wait().success());
    assert_eq!(backend.count(), 1);
}

#[test]
fn an_answer_that_a_drain_finds_under_way_is_delivered_to_its_end_rfc_9114_5_2() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |_, stream| {
        held.pass();
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
        reply(stream, vec![b'x'; 300_000]);
        Then::Keep
    });
    let (site, mut proxy) = with_site(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let (_send, receive) = client.send(&headers(&get("/")), true).await;
        while backend.count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.signal("-TERM");
        let mut control = limited(client.connection.accept_uni()).await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(&[0x07, 0x01, 0x04]) {
            let piece = limited(control.read_chunk(100, true)).await.unwrap().unwrap();
            said.extend_from_slice(&piece.bytes);
        }
        gate.open();
        assert_eq!(answer(receive).await.unwrap().body.len(), 300_000);
        assert_eq!(client.closed().await, 0x100);
    });
    assert!(proxy.wait().success());
}

#[test]
fn requests_that_outlive_a_drain_are_told_before_their_connection_ends_rfc_9114_5_2() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |_, _| {
        held.pass();
        Then::Close
    });
    let site = Site::new();
    let config = site.config(&[&backend]) + "shutdown: { drain: 300ms, drain_tunnels: 4s }\n";
    let proxy = support::Proxy::start(&config);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        let (_send, receive) = client.send(&headers(&get("/slow")), true).await;
        while backend.count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.signal("-TERM");
        assert_eq!(answer(receive).await.unwrap().status, 504);
        assert_eq!(client.closed().await, 0x100);
    });
    gate.open();
}

#[test]
fn a_client_that_wants_no_more_is_noticed_while_the_server_is_silent_rfc_9114_4_1_1() {
    let gone = Arc::new(AtomicUsize::new(0));
    let noticed = gone.clone();
    let backend = Backend::on_head(move |_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        let _ = std::io::Read::read_to_end(stream, &mut Vec::new()); // reset, maybe
        noticed.fetch_add(1, Ordering::SeqCst);
        Then::Close
    });
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        // One has said everything, the other not yet.
        for (count, request, ended) in [(1, get("/"), true), (2, post("/"), false)] {
            let (_send, mut receive) = client.send(&headers(&request), ended).await;
            let mut heard = Vec::new();
            while !heard.ends_with(b"x") {
                let piece = limited(receive.read_chunk(4096, true)).await.unwrap().unwrap();
                heard.extend_from_slice(&piece.bytes);
            }
            receive.stop(quic::code(0x10c)).unwrap();
            while gone.load(Ordering::SeqCst) < count {
                limited(tokio::time::sleep(Duration::from_millis(5))).await;
            }
        }
    });
}

#[test]
fn a_reload_keeps_connections_and_a_new_certificate_is_for_new_ones() {
    let backend = Backend::named("app");
    let (mut site, proxy) = with_site(&[&backend]);
    let config = site.config(&[&backend]);
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
        let old = site.renew();
        proxy.reload(&format!("{config}# again\n"));
        let is_new = |connection: &quinn::Connection| {
            let chain = connection.peer_identity().unwrap();
            let chain =
                chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
            chain[0] != old
        };
        let mut renewed = false;
        for _ in 0..200 {
            let connecting = site.endpoint().connect(proxy.addresses[0], "localhost").unwrap();
            if let Ok(connection) = limited(connecting).await {
                renewed = is_new(&connection);
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(renewed);
        assert_eq!(client.get("/").await.unwrap().status, 200);
    });
}

#[test]
fn http_3_is_turned_on_and_off_by_a_reload_and_tcp_does_not_notice() {
    let backend = Backend::named("app");
    let site = Site::new();
    let off = support::with_listener(&[&backend], &site.tls_only());
    let proxy = support::Proxy::start(&off);
    let address = proxy.addresses[0];
    run(async {
        proxy.reload(&site.config(&[&backend]));
        let client = Raw::dial(&site, address).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
        proxy.reload(&off);
        assert_eq!(client.closed().await, 0x100);
        proxy.reload(&site.config(&[&backend]));
        let again = Raw::dial(&site, address).await;
        assert_eq!(again.get("/").await.unwrap().status, 200);
    });
}

#[test]
fn an_upgrade_leaves_connections_to_the_process_that_they_belong_to_rfc_9114_5_2() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::start(move |request, stream| {
        if request.target() == "/slow" {
            held.pass();
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let site = Site::new();
    let proxy = support::Proxy::start(&format!("{}workers: 2\n", site.config(&[&backend])));
    let upgraded = run(async {
        let mut old = Vec::new();
        for _ in 0..4 {
            let client = Raw::dial(&site, proxy.addresses[0]).await;
            let slow = client.send(&headers(&get("/slow")), true).await;
            old.push((client, slow));
        }
        while backend.count() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.signal("-USR2");
        let upgraded = || {
            let log = proxy.log();
            let line = log.iter().find(|line| line.contains("upgraded: the new process"))?;
            let pid = line.split("pid=").nth(1)?;
            Some(pid.chars().take_while(char::is_ascii_digit).collect::<String>())
        };
        wait_for("the upgrade", || upgraded().is_some());
        for _ in 0..6 {
            let client = Raw::dial(&site, proxy.addresses[0]).await;
            assert_eq!(client.get("/").await.unwrap().status, 200);
        }
        gate.open();
        for (client, (_send, slow)) in old {
            assert_eq!(answer(slow).await.unwrap().body, b"ok");
            assert_eq!(client.closed().await, 0x100);
        }
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
        upgraded().unwrap()
    });
    std::process::Command::new("kill").args(["-TERM", &upgraded]).status().unwrap();
}

/// A site that takes early data, and a client that comes back with what it was given.
#[test]
fn requests_in_early_data_are_safe_ones_and_servers_are_told_rfc_8470() {
    let backend = Backend::named("app");
    let site = Site::new();
    let config = logged(&site.config(&[&backend]).replace("tls: {", "tls: { early_data: true,"));
    let proxy = support::Proxy::start(&format!("{config}workers: 1\n"));
    run(async {
        let endpoint = site.endpoint();
        let address = proxy.addresses[0];
        let first = limited(endpoint.connect(address, "localhost").unwrap()).await.unwrap();
        let mut client = Raw::new(first).await;
        assert_eq!(client.get("/first").await.unwrap().status, 200);
        // A request that is looked at once the handshake is over is no early one any more: so until
        // it is looked at in time.
        for _ in 0..20 {
            // Tickets and tokens may come a little later.
            tokio::time::sleep(Duration::from_millis(300)).await;
            client.connection.close(quic::code(0x100), b"");
            let connecting = endpoint.connect(address, "localhost").unwrap();
            let (early, accepted) = connecting.into_0rtt().expect("no session to go on with");
            client = Raw::new(early).await;
            let get_early = client.send(&headers(&get("/early")), true).await;
            let post_early = client.send(&headers(&post("/early")), true).await;
            assert!(limited(accepted).await, "the early data was refused");
            assert_eq!(answer(get_early.1).await.unwrap().status, 200);
            let refused = answer(post_early.1).await.unwrap().status;
            assert_eq!(client.ask(&post("/late")).await.unwrap().status, 200);
            let told = backend.received().into_iter().any(|r| r.field("early-data").is_some());
            match refused {
                425 if told => {
                    return wait_for("a line about it", || {
                        proxy.output().iter().any(|line| line.contains("\"too_early\""))
                    });
                }
                status => assert!(matches!(status, 200 | 425)),
            }
        }
        panic!("no request was ever early");
    });
    for received in backend.received() {
        let is_early = received.field("early-data") == Some("1");
        assert!(!is_early || received.head.starts_with("GET /early "), "{}", received.head);
    }
}

#[test]
fn without_the_option_no_early_data_is_taken() {
    let backend = Backend::named("app");
    let (site, proxy) = with_site(&[&backend]);
    run(async {
        let endpoint = site.endpoint();
        let connect = || endpoint.connect(proxy.addresses[0], "localhost").unwrap();
        let client = Raw::new(limited(connect()).await.unwrap()).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(connect().into_0rtt().is_err());
    });
}

/// Only where Chromium is installed.
#[test]
fn a_browser_loads_a_page_over_http_3() {
    let backend = Backend::named("app");
    let site = Site::new();
    let config = site.config(&[&backend]).replace("    tls:", "    policies: log\n    tls:");
    let proxy = support::Proxy::start(&(config + "policies: { log: { access_log: {} } }\n"));
    let port = proxy.addresses[0].port();
    let profile = support::Directory::new();
    let browser = std::process::Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.0.display()))
        .arg(format!("--origin-to-force-quic-on=localhost:{port}"))
        .arg("--host-resolver-rules=MAP localhost 127.0.0.1")
        .arg(format!("--ignore-certificate-errors-spki-list={}", quic::key_hash(&site.der)))
        .arg(format!("https://localhost:{port}/page"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut browser) = browser else { return eprintln!("no chromium: nothing shown") };
    wait_for("the page to be loaded", || {
        let is_it = |line: &String| line.contains("/page") && line.contains("\"HTTP/3\"");
        proxy.output().iter().any(is_it)
    });
    let _ = browser.kill(); // it may have ended
    let _ = browser.wait();
    assert!(backend.received().iter().any(|request| request.target() == "/page"));
}

#[test]
fn s6_a_connection_that_asks_for_all_it_may_and_takes_nothing_holds_little() {
    const CONNECTIONS: usize = 6;
    let backend = Backend::start(|_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
        reply(stream, vec![b'x'; 200_000]);
        Then::Keep
    });
    let site = Site::new();
    // One, so that all that it keeps for itself is there before it is measured.
    let proxy = support::Proxy::start(&format!("{}workers: 1\n", site.config(&[&backend])));
    let cookie = "c".repeat(2000);
    let each = run(async {
        let said = headers(&[&get("/")[..], &[("cookie", cookie.as_str())]].concat());
        let mut held = Vec::new();
        let mut before = 0;
        for connection in 0..2 + CONNECTIONS {
            if connection == 2 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                before = proxy.memory() / 1024; // with what the worker keeps for all
            }
            let client = Raw::new(site.dial_stingy(proxy.addresses[0]).await).await;
            let asked = backend.count();
            let mut streams = Vec::new();
            for _ in 0..100 {
                streams.push(client.send(&said, true).await);
            }
            while backend.count() < asked + 100 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            held.push((client, streams));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        (proxy.memory() / 1024).saturating_sub(before) / CONNECTIONS as u64
    });
    println!("{each} KiB for each connection");
    // What a hundred exchanges cost, and not a hundred blocks and their answers (20 MB).
    assert!(each < 3072, "{each} KiB for each connection");
}
