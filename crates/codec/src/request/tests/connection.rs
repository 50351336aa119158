//! F, G. `Connection`, upgrades, expectations (RFC 9110 §7.6.1, §7.8, §10.1.1).

use super::*;

#[test]
fn f1_fields_named_by_connection_are_hop_by_hop() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX-Real-Ip: 1\r\nA: b\r\nA: c\r\nKeep: d\r\n\
        Connection: close, X-Real-IP, a\r\nconnection: ,Nobody,\r\n\r\n";
    let head = parse(input).unwrap();
    let hops: Vec<_> =
        head.fields.iter().filter(|f| f.hop_by_hop).map(|f| f.value.of(input)).collect();
    let expected: [&[u8]; 5] = [b"1", b"b", b"c", b"close, X-Real-IP, a", b",Nobody,"];
    assert_eq!(hops, expected);
    assert!(!head.persistent);
}

#[test]
fn f2_connection_must_not_name_framing_or_routing() {
    for name in ["Transfer-Encoding", "content-length", "HOST"] {
        let error = post(&[&format!("Connection: close, {name}")]).unwrap_err();
        assert_eq!(error, RequestError::BadConnection);
    }
    for value in ["a b", "\"close\"", "close;x", "(", &"a,".repeat(33)] {
        refused(with(&[&format!("Connection: {value}")]), 400);
    }
}

#[test]
fn f3_connection_specific_fields_are_hop_by_hop() {
    for name in [
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Upgrade",
        "Connection",
        "Transfer-Encoding",
        "HTTP2-Settings",
        "Proxy",
    ] {
        let value = if name == "Transfer-Encoding" { "chunked" } else { "x" };
        let head = post(&[&format!("{name}: {value}")]).unwrap();
        assert!(head.fields[1].hop_by_hop, "{name}");
    }
    let head = post(&["Trailer: x", "Content-Length: 1", "Expect: 100-continue"]).unwrap();
    assert!(head.fields.iter().all(|field| !field.hop_by_hop));
}

#[test]
fn f8_to_f10_only_a_tunnel_is_an_upgrade() {
    let upgrade = |lines: &[&str]| with(lines).unwrap().upgrade.is_some();
    let named = "Connection: keep-alive, Upgrade";
    for value in ["websocket", "WebSocket", "a/1.0, b"] {
        assert!(upgrade(&[named, &format!("Upgrade: {value}")]), "{value}");
    }
    for value in [
        "h2c",
        "H2C",
        "websocket, h2c",
        "h2",
        "TLS/1.0",
        "tls/1.2, HTTP/1.1",
        "HTTP/2.0",
        "",
        ",",
        "a b",
        "a/",
        "/1",
        "websocket,",
    ] {
        assert!(!upgrade(&[named, &format!("Upgrade: {value}")]), "{value}");
    }
    assert!(!upgrade(&[named, "Upgrade: h2c", "Upgrade: websocket"]));
    assert!(!upgrade(&[named, "Upgrade: websocket", "Upgrade: websocket"]));
    assert!(!upgrade(&["Upgrade: websocket"]), "not named by Connection");
    assert!(!upgrade(&[named]), "named, but absent");
    assert!(!upgrade(&[named, "Upgrade: websocket", "Content-Length: 1"]), "has a body");
    assert!(upgrade(&[named, "Upgrade: websocket", "Content-Length: 0"]));
    let old = request("GET / HTTP/1.0", &[named, "Upgrade: websocket"]).unwrap();
    assert!(old.upgrade.is_none());
}

#[test]
fn f11_and_f12_connect_and_trace_are_not_allowed() {
    refused(start_line("CONNECT a:443 HTTP/1.1"), 405);
    refused(start_line("TRACE / HTTP/1.1"), 405);
    refused(request("CONNECT a:443 HTTP/1.1", &["Content-Length: 5"]), 405);
}

#[test]
fn g2_unknown_expectations_are_417() {
    for value in ["y 100-continue", "100-continue, x", "100-continue,", "", "x", "100-continue;a"] {
        refused(post(&["Content-Length: 1", &format!("Expect: {value}")]), 417);
    }
    refused(post(&["Content-Length: 1", "Expect: 100-continue", "Expect: 100-continue"]), 417);
    assert!(post(&["Content-Length: 1", "Expect: 100-Continue"]).unwrap().expects_continue);
    assert!(post(&["Transfer-Encoding: chunked", "expect:100-continue"]).unwrap().expects_continue);
    assert!(!with(&["Expect: 100-continue"]).unwrap().expects_continue, "no body to wait for");
    assert!(!post(&["Content-Length: 0", "Expect: 100-continue"]).unwrap().expects_continue);
}

#[test]
fn g3_http10_expects_nothing() {
    for value in ["100-continue", "x"] {
        let lines = ["Content-Length: 1", &format!("Expect: {value}")];
        assert!(!request("POST / HTTP/1.0", &lines).unwrap().expects_continue);
    }
}

#[test]
fn persistence_is_the_versions_default_unless_connection_says_otherwise() {
    for (version, connection, persistent) in [
        ("1.1", "", true),
        ("1.1", "keep-alive", true),
        ("1.1", "x, CLOSE", false),
        ("1.1", "keep-alive, close", false),
        ("1.0", "", false),
        ("1.0", "Keep-Alive", true),
        ("1.0", "keep-alive, close", false),
    ] {
        let start = format!("GET / HTTP/{version}");
        let head = request(&start, &[&format!("Connection: {connection}")]).unwrap();
        assert_eq!(head.persistent, persistent, "{version} {connection}");
    }
}

#[test]
fn a_request_is_the_last_if_the_client_says_so_and_its_end_is_known() {
    // RFC 9112 §9.6; what follows an old POST without length may be meant as its body (§6.3)
    for (start, connection, last) in [
        ("GET / HTTP/1.1", "", false),
        ("GET / HTTP/1.1", "close", true),
        ("POST / HTTP/1.1", "close", true),
        ("GET / HTTP/1.0", "", true),
        ("GET / HTTP/1.0", "keep-alive", false),
        ("POST / HTTP/1.0", "", false),
        ("POST / HTTP/1.0", "keep-alive", false),
    ] {
        let head = request(start, &[&format!("Connection: {connection}")]).unwrap();
        assert_eq!(head.last, last, "{start} {connection}");
        assert!(!(head.last && head.persistent), "{start} {connection}");
    }
}

#[test]
fn te_trailers_is_seen_among_others() {
    for (value, welcome) in
        [("trailers", true), ("gzip, Trailers", true), ("gzip", false), ("trailersx", false)]
    {
        assert_eq!(with(&[&format!("TE: {value}")]).unwrap().te_trailers, welcome);
    }
    assert!(with(&["TE: gzip", "TE: trailers"]).unwrap().te_trailers);
}
