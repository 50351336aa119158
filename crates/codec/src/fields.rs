//! Field lines (RFC 9112 §5): an index into the received bytes, and the rules every line obeys.

use crate::known::Known;
use crate::span::Span;
use crate::syntax::{is_field_value, is_token, list, trim};

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As sent, any case.
    pub name: Span,
    /// Without surrounding white space.
    pub value: Span,
    /// Which name it is, if it matters here.
    pub known: Known,
    /// Only between two neighbours: never passed on (RFC 9110 §7.6.1).
    pub hop_by_hop: bool,
}

/// What is wrong with a field line or a head's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    Name,
    Value,
    Folded,
    NoColon,
    TooMany,
    /// A name that differs from an identity field only by `_` or `.` (which some servers fold).
    Ambiguous,
}

/// Parses the lines between `start` and `end` (which is where the empty line begins).
pub(crate) fn parse(
    bytes: &[u8],
    start: usize,
    end: usize,
    fields_max: usize,
    fields: &mut Vec<Field>,
) -> Result<(), LineError> {
    let mut at = start;
    while at < end {
        let rest = bytes.get(at..end).unwrap_or_default();
        // The scanner has made sure that every line ends with CRLF.
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
        let line = rest.get(..length.saturating_sub(2)).unwrap_or_default();
        if fields.len() >= fields_max {
            return Err(LineError::TooMany);
        }
        fields.push(parse_line(line, at)?);
        at += length;
    }
    Ok(())
}

fn parse_line(line: &[u8], at: usize) -> Result<Field, LineError> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(LineError::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(LineError::NoColon)?;
    let (name, rest) = line.split_at(colon);
    let raw = rest.get(1..).unwrap_or_default();
    if !is_token(name) {
        return Err(LineError::Name);
    }
    let value = trim(raw);
    if !is_field_value(value) {
        return Err(LineError::Value);
    }
    let known = Known::of(name);
    if known == Known::Other && is_ambiguous(name) {
        return Err(LineError::Ambiguous);
    }
    let before = raw.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let value_at = at + colon + 1 + before;
    Ok(Field {
        name: Span::new(at, at + colon),
        value: Span::new(value_at, value_at + value.len()),
        known,
        hop_by_hop: known.is_hop_by_hop(),
    })
}

/// `X_Forwarded_For` and the like: a server that folds `_` into `-` would believe the client.
fn is_ambiguous(name: &[u8]) -> bool {
    const LONGEST: usize = 32;
    if name.len() > LONGEST || !name.iter().any(|byte| matches!(byte, b'_' | b'.')) {
        return false;
    }
    let mut folded = [0; LONGEST];
    for (to, from) in folded.iter_mut().zip(name) {
        *to = if matches!(from, b'_' | b'.') { b'-' } else { *from };
    }
    Known::of(folded.get(..name.len()).unwrap_or_default()) != Known::Other
}

/// Marks the fields that `Connection` names, and says which options it has. `None` if it names a
/// field that must never be removed (RFC 9110 §7.6.1: end-to-end framing and routing).
pub(crate) fn apply_connection(bytes: &[u8], fields: &mut [Field]) -> Option<Options> {
    let mut options = Options::default();
    for at in 0..fields.len() {
        let Some(field) = fields.get(at).filter(|f| f.known == Known::Connection) else { continue };
        let value = field.value.of(bytes);
        for option in list(value) {
            match option {
                b"" => {}
                _ if option.eq_ignore_ascii_case(b"close") => options.close = true,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                _ => nominate(bytes, fields, option)?,
            }
        }
    }
    Some(options)
}

fn nominate(bytes: &[u8], fields: &mut [Field], name: &[u8]) -> Option<()> {
    match Known::of(name) {
        Known::Host | Known::ContentLength | Known::TransferEncoding => return None,
        _ => {}
    }
    for field in fields.iter_mut() {
        field.hop_by_hop |= field.name.of(bytes).eq_ignore_ascii_case(name);
    }
    Some(())
}

/// What `Connection` asks for.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}
