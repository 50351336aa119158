//! Group C: lines, field names and values, the request line (RFC 9112 §2.2, §3, §5).
//!
//! Elsewhere: the TLS half of C18 belongs to TLS.

use evenkeel_tools::row::Row;

use crate::support::{Backend, Proxy, with_listener};
use crate::{Setting, judge, judge_with};

#[test]
fn c19_when_we_close_what_is_still_on_its_way_does_no_harm() {
    // RFC 9112 §9.6: a close while the client sends would destroy the response on its side
    let backend = Backend::named("only");
    let limits = "    limits: { requests_per_connection: 1 }\n";
    let proxy = Proxy::start(&with_listener(&[&backend], limits));
    let mut client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().field("connection"), Some("close"));
    assert!(client.is_closed());
    // Our half is closed; the client's is still read, so nothing is reset.
    for _ in 0..2 {
        client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_eq!(backend.count(), 1);
}

/// A GET with these field lines.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(), fields.as_ref(), b"\r\n\r\n"].concat()
}

/// A request that begins so.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_bare_lf() {
    // RFC 9112 §2.2 lets a recipient accept it; we do not
    judge(
        [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .map(|row| Row::refused(row, 400, "bad_line_end")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_bare_cr() {
    // RFC 9112 §2.2
    let fields = ["X\rY: z", "X: y\rz", "X: y\r", "X\r: y", "\rX: y", "X: y\r\r"];
    let lines = ["GET / HTTP/1.1\r", "GET /\r HTTP/1.1", "GET\r / HTTP/1.1", "\rGET / HTTP/1.1"];
    let fields = fields.map(|field| Row::refused(get(field), 400, "bad_field_value"));
    let lines = lines.map(|begin| Row::refused(line(begin), 400, "bad_request_line"));
    judge(fields.into_iter().chain(lines)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03_nul_and_other_control_characters() {
    // RFC 9110 §5.5
    let fields = ["X: y\0z", "X\0: y", "X: \0", "X: \x01", "X: \x1b[2J", "X: \x7f", "\0X: y"];
    let fields = fields.map(|field| Row::refused(get(field), 400, "bad_field_value"));
    let lines = ["GET /\0 HTTP/1.1", "GET /\x7f HTTP/1.1", "\0GET / HTTP/1.1"];
    let lines = lines.map(|begin| Row::refused(line(begin), 400, "bad_request_line"));
    judge(fields.into_iter().chain(lines)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c04_empty_name() {
    // RFC 9112 §5; CVE-2023-25725 dropped every field behind it
    judge(
        [": x", ":", ": x\r\nContent-Length: 5", "::"]
            .map(|field| Row::refused(get(field), 400, "bad_field_name")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c05_space_before_the_colon() {
    // RFC 9112 §5.1
    judge(
        ["X : y", "X\t: y", "X  : y", "Host : b", "X y: z"]
            .map(|field| Row::refused(get(field), 400, "bad_field_name")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c06_space_before_the_first_field() {
    // RFC 9112 §2.2
    judge([" X: y\r\nHost: a", "\tX: y\r\nHost: a", " \r\nHost: a", " Host: a"].map(|fields| {
        Row::refused(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"), 400, "folded_field")
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_folded_lines() {
    // RFC 9112 §5.2
    judge(
        [
            "X: y\r\n z",
            "X: y\r\n\tz",
            "X:\r\n y",
            "X: y\r\n ",
            "Transfer-Encoding:\r\n chunked",
            "Transfer-Encoding: chunked\r\n , identity",
            "Content-Length:\r\n 5",
            "Expect:\r\n 100-continue",
        ]
        .map(|field| Row::refused(get(field), 400, "folded_field")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c08_lines_without_colon() {
    // RFC 9112 §5
    let lines = ["X", "GET /x HTTP/1.1", "\"X\"", "X\r\nY: z"];
    let lines = lines.map(|field| Row::refused(get(field), 400, "bad_field_name"));
    let end = Row::refused("GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400, "bad_field_value");
    judge(lines.into_iter().chain([end])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c09_names_are_tokens_of_ascii() {
    // RFC 9110 §5.1, §5.6.2
    let names = [
        "Tran\u{17f}fer-Encoding",
        "\u{212a}eep-Alive",
        "X(y)",
        "X,Y",
        "X/Y",
        "X@Y",
        "[X]",
        "X\u{a0}",
        "\u{feff}X",
        "\u{ff28}ost",
    ];
    let names = names.map(|name| Row::refused(get(format!("{name}: z")), 400, "bad_field_name"));
    let latin = [&b"X\xe4: z"[..], b"X\x85: z", b"\xa0X: z"];
    let latin = latin.map(|field| Row::refused(get(field), 400, "bad_field_name"));
    judge(names.into_iter().chain(latin)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_white_space_is_sp_and_htab() {
    // RFC 9110 §5.6.3: not what Unicode calls so
    let refused = [
        (&b"Transfer-Encoding: \xa0chunked\x85"[..], "bad_transfer_coding"),
        (b"Transfer-Encoding: chunked\xc2\xa0", "bad_transfer_coding"),
        (b"Content-Length: \xa05", "bad_content_length"),
        (b"Content-Length: 5\xc2\x85", "bad_content_length"),
        (b"Connection: \xa0close", "bad_connection_option"),
    ];
    let refused = refused.map(|(field, reason)| Row::refused(get(field), 400, reason));
    let host = Row::refused(b"GET / HTTP/1.1\r\nHost: \xa0a\r\n\r\n", 400, "bad_host");
    let kept = Row::forwarded(get(b"X: \t\xa0y\x85 \t")).and("it is as it was", |seen| {
        let field = b"\r\nX: \xa0y\x85\r\n";
        seen.requests[0].raw.windows(field.len()).any(|bytes| bytes == field)
    });
    judge(refused.into_iter().chain([host, kept])).await;
}
