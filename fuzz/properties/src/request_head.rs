//! Request heads: the same verdict however they arrive and whatever follows; what is accepted is
//! what `httparse` reads, and is the same request once it is written again as it is forwarded.

use evenkeel_codec::{BodyLength, HeadLimits, Known, Parse, RequestHead};

/// As the proxy's defaults.
pub const LIMITS: HeadLimits = HeadLimits { head: 32 * 1024, line: 16 * 1024, fields: 100 };

/// The input is a head and what follows it.
pub fn check(input: &[u8]) {
    for limits in [LIMITS, HeadLimits { head: 90, line: 40, fields: 3 }] {
        check_arrival(input, &limits);
    }
    let mut head = RequestHead::default();
    if let Ok(Parse::Complete(length)) = head.parse(input, &LIMITS) {
        let bytes = &input[..length];
        check_spans(&head, bytes);
        check_httparse(&head, bytes);
        check_forwarded(&head, bytes);
    }
}

/// The verdict and all that was learnt, in words.
fn parse(input: &[u8], ends: impl IntoIterator<Item = usize>, limits: &HeadLimits) -> String {
    let mut head = RequestHead::default();
    for end in ends {
        match head.parse(&input[..end], limits) {
            Ok(Parse::Partial) => {}
            verdict => return format!("{verdict:?} at {end} {head:?}"),
        }
    }
    "partial".to_owned()
}

fn check_arrival(input: &[u8], limits: &HeadLimits) {
    let outcome = |text: String| {
        // Where it was noticed differs, of course; what was found out does not.
        let (verdict, rest) = text.split_once(" at ").unwrap_or((&text, ""));
        let is_error = verdict.starts_with("Err");
        let learnt = if is_error { "" } else { rest.split_once(' ').map_or("", |(_, head)| head) };
        format!("{verdict} {learnt}")
    };
    let each = parse(input, 0..=input.len(), limits);
    let whole = parse(input, [input.len()], limits);
    assert_eq!(outcome(each), outcome(whole), "byte by byte it is another head");
    let mut head = RequestHead::default();
    if let Ok(Parse::Complete(length)) = head.parse(input, limits) {
        assert!(length <= input.len());
        for end in 0..length {
            let mut shorter = RequestHead::default();
            let verdict = shorter.parse(&input[..end], limits);
            assert_eq!(verdict, Ok(Parse::Partial), "{end} of {length} bytes");
        }
        let mut longer = input[..length].to_vec();
        longer.extend_from_slice(b"\r\n\r\nGET \0");
        let mut again = RequestHead::default();
        assert_eq!(
            again.parse(&longer, limits),
            Ok(Parse::Complete(length)),
            "what follows counts"
        );
    }
}

fn check_spans(head: &RequestHead, bytes: &[u8]) {
    let mut end = head.target.raw.end;
    for field in &head.fields {
        assert!(end <= field.name.start && field.name.end < field.value.start + 1);
        end = field.value.end;
        let value = field.value.of(bytes);
        assert!(!value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
    }
    assert!(end as usize <= bytes.len());
    assert_ne!(head.body, BodyLength::UntilClose, "a request never ends with its connection");
    assert!(!head.path(bytes).is_empty());
}

fn check_httparse(head: &RequestHead, bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut other = httparse::Request::new(&mut fields);
    match other.parse(bytes) {
        Ok(verdict) => assert_eq!(verdict, httparse::Status::Complete(bytes.len())),
        // It does not know that a later 1.x is to be read as 1.1 (RFC 9110 §2.5).
        Err(httparse::Error::Version) => return,
        Err(error) => panic!("httparse: {error}"),
    }
    assert_eq!(other.method.map(str::as_bytes), Some(head.method_text.of(bytes)));
    assert_eq!(other.path.map(str::as_bytes), Some(head.target.raw.of(bytes)));
    assert_eq!(other.headers.len(), head.fields.len());
    for (other, field) in other.headers.iter().zip(&head.fields) {
        assert_eq!(other.name.as_bytes(), field.name.of(bytes));
        assert_eq!(other.value, field.value.of(bytes));
    }
}

/// The head as a server gets it: normal forms and added fields apart.
pub fn forward(head: &RequestHead, bytes: &[u8]) -> Vec<u8> {
    let mut out = [head.method_text.of(bytes), b" ", head.path(bytes)].concat();
    if let Some(query) = head.target.query {
        out.extend_from_slice(&[b"?", query.of(bytes)].concat());
    }
    out.extend_from_slice(&[b" HTTP/1.1\r\nhost: ", head.host.of(bytes), b"\r\n"].concat());
    for field in head.fields.iter().filter(|field| !is_ours(head, field)) {
        let (name, value) = (field.name.of(bytes), field.value.of(bytes));
        out.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    match head.body {
        BodyLength::Exact(length) => {
            out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn is_ours(head: &RequestHead, field: &evenkeel_codec::Field) -> bool {
    match field.known {
        Known::Host | Known::ContentLength | Known::TransferEncoding => true,
        Known::Expect => !head.expects_continue,
        _ => field.hop_by_hop,
    }
}

fn check_forwarded(head: &RequestHead, bytes: &[u8]) {
    let again = forward(head, bytes);
    let mut second = RequestHead::default();
    let limits = HeadLimits { head: 64 * 1024, line: 32 * 1024, fields: 101 };
    let verdict = second.parse(&again, &limits);
    if head.host.is_empty() {
        return; // HTTP/1.0 without a host: forwarded with an empty one, which we would not take
    }
    assert_eq!(verdict, Ok(Parse::Complete(again.len())), "{}", String::from_utf8_lossy(&again));
    assert_eq!(second.method_text.of(&again), head.method_text.of(bytes));
    assert_eq!(second.path(&again), head.path(bytes));
    assert_eq!(
        second.target.query.map(|query| query.of(&again)),
        head.target.query.map(|query| query.of(bytes))
    );
    assert_eq!(second.host.of(&again), head.host.of(bytes));
    assert_eq!((second.body, second.expects_continue), (head.body, head.expects_continue));
    let kept = head.fields.iter().filter(|field| !is_ours(head, field));
    let kept: Vec<_> = kept.map(|field| (field.name.of(bytes), field.value.of(bytes))).collect();
    let framing = usize::from(head.body != BodyLength::None);
    let written = second.fields.get(1..second.fields.len() - framing).unwrap_or_default();
    let written = written.iter().map(|field| (field.name.of(&again), field.value.of(&again)));
    assert_eq!(written.collect::<Vec<_>>(), kept);
}
