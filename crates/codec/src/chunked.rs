//! The chunked transfer coding (RFC 9112 §7.1), in both directions. Extensions are read over and
//! never passed on; trailers are checked like any field and passed on unless they could change the
//! meaning of the message.

use crate::fields;
use crate::known::Known;
use crate::syntax::is_field_value;

/// Why a chunked body is refused.
#[allow(missing_docs)] // the names say it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    BadSize,
    SizeTooLarge,
    BadExtension,
    ExtensionsTooLong,
    BadEnd,
    BadTrailer,
    TrailersTooLong,
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
    trailers: Vec<u8>,
    passed_on: Vec<u8>,
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
        quoted: bool,
        escaped: bool,
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

/// Digits of a chunk size: 16 hold 64 bits; leading zeros count.
const DIGITS_MAX: u8 = 16;

impl ChunkedDecoder {
    /// A body from its beginning.
    pub fn new(limits: TrailerLimits) -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
            limits,
            extensions: 0,
            trailers: Vec::new(),
            passed_on: Vec::new(),
        }
    }

    /// Decodes in place: the data in `buffer` is moved to its front.
    ///
    /// # Errors
    /// At the first byte that breaks a rule.
    pub fn decode(&mut self, buffer: &mut [u8]) -> Result<Decoded, ChunkError> {
        let (mut at, mut payload) = (0, 0);
        while at < buffer.len() && self.state != State::Done {
            if let State::Data { left } = self.state {
                let here = buffer.len() - at;
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                buffer.copy_within(at..at + take, payload);
                at += take;
                payload += take;
                self.state = match left - take as u64 {
                    0 => State::DataCr,
                    left => State::Data { left },
                };
            } else if let Some(byte) = buffer.get(at).copied() {
                at += 1;
                self.state = self.step(byte)?;
            }
        }
        Ok(Decoded { consumed: at, payload, done: self.state == State::Done })
    }

    /// The trailer section as it may be passed on: complete field lines.
    pub fn trailers(&self) -> &[u8] {
        &self.passed_on
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits >= DIGITS_MAX {
                    return Err(ChunkError::SizeTooLarge);
                }
                let digit = u64::from(char::from(byte).to_digit(16).unwrap_or(0));
                let size = size.checked_mul(16).and_then(|s| s.checked_add(digit));
                let size = size.ok_or(ChunkError::SizeTooLarge)?;
                // No sum of sizes may wrap anywhere: no body is that long.
                if size > u64::MAX >> 8 {
                    return Err(ChunkError::SizeTooLarge);
                }
                State::Size { size, digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(ChunkError::BadSize),
            (State::Size { size, .. }, b'\r') => State::SizeEnd { size },
            (State::Size { size, .. }, b';') => {
                State::Extension { size, quoted: false, escaped: false }
            }
            (State::Size { .. }, _) => return Err(ChunkError::BadSize),
            (State::Extension { size, quoted, escaped }, _) => {
                self.extension(byte, size, quoted, escaped)?
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::Trailer,
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::SizeEnd { .. } | State::DataCr | State::DataLf, _) => {
                return Err(ChunkError::BadEnd);
            }
            (State::Trailer, _) => return self.trailer(byte),
            (State::Data { .. } | State::Done, _) => self.state,
        })
    }

    /// Extensions are not interpreted, but their line must end where every parser sees its end:
    /// no control characters, quotes closed.
    fn extension(
        &mut self,
        byte: u8,
        size: u64,
        quoted: bool,
        escaped: bool,
    ) -> Result<State, ChunkError> {
        self.extensions += 1;
        if self.extensions > self.limits.extensions {
            return Err(ChunkError::ExtensionsTooLong);
        }
        match byte {
            b'\r' if !quoted => Ok(State::SizeEnd { size }),
            _ if !is_field_value(&[byte]) => Err(ChunkError::BadExtension),
            _ if escaped => Ok(State::Extension { size, quoted, escaped: false }),
            b'\\' if quoted => Ok(State::Extension { size, quoted, escaped: true }),
            b'"' => Ok(State::Extension { size, quoted: !quoted, escaped: false }),
            _ => Ok(State::Extension { size, quoted, escaped: false }),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        if self.trailers.len() >= self.limits.bytes {
            return Err(ChunkError::TrailersTooLong);
        }
        self.trailers.push(byte);
        if byte != b'\n' {
            return Ok(State::Trailer);
        }
        match self.trailers.as_slice() {
            b"\r\n" => Ok(State::Done),
            [lines @ .., b'\r', b'\n', b'\r', b'\n'] => {
                let end = lines.len() + 2;
                self.passed_on = sanitise(&self.trailers, end, self.limits.fields)?;
                Ok(State::Done)
            }
            [.., b'\r', b'\n'] => Ok(State::Trailer),
            _ => Err(ChunkError::BadTrailer),
        }
    }
}

/// The lines that may be passed on. Framing, routing, authentication and identity never come from
/// a trailer (RFC 9110 §6.5.1).
fn sanitise(bytes: &[u8], end: usize, fields_max: usize) -> Result<Vec<u8>, ChunkError> {
    let mut fields = Vec::new();
    fields::parse(bytes, 0, end, fields_max, &mut fields).map_err(|error| match error {
        fields::LineError::TooMany => ChunkError::TrailersTooLong,
        _ => ChunkError::BadTrailer,
    })?;
    let mut kept = Vec::new();
    for field in fields {
        let name = field.name.of(bytes);
        let known = field.known;
        let refused = field.hop_by_hop
            || !matches!(known, Known::Other | Known::Date)
            || REFUSED.iter().any(|refused| refused.eq_ignore_ascii_case(name));
        if !refused {
            for part in [name, b": ", field.value.of(bytes), b"\r\n"] {
                kept.extend_from_slice(part);
            }
        }
    }
    Ok(kept)
}

/// Names beyond [`Known`] that a trailer may not carry.
const REFUSED: &[&[u8]] = &[
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"max-forwards",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"set-cookie",
    b"www-authenticate",
];

/// Writes the size line of a chunk of `length` bytes; how long it is.
pub fn chunk_head(length: usize, out: &mut [u8; 18]) -> usize {
    let mut digits = [0; 16];
    let (mut at, mut left) = (digits.len(), length);
    loop {
        at -= 1;
        if let (Some(place), Some(digit)) = (digits.get_mut(at), b"0123456789abcdef".get(left & 15))
        {
            *place = *digit;
        }
        left >>= 4;
        if left == 0 || at == 0 {
            break;
        }
    }
    let digits = digits.get(at..).unwrap_or_default();
    for (to, from) in out.iter_mut().zip(digits.iter().chain(b"\r\n")) {
        *to = *from;
    }
    digits.len() + 2
}
