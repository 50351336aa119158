//! Content of HTTP/1 as an exchange writes it, seen piece by piece: what of it is payload, and what is
//! only there to frame it. The writer is our own pump, so anything unexpected is a defect here and
//! ends the message; what servers send has been through the strict decoder before.

use evenkeel_codec::BodyLength;

/// Bytes of a trailer section; the pump's own bound is lower.
const TRAILERS_MAX: usize = 64 * 1024;

/// How content is framed, and how far it is.
#[derive(Debug)]
pub(crate) enum Framing {
    /// So many bytes are left.
    Exact(u64),
    /// In chunks.
    Chunked(Chunked),
    /// Without an end of its own.
    Endless,
    /// Nothing follows.
    Ended,
}

/// Where in a chunked body.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    at: At,
    /// Trailer lines.
    pub(crate) trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// In a size line; the size so far.
    #[default]
    Begin,
    Size(u64),
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataLf,
    Trailers,
    Ended,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many frame what is around them.
    Frame(usize),
    /// So many may be payload; how many are taken is told by [`Framing::take`].
    Payload(usize),
    /// So many, and the message has ended.
    End(usize),
    /// Nothing of the kind.
    Wrong,
}

impl Framing {
    /// That of content with this length.
    pub(crate) fn of(body: BodyLength) -> Self {
        match body {
            BodyLength::None | BodyLength::Exact(0) => Self::Ended,
            BodyLength::Exact(length) => Self::Exact(length),
            BodyLength::Chunked => Self::Chunked(Chunked::default()),
            BodyLength::UntilClose => Self::Endless,
        }
    }

    /// What `bytes`, of which there is at least one, begin with.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Part {
        match self {
            Self::Exact(left) => {
                Part::Payload(usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len()))
            }
            Self::Endless => Part::Payload(bytes.len()),
            Self::Chunked(chunked) => {
                let part = chunked.next(bytes);
                if let Part::End(_) = part
                    && chunked.trailers.is_empty()
                {
                    *self = Self::Ended;
                }
                part
            }
            Self::Ended => Part::Wrong,
        }
    }

    /// So many bytes of payload were taken.
    pub(crate) fn take(&mut self, count: usize) {
        let count = count as u64;
        match self {
            Self::Exact(left) => {
                *left = left.saturating_sub(count);
                if *left == 0 {
                    *self = Self::Ended;
                }
            }
            Self::Chunked(chunked) => {
                if let At::Data(left) = chunked.at {
                    chunked.at = match left.saturating_sub(count) {
                        0 => At::DataEnd,
                        left => At::Data(left),
                    };
                }
            }
            Self::Endless | Self::Ended => {}
        }
    }

    /// Nothing follows.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Nothing follows but perhaps a trailer section, which has been read.
    pub(crate) fn ends(&self) -> bool {
        matches!(self, Self::Ended | Self::Chunked(Chunked { at: At::Ended, .. }))
    }

    /// The trailer section's lines, if there is one; the message has ended then.
    pub(crate) fn take_trailers(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Chunked(Chunked { at: At::Ended, trailers }) => {
                let trailers = std::mem::take(trailers);
                *self = Self::Ended;
                Some(trailers)
            }
            _ => None,
        }
    }
}

impl Chunked {
    fn next(&mut self, bytes: &[u8]) -> Part {
        let mut used = 0;
        for byte in bytes {
            let next = match (self.at, byte) {
                (At::Data(left), _) if used == 0 => {
                    let left = usize::try_from(left).unwrap_or(usize::MAX);
                    return Part::Payload(left.min(bytes.len()));
                }
                (At::Data(_), _) => return Part::Frame(used),
                (At::Begin, _) if byte.is_ascii_hexdigit() => Some(At::Size(digit(*byte))),
                (At::Size(size), b'\r') => Some(At::SizeEnd(size)),
                (At::Size(size), _) if byte.is_ascii_hexdigit() => {
                    size.checked_mul(16).map(|size| At::Size(size.saturating_add(digit(*byte))))
                }
                (At::SizeEnd(0), b'\n') => Some(At::Trailers),
                (At::SizeEnd(size), b'\n') => Some(At::Data(size)),
                (At::DataEnd, b'\r') => Some(At::DataLf),
                (At::DataLf, b'\n') => Some(At::Begin),
                (At::Trailers, _) if self.trailers.len() < TRAILERS_MAX => {
                    self.trailers.push(*byte);
                    Some(At::Trailers)
                }
                _ => None,
            };
            used += 1;
            match next {
                Some(next) => self.at = next,
                None => return Part::Wrong,
            }
            if self.at == At::Trailers && self.trailers.ends_with(b"\r\n") {
                let lines = self.trailers.len() - 2;
                if lines == 0 || self.trailers.get(..lines).is_some_and(|l| l.ends_with(b"\r\n")) {
                    self.trailers.truncate(lines);
                    self.at = At::Ended;
                    return Part::End(used);
                }
            }
        }
        Part::Frame(used)
    }
}

fn digit(byte: u8) -> u64 {
    u64::from(char::from(byte).to_digit(16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payload and trailers of a chunked body that arrives in pieces of `size` bytes.
    fn read(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, usize) {
        let (mut framing, mut payload) = (Framing::Chunked(Chunked::default()), Vec::new());
        let mut at = 0;
        while at < bytes.len() {
            let piece = &bytes[at..(at + size).min(bytes.len())];
            match framing.next(piece) {
                Part::Frame(count) => at += count,
                Part::Payload(count) => {
                    payload.extend_from_slice(&piece[..count]);
                    framing.take(count);
                    at += count;
                }
                Part::End(count) => {
                    at += count;
                    break;
                }
                Part::Wrong => panic!("{at}"),
            }
        }
        let trailers = match framing {
            Framing::Chunked(chunked) => chunked.trailers,
            _ => Vec::new(),
        };
        (payload, trailers, at)
    }

    #[test]
    fn chunks_are_taken_apart_however_they_come() {
        for size in 1..40 {
            let body = b"5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\nmore";
            let (payload, trailers, at) = read(body, size);
            assert_eq!(payload, b"hello0123456789abcdef");
            assert_eq!((trailers.len(), at), (0, body.len() - 4), "{size}");
            let (payload, trailers, _) = read(b"1\r\nx\r\n0\r\na: b\r\nc: d\r\n\r\n", size);
            assert_eq!(
                (payload.as_slice(), trailers.as_slice()),
                (&b"x"[..], &b"a: b\r\nc: d\r\n"[..])
            );
        }
    }

    #[test]
    fn what_is_no_chunk_is_wrong() {
        for bytes in [&b"x"[..], b"5 \r\n", b"5\rx", b"\r\n"] {
            let mut framing = Framing::Chunked(Chunked::default());
            assert_eq!(framing.next(bytes), Part::Wrong, "{bytes:?}");
        }
        let mut framing = Framing::Exact(2);
        assert_eq!(framing.next(b"abc"), Part::Payload(2));
        framing.take(2);
        assert!(framing.is_ended());
        assert_eq!(framing.next(b"c"), Part::Wrong);
    }
}
