//! Field lines (RFC 9112 §5): an index into the received bytes, the rules every line obeys, and
//! what `Connection` does to the others.

use crate::known::Known;
use crate::plant::{self, Bug};
use crate::span::Span;
use crate::syntax::{is_token, leading_token, list, trim_end, trim_start};

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

/// What is wrong with a field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    Name,
    Folded,
}

/// Parses the line `line`, which begins at `at` and has no control character in it. Also says
/// whether the name could be taken for another one, see [`is_ambiguous`].
#[inline(always)] // else every field goes through memory twice: a tenth of a head's time
pub(crate) fn parse_line(line: &[u8], at: usize) -> Result<(Field, bool), LineError> {
    let (length, folds) = leading_token(line);
    let (name, mut rest) = line.split_at(length);
    if plant::is(Bug::SpaceBeforeColon) {
        rest = trim_start(rest);
    }
    let [b':', rest @ ..] = rest else {
        return match line {
            [b' ' | b'\t', ..] => Err(LineError::Folded),
            _ => Err(LineError::Name),
        };
    };
    if name.is_empty() {
        return Err(LineError::Name);
    }
    let known = Known::of(name);
    let value = trim_start(rest);
    let value_at = at + line.len() - value.len();
    let field = Field {
        name: Span::new(at, at + length),
        value: Span::new(value_at, value_at + trim_end(value).len()),
        known,
        hop_by_hop: known.is_hop_by_hop(),
    };
    Ok((field, folds && is_ambiguous(name)))
}

/// `X_Forwarded_For` and the like: a server that reads `_` or `.` as `-` would believe the client.
fn is_ambiguous(name: &[u8]) -> bool {
    const LONGEST: usize = 20; // longer than any known name
    let mut folded = [0; LONGEST];
    let Some(folded) = folded.get_mut(..name.len()) else { return false };
    for (to, from) in folded.iter_mut().zip(name) {
        *to = if matches!(from, b'_' | b'.') { b'-' } else { *from };
    }
    Known::of(folded).is_trusted_by_servers()
}

/// Which names a head has, so that asking for one it has not costs no search.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names {
    present: u32,
    repeated: u32,
}

impl Names {
    /// Notes one more field of this name.
    pub(crate) fn add(&mut self, known: Known) {
        self.repeated |= self.present & Self::bit(known);
        self.present |= Self::bit(known);
    }

    /// There is at least one.
    pub(crate) fn has(self, known: Known) -> bool {
        self.present & Self::bit(known) != 0
    }

    /// There is more than one.
    pub(crate) fn is_repeated(self, known: Known) -> bool {
        self.repeated & Self::bit(known) != 0
    }

    fn bit(known: Known) -> u32 {
        1 << (known as u32 & 31) // fewer than 32 names
    }
}

/// The value of the first field of this name.
pub(crate) fn first<'b>(
    fields: &[Field],
    names: Names,
    bytes: &'b [u8],
    known: Known,
) -> Option<&'b [u8]> {
    if !names.has(known) {
        return None;
    }
    fields.iter().find(|field| field.known == known).map(|field| field.value.of(bytes))
}

/// What `Connection` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// It names a field that must never be removed: framing and routing.
    pub(crate) names_framing: bool,
}

/// Connection options in one head. Each is compared with every field, and no honest peer has so
/// many.
const OPTIONS_MAX: usize = 32;

/// Marks the fields that `Connection` names, and says what else it asks for (RFC 9110 §7.6.1).
/// `None` if it is no list of tokens, or too long a one.
pub(crate) fn apply_connection(bytes: &[u8], fields: &mut [Field]) -> Option<Options> {
    let mut options = Options::default();
    let mut count = 0;
    for at in 0..fields.len() {
        let Some(field) = fields.get(at).filter(|f| f.known == Known::Connection) else { continue };
        for option in list(field.value.of(bytes)) {
            count += 1;
            if count > OPTIONS_MAX {
                return None;
            }
            match option {
                b"" => {} // RFC 9110 §5.6.1.2: empty members are nothing
                _ if option.eq_ignore_ascii_case(b"close") => options.close = true,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                _ if is_token(option) => options.names_framing |= nominate(bytes, fields, option),
                _ => return None,
            }
        }
    }
    Some(options)
}

/// Marks the fields of this name; `true` if it is one that stays whatever `Connection` says.
fn nominate(bytes: &[u8], fields: &mut [Field], name: &[u8]) -> bool {
    let known = Known::of(name);
    if matches!(known, Known::Host | Known::ContentLength | Known::TransferEncoding) {
        return true;
    }
    for field in fields.iter_mut().filter(|field| field.known == known) {
        field.hop_by_hop |= field.name.of(bytes).eq_ignore_ascii_case(name);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(String, String, Known), LineError> {
        let bytes = format!("####{line}").into_bytes();
        let (field, _) = parse_line(&bytes[4..], 4)?;
        let text = |span: Span| String::from_utf8_lossy(span.of(&bytes)).into_owned();
        Ok((text(field.name), text(field.value), field.known))
    }

    #[test]
    fn a_line_is_a_name_a_colon_and_a_value() {
        for (line, name, value, known) in [
            ("Host: a", "Host", "a", Known::Host),
            ("Host:a", "Host", "a", Known::Host),
            ("x: \t a b \t ", "x", "a b", Known::Other),
            ("X:", "X", "", Known::Other),
            ("X: \t", "X", "", Known::Other),
            ("X::", "X", ":", Known::Other),
            ("a_b.c: d", "a_b.c", "d", Known::Other),
        ] {
            assert_eq!(parse(line), Ok((name.into(), value.into(), known)), "{line}");
        }
    }

    #[test]
    fn i2_a_name_that_a_server_may_read_as_a_trusted_one_is_ambiguous() {
        for name in [
            "X_Forwarded_For",
            "x-forwarded_proto",
            "X.Real.IP",
            "X_Request-Id",
            "Content_Length",
            "transfer_encoding",
        ] {
            assert!(parse_line(format!("{name}: 1").as_bytes(), 0).unwrap().1, "{name}");
        }
        for name in ["my_field", "user_agent", "x.y", "x_forwarded_for_a_long_time_indeed"] {
            assert!(!parse_line(format!("{name}: 1").as_bytes(), 0).unwrap().1, "{name}");
        }
    }
}
