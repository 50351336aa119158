//! F: what stays between two neighbours, upgrades and tunnels (RFC 9110 §7.6, §7.8).

use std::io::Read;

use evenkeel_tools::oracle::Case;

use crate::stage::{Answer, Stage};
use crate::support::{Backend, Proxy, Then, reply, simple, with_pool};

/// A request that must be refused with this status, and of which nothing may reach the backend.
fn refused<'c>(name: &'c str, bytes: &'c str, statuses: &'c [u16]) -> Case<'c> {
    Case { name, bytes: bytes.as_bytes(), statuses, reach: 0 }
}

/// A request that must be answered by the backend, with this many reaching it.
fn served<'c>(name: &'c str, bytes: &'c str, statuses: &'c [u16], reach: u64) -> Case<'c> {
    Case { name, bytes: bytes.as_bytes(), statuses, reach }
}

#[test]
fn f01_nominated_fields_go_first_and_ours_are_added_after() {
    // RFC 9110 §7.6.1: what the client nominates is its own; what we say is not.
    let backend = Backend::named("only");
    let config = with_pool(&[&backend], "").replace(
        "bind: 127.0.0.1:0\n",
        "bind: 127.0.0.1:0\n    policies: team\n    identity: { forwarded: true, via: edge }\n",
    ) + "policies: { team: { fields: { request: { set: { x-team: blue } } } } }\n";
    let proxy = Proxy::start(&config);
    let response = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Forwarded-For, x-forwarded-proto, X-FORWARDED-HOST, X-Real-Ip, Forwarded, X-Request-Id, Via, X-Team, Authorization\r\nConnection: X-Other\r\nAuthorization: Basic eDp5\r\nX-Other: 1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Team: red\r\n\r\n");
    assert_eq!(response.status, 200);
    let received = backend.only();
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a"),
        ("x-real-ip", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;proto=http;host=\"a\""),
        ("via", "1.1 edge"),
        ("x-team", "blue"),
    ] {
        assert_eq!(received.field(name), Some(value), "{name}");
    }
    assert!(received.field("x-request-id").is_some());
    for gone in ["authorization", "x-other", "connection"] {
        assert_eq!(received.field(gone), None, "{gone}");
    }
}

#[test]
fn f02_connection_may_not_nominate_framing_or_host() {
    // RFC 9110 §7.6.1: fields that all recipients need are never options.
    let post = "Content-Length: 5\r\n\r\nhello";
    Stage::new().judge(&[
        refused("length", &format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\n{post}"), &[400]),
        refused("length in a list", &format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close, content-LENGTH\r\n{post}"), &[400]),
        refused("length in a second line", &format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: x,content-length\r\n{post}"), &[400]),
        refused("coding", "POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
        refused("host", "GET / HTTP/1.1\r\nHost: a\r\nConnection: hOsT\r\n\r\n", &[400]),
        refused("absent length", "GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n", &[400]),
    ]);
}

#[test]
fn f03_fields_of_one_connection_are_not_forwarded() {
    // RFC 9110 §7.6.1, §10.1.4; Appendix C.2.2 of RFC 9112
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let hop_by_hop = [
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "TE: deflate;q=0.5",
        "Upgrade: example/1",
        "Connection: keep-alive",
        "Connection: x-one\r\nX-One: 1",
        "Proxy: http://evil/",
    ];
    for field in hop_by_hop {
        let response = proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
        assert_eq!(response.status, 200, "{field}");
        let received = backend.received().pop().unwrap();
        for line in received.head.lines().skip(2) {
            let name = line.split(':').next().unwrap().to_lowercase();
            assert!(
                name.is_empty() || name.starts_with("x-") && name != "x-one",
                "{field}: {line}"
            );
        }
    }
    // Trailers are welcome beyond us too: said anew, as an option of the next connection.
    proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers, gzip\r\n\r\n");
    let received = backend.received().pop().unwrap();
    assert_eq!(
        (received.field("te"), received.field("connection")),
        (Some("trailers"), Some("te"))
    );
}

const OFFER: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";

#[test]
fn f04_and_f06_what_follows_a_refused_upgrade_is_http() {
    // RFC 9110 §7.8: a tunnel begins with a 101 and with nothing else.
    let behind = "GET /echo/second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let bad = "GET /echo bad\r\n\r\n";
    Stage::new().judge(&[
        served("426", &format!("GET /status/426 HTTP/1.1\r\nHost: a\r\n{OFFER}Sec-WebSocket-Version: 99\r\n\r\n{behind}"), &[426], 2),
        served("200", &format!("GET /echo HTTP/1.1\r\nHost: a\r\n{OFFER}\r\n{behind}"), &[200], 2),
        served("200 and no request", &format!("GET /echo HTTP/1.1\r\nHost: a\r\n{OFFER}\r\n{bad}"), &[200], 1),
        served("frames", &format!("GET /status/400 HTTP/1.1\r\nHost: a\r\n{OFFER}\r\n\u{1}\u{2}\u{3}{behind}"), &[400], 1),
    ]);
}

#[test]
fn f05_f11_and_f12_connect_and_trace_are_refused_with_all_that_follows() {
    // RFC 9110 §9.3.6, §9.3.8: early bytes of a tunnel that never stands are nobody's.
    let early = "GET /echo/early HTTP/1.1\r\nHost: a\r\n\r\n";
    Stage::new().judge(&[
        refused(
            "early bytes",
            &format!("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n{early}"),
            &[405],
        ),
        refused(
            "with a body",
            &format!(
                "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\nabc{early}"
            ),
            &[405],
        ),
        refused("of 1.0", &format!("CONNECT a:443 HTTP/1.0\r\n\r\n{early}"), &[405]),
        refused("of a path", &format!("CONNECT /echo HTTP/1.1\r\nHost: a\r\n\r\n{early}"), &[405]),
        refused("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n", &[405]),
        refused(
            "TRACE with a body",
            &format!("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc{early}"),
            &[405],
        ),
    ]);
}

#[test]
fn f07_a_server_switches_only_to_what_was_offered_and_only_if_asked() {
    // RFC 9110 §7.8, §15.2.2
    let stage = Stage::new();
    let websocket = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    Answer::refused("unasked", websocket).judge(&stage);
    Answer::refused("unnamed", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n")
        .to("GET", OFFER)
        .judge(&stage);
    for (name, bytes) in [
        ("other", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        ("one more", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket, x\r\n\r\n"),
        (
            "two lines",
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n",
        ),
        ("nothing", "HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n"),
        ("by 1.0", "HTTP/1.0 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ] {
        Answer::refused(name, bytes).to("GET", OFFER).judge(&stage);
    }
    // The offer of an HTTP/1.0 client is none.
    let old = "HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let hex: String = websocket.bytes().map(|byte| format!("{byte:02x}")).collect();
    let response = stage.proxy.ask(format!("GET /raw/whole/keep/{hex} {old}"));
    assert_eq!((response.status, response.reason()), (502, "bad_response"));
    stage.canary("1.0");
}

#[test]
fn f08_f09_and_f10_upgrades_past_the_rules_are_not_offered() {
    // RFC 9113 §3.1, RFC 9110 §7.8, RFC 2817: h2c and TLS would speak HTTP where nobody looks.
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    for (fields, body) in [
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", ""),
        (
            "Connection: Upgrade\r\nConnection: HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABk\r\n",
            "",
        ),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", ""),
        ("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", ""),
        ("Connection: Upgrade\r\nUpgrade: websocket,,h2c\r\n", ""),
        ("Connection: Upgrade\r\nUpgrade: h2c/1\r\n", ""),
        ("Connection: Upgrade\r\nUpgrade: h2\r\n", ""),
        ("HTTP2-Settings: AAMAAABk\r\n", ""),
        ("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", ""),
        ("Connection: Upgrade\r\nUpgrade: tls/1.2, HTTP/1.1\r\n", ""),
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", "abc"),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
    ] {
        let response = proxy.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}"));
        assert_eq!(response.status, 200, "{fields}");
        let received = backend.received().pop().unwrap();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(received.field(name), None, "{fields}");
        }
    }
    let behind = "GET /echo/second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    Stage::new().judge(&[
        served("h2c", &format!("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n{behind}"), &[200], 2),
        served("h2c and its preface", "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[200], 1),
        served("a body", &format!("POST /echo HTTP/1.1\r\nHost: a\r\n{OFFER}Content-Length: 3\r\n\r\nabc{behind}"), &[200], 2),
    ]);
}

#[test]
fn f14_a_tunnel_carries_the_end_of_either_side_and_what_the_other_still_sends() {
    // RFC 9110 §7.8: the server ends first, the client goes on; nothing is lost.
    let (told, heard) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let backend = Backend::on_head(move |_, stream| {
        reply(
            stream,
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nlast words",
        );
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        told.lock().unwrap().send(all).unwrap();
        Then::Close
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{OFFER}\r\n"));
    assert_eq!(client.response().status, 101);
    assert_eq!(client.rest(), b"last words", "and then the server's end");
    let sent = vec![b'x'; 300_000];
    client.send(&sent);
    client.end();
    let received = heard.recv_timeout(crate::support::LIMIT).unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}

#[test]
fn f15_a_proxy_routed_to_itself_answers_508_instead_of_asking_itself_for_ever() {
    // RFC 9110 §7.6.3; the client can neither take the count away nor turn it back.
    // An address of its own, so that nobody else happens to have the port.
    let address = format!("127.77.15.1:{}", 20_000 + std::process::id() % 20_000);
    let proxy = Proxy::start(&format!(
        "listeners:\n  web:\n    bind: {address}\nroutes:\n  - to: app\npools:\n  app:\n    servers: [\"{address}\"]\n    retry: {{ attempts: 3 }}\n"
    ));
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", proxy.id())).unwrap().flatten().count();
    let before = descriptors();
    for fields in [
        "",
        "X-Evenkeel-Hops: 0\r\n",
        "X-Evenkeel-Hops: -1\r\nX-Evenkeel-Hops: x\r\n",
        "Connection: close, x-evenkeel-hops\r\n",
        "X-Evenkeel-Hops: 4294967295\r\n",
        "X-Evenkeel-Hops: 99999999999999999999999999\r\n",
    ] {
        let response = proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!((response.status, response.complete), (508, true), "{fields}");
    }
    let opened = descriptors().saturating_sub(before);
    assert!(opened < 6 * 20, "{opened} descriptors for six requests");
}

#[test]
fn f15_proxies_in_a_row_are_no_loop() {
    let backend = Backend::named("only");
    let mut proxies = vec![Proxy::start(&simple(&[&backend]))];
    for _ in 0..3 {
        let next = proxies.last().unwrap().addresses[0];
        let config = simple(&[&backend]).replace(&backend.address.to_string(), &next.to_string());
        proxies.push(Proxy::start(&config));
    }
    assert_eq!(proxies.last().unwrap().get("/").text(), "only");
    assert_eq!(backend.only().field("x-evenkeel-hops"), Some("4"));
}
