//! HTTP/3 as both sides of us speak it (RFC 9114): streams of frames, field sections, control streams.
//! Owns what is the same for clients and servers; which messages there are is decided where they are
//! served (`downstream/h3.rs`) or asked (`upstream/links/h3.rs`).

pub(crate) mod section;
pub(crate) mod stream;
pub(crate) mod uni;

use evenkeel_codec::h3::Code;
use quinn::VarInt;

/// Ends a connection (RFC 9114 §5.3).
pub(crate) fn close(connection: &quinn::Connection, code: Code) {
    connection.close(self::code(code), b"");
}

/// A code of HTTP/3's as QUIC has it.
pub(crate) fn code(code: Code) -> VarInt {
    VarInt::from_u64(code.value()).unwrap_or_default()
}

/// A field section's longest form on the wire, given the longest that is taken: what is not compressed
/// is as long as it is, and each line has a few bytes of its own (RFC 9204 §4.5).
pub(crate) fn wire_max(section_max: u64) -> u64 {
    section_max.saturating_add(1024)
}
