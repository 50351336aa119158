//! H: what a broken or hostile server answers, given whole, at every split in two and byte by byte
//! (RFC 9112 §4 to §8). It may fail its own client's request and nobody else's.

use crate::stage::{Answer, Stage, judge_all};

/// Each of these heads is answered with 502, and its connection is closed.
fn refused(heads: &[&str]) {
    judge_all(heads.iter().map(|head| Answer::refused(head, head)));
}

#[test]
fn h01_ambiguous_framing_is_refused() {
    // RFC 9112 §6.1, §6.3 rules 3 to 5
    refused(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    ]);
}

#[test]
fn h01_codings_that_are_not_chunked_alone_are_refused() {
    refused(&[
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
}

#[test]
fn h02_a_body_that_ends_too_early_is_never_a_clean_end() {
    // RFC 9112 §8
    let mut rows = Vec::new();
    for then in ["close", "reset"] {
        for bytes in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: y\r\n",
        ] {
            rows.push(Answer::cut(bytes, bytes, then));
        }
    }
    judge_all(rows);
}

#[test]
fn h02_chunks_that_break_a_rule_are_never_a_clean_end() {
    // RFC 9112 §7.1
    let mut rows = Vec::new();
    for body in [
        "4\nhalf\r\n0\r\n\r\n",
        "4\r\nhalfX\r\n0\r\n\r\n",
        "4\r\nhalf\n0\r\n\r\n",
        "0x4\r\nhalf\r\n0\r\n\r\n",
        "-4\r\nhalf\r\n0\r\n\r\n",
        "4 \r\nhalf\r\n0\r\n\r\n",
        "\r\n4\r\nhalf\r\n0\r\n\r\n",
        "4\r\nhalf\r\n0\r\nbad trailer\r\n\r\n",
        "4\r\nhalf\r\n0\r\n\n",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        rows.push(Answer::cut(body, &bytes, "keep"));
    }
    judge_all(rows);
}

#[test]
fn h03_a_body_that_ends_with_the_connection_is_whole_only_if_that_was_closed_in_order() {
    // RFC 9112 §6.3 rule 8
    let mut rows = Vec::new();
    for bytes in [
        "HTTP/1.0 200 OK\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\n\r\nto the end",
    ] {
        rows.push(Answer::whole(bytes, bytes, 200, "to the end").closed());
        rows.push(Answer::cut(bytes, bytes, "reset"));
    }
    let empty = "HTTP/1.0 200 OK\r\n\r\n";
    rows.push(Answer::whole(empty, empty, 200, "").closed());
    judge_all(rows);
}

#[test]
fn h05_and_h09_lines_that_break_a_rule_are_refused() {
    // RFC 9112 §2.2, §5, §11.1: what could become another line or another response.
    refused(&[
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\0Y: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nLocation: /\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nLocation: /\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nLocation: /\n\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: a b\r\nContent-Length: 0\r\n\r\n",
    ]);
}

#[test]
fn h06_statuses_out_of_range_are_refused() {
    // RFC 9112 §4
    for status in ["99", "20x", "65736", "1000", "000", "600", "-200", "2 0", "200.1", "", "٢٠٠"]
    {
        refused(&[&format!("HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n")]);
    }
}

#[test]
fn h07_other_versions_and_no_head_at_all_are_refused() {
    // RFC 9112 §2.3, §4
    refused(&[
        "ICY 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n",
        " HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "<html>hello</html>",
        "\0\u{1}\u{2}not http at all",
        "\u{16}\u{3}\u{1}\u{2}\0",
    ]);
}

#[test]
fn h08_control_characters_in_the_phrase_reach_nobody() {
    // RFC 9112 §4: a client ignores the phrase, so does a proxy; ours takes its place.
    let mut rows = Vec::new();
    for phrase in ["O\0K", "\u{1b}[2J", "O\u{8}K\u{7f}", "ünï", "", " "] {
        let bytes = format!("HTTP/1.1 200 {phrase}\r\nContent-Length: 2\r\n\r\nok");
        rows.push(Answer::whole(phrase, &bytes, 200, "ok"));
    }
    let hex =
        "485454502f312e3120323030204f004b1b5b324a0d0a436f6e74656e742d4c656e6774683a20300d0a0d0a";
    let response = Stage::new().proxy.get(&format!("/raw/whole/keep/{hex}"));
    assert!(response.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", response.head);
    for bytes in [
        "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 O\nK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 O\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200\0OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        rows.push(Answer::refused(bytes, bytes));
    }
    judge_all(rows);
}

#[test]
fn h10_a_body_where_none_may_be_is_nobodys() {
    // RFC 9112 §6.3 rule 1, RFC 9110 §8.6
    judge_all([
        Answer::whole("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "")
            .to("HEAD", ""),
        Answer::whole(
            "HEAD chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
            "",
        )
        .to("HEAD", ""),
        Answer::whole(
            "HEAD and a body",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            200,
            "",
        )
        .to("HEAD", "")
        .not_kept(),
        Answer::whole(
            "HEAD and chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
            "",
        )
        .to("HEAD", "")
        .not_kept(),
        Answer::whole("204", "HTTP/1.1 204 N\r\n\r\n", 204, ""),
        Answer::whole("204 of a length", "HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n", 204, "")
            .not_kept(),
        Answer::whole(
            "204 and a body",
            "HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\nhello",
            204,
            "",
        )
        .not_kept(),
        Answer::whole(
            "204 and chunks",
            "HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            204,
            "",
        )
        .not_kept(),
        Answer::whole(
            "204 and a response",
            "HTTP/1.1 204 N\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            204,
            "",
        )
        .not_kept(),
        Answer::whole("304 of a length", "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", 304, ""),
        Answer::whole(
            "304 and a body",
            "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\nhello",
            304,
            "",
        )
        .not_kept(),
        Answer::whole(
            "103 of no length",
            "HTTP/1.1 103 E\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        Answer::refused(
            "103 and a body",
            "HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        Answer::refused(
            "100 and chunks",
            "HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ]);
}

#[test]
fn g08_bytes_behind_a_response_are_nobodys() {
    // RFC 9112 §6.3, §9.2
    let mut rows = Vec::new();
    let stolen = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        for more in [stolen, "\r\n", "H", "\0"] {
            let bytes = format!("{first}{more}");
            rows.push(Answer::whole(&bytes, &bytes, 200, "ok").not_kept());
        }
        rows.push(Answer::whole(first, first, 200, "ok"));
    }
    judge_all(rows);
}

#[test]
fn h14_lengths_at_the_end_of_their_type_are_no_small_ones() {
    // RFC 9110 §8.6, RFC 9112 §7.1: neither wrapped nor cut off
    let mut rows = Vec::new();
    for length in [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551618",
        "4294967296000000000000",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok");
        rows.push(Answer::refused(length, &bytes));
    }
    for length in ["65537", "4294967298", "9223372036854775807"] {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok");
        rows.push(Answer::cut(length, &bytes, "close"));
    }
    for size in [
        "10001",
        "100000002",
        "7fffffffffffffff",
        "ffffffffffffffff",
        "10000000000000002",
        "fffffffffffffffff2",
    ] {
        let bytes = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nok\r\n0\r\n\r\n"
        );
        rows.push(Answer::cut(size, &bytes, "close"));
    }
    judge_all(rows);
}
