//! Group A: `Content-Length` and `Transfer-Encoding` (RFC 9110 §8.6; RFC 9112 §6, §11.2).
//!
//! Elsewhere: A14 and A16 belong to HTTP/2, A15 to HTTP/3.

use evenkeel_tools::row::Row;

use crate::support::{Backend, Proxy, Then, reply, simple};
use crate::{Setting, judge, judge_with};

/// A POST with these field lines and this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

/// A POST with this `Transfer-Encoding` and an empty chunked body.
fn coded(coding: &[u8]) -> Vec<u8> {
    let (begin, end) = ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:", "\r\n\r\n0\r\n\r\n");
    [begin.as_bytes(), coding, end.as_bytes()].concat()
}

fn refused_length(length: &str) -> Row {
    let row = post(&format!("Content-Length: {length}"), "hello");
    Row::refused(row, 400, "bad_content_length")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a01_length_and_coding() {
    // RFC 9112 §6.1, §6.3 rule 3
    judge(
        [
            ("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nG"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 6", "0\r\n\r\nG"),
            ("Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
            ("Content-Length:\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
            ("Content-Length: 5\r\nTransfer-Encoding: xchunked", "hello"),
            ("CONTENT-LENGTH: 5\r\ntransfer-encoding:chunked", "0\r\n\r\n"),
        ]
        .map(|(fields, body)| Row::refused(post(fields, body), 400, "length_and_transfer_coding")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a02_other_codings() {
    // RFC 9112 §6.1, §6.3 rule 4, §7: in good order but unknown is 501, anything else 400
    let unknown: [&[u8]; 4] = [b" xchunked", b" identity", b" gzip, chunked", b" gzip"];
    let bad: [&[u8]; 7] = [
        b" chunked, identity",
        b" chunked\x85",
        b" \xa0chunked",
        b" \"chunked\"",
        b" Chunked;x=1",
        b" chunked chunked",
        b" chunked\xef\xbc\x8c",
    ];
    let control: [&[u8]; 3] = [b" \x0bchunked", b" chunked\x0c", b" chun\0ked"];
    let rows = unknown.iter().map(|c| Row::refused(coded(c), 501, "unknown_transfer_coding"));
    let rows = rows.chain(bad.iter().map(|c| Row::refused(coded(c), 400, "bad_transfer_coding")));
    let control = control.iter().map(|c| Row::refused(coded(c), 400, "bad_field_value"));
    judge(rows.chain(control)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_chunked_twice() {
    // RFC 9112 §6.1
    let codings: [&[u8]; 4] = [
        b" chunked, chunked",
        b" chunked\r\nTransfer-Encoding: chunked",
        b" chunked\r\ntransfer-encoding: identity",
        b" gzip\r\nTransfer-Encoding: chunked",
    ];
    judge(codings.iter().map(|c| Row::refused(coded(c), 400, "bad_transfer_coding"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a04_empty_members_of_the_coding() {
    // RFC 9110 §5.6.1 lets a recipient ignore them; we do not
    let codings: [&[u8]; 6] = [b" ,chunked", b" chunked,", b" chunked ,", b" ,", b"", b" \t "];
    judge(codings.iter().map(|c| Row::refused(coded(c), 400, "bad_transfer_coding"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a05_coding_on_http_1_0() {
    // RFC 9112 §6.1
    judge(
        [
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ]
        .map(|row| Row::refused(row, 400, "bad_transfer_coding")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a06_two_differing_lengths() {
    // RFC 9112 §6.3 rule 5
    judge(["5\r\nContent-Length: 6", "5, 6", "0\r\nX: y\r\ncontent-length: 5"].map(refused_length))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_two_equal_lengths() {
    // RFC 9112 §6.3 rule 5 lets a recipient take one of them; we do not
    judge(["5\r\nContent-Length: 5", "5, 5", "5,5", "5,"].map(refused_length)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a08_empty_length() {
    // RFC 9110 §8.6
    judge(["", " \t", "\r\nContent-Length: 5", "5\r\nContent-Length:"].map(refused_length)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a09_a_length_is_digits() {
    // RFC 9110 §8.6
    let bad = ["+5", "-0", "-5", "0x10", "1_0", "5 5", "5;", "\"5\"", "5.0", "5e0", "０５", "٥"];
    let zeros = Row::forwarded(post("Content-Length: 0005", "hello"))
        .and("the length is written anew", |seen| seen.has("content-length", "5"))
        .and("the body is the body", |seen| seen.content() == "hello");
    judge(bad.map(refused_length).into_iter().chain([zeros])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_lengths_that_wrap() {
    // RFC 9110 §8.6, §17.5
    let wrapping = [
        "9223372036854775808",  // 2^63
        "18446744073709551615", // 2^64 - 1
        "18446744073709551616",
        "18446744073709551617",
        "18446744073709551621",
        "10000000000000000000000000000000000000000",
    ];
    let setting = Setting { listener: ", limits: { body: 1MiB }", ..Setting::default() };
    let long = post("Content-Length: 9223372036854775807", "hello");
    let long = Row::refused(long, 413, "request_body_too_large");
    judge_with(&setting, wrapping.map(refused_length).into_iter().chain([long])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_body_of_a_request_that_is_answered_here() {
    // RFC 9112 §9.3, §9.6: skipped or the connection closed; never taken for a request
    let setting = Setting {
        routes: [
            "  - { match: { path: /local }, respond: { body: here } }\n",
            "  - { match: { path: /denied }, respond: { status: 403, body: no } }\n",
            "  - { match: { path: /moved }, redirect: \"http://b${path}\" }\n",
        ]
        .concat(),
        matching: ", not: { path: /none }",
        ..Setting::default()
    };
    let smuggled = "GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut rows = Vec::new();
    for (path, status, reason) in
        [("/local", 200, ""), ("/denied", 403, ""), ("/moved", 308, ""), ("/none", 404, "no_route")]
    {
        let begin = format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
        let length = smuggled.len();
        let mut row =
            Row::new(format!("{begin}Content-Length: {length}\r\n\r\n{smuggled}"), status);
        row.reason = reason.into();
        rows.push(row);
        let chunk = format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n");
        let mut row = Row::new(format!("{begin}Transfer-Encoding: chunked\r\n\r\n{chunk}"), status);
        row.reason = reason.into();
        row.closes = true; // it was not received
        rows.push(row);
        let mut row = Row::new(format!("{begin}Content-Length: 9999\r\n\r\n{smuggled}"), status);
        row.reason = reason.into();
        row.closes = true;
        rows.push(row);
    }
    judge_with(&setting, rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_hidden_fields() {
    // RFC 9112 §2.2, §5.1: nothing is forwarded that is not token ":" value
    let field = |line: &str| post(line, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let rows = [
        (" Content-Length: 20", "folded_field"),
        ("\tContent-Length: 20", "folded_field"),
        ("Content-Length : 20", "bad_field_name"),
        ("Content-Length\t: 20", "bad_field_name"),
        ("Content Length: 20", "bad_field_name"),
        ("\rContent-Length: 20", "bad_field_value"),
        ("\x0bContent-Length: 20", "bad_field_value"),
        ("Content\0-Length: 20", "bad_field_value"),
        ("Content-Length\0: 20", "bad_field_value"),
        ("X: y\rContent-Length: 20", "bad_field_value"),
        ("X: y\nContent-Length: 20", "bad_line_end"),
        ("Content_Length: 20", "ambiguous_field_name"),
        ("Transfer.Encoding: chunked", "ambiguous_field_name"),
    ];
    let first = " Content-Length: 20\r\nHost: a\r\n\r\n";
    let first = Row::refused(format!("POST / HTTP/1.1\r\n{first}"), 400, "folded_field");
    let rows = rows.map(|(line, reason)| Row::refused(field(line), 400, reason));
    judge(rows.into_iter().chain([first])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_options_with_a_chunked_body_is_framed_anew() {
    // RFC 9112 §9.3
    let body = "2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n";
    let request = |target| {
        format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let rows = ["/", "*"].map(|target| {
        Row::forwarded(request(target))
            .and("it is chunked", |seen| seen.has("transfer-encoding", "chunked"))
            .and("the body is the body", |seen| seen.requests[0].length == 5)
            .and("no extension is passed on", |seen| !seen.wire().contains(";x"))
    });
    judge(rows).await;
}

#[test]
fn a13_a_server_that_answers_before_it_has_the_body_is_not_asked_again_on_that_connection() {
    // RFC 9112 §9.3: what is left of the body would be the next request
    let backend = Backend::on_head(|_, stream| {
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
        Then::Keep
    });
    let proxy = Proxy::start(&format!("workers: 1\n{}", simple(&[&backend])));
    let mut client = proxy.connect();
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text()), (200, "early".into()));
    assert_eq!(response.field("connection"), Some("close"));
    client.try_send("25\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n");
    assert!(client.is_closed());
    assert_eq!(proxy.get("/canary").text(), "early");
    let received = backend.received();
    let canary = received.last().unwrap();
    assert_eq!((canary.target(), canary.connection), ("/canary", 1), "{received:#?}");
    assert!(!received.iter().any(|request| request.target() == "/smuggled"), "{received:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_body_where_an_old_client_has_none() {
    // RFC 9110 §9.3.1: an HTTP/1.0 client with a body in a GET is no client
    judge(["GET", "HEAD", "DELETE"].map(|method| {
        let mut row = Row::refused(
            format!("{method} / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"),
            400,
            "unexpected_body",
        );
        row.closes = true;
        row
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_bytes_behind_an_old_request_without_length() {
    // RFC 9112 §6.3 rule 7: no body; the bytes are thrown away with the connection
    let rows = ["", "Connection: keep-alive\r\n"].map(|connection| {
        let mut row = Row::forwarded(format!(
            "POST / HTTP/1.0\r\nHost: a\r\n{connection}\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"
        ))
        .and("it has no body", |seen| seen.content().is_empty())
        .and("it has no framing", |seen| {
            seen.values("content-length").is_empty() && seen.values("transfer-encoding").is_empty()
        });
        row.closes = true;
        row
    });
    judge(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_body_in_a_request_that_need_not_have_one() {
    // RFC 9110 §9.3.1: forwarded framed as it came, never without its body
    let mut rows = Vec::new();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let begin = format!("{method} /x HTTP/1.1\r\nHost: a\r\n");
        rows.push(
            Row::forwarded(format!("{begin}Content-Length: 5\r\n\r\nhello"))
                .and("it has its length", |seen| seen.has("content-length", "5"))
                .and("it has its body", |seen| seen.content() == "hello"),
        );
        rows.push(
            Row::forwarded(format!(
                "{begin}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ))
            .and("it is chunked", |seen| seen.has("transfer-encoding", "chunked"))
            .and("it has no length", |seen| seen.values("content-length").is_empty())
            .and("it has its body", |seen| seen.requests[0].length == 5),
        );
    }
    judge(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a20_a_body_cut_short_by_us_does_not_become_the_next_request() {
    // RFC 9112 §8: the server was promised more; its connection is of no use to anybody else
    let setting = Setting { listener: ", limits: { body: 10B }", ..Setting::default() };
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    judge_with(
        &setting,
        [
            chunked("6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"),
            chunked("1000\r\nhello world"),
            post("Content-Length: 11", "hello world"),
        ]
        .map(|row| Row::refused(row, 413, "request_body_too_large")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a21_fewer_bytes_than_announced() {
    // RFC 9112 §8: aborted at the server, never completed there
    judge(
        [
            post("Content-Length: 10", ""),
            post("Content-Length: 10", "half"),
            post("Content-Length: 10", "ninebytes"),
            post("Transfer-Encoding: chunked", "5\r\nhel"),
            post("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
            post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
        ]
        .map(Row::abandoned),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_more_bytes_than_announced() {
    // RFC 9112 §9.3.2: what is beyond goes through the whole parser
    let mut next = Row::forwarded(post(
        "Content-Length: 3",
        "abcGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ))
    .and("the body ends where it was said to", |seen| seen.content() == "abc")
    .and("the next is a request of its own", |seen| seen.requests[1].line == "GET /next HTTP/1.1");
    (next.reach, next.then, next.closes) = (2, Some(vec![200]), true);
    let mut rows = vec![next];
    for (excess, status, reason) in [
        ("abcd\r\n\r\n", 400, "bad_request_line"),
        ("abc GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
        ("abcGET / HTTP/1.1\r\n\r\n", 400, "bad_host"),
        (
            "abcGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            "bad_content_length",
        ),
    ] {
        let mut row = Row::refused(post("Content-Length: 3", excess), 200, reason);
        (row.reach, row.then) = (1, Some(vec![status]));
        rows.push(row.and("the body ends where it was said to", |seen| seen.content() == "abc"));
    }
    judge(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_names_whose_length_overflows() {
    // CVE-2021-40346: 270 wrapped to 14 would forge a `Content-Length` out of a longer name
    let smuggled = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    let forged = |length: usize| {
        let name = format!("Content-Length{}", "a".repeat(length - 14));
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{name}: 0\r\nContent-Length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        )
    };
    let carried = |length: usize| {
        Row::forwarded(forged(length))
            .and("there is one length", |seen| seen.values("content-length").len() == 1)
            .and("the body is whole", move |seen| seen.content() == smuggled)
            .and("the long name is as it was", move |seen| {
                seen.has(&format!("Content-Length{}", "a".repeat(length - 14)), "0")
            })
    };
    let refused = |length| Row::refused(forged(length), 431, "request_head_too_large");
    judge([carried(256), carried(270), carried(16 * 1024 + 14), refused(65_550)]).await;
    let large = Setting { listener: ", limits: { head: 200KiB }", ..Setting::default() };
    judge_with(&large, [carried(65_550), carried(131_086)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a24_bodies_of_more_than_4_gib() {
    // RFC 9112 §7.1: 2^32 + 5 is not 5, so what follows 5 bytes is still body
    let behind = "helloGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunks = format!("100000005\r\nhello\r\n0\r\n\r\n{behind}");
    judge([
        Row::abandoned(post("Content-Length: 4294967301", behind)),
        Row::abandoned(post("Transfer-Encoding: chunked", &chunks)),
    ])
    .await;
}
