//! Response heads: the same verdict however they arrive and whatever follows; what is accepted is
//! what `httparse` reads, and a body is framed only where RFC 9112 §6.3 says one is.

use evenkeel_codec::{BodyLength, HeadLimits, Parse, RequestContext, ResponseHead};

use crate::request_head::LIMITS;

/// The first byte chooses the request it answers, the rest is a head and what follows it.
pub fn check(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    let context = RequestContext { is_head: choice & 1 != 0, offers_upgrade: choice & 2 != 0 };
    for limits in [LIMITS, HeadLimits { head: 90, line: 40, fields: 3 }] {
        check_arrival(input, &limits, &context);
    }
    let mut head = ResponseHead::default();
    if let Ok(Parse::Complete(length)) = head.parse(input, &LIMITS, &context) {
        check_body(&head, &context);
        check_httparse(&head, &input[..length]);
        check_forwarded(&head, &input[..length], &context);
    }
}

/// The verdict and all that was learnt, in words.
fn parse(
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: &HeadLimits,
    context: &RequestContext,
) -> String {
    let mut head = ResponseHead::default();
    for end in ends {
        match head.parse(&input[..end], limits, context) {
            Ok(Parse::Partial) => {}
            Ok(verdict) => return format!("{verdict:?} {head:?}"),
            Err(error) => return format!("{error:?}"),
        }
    }
    "partial".to_owned()
}

fn check_arrival(input: &[u8], limits: &HeadLimits, context: &RequestContext) {
    let whole = parse(input, [input.len()], limits, context);
    let each = parse(input, 0..=input.len(), limits, context);
    assert_eq!(each, whole, "byte by byte it is another head");
    let mut head = ResponseHead::default();
    if let Ok(Parse::Complete(length)) = head.parse(input, limits, context) {
        for end in 0..length {
            let mut shorter = ResponseHead::default();
            let verdict = shorter.parse(&input[..end], limits, context);
            assert_eq!(verdict, Ok(Parse::Partial), "{end} of {length} bytes");
        }
        let exact = parse(input, [length], limits, context);
        assert_eq!(exact, whole, "what follows counts");
    }
}

/// RFC 9112 §6.3, rules 1 and 2, and what makes a connection one to use again.
fn check_body(head: &ResponseHead, context: &RequestContext) {
    assert!((100..600).contains(&head.status));
    if context.is_head || head.status < 200 || matches!(head.status, 204 | 304) {
        assert_eq!(head.body, BodyLength::None);
    }
    if let BodyLength::Exact(length) = head.body {
        assert_eq!(head.content_length, Some(length));
    }
    assert!(!head.persistent || head.body != BodyLength::UntilClose);
    assert!(head.status != 101 || (context.offers_upgrade && head.upgrade.is_some()));
}

fn check_httparse(head: &ResponseHead, bytes: &[u8]) {
    // The phrase is ignored here, control characters and all; httparse looks at it.
    let status_end = bytes.windows(2).position(|two| two == b"\r\n").unwrap_or_default();
    let mut bytes = bytes.to_vec();
    for byte in bytes.iter_mut().take(status_end).skip("HTTP/1.1 200 ".len()) {
        *byte = b'.';
    }
    let bytes = bytes.as_slice();
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut other = httparse::Response::new(&mut fields);
    match other.parse(bytes) {
        Ok(verdict) => assert_eq!(verdict, httparse::Status::Complete(bytes.len())),
        Err(error) => panic!("httparse: {error}"),
    }
    assert_eq!(other.code, Some(head.status));
    assert_eq!(other.headers.len(), head.fields.len());
    for (other, field) in other.headers.iter().zip(&head.fields) {
        assert_eq!(other.name.as_bytes(), field.name.of(bytes));
        assert_eq!(other.value, field.value.of(bytes));
    }
}

/// Written again with every field, it is the same response.
fn check_forwarded(head: &ResponseHead, bytes: &[u8], context: &RequestContext) {
    let version = format!("{:?}", head.version).replace("Http1", "HTTP/1.");
    let mut again = format!("{version} {} \r\n", head.status).into_bytes();
    for field in &head.fields {
        let (name, value) = (field.name.of(bytes), field.value.of(bytes));
        again.extend_from_slice(&[name, b":", value, b"\r\n"].concat());
    }
    again.extend_from_slice(b"\r\n");
    let mut second = ResponseHead::default();
    let limits = HeadLimits { head: 64 * 1024, ..LIMITS };
    let verdict = second.parse(&again, &limits, context);
    assert_eq!(verdict, Ok(Parse::Complete(again.len())));
    assert_eq!((second.body, second.persistent), (head.body, head.persistent));
    assert_eq!(second.content_length, head.content_length);
    assert_eq!(second.keep_alive_timeout, head.keep_alive_timeout);
}
