//! Where one request ends and the next begins: what the codec finds in a stream is what a second
//! reader finds there, and what that reader finds in the requests as they are forwarded. The same
//! over real sockets, with the whole proxy between, is `crates/evenkeel/tests/boundaries.rs`.

use evenkeel_codec::{BodyLength, ChunkedDecoder, Parse, RequestHead, TrailerLimits, chunk_head};

use crate::request_head::{LIMITS, forward};
use crate::stream::{End, Request, read};

/// The input is all that one client sends.
pub fn check(input: &[u8]) {
    let mut at = 0;
    let mut found = Vec::new();
    let mut forwarded = Vec::new();
    while let Some((request, length, is_last)) = take(&input[at..], &mut forwarded) {
        found.push(request);
        at += length;
        if is_last {
            break;
        }
    }
    let (there, end) = read(&forwarded);
    assert_eq!(end, End::Clean, "what is forwarded is no stream of requests");
    assert_eq!(there, found, "a server reads other requests");
    let taken = &input[..at];
    if has_later_minor(taken) {
        return; // the second reader knows 1.0 and 1.1 only
    }
    let (here, _) = read(taken);
    let raw: Vec<_> = here.iter().map(|request| (&request.method, &request.body)).collect();
    let expected: Vec<_> = found.iter().map(|request| (&request.method, &request.body)).collect();
    assert_eq!(raw, expected, "a reader in front reads other requests");
}

fn has_later_minor(input: &[u8]) -> bool {
    input.windows(8).any(|w| w.starts_with(b"HTTP/1.") && matches!(w[7], b'2'..=b'9'))
}

/// Takes one complete request, and writes it as it is forwarded.
fn take(input: &[u8], out: &mut Vec<u8>) -> Option<(Request, usize, bool)> {
    let mut head = RequestHead::default();
    let Ok(Parse::Complete(length)) = head.parse(input, &LIMITS) else { return None };
    let rest = &input[length..];
    let before = out.len();
    out.extend_from_slice(&forward(&head, input));
    let taken = match head.body {
        BodyLength::None => Some((Vec::new(), 0)),
        BodyLength::Exact(length) => exact(rest, length, out),
        BodyLength::Chunked => chunks(rest, out),
        BodyLength::UntilClose => unreachable!("no request ends with its connection"),
    };
    let Some((body, used)) = taken else {
        out.truncate(before);
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut target = text(head.path(input));
    if let Some(query) = head.target.query {
        target = format!("{target}?{}", text(query.of(input)));
    }
    let stated = match head.body {
        BodyLength::Exact(length) => Some(length),
        _ => None,
    };
    let request = Request { method: text(head.method_text.of(input)), target, stated, body };
    Some((request, length + used, !head.persistent))
}

fn exact(rest: &[u8], length: u64, out: &mut Vec<u8>) -> Option<(Vec<u8>, usize)> {
    let body = rest.get(..usize::try_from(length).ok()?)?;
    out.extend_from_slice(body);
    Some((body.to_vec(), body.len()))
}

fn chunks(rest: &[u8], out: &mut Vec<u8>) -> Option<(Vec<u8>, usize)> {
    let mut decoder = ChunkedDecoder::new(TrailerLimits::default());
    let mut body = rest.to_vec();
    let decoded = decoder.decode(&mut body).ok().filter(|decoded| decoded.done)?;
    body.truncate(decoded.payload);
    for piece in body.chunks(7) {
        let mut size = [0; 18];
        let length = chunk_head(piece.len(), &mut size);
        out.extend_from_slice(&[&size[..length], piece, b"\r\n"].concat());
    }
    out.extend_from_slice(&[b"0\r\n", decoder.trailers(), b"\r\n"].concat());
    Some((body, decoded.consumed))
}
