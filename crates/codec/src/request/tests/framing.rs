//! A. How long a body is (RFC 9112 §6).

use super::*;

#[test]
fn a1_content_length_and_transfer_encoding_is_refused() {
    for coding in ["chunked", "gzip", "gzip, chunked", "", "x\"y"] {
        let coding = format!("Transfer-Encoding: {coding}");
        assert_eq!(
            post(&["Content-Length: 5", &coding]).unwrap_err(),
            RequestError::LengthAndCoding
        );
        refused(post(&[&coding, "Content-Length: 5"]), 400);
    }
}

#[test]
fn a2_other_codings_are_not_implemented_and_malformed_ones_refused() {
    for coding in ["xchunked", "identity", "gzip", "gzip, chunked", "chunkedchunked"] {
        refused(post(&[&format!("Transfer-Encoding: {coding}")]), 501);
    }
    for coding in [
        "chunked, identity",
        "chunked, gzip",
        "\"chunked\"",
        "Chunked;x=1",
        "chunked gzip",
        "\u{b}chunked",
        "chunked\u{85}",
        "\u{a0}chunked",
    ] {
        refused(post(&[&format!("Transfer-Encoding: {coding}")]), 400);
    }
    let latin = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\x85\r\n\r\n";
    refused(parse(latin), 400);
    for coding in ["chunked", "CHUNKED", "Chunked\t "] {
        let head = post(&[&format!("transfer-encoding:{coding}")]).unwrap();
        assert_eq!(head.body, BodyLength::Chunked);
    }
}

#[test]
fn a3_two_transfer_encodings_are_refused() {
    for (one, other) in [("chunked", "chunked"), ("gzip", "chunked"), ("chunked", "identity")] {
        let lines = [&*format!("Transfer-Encoding: {one}"), &format!("Transfer-Encoding: {other}")];
        refused(post(&lines), 400);
    }
    refused(post(&["Transfer-Encoding: chunked, chunked"]), 400);
}

#[test]
fn a4_transfer_encoding_with_empty_members_is_refused() {
    for coding in [",chunked", "chunked,", "", ",", "gzip,,chunked"] {
        refused(post(&[&format!("Transfer-Encoding: {coding}")]), 400);
    }
}

#[test]
fn a5_http10_with_transfer_encoding_is_refused() {
    for coding in ["chunked", "gzip", "identity"] {
        let coding = format!("Transfer-Encoding: {coding}");
        refused(request("POST / HTTP/1.0", &[&coding]), 400);
    }
}

#[test]
fn a6_to_a9_content_length_is_one_number_once() {
    for lines in [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "content-length: 5"],
        ["Content-Length:", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length:"],
    ] {
        refused(post(&lines), 400);
    }
    for value in
        ["", "5, 6", "5, 5", "+5", "-0", "-1", "0x10", "1_0", "5 5", "5;", "5,", "５", "5e1", "5.0"]
    {
        refused(post(&[&format!("Content-Length: {value}")]), 400);
    }
    let head = post(&["Content-Length: \t0005 "]).unwrap();
    assert_eq!(head.body, BodyLength::Exact(5));
}

#[test]
fn a10_a_content_length_that_may_wrap_is_refused() {
    let last = i64::MAX as u64;
    let head = post(&[&format!("Content-Length: {last}")]).unwrap();
    assert_eq!(head.body, BodyLength::Exact(last));
    for value in [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "18446744073709551621",
        "10000000000000000000000000000000000000000",
    ] {
        refused(post(&[&format!("Content-Length: {value}")]), 400);
    }
}

#[test]
fn a12_no_line_hides_a_field() {
    for head in [
        "GET / HTTP/1.1\r\n Content-Length: 20\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 20\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rContent-Length: 20\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent\0-Length: 20\r\n\r\n",
    ] {
        refused(parse(head), 400);
    }
}

#[test]
fn a17_http10_get_with_a_body_is_refused() {
    for method in ["GET", "HEAD", "DELETE"] {
        let start = format!("{method} / HTTP/1.0");
        refused(request(&start, &["Content-Length: 1"]), 400);
        assert_eq!(request(&start, &["Content-Length: 0"]).unwrap().body, BodyLength::Exact(0));
    }
    assert!(request("POST / HTTP/1.0", &["Content-Length: 1"]).is_ok());
}

#[test]
fn a18_http10_without_a_length_has_no_body_and_does_not_persist() {
    let head = request("POST / HTTP/1.0", &["Connection: keep-alive"]).unwrap();
    assert_eq!((head.body, head.persistent), (BodyLength::None, false));
    let head = request("GET / HTTP/1.0", &["Connection: keep-alive"]).unwrap();
    assert!(head.persistent);
}

#[test]
fn a19_get_with_a_length_keeps_it() {
    assert_eq!(with(&["Content-Length: 7"]).unwrap().body, BodyLength::Exact(7));
}

#[test]
fn a23_a_name_of_any_length_is_only_itself() {
    for length in [255, 256, 270, 512] {
        let name = "content-length".repeat(40);
        let head = with(&[&format!("{}: 5", &name[..length])]).unwrap();
        assert_eq!(head.body, BodyLength::None);
    }
    refused(with(&[&format!("{}: 5", "a".repeat(5000))]), 431);
}
