//! Group C, the request line: version, method, spaces, length, and what comes before it (RFC 9112
//! §2.2, §2.3, §3).

use std::time::Duration;

use evenkeel_tools::row::Row;

use crate::support::{Backend, Proxy, with_listener};
use crate::{Setting, judge, judge_with};

/// A request that begins with this line.
fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_versions() {
    // RFC 9112 §2.3; RFC 9110 §15.6.6
    let bad = [
        "HTTP/1.10",
        "HTTP/01.1",
        "http/1.1",
        "HTTP/4294967297.1",
        "HTTP/1.4294967297",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1,1",
        "HTTP/-1.1",
        "HTTP/1.1\t",
        "HTTPS/1.1",
        "XTTP/1.1",
        "HTTP 1.1",
        "",
    ];
    let bad = bad.map(|version| {
        let spaces = version.contains(' ');
        let reason = if spaces { "bad_request_line" } else { "bad_version" };
        Row::refused(line(format!("GET / {version}")), 400, reason)
    });
    let two = ["HTTP/1.1 x", "HTTP/1.1 "]
        .map(|version| Row::refused(line(format!("GET / {version}")), 400, "bad_request_line"));
    let others = ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"].map(|version| {
        Row::refused(line(format!("GET / {version}")), 505, "version_not_supported")
    });
    let later = Row::forwarded(line("GET / HTTP/1.2"))
        .and("it is ours from here on", |seen| seen.line() == "GET / HTTP/1.1");
    judge(bad.into_iter().chain(two).chain(others).chain([later])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c12_requests_without_version() {
    // RFC 9112 §C.1: HTTP/0.9
    judge(
        [
            "GET /\r\n",
            "GET /\r\n\r\n",
            "GET / \r\n\r\n",
            "GET\r\n\r\n",
            "/\r\n\r\n",
            "GET  \r\n\r\n",
        ]
        .map(|row| {
            let reason = match row {
                "GET / \r\n\r\n" => "bad_version",
                _ => "bad_request_line",
            };
            Row::refused(row, 400, reason)
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_methods() {
    // RFC 9112 §3.1, RFC 9110 §9.1: case counts, and who folds it sees another method
    let bad = ["G@T", "GE\"T", "GET,", "G[T]", "G\u{c4}T", "get", "Get", "gET", "PoST", "A:"];
    let bad =
        bad.map(|method| Row::refused(line(format!("{method} / HTTP/1.1")), 400, "bad_method"));
    let begins = ["(GET", "[GET]", "@", "\u{c4}"]
        .map(|method| Row::refused(line(format!("{method} / HTTP/1.1")), 400, "bad_request_line"));
    let long = Row::refused(line(format!("{} / HTTP/1.1", "A".repeat(37))), 400, "bad_method");
    let endless = line(format!("{} / HTTP/1.1", "A".repeat(64 * 1024)));
    let endless = Row::refused(endless, 414, "request_line_too_long");
    let tunnels = ["CONNECT a:80", "CONNECT /", "TRACE /"]
        .map(|begin| Row::refused(line(format!("{begin} HTTP/1.1")), 405, "method_not_allowed"));
    let unknown = ["PURGE", "M-SEARCH", "FOO!", "BREW", "GETX", "GE", "X"].map(|method| {
        let sent = format!("{method} / HTTP/1.1");
        Row::forwarded(line(&sent)).and("it is as it was", move |seen| seen.line() == sent)
    });
    let rows = bad.into_iter().chain(begins).chain([long, endless]).chain(tunnels).chain(unknown);
    judge(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_spaces() {
    // RFC 9112 §3: "recipients MAY instead parse on whitespace-delimited word boundaries"; we do not
    let lines = [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/\tHTTP/1.1",
        "GET\x0b/ HTTP/1.1",
        "GET /\x0c HTTP/1.1",
        " GET / HTTP/1.1",
        "\tGET / HTTP/1.1",
    ];
    let lines = lines.map(|begin| Row::refused(line(begin), 400, "bad_request_line"));
    let tab = ["GET\t/ HTTP/1.1", "GET /\tHTTP/1.1"];
    let tab = tab.map(|begin| Row::refused(line(begin), 400, "bad_request_line"));
    let inside = [
        ("GET /a\tb HTTP/1.1", "bad_target"),
        ("GET /a\u{a0}b HTTP/1.1", "bad_target"),
        ("GET\t /a HTTP/1.1", "bad_method"),
        ("GET / \tHTTP/1.1", "bad_version"),
    ];
    let inside = inside.map(|(begin, reason)| Row::refused(line(begin), 400, reason));
    judge(lines.into_iter().chain(tab).chain(inside)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c15_too_long_for_a_line_or_for_a_head() {
    // RFC 9110 §15.5.15: 414; RFC 6585 §5: 431
    let limits = ", limits: { request_line: 1KiB, head: 2KiB }";
    let setting = Setting { listener: limits, ..Setting::default() };
    // "GET /", the target's rest, " HTTP/1.1": CR and LF count too.
    let target = |length: usize| line(format!("GET /{} HTTP/1.1", "a".repeat(length - 16)));
    let fields = |length: usize| {
        let begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4))
    };
    judge_with(
        &setting,
        [
            Row::forwarded(target(1024)),
            Row::refused(target(1025), 414, "request_line_too_long"),
            Row::refused(target(5000), 414, "request_line_too_long"),
            Row::refused(format!("GET /{}", "a".repeat(5000)), 414, "request_line_too_long"),
            Row::forwarded(fields(2048)),
            Row::refused(fields(2049), 431, "request_head_too_large"),
            Row::refused(fields(9000), 431, "request_head_too_large"),
            Row::refused(
                line(format!("GET / HTTP/1.1\r\n{}: y", "X".repeat(9000))),
                431,
                "request_head_too_large",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c17_empty_lines_before_a_request() {
    // RFC 9112 §2.2: at least one is ignored; two are, more are not
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let few = [1, 2].map(|count| Row::forwarded("\r\n".repeat(count) + request));
    let many = [3, 4, 100, 10_000]
        .map(|count| Row::refused("\r\n".repeat(count) + request, 400, "bad_line_end"));
    let mut between = Row::forwarded(request.to_owned() + "\r\n\r\n" + request);
    (between.reach, between.then) = (2, Some(vec![200]));
    judge(few.into_iter().chain(many).chain([between])).await;
}

#[test]
fn c17_the_time_for_a_head_runs_from_the_accept() {
    let backend = Backend::named("only");
    let timeouts = "    timeouts: { head: 6s, head_rate_min: 0 }\n";
    let proxy = Proxy::start(&with_listener(&[&backend], timeouts));
    let mut first = proxy.connect();
    std::thread::sleep(Duration::from_secs(3)); // what the rule is about
    let mut second = proxy.connect();
    for client in [&mut first, &mut second] {
        client.send("\r\n");
    }
    // From the empty line both would have as long; from the accept the first is long out of time.
    assert_eq!(first.response().status, 408);
    second.stream.set_nonblocking(true).unwrap();
    assert!(second.stream.peek(&mut [0]).is_err(), "it has three seconds more");
    second.stream.set_nonblocking(false).unwrap();
    assert_eq!(second.response().status, 408);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c18_other_protocols() {
    // RFC 9113 §3.4: what only begins like HTTP/2; a TLS handshake on a plain port
    let preface = Row::refused("PRI * HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_not_supported");
    let other = Row::refused("PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", 505, "version_not_supported");
    let hello =
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let garbage = [&hello[..], b"\x16\x03\x01", b"\x80\x2e\x01\x00\x02", b"SSH-2.0-x\r\n", b"\x00"];
    let garbage = garbage.map(|bytes| Row::refused(bytes, 400, "bad_request_line"));
    judge(garbage.into_iter().chain([preface, other])).await;
}
