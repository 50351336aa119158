//! `Host` and authorities (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use crate::syntax::number;

/// A host and a port, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'b> {
    /// Name or address; an IPv6 address with its brackets.
    pub name: &'b [u8],
    /// 1 to 65535, if one is given.
    pub port: Option<u16>,
}

/// Longest name: what DNS allows (RFC 1035 §2.3.4), and the dot of its root.
const NAME_MAX: usize = 254;

/// Splits `host[:port]`; `None` if it is not exactly that (userinfo, paths, spaces, lists, escapes
/// and zone identifiers are not). An empty port is no port (RFC 3986 §6.2.3).
pub fn parse(text: &[u8]) -> Option<Authority<'_>> {
    let length = match text {
        [b'[', ..] => memchr::memchr(b']', text)? + 1,
        _ => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let (name, port) = text.split_at_checked(length)?;
    let is_host = match name {
        [b'[', address @ .., b']'] => is_ipv6(address),
        _ => is_name(name),
    };
    let port = match port {
        [] | [b':'] => None,
        [b':', digits @ ..] if digits.len() <= 5 => {
            Some(u16::try_from(number(digits)?).ok().filter(|port| *port > 0)?)
        }
        _ => return None,
    };
    is_host.then_some(Authority { name, port })
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Labels between single dots, and one dot after them perhaps.
fn is_name(name: &[u8]) -> bool {
    let mut after_dot = true;
    for byte in name {
        let is_dot = *byte == b'.';
        if !is_name_byte(*byte) || (is_dot && after_dot) {
            return false;
        }
        after_dot = is_dot;
    }
    !name.is_empty() && name.len() <= NAME_MAX
}

/// Letters, digits, `-`, `.`, and `_`, which is in no host's name but in many a service's.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_perhaps_a_port() {
        for (text, name, port) in [
            ("a", "a", None),
            ("A.Example.COM.", "A.Example.COM.", None),
            ("a_b-c.d:80", "a_b-c.d", Some(80)),
            ("a:", "a", None),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[::ffff:1.2.3.4]:8080", "[::ffff:1.2.3.4]", Some(8080)),
            ("a:00080", "a", Some(80)),
        ] {
            let authority = Authority { name: name.as_bytes(), port };
            assert_eq!(parse(text.as_bytes()), Some(authority), "{text}");
        }
    }

    #[test]
    fn d3_and_d11_what_is_not_exactly_that_is_refused() {
        let bad = [
            "",
            ":",
            ":80",
            ".",
            ".a",
            "a..b",
            "u@h",
            "u:p@h",
            "h/x",
            "h#",
            "h?",
            "h\\",
            "h h",
            "h:0",
            "h:99999",
            "h:000080",
            "h:8x",
            "h:-1",
            "h:+1",
            "h:1:2",
            "a,b",
            "a.com, b.com",
            "[::1",
            "[::1]x",
            "[]",
            "[::1]]",
            "::1",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            "[fe80::1%25e]",
            "[v1.a]",
            "%00",
            "a%2eb",
            "h\t",
            "h;",
            "*",
        ];
        for text in bad {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"h\x80"), None);
        assert_eq!(parse("ａ".as_bytes()), None);
        assert_eq!(parse(&[b'a'; 255]), None);
    }
}
