//! Finds the heads of frames (RFC 9113 §4.1) in a stream of bytes, however it is split, and as much of
//! their content as says what they cost. Owns where one frame ends and the next begins; judges nothing.

pub(super) const DATA: u8 = 0;
/// The type of a frame that begins a message, or its trailer section (RFC 9113 §6.2).
pub const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING (RFC 9113 §6.5).
pub(super) const ACK: u8 = 0x1;
const PADDED: u8 = 0x8;

const HEAD: usize = 9;
/// A head and the code of a RST_STREAM.
const LONGEST: usize = HEAD + 4;

/// See the module's head.
#[derive(Debug)]
pub struct Scan {
    /// Bytes to come that nobody looks at.
    skip: u32,
    start: [u8; LONGEST],
    /// How much of `start` has come.
    filled: usize,
}

/// A frame, once enough of it has come.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its type (RFC 9113 §6).
    pub kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Of its content.
    pub(super) length: u32,
    /// The error code of a RST_STREAM.
    pub(super) code: u32,
    /// The length of a DATA frame's padding.
    padding: u8,
}

impl Frame {
    /// DATA that neither brings anything nor ends its stream.
    #[inline]
    pub(super) fn is_empty_data(self) -> bool {
        let padding = if self.flags & PADDED == 0 { 0 } else { u32::from(self.padding) + 1 };
        self.flags & END_STREAM == 0 && self.length <= padding
    }
}

impl Scan {
    /// Looks for frames after so many other bytes.
    pub fn after(skip: u32) -> Self {
        Self { skip, start: [0; LONGEST], filled: 0 }
    }

    /// The next frame; `None` when `bytes` are used up.
    #[inline]
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = bytes.len().min(self.skip as usize);
        *bytes = bytes.get(skipped..).unwrap_or_default();
        self.skip = self.skip.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
        loop {
            let wanted = self.wanted();
            let missing = wanted.saturating_sub(self.filled);
            if missing == 0 {
                return Some(self.take(wanted));
            }
            if bytes.is_empty() {
                return None;
            }
            let (here, rest) = bytes.split_at(missing.min(bytes.len()));
            if let Some(place) = self.start.get_mut(self.filled..self.filled + here.len()) {
                place.copy_from_slice(here);
            }
            self.filled += here.len();
            *bytes = rest;
        }
    }

    /// How much of a frame has to come before it can be judged.
    #[inline]
    fn wanted(&self) -> usize {
        let [a, b, c, kind, flags, ..] = self.start;
        let length = u32::from_be_bytes([0, a, b, c]);
        match kind {
            _ if self.filled < HEAD => HEAD,
            DATA if flags & PADDED != 0 && length >= 1 => HEAD + 1,
            RST_STREAM if length >= 4 => LONGEST,
            _ => HEAD,
        }
    }

    #[inline]
    fn take(&mut self, wanted: usize) -> Frame {
        let [a, b, c, kind, flags, s1, s2, s3, s4, e1, e2, e3, e4] = self.start;
        let length = u32::from_be_bytes([0, a, b, c]);
        let seen = u32::try_from(wanted.saturating_sub(HEAD)).unwrap_or_default();
        self.skip = length.saturating_sub(seen);
        self.filled = 0;
        Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]),
            length,
            code: if wanted == LONGEST { u32::from_be_bytes([e1, e2, e3, e4]) } else { 0 },
            padding: if wanted > HEAD { e1 } else { 0 },
        }
    }
}
