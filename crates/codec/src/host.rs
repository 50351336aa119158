//! `Host` and authorities (RFC 9110 §7.2, RFC 3986 §3.2).

/// A host and a port, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'b> {
    /// Name or address; an IPv6 address with its brackets.
    pub name: &'b [u8],
    /// If one is given.
    pub port: Option<u16>,
}

/// Splits `host[:port]`; `None` if it is not exactly that (userinfo, paths, spaces, lists and zone
/// identifiers are not).
pub fn parse(text: &[u8]) -> Option<Authority<'_>> {
    let (name, port) = match text {
        [b'[', rest @ ..] => {
            let close = rest.iter().position(|byte| *byte == b']')?;
            let inside = rest.get(..close)?;
            std::str::from_utf8(inside).ok()?.parse::<std::net::Ipv6Addr>().ok()?;
            (text.get(..close + 2)?, rest.get(close + 1..)?)
        }
        _ => {
            let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
            let name = text.get(..end)?;
            if name.is_empty() || !name.iter().copied().all(is_name_byte) {
                return None;
            }
            (name, text.get(end..)?)
        }
    };
    let port = match port {
        [] | [b':'] => None,
        [b':', digits @ ..] if digits.len() <= 5 => match crate::syntax::number(digits)? {
            0 => return None,
            port => Some(u16::try_from(port).ok()?),
        },
        _ => return None,
    };
    Some(Authority { name, port })
}

/// Letters, digits, `-`, `.`, and `_`, which is no host name but used for services.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}
