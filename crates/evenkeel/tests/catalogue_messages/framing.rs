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
