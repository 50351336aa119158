//! The rules of a response head (RFC 9112 §4, §6.3). Every input arrives whole, in two pieces at
//! every place, and byte by byte.

use super::*;

const LIMITS: HeadLimits = HeadLimits { head: 2048, line: 512, fields: 8 };
const GET: RequestContext = RequestContext { is_head: false, offers_upgrade: false };
const HEAD: RequestContext = RequestContext { is_head: true, offers_upgrade: false };
const UPGRADE: RequestContext = RequestContext { is_head: false, offers_upgrade: true };

fn parse(input: impl AsRef<[u8]>, context: RequestContext) -> Result<ResponseHead, ResponseError> {
    let input = input.as_ref();
    let whole = parse_pieces(input, [input.len()], context);
    let expected = format!("{whole:?}");
    for split in 0..input.len() {
        let halves = parse_pieces(input, [split, input.len()], context);
        assert_eq!(format!("{halves:?}"), expected);
    }
    assert_eq!(format!("{:?}", parse_pieces(input, 0..=input.len(), context)), expected);
    whole
}

fn parse_pieces(
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
    context: RequestContext,
) -> Result<ResponseHead, ResponseError> {
    let mut head = ResponseHead::default();
    for end in ends {
        if let Parse::Complete(length) = head.parse(&input[..end], &LIMITS, &context)? {
            assert!(length <= end);
            return Ok(head);
        }
    }
    panic!("incomplete: {:?}", String::from_utf8_lossy(input));
}

fn response(
    start: &str,
    lines: &[&str],
    context: RequestContext,
) -> Result<ResponseHead, ResponseError> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    parse(format!("{start}\r\n{lines}\r\n"), context)
}

fn ok(lines: &[&str]) -> Result<ResponseHead, ResponseError> {
    response("HTTP/1.1 200 OK", lines, GET)
}

#[test]
fn an_ordinary_head_is_taken_apart() {
    let input = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\
        Keep-Alive: max=9, Timeout=15\r\nSet-Cookie: a=b\r\n\r\nhello";
    let head = parse(input, GET).unwrap();
    assert_eq!((head.version, head.status), (Version::Http11, 200));
    assert_eq!((head.body, head.content_length), (BodyLength::Exact(5), Some(5)));
    assert_eq!((head.persistent, head.keep_alive_timeout), (true, Some(15)));
    assert_eq!(head.field(input, Known::Date), Some(b"now".as_slice()));
    assert_eq!(head.fields.len(), 4);
}

#[test]
fn h1_ambiguous_framing_is_refused() {
    use ResponseError::{BadContentLength, BadTransferCoding, LengthAndCoding};
    for (lines, error) in [
        (["Content-Length: 5", "Transfer-Encoding: chunked"], LengthAndCoding),
        (["Content-Length: 5", "Transfer-Encoding: gzip"], LengthAndCoding),
        (["Content-Length: 5", "Content-Length: 6"], BadContentLength),
        (["Content-Length: 5", "Content-Length: 5"], BadContentLength),
        (["X: y", "Content-Length: 5, 5"], BadContentLength),
        (["X: y", "Content-Length: -1"], BadContentLength),
        (["X: y", "Content-Length:"], BadContentLength),
        (["X: y", "Content-Length: 9223372036854775808"], BadContentLength),
        (["X: y", "Transfer-Encoding: gzip, chunked"], BadTransferCoding),
        (["X: y", "Transfer-Encoding: identity"], BadTransferCoding),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], BadTransferCoding),
    ] {
        assert_eq!(ok(&lines).unwrap_err(), error, "{lines:?}");
    }
    let old = response("HTTP/1.0 200 OK", &["Transfer-Encoding: chunked"], GET);
    assert_eq!(old.unwrap_err(), BadTransferCoding);
}

#[test]
fn h3_without_a_length_the_body_ends_with_the_connection() {
    for start in ["HTTP/1.0 200 OK", "HTTP/1.1 200 OK"] {
        let head = response(start, &["Connection: keep-alive"], GET).unwrap();
        assert_eq!((head.body, head.persistent), (BodyLength::UntilClose, false));
    }
    assert_eq!(ok(&["Transfer-Encoding: Chunked"]).unwrap().body, BodyLength::Chunked);
}

#[test]
fn h4_a_head_over_the_limits_is_refused() {
    let long = format!("X: {}", "a".repeat(LIMITS.head));
    assert_eq!(ok(&[&long]).unwrap_err(), ResponseError::HeadTooLarge);
    assert_eq!(ok(&["a: b"; 9]).unwrap_err(), ResponseError::TooManyFields);
    assert!(ok(&["a: b"; 8]).is_ok());
    let start = format!("HTTP/1.1 200 {}", "a".repeat(LIMITS.line));
    assert_eq!(response(&start, &[], GET).unwrap_err(), ResponseError::HeadTooLarge);
}

#[test]
fn h5_and_h9_broken_field_lines_are_refused() {
    let split = ok(&["A: b\nSet-Cookie: c"]);
    assert_eq!(split.unwrap_err(), ResponseError::BadLineEnd);
    for line in [
        "A: b\rSet-Cookie: c",
        "A\r: b",
        "A: \0",
        "A: \u{1b}[2J",
        ": b",
        "A : b",
        "A",
        "Ä: b",
        "A\0: b",
    ] {
        assert_eq!(ok(&[line]).unwrap_err(), ResponseError::BadField, "{line:?}");
    }
    assert_eq!(ok(&["A: b", " c"]).unwrap_err(), ResponseError::FoldedField);
    assert_eq!(ok(&[" A: b"]).unwrap_err(), ResponseError::FoldedField);
}

#[test]
fn h6_and_h7_a_status_line_is_a_version_and_three_digits() {
    for line in [
        "HTTP/1.1 99",
        "HTTP/1.1 099 x",
        "HTTP/1.1 20x OK",
        "HTTP/1.1 65736 OK",
        "HTTP/1.1 1000 OK",
        "HTTP/1.1 600 x",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "ICY 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        "<html>",
        " HTTP/1.1 200 OK",
    ] {
        let error = response(line, &[], GET).unwrap_err();
        assert_eq!(error, ResponseError::BadStatusLine, "{line:?}");
    }
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 200 All is well", "HTTP/1.1 200 \u{e9}"]
    {
        assert_eq!(response(line, &["Content-Length: 0"], GET).unwrap().status, 200, "{line}");
    }
    let mut head = ResponseHead::default();
    let early = head.parse(b"HTX", &LIMITS, &GET);
    assert_eq!(early, Err(ResponseError::BadStatusLine), "before its line ends");
    assert_eq!(
        parse("\r\nHTTP/1.1 200 OK\r\n\r\n", GET).unwrap_err(),
        ResponseError::BadStatusLine
    );
}

#[test]
fn h8_a_phrase_may_hold_anything_that_does_not_end_its_line() {
    // RFC 9112 §4: it is ignored, and never passed on.
    for control in ["\0", "\u{1b}[2J", "\u{7f}", "\u{8}", "\t", "\0\0\0\0\0\0\0\0\0"] {
        for line in [format!("HTTP/1.1 200 O{control}K"), format!("HTTP/1.1 200 {control}")] {
            assert_eq!(response(&line, &["A: b"], GET).unwrap().status, 200, "{line:?}");
        }
        let before = format!("HTTP/1.1 200{control}OK");
        assert_eq!(response(&before, &[], GET).unwrap_err(), ResponseError::BadStatusLine);
        let behind = format!("A: {control}");
        assert_eq!(ok(&[&behind]).is_ok(), control == "\t");
    }
    for (end, error) in [("\r", ResponseError::BadStatusLine), ("\n", ResponseError::BadLineEnd)] {
        let line = format!("HTTP/1.1 200 O{end}K");
        assert_eq!(response(&line, &[], GET).unwrap_err(), error);
    }
}

#[test]
fn h10_what_never_has_a_body_has_none() {
    for (start, context) in [
        ("HTTP/1.1 200 OK", HEAD),
        ("HTTP/1.1 204 No Content", GET),
        ("HTTP/1.1 304 Not Modified", GET),
        ("HTTP/1.1 100 Continue", GET),
        ("HTTP/1.1 103 Early Hints", GET),
    ] {
        for line in ["Content-Length: 5", "Transfer-Encoding: chunked", "X: y"] {
            let head = response(start, &[line], context).unwrap();
            assert_eq!(head.body, BodyLength::None, "{start} {line}");
            let doubtful = line != "X: y" && context.is_head.eq(&false) && !start.contains("304");
            assert_eq!(head.persistent, !doubtful, "{start} {line}");
        }
    }
    let head = response("HTTP/1.1 200 OK", &["Content-Length: 5"], HEAD).unwrap();
    assert_eq!(head.content_length, Some(5), "what a GET would have got");
}

#[test]
fn f7_a_101_is_only_for_who_asked() {
    let lines = ["Connection: upgrade", "Upgrade: websocket"];
    let start = "HTTP/1.1 101 Switching Protocols";
    let input = format!("{start}\r\n{}\r\n{}\r\n\r\n", lines[0], lines[1]);
    let head = parse(&input, UPGRADE).unwrap();
    assert_eq!(head.upgrade.unwrap().of(input.as_bytes()), b"websocket");
    assert!(head.is_upgrade_to(input.as_bytes(), b"a, WebSocket"));
    assert!(!head.is_upgrade_to(input.as_bytes(), b"websocket2, a"));
    for (start, lines, context) in [
        (start, &lines[..], GET),
        (start, &lines[..1], UPGRADE),
        (start, &lines[1..], UPGRADE),
        (start, &["Connection: upgrade", "Upgrade:"], UPGRADE),
        (start, &["Connection: upgrade", "Upgrade: a", "Upgrade: b"], UPGRADE),
        ("HTTP/1.0 101 Switching Protocols", &lines[..], UPGRADE),
    ] {
        let error = response(start, lines, context).unwrap_err();
        assert_eq!(error, ResponseError::UnexpectedUpgrade, "{start} {lines:?}");
    }
    let refused = response("HTTP/1.1 426 Upgrade Required", &lines, UPGRADE).unwrap();
    assert_eq!(refused.upgrade, None);
}

#[test]
fn c21_ten_thousand_fields_are_not_kept() {
    let input = format!("HTTP/1.1 200 OK\r\n{}", "Set-Cookie2: a\r\n".repeat(10_000));
    let limits = HeadLimits { head: usize::MAX, ..LIMITS };
    let mut head = ResponseHead::default();
    let result = head.parse(input.as_bytes(), &limits, &GET);
    assert_eq!(result, Err(ResponseError::TooManyFields));
    assert_eq!(head.fields.len(), LIMITS.fields);
}

#[test]
fn persistence_is_the_versions_default_unless_connection_says_otherwise() {
    for (version, connection, persistent) in [
        ("1.1", "", true),
        ("1.1", "close", false),
        ("1.1", "Transfer-Encoding, Content-Length", true), // never passed on anyway
        ("1.0", "", false),
        ("1.0", "keep-alive", true),
    ] {
        let start = format!("HTTP/{version} 200 OK");
        let lines = [&*format!("Connection: {connection}"), "Content-Length: 0"];
        let head = response(&start, &lines, GET).unwrap();
        assert_eq!(head.persistent, persistent, "{version} {connection}");
    }
}

#[test]
fn keep_alive_says_how_long() {
    for (value, seconds) in [
        ("timeout=5", Some(5)),
        ("TIMEOUT=0, max=1", Some(0)),
        ("timeout=-1", None),
        ("timeout=99999999999", None),
        ("timeout", None),
        ("max=5", None),
        ("é=5, timeout", None),
    ] {
        assert_eq!(ok(&[&format!("Keep-Alive: {value}")]).unwrap().keep_alive_timeout, seconds);
    }
}
