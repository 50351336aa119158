//! Frames of a request stream (RFC 9114 §4.1, §7.1): their heads, byte by byte, and which of them may
//! come when. Owns no payload.

use super::Code;
use super::varint::{put_varint, varint, varint_length};

/// A frame's type and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// RFC 9114 §11.2.1.
    pub kind: u64,
    /// Of its payload, in bytes; the sender's claim.
    pub length: u64,
}

/// Types of frames (RFC 9114 §11.2.1).
pub(super) mod kind {
    pub(crate) const DATA: u64 = 0x00;
    pub(crate) const HEADERS: u64 = 0x01;
    pub(crate) const CANCEL_PUSH: u64 = 0x03;
    pub(crate) const SETTINGS: u64 = 0x04;
    pub(crate) const PUSH_PROMISE: u64 = 0x05;
    pub(crate) const GOAWAY: u64 = 0x07;
    pub(crate) const MAX_PUSH_ID: u64 = 0x0d;

    /// HTTP/2's that HTTP/3 has not (§7.2.8).
    pub(crate) fn is_of_http_2(kind: u64) -> bool {
        matches!(kind, 0x02 | 0x06 | 0x08 | 0x09)
    }
}

/// What a unidirectional stream is for (RFC 9114 §6.2, RFC 9204 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// SETTINGS and GOAWAY; one of each side.
    Control,
    /// Only servers push.
    Push,
    /// QPACK's instructions; one of each side.
    QpackEncoder,
    /// QPACK's acknowledgements; one of each side.
    QpackDecoder,
    /// Means nothing to us (§6.2.3).
    Unknown,
}

impl StreamKind {
    /// Of the integer that a stream begins with.
    pub fn of(kind: u64) -> Self {
        match kind {
            0x00 => Self::Control,
            0x01 => Self::Push,
            0x02 => Self::QpackEncoder,
            0x03 => Self::QpackDecoder,
            _ => Self::Unknown,
        }
    }
}

/// The head of a frame of `length` bytes of HEADERS or DATA, to go before them.
pub fn frame_head(is_headers: bool, length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(9);
    head.push(u8::from(is_headers)); // DATA is 0x00, HEADERS 0x01
    put_varint(&mut head, length as u64);
    head
}

/// A head of at most 16 bytes that comes in pieces.
#[derive(Debug, Default)]
pub struct HeadReader {
    bytes: [u8; 16],
    have: usize,
}

impl HeadReader {
    /// How many bytes can be read without reading beyond the head; at least 1.
    pub fn wanted(&self) -> usize {
        let Some(kind) = self.bytes.first().filter(|_| self.have > 0) else { return 2 };
        let kind = varint_length(*kind);
        let length = match self.bytes.get(kind).filter(|_| self.have > kind) {
            Some(length) => varint_length(*length),
            None => 1,
        };
        (kind + length).saturating_sub(self.have).max(1)
    }

    /// Takes what was read, no more than was wanted; the head once it is complete.
    pub fn push(&mut self, read: &[u8]) -> Option<FrameHead> {
        let end = self.have.saturating_add(read.len());
        self.bytes.get_mut(self.have..end)?.copy_from_slice(read);
        self.have = end;
        let have = self.bytes.get(..end)?;
        let (kind, at) = varint(have)?;
        let (length, _) = varint(have.get(at..)?)?;
        self.have = 0;
        Some(FrameHead { kind, length })
    }

    /// Whether the stream could end here.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0
    }
}

/// What the payload of a frame of a request stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A field section of so many bytes: the head, or after it the trailers.
    Fields(usize),
    /// So many bytes of the body.
    Body(u64),
    /// So many bytes that mean nothing.
    Nothing(u64),
}

/// Frames without a meaning that a stream may have between two with one: what greases (§7.2.8) sends
/// one or two.
const MEANINGLESS_MAX: u32 = 16;
/// Bytes of those, for a whole stream.
const MEANINGLESS_BYTES_MAX: u64 = 64 * 1024;
/// Empty frames of the body in a row: each costs us as much as a full one, and says nothing.
const EMPTY_MAX: u32 = 100;

/// The order of frames that a peer sends on one stream (RFC 9114 §4.1).
#[derive(Debug)]
pub struct RequestStream {
    at: At,
    /// Longest field section taken, as it is on the wire.
    fields_max: u64,
    meaningless: u32,
    meaningless_bytes: u64,
    empty: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Body,
    Trailers,
}

impl RequestStream {
    /// Before the first frame.
    pub fn new(fields_max: u64) -> Self {
        let (meaningless, meaningless_bytes, empty) = (0, 0, 0);
        Self { at: At::Start, fields_max, meaningless, meaningless_bytes, empty }
    }

    /// What the next frame is.
    ///
    /// # Errors
    /// A frame that may not come here, or costs more than it says: the connection ends.
    pub fn next(&mut self, head: FrameHead) -> Result<Piece, Code> {
        match (head.kind, self.at) {
            (kind::HEADERS, At::Start | At::Body) => {
                if head.length > self.fields_max {
                    return Err(Code::ExcessiveLoad);
                }
                self.at = if self.at == At::Start { At::Body } else { At::Trailers };
                self.meaningless = 0;
                usize::try_from(head.length).map(Piece::Fields).map_err(|_| Code::ExcessiveLoad)
            }
            (kind::DATA, At::Body) => {
                self.meaningless = 0;
                self.empty = if head.length == 0 { self.empty.saturating_add(1) } else { 0 };
                if self.empty > EMPTY_MAX {
                    return Err(Code::ExcessiveLoad);
                }
                Ok(Piece::Body(head.length))
            }
            (
                kind::DATA
                | kind::HEADERS
                | kind::CANCEL_PUSH
                | kind::SETTINGS
                | kind::PUSH_PROMISE
                | kind::GOAWAY
                | kind::MAX_PUSH_ID,
                _,
            ) => Err(Code::FrameUnexpected),
            (other, _) if kind::is_of_http_2(other) => Err(Code::FrameUnexpected),
            _ => {
                self.meaningless = self.meaningless.saturating_add(1);
                self.meaningless_bytes = self.meaningless_bytes.saturating_add(head.length);
                match self.meaningless > MEANINGLESS_MAX
                    || self.meaningless_bytes > MEANINGLESS_BYTES_MAX
                {
                    true => Err(Code::ExcessiveLoad),
                    false => Ok(Piece::Nothing(head.length)),
                }
            }
        }
    }

    /// The head that has come was an interim response's: another one follows (RFC 9114 §4.1).
    pub fn was_interim(&mut self) {
        if self.at == At::Body {
            self.at = At::Start;
        }
    }

    /// Whether a head has come.
    pub fn has_head(&self) -> bool {
        self.at != At::Start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stream: &mut RequestStream, frames: &[(u64, u64)]) -> Result<Vec<Piece>, Code> {
        frames.iter().map(|&(kind, length)| stream.next(FrameHead { kind, length })).collect()
    }

    fn fresh() -> RequestStream {
        RequestStream::new(1000)
    }

    #[test]
    fn a_head_is_found_in_whatever_pieces_it_comes_and_nothing_beyond_it_is_asked_for() {
        for (bytes, head) in [
            (&[0x00, 0x05][..], FrameHead { kind: 0, length: 5 }),
            (&[0x01, 0x7b, 0xbd], FrameHead { kind: 1, length: 15_293 }),
            (&[0x40, 0x21, 0x00], FrameHead { kind: 0x21, length: 0 }),
            (
                &[0xc0, 0, 0, 0, 0, 0, 0, 0x21, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                FrameHead { kind: 0x21, length: (1 << 62) - 1 },
            ),
        ] {
            for step in 1..=bytes.len() {
                let (mut reader, mut left, mut found) = (HeadReader::default(), bytes, None);
                while found.is_none() {
                    let wanted = reader.wanted();
                    assert!(0 < wanted && wanted <= left.len(), "{wanted} of {left:?}");
                    let (now, later) = left.split_at(wanted.min(step));
                    (found, left) = (reader.push(now), later);
                }
                assert_eq!((found, left), (Some(head), &[][..]));
                assert!(reader.is_between_frames());
            }
        }
    }

    #[test]
    fn head_body_trailers_in_this_order_rfc_9114_4_1() {
        let pieces = all(&mut fresh(), &[(1, 9), (0, 5), (0, 0), (1, 3)]).unwrap();
        assert_eq!(pieces, [Piece::Fields(9), Piece::Body(5), Piece::Body(0), Piece::Fields(3)]);
        for wrong in [&[(0, 1)][..], &[(1, 9), (1, 3), (0, 1)], &[(1, 9), (1, 3), (1, 3)]] {
            assert_eq!(all(&mut fresh(), wrong), Err(Code::FrameUnexpected), "{wrong:?}");
        }
    }

    #[test]
    fn interim_heads_come_before_the_final_one_rfc_9114_4_1() {
        let mut stream = fresh();
        all(&mut stream, &[(1, 9)]).unwrap();
        stream.was_interim();
        assert!(!stream.has_head());
        assert_eq!(stream.next(FrameHead { kind: 0, length: 1 }), Err(Code::FrameUnexpected));
        assert!(all(&mut stream, &[(1, 9), (0, 5), (1, 3)]).is_ok());
    }

    #[test]
    fn frames_of_other_streams_and_of_http_2_end_the_connection_rfc_9114_7_2() {
        for kind in [2, 3, 4, 5, 6, 7, 8, 9, 0xd] {
            assert_eq!(all(&mut fresh(), &[(1, 9), (kind, 0)]), Err(Code::FrameUnexpected));
        }
    }

    #[test]
    fn unknown_frames_mean_nothing_rfc_9114_9_until_they_are_a_load() {
        let grease = (0x1f * 7 + 0x21, 10);
        let pieces = all(&mut fresh(), &[grease, (1, 9), grease, (0, 5), grease]).unwrap();
        assert_eq!(pieces[0], Piece::Nothing(10));
        assert_eq!(all(&mut fresh(), &[grease; 17]), Err(Code::ExcessiveLoad));
        assert_eq!(all(&mut fresh(), &[(0x21, 1 << 40)]), Err(Code::ExcessiveLoad));
        let mut stream = fresh();
        all(&mut stream, &[(1, 9)]).unwrap();
        assert_eq!(all(&mut stream, &[(0, 0); 101]), Err(Code::ExcessiveLoad));
    }

    #[test]
    fn a_field_section_that_is_too_long_is_refused_before_it_is_received() {
        assert_eq!(all(&mut fresh(), &[(1, 1001)]), Err(Code::ExcessiveLoad));
    }
}
