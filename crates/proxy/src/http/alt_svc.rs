//! `Alt-Svc` (RFC 7838): tells clients that came over TCP that HTTP/3 is spoken here too. Owns when it
//! is said. Where HTTP/3 is off nothing is said, and what was said before is forgotten within
//! [`MAX_AGE`]: a client that finds nobody there goes on with TCP meanwhile.

use std::io::Write as _;

use crate::connection::Protocol;
use crate::http::exchange::Exchange;

/// Seconds for which a client may remember it.
const MAX_AGE: u32 = 3600;

/// Whether the response says so; a server's own word about its alternatives is not for our clients
/// then.
pub(crate) fn is_said(exchange: &Exchange<'_>) -> bool {
    let connection = exchange.connection;
    cfg!(feature = "http3")
        && connection.is_secure()
        && connection.protocol.get() != Protocol::H3
        && connection.drain().is_none()
        && exchange.listener().is_some_and(|listener| listener.config.protocols.h3)
}

/// Writes the field, for the port that the client sees: it may be mapped to ours.
pub(crate) fn write(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let port = port(exchange.head.host.of(exchange.buffer.all())).unwrap_or(443);
    let _ = write!(out, "alt-svc: h3=\":{port}\"; ma={MAX_AGE}\r\n"); // a vector takes everything
}

/// The port of a host as it was sent, if it has one.
fn port(host: &[u8]) -> Option<u16> {
    let at = memchr::memrchr(b':', host)?;
    std::str::from_utf8(host.get(at.checked_add(1)?..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_behind_the_last_colon_and_no_part_of_an_address() {
        assert_eq!(port(b"a.example:8443"), Some(8443));
        assert_eq!(port(b"[2001:db8::1]:8443"), Some(8443));
        assert_eq!((port(b"a.example"), port(b"[2001:db8::1]"), port(b"a:")), (None, None, None));
    }
}
