//! Paths made comparable (RFC 3986 §6.2.2), once, before anything is decided by them: what is
//! matched is what is forwarded, so no spelling of a path slips past a rule.

#[cfg(test)]
mod tests;

use crate::plant::{self, Bug};

/// What to do with the spellings on which servers disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `%2F` and `%5C`.
    pub encoded_slash: EncodedSlash,
    /// `//` becomes `/`.
    pub merge_slashes: bool,
}

/// What to do with an encoded separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodedSlash {
    /// Refuse it.
    Reject,
    /// Leave it: data.
    Keep,
    /// Make it the separator it stands for.
    Decode,
}

/// Whether the path was already normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// It was; what was written, if anything, is of no use.
    Unchanged,
    /// The normal form was written.
    Changed,
}

/// Why a path is refused.
#[allow(missing_docs)] // `reason` says it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    BadEscape,
    EncodedSlash,
    Control,
    Overlong,
    Backslash,
    DotSegmentParameter,
}

impl PathError {
    /// A stable word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadEscape => "bad_path_escape",
            Self::EncodedSlash => "encoded_slash_in_path",
            Self::Control => "control_character_in_path",
            Self::Overlong => "overlong_utf8_in_path",
            Self::Backslash => "backslash_in_path",
            Self::DotSegmentParameter => "dot_segment_with_parameter",
        }
    }
}

/// Writes the normal form of `path`, which begins with `/` or is `*`, to `out`, if it differs; at
/// most one byte longer. Idempotent: the normal form of a normal form is itself.
///
/// # Errors
/// For what cannot be normalised without guessing what a server makes of it.
pub fn normalise(path: &[u8], rules: &Rules, out: &mut Vec<u8>) -> Result<Normalised, PathError> {
    if path == b"*" || is_plain(path) || plant::is(Bug::DotSegmentsPass) {
        return Ok(Normalised::Unchanged);
    }
    out.clear();
    decode(path, rules, out)?;
    resolve(out, rules.merge_slashes)?;
    Ok(if out == path { Normalised::Unchanged } else { Normalised::Changed })
}

/// No byte that could need work: no escape, backslash or control character, and no dot or slash
/// after a slash.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for byte in path {
        match byte {
            b'%' | b'\\' | 0..0x20 | 0x7f => return false,
            b'.' | b'/' if after_slash => return false,
            _ => {}
        }
        after_slash = *byte == b'/';
    }
    path.first() == Some(&b'/')
}

/// Decodes what is unreserved, and writes the other escapes in upper case (RFC 3986 §6.2.2.1–2).
/// One pass: what decoding yields is never decoded again.
fn decode(path: &[u8], rules: &Rules, out: &mut Vec<u8>) -> Result<(), PathError> {
    if path.first() != Some(&b'/') {
        out.push(b'/');
    }
    let mut rest = path;
    let mut before = None; // the escape just before, if one was
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let [high, low, after @ ..] = rest else { return Err(PathError::BadEscape) };
                rest = after;
                let value = (hex(*high)? << 4) | hex(*low)?;
                if is_overlong(before.replace(value), value) {
                    return Err(PathError::Overlong);
                }
                write_escaped(value, rules, out)?;
                continue;
            }
            // Some servers take it for a separator.
            b'\\' => return Err(PathError::Backslash),
            0..0x20 | 0x7f => return Err(PathError::Control),
            _ => out.push(*byte),
        }
        before = None;
    }
    Ok(())
}

/// Writes what `value`, which was escaped, is in normal form.
fn write_escaped(value: u8, rules: &Rules, out: &mut Vec<u8>) -> Result<(), PathError> {
    match value {
        b'/' | b'\\' => match rules.encoded_slash {
            EncodedSlash::Reject => return Err(PathError::EncodedSlash),
            EncodedSlash::Decode => out.push(b'/'),
            EncodedSlash::Keep => escape(value, out),
        },
        0..0x20 | 0x7f => return Err(PathError::Control),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(value),
        _ => escape(value, out),
    }
    Ok(())
}

/// The two begin a character in more bytes than it needs (RFC 3629 §3): `%C0%AF` is a `/` to a
/// careless decoder.
fn is_overlong(first: Option<u8>, second: u8) -> bool {
    matches!(
        (first, second),
        (Some(0xc0 | 0xc1), 0x80..=0xbf) | (Some(0xe0), 0x80..=0x9f) | (Some(0xf0), 0x80..=0x8f)
    )
}

fn hex(digit: u8) -> Result<u8, PathError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(PathError::BadEscape),
    }
}

fn escape(value: u8, out: &mut Vec<u8>) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'A' - 10 + half };
    out.extend_from_slice(&[b'%', digit(value >> 4), digit(value & 15)]);
}

/// Removes dot segments (RFC 3986 §5.2.4) and, if asked, empty ones. Works in place: the output
/// never is longer than what has been read.
fn resolve(path: &mut Vec<u8>, merge: bool) -> Result<(), PathError> {
    let (mut to, mut from) = (0, 0);
    // Every segment begins with its slash.
    while from < path.len() {
        let rest = path.get(from + 1..).unwrap_or_default();
        let length = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        let is_last = from + 1 + length >= path.len();
        match rest.get(..length).unwrap_or_default() {
            b"." if is_last => to = put_slash(path, to),
            b"." => {}
            b".." => {
                to = parent(path, to);
                if is_last {
                    to = put_slash(path, to); // it names what is below its parent
                }
            }
            b"" if merge && is_last => to = put_slash(path, to),
            b"" if merge => {}
            segment if is_dots_with_parameter(segment) => {
                return Err(PathError::DotSegmentParameter);
            }
            _ => {
                path.copy_within(from..from + 1 + length, to);
                to += 1 + length;
            }
        }
        from += 1 + length;
    }
    path.truncate(to);
    Ok(())
}

/// `..;x`: a dot segment to the servers that take parameters off first.
fn is_dots_with_parameter(segment: &[u8]) -> bool {
    let Some(after) = segment.strip_prefix(b".") else { return false };
    let after = after.strip_prefix(b".").unwrap_or(after);
    after.starts_with(b";") || after.starts_with(b"%3B")
}

/// Where the last segment before `to` begins.
fn parent(path: &[u8], to: usize) -> usize {
    memchr::memrchr(b'/', path.get(..to).unwrap_or_default()).unwrap_or(0)
}

fn put_slash(path: &mut [u8], to: usize) -> usize {
    if let Some(place) = path.get_mut(to) {
        *place = b'/';
    }
    to + 1
}
