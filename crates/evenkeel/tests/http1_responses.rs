//! What a server may answer (RFC 9112): framing, interim responses, early answers, and what a
//! broken or hostile server cannot do to a client.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Backend, Gate, Proxy, Then, reply, simple, wait_for, with_pool};

fn relayed(response: &str) -> support::Response {
    let backend = Backend::replying(response);
    let proxy = Proxy::start(&simple(&[&backend]));
    proxy.get("/")
}

#[test]
fn bodies_of_every_framing_arrive_whole() {
    // RFC 9112 §6.3
    let exact = relayed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((exact.text().as_str(), exact.field("content-length")), ("hello", Some("5")));

    let chunked = relayed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!((chunked.text().as_str(), chunked.complete), ("hello world", true));
    assert_eq!(chunked.trailers.to_lowercase(), "x-sum: 1\r\n");

    let backend = Backend::start(|_, stream| {
        reply(stream, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
        Then::Close
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    for _ in 0..2 {
        // H3: chunked for the client, whose connection is kept.
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert_eq!(response.field("transfer-encoding"), Some("chunked"));
        assert_eq!((response.text().as_str(), response.complete), ("until the end", true));
    }
}

#[test]
fn large_bodies_arrive_whole_in_both_directions() {
    let backend = Backend::start(|request, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        reply(stream, head);
        reply(stream, &request.body);
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    for size in [1, 16_383, 16_384, 49_151, 49_152, 100_000, 5_000_000] {
        let body: Vec<u8> =
            (0..size).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut client = proxy.connect();
        let mut writer = client.stream.try_clone().unwrap();
        let sent = body.clone();
        let upload = std::thread::spawn(move || {
            writer
                .write_all(
                    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
                        .as_bytes(),
                )
                .unwrap();
            writer.write_all(&sent).unwrap();
        });
        let response = client.response();
        upload.join().unwrap();
        assert!(response.body == body, "{size} bytes came back different");
    }
}

#[test]
fn messages_without_content_have_none() {
    // RFC 9112 §6.3 rule 1 (H10)
    let backend = Backend::start(|request, stream| {
        let status = if request.target() == "/204" {
            "204 No Content"
        } else if request.target() == "/304" {
            "304 Not Modified"
        } else {
            "200 OK"
        };
        reply(stream, format!("HTTP/1.1 {status}\r\nContent-Length: 10\r\n\r\n"));
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to("HEAD").field("content-length"), Some("10"));
    client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().field("content-length"), None); // RFC 9110 §8.6
    client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 304);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);
}

#[test]
fn malformed_responses_become_502() {
    // RFC 9112 §4, §5, §6.3 (H1, H5–H7)
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20x OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 65736 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "<html>hello</html>",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let answer = relayed(response);
        assert_eq!((answer.status, answer.reason()), (502, "bad_response"), "{response:?}");
    }
}

#[test]
fn a_response_that_ends_early_is_never_a_clean_end() {
    // RFC 9112 §8 (H2)
    for (response, chunked) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", true),
    ] {
        let backend = Backend::start(move |_, stream| {
            reply(stream, response);
            Then::Close
        });
        let proxy = Proxy::start(&simple(&[&backend]));
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.field("transfer-encoding").is_some(), chunked);
        assert_eq!((answer.text().as_str(), answer.complete), ("half", false), "{response:?}");
    }
}

#[test]
fn a_response_that_breaks_a_rule_before_anything_was_passed_on_becomes_502() {
    let answer = relayed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfXX");
    assert_eq!((answer.status, answer.reason()), (502, "response_truncated"));
}

#[test]
fn an_http_1_0_client_learns_of_a_cut_off_by_a_reset() {
    // It has no other way to tell (RFC 9112 §8)
    let arrived = Gate::default();
    let gate = arrived.clone();
    let backend = Backend::start(move |_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        gate.pass();
        Then::Close
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.bytes(12), b"HTTP/1.1 200");
    arrived.open();
    let mut all = Vec::new();
    let error = client.stream.read_to_end(&mut all).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn bytes_beyond_a_response_are_nobodys() {
    // RFC 9112 §9.2, response queue poisoning (G7, G8)
    let backend = Backend::start(|request, stream| {
        reply(
            stream,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen {}",
                request.turn
            ),
        );
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    for _ in 0..5 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    assert_eq!(backend.connections(), 5, "such a connection must not be used again");
}

#[test]
fn bytes_on_an_idle_connection_are_nobodys() {
    // G7: they arrive later, while the connection is kept
    let sent = Arc::<AtomicUsize>::default();
    let count = sent.clone();
    let backend = Backend::start(move |_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        std::thread::sleep(Duration::from_millis(30));
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen");
        count.fetch_add(1, Ordering::SeqCst);
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    for n in 1..=3 {
        assert_eq!(proxy.get("/").text(), "ok");
        wait_for("more than was asked for", || sent.load(Ordering::SeqCst) == n);
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn interim_responses_are_passed_on_in_bounded_number() {
    // RFC 9110 §15.2 (G4)
    let backend = Backend::start(|request, stream| {
        let many = request.target() == "/many";
        for _ in 0..if many { 1000 } else { 2 } {
            reply(stream, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        let hint = client.response();
        assert_eq!((hint.status, hint.field("link")), (103, Some("</a.css>")));
    }
    assert_eq!(client.response().text(), "ok");
    // An HTTP/1.0 client is not shown any.
    assert_eq!(proxy.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").status, 200);
    let mut client = proxy.connect();
    client.send("GET /many HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = std::iter::repeat_with(|| client.response()).find(|r| r.status != 103).unwrap();
    assert_eq!(last.status, 502);
}

#[test]
fn a_client_that_expects_100_gets_it_from_the_server() {
    // RFC 9110 §10.1.1
    let backend = Backend::on_head(|_, stream| {
        reply(stream, "HTTP/1.1 100 Continue\r\n\r\n");
        let mut body = [0; 5];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"hello");
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "ok");
    assert_eq!(backend.only().field("expect"), Some("100-continue"));
}

#[test]
fn a_refusal_instead_of_100_is_final() {
    // G1: the body is not sent, the connection to the server is not used again
    let backend = Backend::on_head(|_, stream| {
        reply(stream, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    for n in 1..=2 {
        let mut client = proxy.connect();
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        );
        let response = client.response();
        assert_eq!((response.status, response.field("connection")), (401, Some("close")));
        assert_eq!(backend.connections(), n);
    }
}

#[test]
fn an_early_response_is_passed_on_while_the_request_is_still_sent() {
    // G6: a full 413 before the body was read
    let backend = Backend::on_head(|_, stream| {
        reply(stream, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    assert_eq!(proxy.get("/next").status, 413);
    assert_eq!(
        backend.connections(),
        2,
        "a server that was not given its whole request is not reused"
    );
}

#[test]
fn both_directions_stream_at_the_same_time() {
    let backend = Backend::on_head(|_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut byte = [0; 1];
        for _ in 0..5 {
            // The request arrives in chunks of one byte; each is echoed before the next is sent.
            let mut line = [0; 3];
            stream.read_exact(&mut line).unwrap();
            assert_eq!(&line, b"1\r\n");
            stream.read_exact(&mut byte).unwrap();
            stream.read_exact(&mut line[..2]).unwrap();
            reply(stream, [b"1\r\n", byte.as_slice(), b"\r\n"].concat());
        }
        reply(stream, "0\r\n\r\n");
        Then::Close
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1));
    }
    for letter in *b"hello" {
        client.send([b"1\r\n", [letter].as_slice(), b"\r\n"].concat());
        assert_eq!(client.bytes(6), [b"1\r\n", [letter].as_slice(), b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.bytes(5), b"0\r\n\r\n");
}

#[test]
fn a_slow_reader_stops_the_server_instead_of_filling_memory() {
    // Backpressure: 200 MB offered, nothing taken
    let backend = Backend::start(|_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
        for _ in 0..3200 {
            if stream.write_all(&chunk).is_err() {
                break;
            }
        }
        Then::Close
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let before = proxy.memory();
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let mut client = proxy.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "grew by {grown} bytes");
    drop(clients);
}

#[test]
fn hop_by_hop_fields_and_our_own_stop_here() {
    let response = relayed(
        "HTTP/1.1 200 Whatever\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Evenkeel-Reason: forged\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(response.head.starts_with("HTTP/1.1 200 OK\r\n"));
    for gone in ["x-hop", "keep-alive", "x-evenkeel-reason"] {
        assert_eq!(response.field(gone), None, "{gone}");
    }
    assert_eq!(response.field("x-kept"), Some("1"));
    assert!(response.field("date").is_some(), "RFC 9110 §6.6.1");
}

#[test]
fn upgrades_become_tunnels_with_half_close() {
    // RFC 9110 §7.8 (F4, F14)
    let backend = Backend::on_head(|request, stream| {
        assert_eq!(request.field("upgrade"), Some("websocket"));
        assert_eq!(request.field("connection"), Some("upgrade"));
        reply(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst",
        );
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap(); // until the client's FIN
        reply(stream, all.iter().rev().copied().collect::<Vec<_>>());
        Then::Close
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
    let response = client.response();
    assert_eq!((response.status, response.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.bytes(5), b"first");
    client.send(" late");
    client.end();
    assert_eq!(client.rest(), b"etal ylrae");
}

#[test]
fn a_refused_upgrade_leaves_an_ordinary_connection() {
    // F4, F6: what follows is parsed as HTTP
    let backend = Backend::replying("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 426);
    assert_eq!(client.response().status, 426);
    assert_eq!(backend.received()[1].target(), "/2");
}

#[test]
fn upgrades_that_would_smuggle_are_not_offered() {
    // RFC 9113 §3.1 (F8–F10)
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n",
    ] {
        let body = if fields.contains("Content-Length") { "abc" } else { "" };
        let response = proxy.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}"));
        assert_eq!(response.status, 200, "{fields}");
        let received = backend.received().pop().unwrap();
        assert_eq!(
            (received.field("upgrade"), received.field("http2-settings")),
            (None, None),
            "{fields}"
        );
    }
}

#[test]
fn an_idle_tunnel_ends_after_its_own_timeout() {
    let backend = Backend::on_head(|_, stream| {
        reply(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        );
        let _ = stream.read(&mut [0; 1]);
        Then::Close
    });
    let proxy = Proxy::start(&with_pool(&[&backend], "    timeouts: { tunnel: 150ms }\n"));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response().status, 101);
    assert!(client.is_closed());
}

#[test]
fn a_server_may_not_switch_to_what_was_not_offered() {
    // RFC 9110 §7.8 (F7)
    let backend = Backend::replying(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
    );
    let proxy = Proxy::start(&simple(&[&backend]));
    let response =
        proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!((response.status, response.reason()), (502, "bad_response"));
}
