//! What a client may send (RFC 9112): well-formed requests are forwarded with our own framing,
//! everything ambiguous is refused with a reason, and nothing of it reaches a server.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use support::{Backend, Client, Proxy, simple, with_listener};

/// Sends `request` in one write, at every split in two, and byte by byte; each time the status and
/// reason must be the same, nothing may reach the server, and the connection must be closed.
fn refused(proxy: &Proxy, backend: &Backend, request: &[u8], status: u16, reason: &str) {
    let before = backend.count();
    let mut ways: Vec<Vec<&[u8]>> = vec![vec![request], request.chunks(1).collect()];
    ways.extend((1..request.len()).step_by(7).map(|at| vec![&request[..at], &request[at..]]));
    for way in ways {
        let mut client = proxy.connect();
        for piece in &way {
            if !client.try_send(piece) {
                break;
            }
        }
        let response = client.response();
        let shown = String::from_utf8_lossy(request);
        assert_eq!(
            (response.status, response.reason()),
            (status, reason),
            "{shown:?} in {} pieces",
            way.len()
        );
        assert_eq!(response.field("connection"), Some("close"), "{shown:?}");
        assert!(client.is_closed(), "{shown:?}");
    }
    assert_eq!(
        backend.count(),
        before,
        "{:?} reached the server",
        String::from_utf8_lossy(request)
    );
    // The canary: the next client gets its own answer.
    assert_eq!(proxy.get("/canary").status, 200);
    assert_eq!(backend.received().last().unwrap().target(), "/canary");
}

fn table(rows: &[(&str, u16, &str)]) {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    for (request, status, reason) in rows {
        refused(&proxy, &backend, request.as_bytes(), *status, reason);
    }
}

#[test]
fn length_and_coding_together_are_refused() {
    // RFC 9112 §6.1, §6.3 rule 3 (A1)
    table(&[
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "length_and_transfer_coding",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
            400,
            "length_and_transfer_coding",
        ),
    ]);
}

#[test]
fn ambiguous_lengths_are_refused() {
    // RFC 9110 §8.6, RFC 9112 §6.3 rule 5 (A6–A10)
    let rows: Vec<String> = [
        "5\r\nContent-Length: 6",
        "5, 6",
        "5\r\nContent-Length: 5",
        "5, 5",
        "",
        "+5",
        "-0",
        "0x10",
        "1_0",
        "5 5",
        "5;",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999999999999999999",
    ]
    .iter()
    .map(|length| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhello"))
    .collect();
    let rows: Vec<_> = rows.iter().map(|row| (row.as_str(), 400, "bad_content_length")).collect();
    table(&rows);
}

#[test]
fn unknown_and_malformed_codings_are_refused() {
    // RFC 9112 §6.1, §7 (A2–A5)
    let request = |coding: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")
    };
    let unknown: Vec<String> =
        ["xchunked", "identity", "gzip, chunked"].iter().map(|c| request(c)).collect();
    let bad: Vec<String> = [
        "chunked, identity",
        ",chunked",
        "chunked,",
        "",
        "\"chunked\"",
        "Chunked;x=1",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
    ]
    .iter()
    .map(|c| request(c))
    .collect();
    let mut rows: Vec<_> =
        unknown.iter().map(|row| (row.as_str(), 501, "unknown_transfer_coding")).collect();
    rows.extend(bad.iter().map(|row| (row.as_str(), 400, "bad_transfer_coding")));
    rows.push((
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_transfer_coding",
    ));
    table(&rows);
}

#[test]
fn malformed_lines_and_fields_are_refused() {
    // RFC 9112 §2.2, §3, §5 (C1–C14)
    table(&[
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bad_line_end"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bad_line_end"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "bad_field_value"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "bad_field_value"),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, "bad_field_name"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : v\r\n\r\n", 400, "bad_field_name"),
        ("GET / HTTP/1.1\r\n X: v\r\nHost: a\r\n\r\n", 400, "folded_field"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, "folded_field"),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "bad_field_name"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTran\u{17f}fer-Encoding: chunked\r\n\r\n",
            400,
            "bad_field_name",
        ),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "bad_version"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400, "bad_version"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
        ("GET /\r\n\r\n", 400, "bad_request_line"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, "method_not_allowed"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
        ("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_line_end"),
    ]);
}

#[test]
fn bad_targets_and_hosts_are_refused() {
    // RFC 9112 §3.2, RFC 9110 §7.2 (D1–D8)
    let mut rows: Vec<(String, u16, &str)> = [
        "u@h",
        "h/x",
        "h#",
        "h?",
        "h\\",
        "h h",
        "h:0",
        "h:99999",
        "h:1x",
        "[::1",
        "[::1]x",
        "a.com, b.com",
        "[fe80::1%25eth0]",
    ]
    .iter()
    .map(|host| (format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "bad_host"))
    .collect();
    for (line, reason) in [
        ("GET foo HTTP/1.1", "bad_target"),
        ("GET * HTTP/1.1", "bad_target"),
        ("OPTIONS *x HTTP/1.1", "bad_target"),
        ("GET /a#b HTTP/1.1", "bad_target"),
        ("GET ftp://a/ HTTP/1.1", "bad_target"),
        ("GET http://u@a/ HTTP/1.1", "bad_target"),
        ("GET http://b/ HTTP/1.1", "host_mismatch"),
    ] {
        rows.push((format!("{line}\r\nHost: a\r\n\r\n"), 400, reason));
    }
    rows.push(("GET / HTTP/1.1\r\n\r\n".into(), 400, "bad_host"));
    rows.push(("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400, "bad_host"));
    let rows: Vec<_> = rows.iter().map(|(r, s, w)| (r.as_str(), *s, *w)).collect();
    table(&rows);
}

#[test]
fn connection_may_not_name_framing_and_expectations_must_be_known() {
    // RFC 9110 §7.6.1 (F2), §10.1.1 (G2)
    table(&[
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n", 400, "bad_connection_option"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 0\r\n\r\n",
            400,
            "bad_connection_option",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\nContent-Length: 1\r\n\r\n",
            417,
            "unknown_expectation",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.2.3.4\r\n\r\n",
            400,
            "ambiguous_field_name",
        ),
    ]);
}

#[test]
fn bad_paths_are_refused() {
    // RFC 3986 §2.1, §6.2.2 (E2, E3, E7): these are refused after the head is understood
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    for (path, reason) in [
        ("/a%2fb", "encoded_slash_in_path"),
        ("/a%5Cb", "encoded_slash_in_path"),
        ("/a%zz", "bad_path_escape"),
        ("/a%", "bad_path_escape"),
        ("/a%00", "control_character_in_path"),
        ("/pub/..;/admin", "dot_segment_with_parameter"),
        ("/a\\b", "backslash_in_path"),
    ] {
        let response = proxy.get(path);
        assert_eq!((response.status, response.reason()), (400, reason), "{path}");
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn garbage_is_answered_before_the_head_is_complete() {
    // C18: a TLS handshake on a plain port, something like an HTTP/2 preface
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    for garbage in
        [b"\x16\x03\x01\x02\x00".as_slice(), b"\x00", b" GET", b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n"]
    {
        let mut client = proxy.connect();
        client.send(garbage);
        let response = client.response();
        assert!(matches!(response.status, 400 | 505), "{}", response.status);
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn heads_over_the_limits_are_refused_with_their_own_status() {
    // RFC 9110 §15.5.15, RFC 6585 §5 (C15, C16)
    let backend = Backend::named("only");
    let limits = "    limits: { head: 8KiB, request_line: 2KiB, fields: 20 }\n";
    let proxy = Proxy::start(&with_listener(&[&backend], limits));
    let long = "a".repeat(3000);
    let cases = [
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("X: {long}\r\n").repeat(3)), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(20)), 431),
    ];
    for (request, status) in cases {
        assert_eq!(proxy.ask(request).status, status);
    }
    // Exactly at the limits all is well.
    let fields = "X: y\r\n".repeat(19);
    assert_eq!(proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).status, 200);
    assert_eq!(backend.count(), 1);
}

#[test]
fn an_endless_request_line_is_refused_while_it_arrives() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.try_send("GET /".to_owned() + &"a".repeat(40_000));
    assert_eq!(client.response().status, 414);
}

#[test]
fn a_request_is_forwarded_with_our_own_framing() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let response = proxy.ask("POST /p?q=1 HTTP/1.1\r\nhOsT: Example.com\r\nContent-Length: 0005\r\nX-Two: 2\r\nConnection: close, x-private\r\nX-Private: secret\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\r\nhello");
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), "only");
    let received = backend.only();
    assert_eq!(received.line(), "POST /p?q=1 HTTP/1.1");
    assert_eq!(received.field("content-length"), Some("5"));
    assert_eq!(received.body, b"hello");
    assert_eq!(received.field("host"), Some("Example.com"));
    assert_eq!(received.field("x-two"), Some("2"));
    for gone in ["x-private", "keep-alive", "proxy-connection", "connection"] {
        assert_eq!(received.field(gone), None, "{gone}"); // RFC 9110 §7.6.1 (F1, F3)
    }
}

#[test]
fn chunked_requests_are_decoded_and_chunked_anew() {
    // RFC 9112 §7.1: extensions are not passed on (B10), harmless trailers are (B12)
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;ext=\"a;b\"\r\nhello\r\n06\r\n world\r\n0\r\nX-Checksum: 1\r\nContent-Length: 3\r\nAuthorization: x\r\n\r\n";
    for split in 1..request.len() {
        let mut client = proxy.connect();
        client.send(&request[..split]);
        client.send(&request[split..]);
        assert_eq!(client.response().status, 200, "split at {split}");
    }
    for received in backend.received() {
        assert_eq!(received.field("transfer-encoding"), Some("chunked"));
        assert_eq!(received.field("content-length"), None);
        assert_eq!(received.body, b"hello world");
        let raw = String::from_utf8_lossy(&received.raw).to_lowercase();
        assert!(!raw.contains("ext="), "{raw}");
        assert!(raw.contains("x-checksum: 1\r\n"), "{raw}");
        assert!(!raw.contains("content-length") && !raw.contains("authorization"), "{raw}");
    }
    assert_eq!(backend.count(), request.len() - 1);
}

#[test]
fn malformed_chunks_end_the_exchange_on_both_sides() {
    // RFC 9112 §7.1 (B1–B9, B14–B16)
    for body in [
        "FFFFFFFFFFFFFFFFF\r\n",
        "7FFFFFFFFFFFFFFF\r\nx",
        "0x5\r\nhello",
        "+5\r\nhello",
        " 5\r\nhello",
        "5_0\r\n",
        "\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "1these\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "0\r\nX:POST / HTTP/1.1\r\n bad\r\n\r\n",
    ] {
        let backend = Backend::named("only");
        let proxy = Proxy::start(&simple(&[&backend]));
        let mut client = proxy.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        let response = client.response();
        assert_eq!((response.status, response.reason()), (400, "bad_request_body"), "{body:?}");
        assert!(client.is_closed());
        assert_eq!(backend.count(), 0, "{body:?} was completed at the server");
        assert_eq!(proxy.get("/canary").text(), "only");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    // RFC 9112 §9.3.2 (G11)
    let backend = Backend::start(|request, stream| {
        let body = request.target().to_owned();
        support::reply(
            stream,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        );
        support::Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    let requests: String =
        (0..100).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..100 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
}

#[test]
fn a_pipelined_request_behind_a_body_is_parsed_as_a_request() {
    // A22: more bytes than Content-Length go through the parser
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\nBAD\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400); // C19: both are delivered first
    assert!(client.is_closed());
    let targets: Vec<String> = backend.received().iter().map(|r| r.target().to_owned()).collect();
    assert_eq!(targets, ["/1", "/2"]);
}

#[test]
fn nothing_is_served_after_connection_close() {
    // RFC 9112 §9.6 (G12)
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response().field("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(backend.count(), 1);
}

#[test]
fn http_1_0_clients_are_served_as_they_expect() {
    // RFC 9112 §9.3, §6.1; no chunks for a client that does not know them
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!(response.text(), "hello");
    assert!(client.is_closed());

    let backend = Backend::named("kept");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!(response.field("connection"), Some("keep-alive"));
        assert_eq!(response.text(), "kept");
    }
}

#[test]
fn absolute_and_asterisk_forms_are_understood() {
    // RFC 9112 §3.2.2, §3.2.4 (D5)
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    for (line, target) in [
        ("GET http://a/x?y HTTP/1.1", "/x?y"),
        ("GET http://a HTTP/1.1", "/"),
        ("GET HTTP://A?x=1 HTTP/1.1", "/?x=1"),
        ("OPTIONS * HTTP/1.1", "*"),
    ] {
        let response = proxy.ask(format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!(response.status, 200, "{line}");
        assert_eq!(backend.received().last().unwrap().target(), target, "{line}");
    }
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_body_completes_nothing() {
    // RFC 9112 §8 (A21)
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    client.end();
    assert!(client.rest().is_empty() || backend.count() == 0);
    assert_eq!(backend.count(), 0);
    assert_eq!(proxy.get("/canary").status, 200);
}

#[test]
fn a_client_that_half_closes_still_gets_its_response() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.end();
    assert_eq!(client.response().text(), "only");
}

#[test]
fn a_body_in_a_request_answered_here_is_never_taken_for_a_request() {
    // RFC 9112 §9.3 (A11)
    let backend = Backend::named("only");
    let config = simple(&[&backend]).replace("- to: app", "- { match: { path: /app }, to: app }\n  - { match: { path: /local }, respond: { body: here } }");
    let proxy = Proxy::start(&config);
    let smuggled = "GET /app/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for target in ["/local", "/missing"] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        ));
        let first = client.response();
        assert!(matches!(first.status, 200 | 404));
        // A short body that is here is skipped: the connection lives, and nothing came of it.
        client.send("GET /app/mine HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "only");
    }
    assert!(
        backend.received().iter().all(|r| r.target() == "/app/mine"),
        "{:#?}",
        backend.received()
    );
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(&[&backend], "    limits: { body: 10B }\n"));
    let response = proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world");
    assert_eq!((response.status, response.reason()), (413, "request_body_too_large"));
    let response = proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n");
    assert_eq!((response.status, response.reason()), (413, "request_body_too_large"));
    assert_eq!(backend.count(), 0);
    let response = proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello worl");
    assert_eq!(response.status, 200);
}

#[test]
fn the_client_reads_an_early_refusal_in_full_while_it_still_uploads() {
    // RFC 9112 §9.6 (G13)
    let backend = Backend::named("only");
    let proxy = Proxy::start(&with_listener(&[&backend], "    limits: { body: 1KiB }\n"));
    let mut client: Client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    for _ in 0..20 {
        client.try_send([b'x'; 10_000]);
    }
    let response = client.response();
    assert_eq!(response.status, 413);
    assert!(response.complete);
}
