//! Paths made comparable (RFC 3986 §6.2.2), once, before anything is decided by them: what is
//! matched is what is forwarded, so no spelling of a path slips past a rule.

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
    /// It was; nothing was written.
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
            Self::Backslash => "backslash_in_path",
            Self::DotSegmentParameter => "dot_segment_with_parameter",
        }
    }
}

/// Writes the normal form of `path` to `out`, if it differs. Idempotent: the normal form of a
/// normal form is itself.
///
/// # Errors
/// For what cannot be normalised without guessing what a server makes of it.
pub fn normalise(path: &[u8], rules: &Rules, out: &mut Vec<u8>) -> Result<Normalised, PathError> {
    if path == b"*" || is_plain(path) {
        return Ok(Normalised::Unchanged);
    }
    out.clear();
    decode(path, rules, out)?;
    resolve(out, rules.merge_slashes)?;
    Ok(if out == path { Normalised::Unchanged } else { Normalised::Changed })
}

/// No byte that could need work: no escape, no backslash, and no dot or slash after a slash.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for byte in path {
        match byte {
            b'%' | b'\\' => return false,
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
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let [high, low, after @ ..] = rest else { return Err(PathError::BadEscape) };
                rest = after;
                let value = (hex(*high)? << 4) | hex(*low)?;
                match value {
                    b'/' | b'\\' => match rules.encoded_slash {
                        EncodedSlash::Reject => return Err(PathError::EncodedSlash),
                        EncodedSlash::Decode => out.push(b'/'),
                        EncodedSlash::Keep => escape(value, out),
                    },
                    0..0x20 | 0x7f => return Err(PathError::Control),
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        out.push(value);
                    }
                    _ => escape(value, out),
                }
            }
            // Some servers take it for a separator.
            b'\\' => return Err(PathError::Backslash),
            0..0x20 | 0x7f => return Err(PathError::Control),
            _ => out.push(*byte),
        }
    }
    Ok(())
}

fn hex(digit: u8) -> Result<u8, PathError> {
    let value = char::from(digit).to_digit(16).ok_or(PathError::BadEscape)?;
    Ok(value as u8)
}

fn escape(value: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |at: u8| DIGITS.get(usize::from(at & 15)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(value >> 4), digit(value)]);
}

/// Removes dot segments (RFC 3986 §5.2.4) and, if asked, empty ones. Works in place: the output
/// never is longer than what has been read.
fn resolve(path: &mut Vec<u8>, merge: bool) -> Result<(), PathError> {
    let (mut to, mut from) = (0, 0);
    // Every segment begins with its slash.
    while from < path.len() {
        let rest = path.get(from + 1..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let is_last = from + 1 + length >= path.len();
        let segment = rest.get(..length).unwrap_or_default();
        match segment {
            [b'.', b';', ..] | [b'.', b'.', b';', ..] => {
                return Err(PathError::DotSegmentParameter);
            }
            b"." | b".." => {
                if segment == b".." {
                    let before = path.get(..to).unwrap_or_default();
                    to = before.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                }
                if is_last {
                    // A path that ends in a dot segment names what is below it.
                    to = put_slash(path, to);
                }
            }
            b"" if merge && !is_last => {}
            b"" if merge => to = put_slash(path, to),
            _ => {
                path.copy_within(from..from + 1 + length, to);
                to += 1 + length;
            }
        }
        from += 1 + length;
    }
    path.truncate(to.max(1));
    Ok(())
}

fn put_slash(path: &mut [u8], to: usize) -> usize {
    if let Some(place) = path.get_mut(to) {
        *place = b'/';
    }
    to + 1
}
