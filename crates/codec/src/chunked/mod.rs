//! The chunked transfer coding (RFC 9112 §7.1), in both directions. Extensions are read over and
//! never passed on; trailers are checked like any field and passed on unless they could change the
//! meaning of the message.

mod extension;
#[cfg(test)]
mod tests;
mod trailers;

use crate::plant::{self, Bug};
use extension::Extension;
use trailers::Trailers;

/// Why a chunked body is refused.
#[allow(missing_docs)] // the names say it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    BadSize,
    SizeTooLarge,
    BadExtension,
    ExtensionsTooLong,
    TooMuchOverhead,
    BadEnd,
    BadTrailer,
    TrailersTooLong,
}

impl ChunkError {
    /// A stable word for logs and scripts.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadSize => "bad_chunk_size",
            Self::SizeTooLarge => "chunk_size_too_large",
            Self::BadExtension => "bad_chunk_extension",
            Self::ExtensionsTooLong => "chunk_extensions_too_long",
            Self::TooMuchOverhead => "too_much_chunk_overhead",
            Self::BadEnd => "bad_chunk_end",
            Self::BadTrailer => "bad_trailer",
            Self::TrailersTooLong => "trailers_too_long",
        }
    }
}

/// Bounds on what surrounds the data.
#[derive(Clone, Copy, Debug)]
pub struct TrailerLimits {
    /// Bytes of the trailer section.
    pub bytes: usize,
    /// Its field lines.
    pub fields: usize,
    /// Bytes of chunk extensions in all chunks together: they carry nothing and cost us work.
    pub extensions: usize,
}

impl Default for TrailerLimits {
    fn default() -> Self {
        Self { bytes: 8 * 1024, fields: 100, extensions: 4 * 1024 }
    }
}

/// What one call made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the buffer that were used; all of them unless `done`.
    pub consumed: usize,
    /// Bytes of data, now at the front of the buffer.
    pub payload: usize,
    /// The body has ended.
    pub done: bool,
}

/// A chunked body being received.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    limits: TrailerLimits,
    extensions: usize,
    /// Bytes around the data so far.
    overhead: u64,
    /// Bytes of data so far.
    data: u64,
    trailers: Trailers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size line; so many digits of the size were read.
    Size {
        size: u64,
        digits: u8,
    },
    /// In an extension of the chunk of this size.
    Extension {
        size: u64,
        part: Extension,
    },
    /// After the CR of a size line.
    SizeEnd {
        size: u64,
    },
    /// So many bytes of data are left.
    Data {
        left: u64,
    },
    /// After the data.
    DataCr,
    DataLf,
    /// In the trailer section.
    Trailer,
    Done,
}

/// A size line is expected.
const BEGIN: State = State::Size { size: 0, digits: 0 };

/// Digits of a chunk size: 16 hold 64 bits; leading zeros count.
const DIGITS_MAX: u8 = 16;

/// Largest chunk. No sum of sizes may wrap, and no body is that long.
const SIZE_MAX: u64 = u64::MAX >> 8;

/// Bytes around the data for each byte of it, beyond which a sender only wants to cost us work
/// (RFC 9112 §7.1.1): chunks of one byte have 5, padded to 8 digits 12.
const OVERHEAD_MAX: u64 = 16;

/// Bytes around the data that are free, so that a short body may have any.
const OVERHEAD_FREE: u64 = 8 * 1024;

impl ChunkedDecoder {
    /// A body from its beginning.
    pub fn new(limits: TrailerLimits) -> Self {
        let trailers = Trailers::default();
        Self { state: BEGIN, limits, extensions: 0, overhead: 0, data: 0, trailers }
    }

    /// Ready for the next body; keeps its memory.
    pub fn reset(&mut self) {
        self.state = BEGIN;
        self.extensions = 0;
        (self.overhead, self.data) = (0, 0);
        self.trailers.clear();
    }

    /// A value of the message's `Connection`: what it names is no trailer to pass on either (RFC
    /// 9110 §7.6.1).
    pub fn nominate(&mut self, connection: &[u8]) {
        self.trailers.nominate(connection);
    }

    /// Decodes in place: the data in `buffer` is moved to its front.
    ///
    /// # Errors
    /// At the first byte that breaks a rule; the decoder is of no use after that.
    pub fn decode(&mut self, buffer: &mut [u8]) -> Result<Decoded, ChunkError> {
        let (mut at, mut payload) = (0, 0);
        let mut state = self.state;
        while at < buffer.len() && state != State::Done {
            if let State::Data { left } = state {
                let here = buffer.len() - at;
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                if at != payload {
                    buffer.copy_within(at..at + take, payload);
                }
                at += take;
                payload += take;
                self.data = self.data.saturating_add(take as u64);
                state = match left - take as u64 {
                    0 => State::DataCr,
                    left => State::Data { left },
                };
            } else if let Some(byte) = buffer.get(at).copied() {
                at += 1;
                state = self.step(state, byte)?;
            }
        }
        self.state = state;
        Ok(Decoded { consumed: at, payload, done: state == State::Done })
    }

    /// The trailer section as it may be passed on: complete field lines.
    pub fn trailers(&self) -> &[u8] {
        self.trailers.kept()
    }

    /// The state after one byte that is not data.
    fn step(&mut self, state: State, byte: u8) -> Result<State, ChunkError> {
        if !matches!(state, State::Trailer) {
            self.overhead = self.overhead.saturating_add(1);
        }
        match (state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                add_digit(size, digits, byte)
            }
            (State::Size { digits: 0, .. }, _) => Err(ChunkError::BadSize),
            (State::Size { size, .. }, b'\n') if plant::is(Bug::BareLfAfterChunkSize) => {
                self.step(State::SizeEnd { size }, byte)
            }
            (State::Size { size, .. }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Size { size, .. }, b';' | b' ' | b'\t') => {
                self.extend(size, Extension::BeforeFirst, byte)
            }
            (State::Size { .. }, _) if plant::is(Bug::JunkInChunkSize) => Ok(state),
            (State::Size { .. }, _) => Err(ChunkError::BadSize),
            (State::Extension { size, part }, b'\r') if part.may_end() => {
                Ok(State::SizeEnd { size })
            }
            (State::Extension { size, part }, _) => self.extend(size, part, byte),
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::Trailer),
            (State::SizeEnd { size }, b'\n') => match self.has_too_much_overhead() {
                true => Err(ChunkError::TooMuchOverhead),
                false => Ok(State::Data { left: size }),
            },
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(BEGIN),
            (State::SizeEnd { .. }, _) if plant::is(Bug::ControlInExtension) => Ok(state),
            (State::DataCr, _) if plant::is(Bug::ChunkEndUnchecked) => Ok(State::DataLf),
            (State::DataLf, _) if plant::is(Bug::ChunkEndUnchecked) => Ok(BEGIN),
            (State::SizeEnd { .. } | State::DataCr | State::DataLf, _) => Err(ChunkError::BadEnd),
            (State::Trailer, _) => match self.trailers.take(byte, &self.limits)? {
                true => Ok(State::Done),
                false => Ok(State::Trailer),
            },
            (State::Data { .. } | State::Done, _) => Ok(state),
        }
    }

    fn has_too_much_overhead(&self) -> bool {
        let fair = OVERHEAD_FREE.saturating_add(self.data.saturating_mul(OVERHEAD_MAX));
        self.overhead > fair
    }

    fn extend(&mut self, size: u64, part: Extension, byte: u8) -> Result<State, ChunkError> {
        self.extensions = self.extensions.saturating_add(1);
        if self.extensions > self.limits.extensions {
            return Err(ChunkError::ExtensionsTooLong);
        }
        let part = part.next(byte).ok_or(ChunkError::BadExtension)?;
        Ok(State::Extension { size, part })
    }
}

fn add_digit(size: u64, digits: u8, byte: u8) -> Result<State, ChunkError> {
    let digit = char::from(byte).to_digit(16).ok_or(ChunkError::BadSize)?;
    if plant::is(Bug::ChunkSizeWraps) {
        let size = size.wrapping_mul(16).wrapping_add(u64::from(digit));
        return Ok(State::Size { size, digits: 1 });
    }
    let size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
    match size {
        Some(size) if size <= SIZE_MAX && digits < DIGITS_MAX => {
            Ok(State::Size { size, digits: digits + 1 })
        }
        _ => Err(ChunkError::SizeTooLarge),
    }
}

/// Writes the size line of a chunk of `length` bytes; how long it is. A `length` of 0 would be the
/// last chunk (RFC 9112 §7.1).
pub fn chunk_head(length: usize, out: &mut [u8; 18]) -> usize {
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    let mut count = 0;
    for (place, index) in out.iter_mut().zip((0..digits).rev()) {
        let digit = (length >> (index * 4)) & 15;
        *place = b"0123456789abcdef"[digit]; // below 16
        count += 1;
    }
    for (place, byte) in out.iter_mut().skip(count).zip(b"\r\n") {
        *place = *byte;
    }
    count + 2
}
