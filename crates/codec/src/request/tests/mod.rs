//! The rules of a request head, by the names they have in the catalogue of past attacks. Every
//! input arrives whole, in two pieces at every place, and byte by byte.

mod connection;
mod framing;
mod lines;
mod target;

use super::*;

const LIMITS: HeadLimits = HeadLimits { head: 4096, line: 1024, fields: 16 };

/// Parses `input` in all the ways it can arrive; they must not differ.
fn parse(input: impl AsRef<[u8]>) -> Result<RequestHead, RequestError> {
    let input = input.as_ref();
    let whole = parse_pieces(input, [input.len()]);
    let expected = format!("{whole:?}");
    for split in 0..input.len() {
        assert_eq!(format!("{:?}", parse_pieces(input, [split, input.len()])), expected);
    }
    assert_eq!(format!("{:?}", parse_pieces(input, 0..=input.len())), expected);
    whole
}

fn parse_pieces(
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
) -> Result<RequestHead, RequestError> {
    let mut head = RequestHead::default();
    for end in ends {
        if let Parse::Complete(length) = head.parse(&input[..end], &LIMITS)? {
            assert!(length <= end);
            return Ok(head);
        }
    }
    panic!("incomplete: {:?}", String::from_utf8_lossy(input));
}

/// A complete GET with these lines, each without its CRLF, after `Host`.
fn with(lines: &[&str]) -> Result<RequestHead, RequestError> {
    request("GET / HTTP/1.1", lines)
}

fn post(lines: &[&str]) -> Result<RequestHead, RequestError> {
    request("POST / HTTP/1.1", lines)
}

fn request(start: &str, lines: &[&str]) -> Result<RequestHead, RequestError> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    parse(format!("{start}\r\nHost: a\r\n{lines}\r\n"))
}

fn start_line(line: &str) -> Result<RequestHead, RequestError> {
    request(line, &[])
}

fn host(value: &str) -> Result<RequestHead, RequestError> {
    parse(format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n"))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, RequestError>, status: u16) {
    let error = result.expect_err("accepted");
    assert_eq!(error.status(), status, "{error:?}");
}

#[test]
fn an_ordinary_head_is_taken_apart() {
    let input = b"\r\nPOST /a/b?c=d HTTP/1.1\r\nHost: Shop.example:8080\r\n\
        Cookie: a=b\r\nX-a:  1 \r\ncookie: c\r\nContent-Length: 0005\r\n\r\nhello";
    let head = parse(input).unwrap();
    let text = |span: Span| std::str::from_utf8(span.of(input)).unwrap();
    assert_eq!((head.method, text(head.method_text)), (Method::Post, "POST"));
    assert_eq!(text(head.target.raw), "/a/b?c=d");
    assert_eq!((head.path(input), text(head.target.query.unwrap())), (b"/a/b".as_slice(), "c=d"));
    assert_eq!(text(head.host), "Shop.example:8080");
    assert_eq!((text(head.host_name), head.port), ("Shop.example", Some(8080)));
    assert_eq!(head.body, BodyLength::Exact(5));
    assert!(head.persistent && !head.expects_continue && head.upgrade.is_none());
    assert_eq!(head.field(input, Known::Cookie), Some(b"a=b".as_slice()));
    assert_eq!(head.values(input, Known::Cookie).collect::<Vec<_>>(), [b"a=b".as_slice(), b"c"]);
    assert_eq!(head.named(input, b"x-A").collect::<Vec<_>>(), [b"1"]);
    assert_eq!(head.field(input, Known::XForwardedFor), None);
    assert_eq!(head.fields.len(), 5);
}

#[test]
fn a_cleared_head_is_as_new_and_keeps_its_memory() {
    let mut head = RequestHead::default();
    let first = b"PUT /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, b\r\nb: c\r\n\
        Content-Length: 3\r\n\r\n";
    assert_eq!(head.parse(first, &LIMITS), Ok(Parse::Complete(first.len())));
    let capacity = head.fields.capacity();
    head.clear();
    assert_eq!(format!("{head:?}"), format!("{:?}", RequestHead::default()));
    assert_eq!(head.fields.capacity(), capacity);
}
