//! Frames and streams of HTTP/3 (RFC 9114 §6, §7): the same however they arrive, the same as a naive
//! reading of the whole, and in no other order than the standard has them.

use evenkeel_codec::h3::{
    Code, Control, DecoderStream, EncoderStream, Event, FrameHead, HeadReader, Piece,
    RequestStream, frame_head, goaway_frame,
};

use crate::mutate::Random;

/// Longest field section that the property's streams take.
const FIELDS_MAX: u64 = 4096;

/// The input is what a peer says on a stream of any kind.
pub fn check(input: &[u8]) {
    request_streams(input);
    for of_server in [false, true] {
        control_streams(input, of_server);
    }
    let encoder = |step: usize| {
        let mut stream = EncoderStream;
        input.chunks(step).try_for_each(|piece| stream.feed(piece))
    };
    let decoder = |step: usize| {
        let mut stream = DecoderStream::default();
        input.chunks(step).try_for_each(|piece| stream.feed(piece))
    };
    let whole = input.len().max(1);
    assert_eq!((encoder(1), decoder(1)), (encoder(whole), decoder(whole)));
}

/// Where a stream's frames end, and how.
#[derive(Debug, PartialEq, Eq)]
struct Frames {
    heads: Vec<FrameHead>,
    /// Bytes of the stream before the first that is missing or wrong.
    at: usize,
    between: bool,
}

fn request_streams(input: &[u8]) {
    let read = naive(input);
    let mut random = Random::new(input.len() as u64);
    for step in [1, 2, 1 + random.below(16)] {
        assert_eq!(frames(input, step), read, "in steps of {step} they are other frames");
    }
    let mut order = RequestStream::new(FIELDS_MAX);
    let mut said = Vec::new();
    for head in &read.heads {
        let Ok(piece) = order.next(*head) else { break };
        said.push(match piece {
            Piece::Fields(length) => {
                assert!(length as u64 == head.length && head.length <= FIELDS_MAX);
                'h'
            }
            Piece::Body(length) => {
                assert_eq!(length, head.length);
                'd'
            }
            Piece::Nothing(_) => continue,
        });
    }
    // RFC 9114 §4.1: a head, content, perhaps trailers.
    let said: String = said.into_iter().collect();
    let content = said.strip_prefix('h').map(|rest| rest.strip_suffix('h').unwrap_or(rest));
    assert!(said.is_empty() || content.is_some_and(|c| c.bytes().all(|c| c == b'd')), "{said}");
    assert_eq!(order.has_head(), !said.is_empty());
    for head in read.heads.iter().filter(|head| head.kind < 2 && head.length < 1 << 20) {
        let written = frame_head(head.kind == 1, head.length as usize);
        assert_eq!(naive(&written).heads, [*head], "written it is another frame");
    }
}

/// Heads as the codec finds them in reads of at most `step` bytes; payloads are passed over.
fn frames(input: &[u8], step: usize) -> Frames {
    let (mut reader, mut heads, mut at) = (HeadReader::default(), Vec::new(), 0);
    let mut rest = input;
    while !rest.is_empty() {
        let wanted = reader.wanted();
        assert!((1..=16).contains(&wanted), "{wanted} bytes of a head");
        let (now, later) = rest.split_at(wanted.min(step).min(rest.len()));
        rest = later;
        let Some(head) = reader.push(now) else { continue };
        heads.push(head);
        at = input.len() - rest.len();
        let payload = usize::try_from(head.length).unwrap_or(usize::MAX).min(rest.len());
        rest = &rest[payload..];
        at += payload;
    }
    Frames { heads, at, between: reader.is_between_frames() }
}

/// The same from all of it at once, by RFC 9000 §16.
fn naive(input: &[u8]) -> Frames {
    fn integer(bytes: &[u8]) -> Option<(u64, &[u8])> {
        let length = 1 << (bytes.first()? >> 6);
        let (own, rest) = bytes.split_at_checked(length)?;
        let value = own.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
        Some((value & (u64::MAX >> (64 - 8 * length + 2)), rest))
    }
    let (mut heads, mut rest) = (Vec::new(), input);
    while let Some((kind, after)) = integer(rest)
        && let Some((length, after)) = integer(after)
    {
        heads.push(FrameHead { kind, length });
        rest = &after[usize::try_from(length).unwrap_or(usize::MAX).min(after.len())..];
    }
    Frames { heads, at: input.len() - rest.len(), between: rest.is_empty() }
}

fn control_streams(input: &[u8], of_server: bool) {
    let whole = hear(input, input.len().max(1), of_server);
    for step in [1, 3, 7] {
        assert_eq!(hear(input, step, of_server), whole, "in steps of {step} it is said otherwise");
    }
    let (events, verdict) = whole;
    let mut least = u64::MAX;
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Settings(_) => assert_eq!(at, 0, "settings are not first"),
            Event::Goaway(stream) => {
                assert!(at > 0 && *stream <= least, "it grows (RFC 9114 §5.2)");
                assert!(!of_server || stream % 4 == 0, "no stream of a client's");
                least = *stream;
                let said = [&[4, 0][..], &goaway_frame(*stream)].concat();
                assert_eq!(hear(&said, 64, of_server).0.last(), Some(event));
            }
        }
    }
    assert!(verdict.is_ok() || input.len() > 1, "one byte is nothing yet");
}

fn hear(input: &[u8], step: usize, of_server: bool) -> (Vec<Event>, Result<(), Code>) {
    let mut control = if of_server { Control::of_server() } else { Control::default() };
    let mut events = Vec::new();
    for mut piece in input.chunks(step) {
        while !piece.is_empty() {
            match control.feed(piece) {
                Ok((event, rest)) => {
                    assert!(rest.len() < piece.len(), "nothing is taken");
                    events.extend(event);
                    piece = rest;
                }
                Err(code) => return (events, Err(code)),
            }
        }
    }
    (events, Ok(()))
}
