//! The text: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n` (§2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Header, HeaderError, Reading, TEXT, Tlvs};

/// With its end.
const LINE_MAX: usize = 107;

pub(super) fn read(bytes: &[u8]) -> Result<Reading<'_>, HeaderError> {
    let seen = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() >= LINE_MAX {
            true => Err(HeaderError::TooLong),
            false => Ok(Reading::Incomplete),
        };
    };
    let line = seen.get(TEXT.len()..end).unwrap_or_default();
    let ends = ends(line)?;
    let tlvs = Tlvs::default();
    Ok(Reading::Header(Header { length: end + 2, ends, is_datagram: false, tlvs }))
}

fn ends(line: &[u8]) -> Result<Option<(SocketAddr, SocketAddr)>, HeaderError> {
    let wrong = HeaderError::Malformed;
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None); // whatever follows is to be ignored
    }
    let line = std::str::from_utf8(line).map_err(|_| wrong("it is no text"))?;
    let mut words = line.split(' ');
    let family = words.next();
    let mut next = || words.next().ok_or(wrong("something is missing"));
    let (from, to) = (next()?, next()?);
    let (from_port, to_port) = (port(next()?)?, port(next()?)?);
    if words.next().is_some() {
        return Err(wrong("there is more than belongs to it"));
    }
    let (from, to) = match family {
        Some("TCP4") => (ip::<Ipv4Addr>(from)?, ip::<Ipv4Addr>(to)?),
        Some("TCP6") => (ip::<Ipv6Addr>(from)?, ip::<Ipv6Addr>(to)?),
        _ => return Err(wrong("the family is none of TCP4, TCP6, UNKNOWN")),
    };
    Ok(Some((SocketAddr::new(from, from_port), SocketAddr::new(to, to_port))))
}

fn ip<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, HeaderError> {
    text.parse::<A>().map(Into::into).map_err(|_| HeaderError::Malformed("an address is none"))
}

/// Decimal, without leading zeros.
fn port(text: &str) -> Result<u16, HeaderError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = text == "0" || !text.starts_with('0');
    match text.parse() {
        Ok(port) if is_plain && is_short => Ok(port),
        _ => Err(HeaderError::Malformed("a port is none")),
    }
}
