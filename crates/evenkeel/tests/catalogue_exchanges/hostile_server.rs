//! H: what a broken or hostile server answers, given whole, at every split in two and byte by byte
//! (RFC 9112 §4 to §8). It may fail its own client's request and nobody else's.

use evenkeel_tools::oracle::Case;

use crate::stage::{Answer, Stage};

/// Each of these heads is answered with 502, and its connection is closed.
fn refused(heads: &[&str]) {
    let stage = Stage::new();
    for head in heads {
        Answer::refused(head, head).judge(&stage);
    }
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
    let stage = Stage::new();
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
            Answer::cut(bytes, bytes, then).judge(&stage);
        }
    }
}

#[test]
fn h02_chunks_that_break_a_rule_are_never_a_clean_end() {
    // RFC 9112 §7.1
    let stage = Stage::new();
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
        Answer::cut(body, &bytes, "keep").judge(&stage);
    }
}

#[test]
fn h03_a_body_that_ends_with_the_connection_is_whole_only_if_that_was_closed_in_order() {
    // RFC 9112 §6.3 rule 8
    let stage = Stage::new();
    for bytes in [
        "HTTP/1.0 200 OK\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\n\r\nto the end",
    ] {
        let closed = Answer { then: "close", ..Answer::whole(bytes, bytes, 200, "to the end") };
        closed.not_kept().judge(&stage);
        Answer::cut(bytes, bytes, "reset").judge(&stage);
    }
    let empty = "HTTP/1.0 200 OK\r\n\r\n";
    Answer { then: "close", ..Answer::whole(empty, empty, 200, "") }.not_kept().judge(&stage);
}
