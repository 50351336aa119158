//! The trailer section (RFC 9112 §7.1.2): every line obeys the rules of a field, and those that
//! could change what the message is or whose it is are dropped.

use super::{ChunkError, TrailerLimits};
use crate::fields::parse_line;
use crate::known::Known;
use crate::plant::{self, Bug};
use crate::syntax::{is_field_value, list};

/// Trailers being received.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    /// The line being received.
    line: Vec<u8>,
    /// Its CR has been seen.
    ends: bool,
    bytes: usize,
    fields: usize,
    /// Lines to pass on.
    kept: Vec<u8>,
    /// What `Connection` says; empty for most.
    nominated: Vec<u8>,
}

impl Trailers {
    /// Forgets everything but its memory.
    pub(super) fn clear(&mut self) {
        let (mut line, mut kept) = (std::mem::take(&mut self.line), std::mem::take(&mut self.kept));
        line.clear();
        kept.clear();
        *self = Self { line, kept, ..Self::default() };
    }

    /// Names fields that are only between two neighbours.
    pub(super) fn nominate(&mut self, connection: &[u8]) {
        self.nominated.extend_from_slice(connection);
        self.nominated.push(b',');
    }

    /// Takes one more byte; `true` if it was the section's last.
    pub(super) fn take(&mut self, byte: u8, limits: &TrailerLimits) -> Result<bool, ChunkError> {
        self.bytes = self.bytes.saturating_add(1);
        if self.bytes > limits.bytes {
            return Err(ChunkError::TrailersTooLong);
        }
        match (self.ends, byte) {
            (false, b'\r') => self.ends = true,
            (false, _) if is_field_value(&[byte]) => self.line.push(byte),
            (true, b'\n') if self.line.is_empty() => return Ok(true),
            (true, b'\n') => self.finish_line(limits)?,
            _ => return Err(ChunkError::BadTrailer),
        }
        Ok(false)
    }

    /// The lines to pass on.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    fn finish_line(&mut self, limits: &TrailerLimits) -> Result<(), ChunkError> {
        self.fields = self.fields.saturating_add(1);
        if self.fields > limits.fields {
            return Err(ChunkError::TrailersTooLong);
        }
        let (field, is_ambiguous) =
            parse_line(&self.line, 0).map_err(|_| ChunkError::BadTrailer)?;
        let name = field.name.of(&self.line);
        let is_nominated = list(&self.nominated).any(|known| known.eq_ignore_ascii_case(name));
        if !is_ambiguous && !is_nominated && may_pass(name, field.known) {
            for part in [name, b": ", field.value.of(&self.line), b"\r\n"] {
                self.kept.extend_from_slice(part);
            }
        }
        self.line.clear();
        self.ends = false;
        Ok(())
    }
}

/// Names beyond [`Known`] that a trailer may not carry (RFC 9110 §6.5.1): they say how to read the
/// content, who asks, or what may be stored.
const REFUSED: [&[u8]; 17] = [
    b"age",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"expires",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"vary",
    b"via",
    b"www-authenticate",
];

/// Beginnings of names by which servers are told who asks.
const REFUSED_STARTS: [&[u8]; 5] = [b"x-forwarded-", b"x-real-", b"x-client-", b"x-ssl-", b"sec-"];

fn may_pass(name: &[u8], known: Known) -> bool {
    let begins = |start: &&[u8]| {
        name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    plant::is(Bug::TrailersPass)
        || matches!(known, Known::Other | Known::Date)
            && !REFUSED.iter().any(|refused| refused.eq_ignore_ascii_case(name))
            && !REFUSED_STARTS.iter().any(begins)
}
