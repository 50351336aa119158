//! The PROXY protocol (versions 1 and 2, as HAProxy's `proxy-protocol.txt` of 2020 has them): a header
//! before the first byte of a connection, or of a datagram, that says between whom it was made. Owns
//! its bytes; whom to believe is decided elsewhere.

mod checksum;
#[cfg(test)]
mod tests;
mod tlv;
mod v1;
mod v2;
mod write;

use std::net::SocketAddr;

pub use checksum::crc32c;
pub use tlv::{Tlv, Tlvs, kind};
pub use write::{Outgoing, write_v1, write_v2};

/// Longest header that is read: the text's 107 bytes are less, and of the binary form's 64 KiB what
/// its addresses and all the attributes that are known take is far less.
pub const HEADER_MAX: usize = 4096;

/// Begins the binary form.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Begins the text.
const TEXT: &[u8; 6] = b"PROXY ";

/// A header as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'b> {
    /// How many bytes it has.
    pub length: usize,
    /// Between whom the connection was made: client and the address it connected to. `None`: it is the
    /// sender's own (`LOCAL`), or it does not say (`UNKNOWN`, a socket of UNIX); then the connection's
    /// own addresses hold.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// It is about a datagram.
    pub is_datagram: bool,
    /// What else is said; of the binary form only.
    pub tlvs: Tlvs<'b>,
}

/// What the first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<'b> {
    /// More must come before that is known.
    Incomplete,
    /// This header.
    Header(Header<'b>),
}

/// Why the first bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They are something else.
    Absent,
    /// It is longer than [`HEADER_MAX`], or the text than its 107 bytes.
    TooLong,
    /// It breaks a rule.
    Malformed(&'static str),
}

impl std::fmt::Display for HeaderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("no header of the PROXY protocol"),
            Self::TooLong => f.write_str("the header of the PROXY protocol is too long"),
            Self::Malformed(why) => write!(f, "the header of the PROXY protocol is wrong: {why}"),
        }
    }
}

/// Reads the header that `bytes` begin with.
///
/// # Errors
/// When they begin with none, as soon as that is certain.
pub fn read(bytes: &[u8]) -> Result<Reading<'_>, HeaderError> {
    if is_prefix(bytes, SIGNATURE) {
        return v2::read(bytes);
    }
    if is_prefix(bytes, TEXT) {
        return v1::read(bytes);
    }
    Err(HeaderError::Absent)
}

/// Whether `bytes` begin with `mark`, or may once there are more of them.
fn is_prefix(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(byte, mark)| byte == mark)
}
