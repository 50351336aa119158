//! Headers that are sent.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::tlv::same_family;
use super::{SIGNATURE, crc32c, kind};

/// What a header of the binary form says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// Client, and the address it connected to; `None` is a connection of our own (`LOCAL`).
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// It is about a datagram.
    pub is_datagram: bool,
    /// The name that the client asked for; at most 255 bytes of it.
    pub authority: Option<&'a str>,
    /// The protocol agreed on by ALPN; at most 255 bytes of it.
    pub alpn: Option<&'a [u8]>,
    /// An identifier of the connection; at most 128 bytes of it.
    pub unique_id: Option<&'a [u8]>,
    /// With a checksum.
    pub checksum: bool,
}

/// Appends the text.
pub fn write_v1(out: &mut Vec<u8>, ends: Option<(SocketAddr, SocketAddr)>) {
    let Some((from, to)) = ends.map(same_family) else {
        return out.extend_from_slice(b"PROXY UNKNOWN\r\n");
    };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (a, b, p, q) = (from.ip(), to.ip(), from.port(), to.port());
    let _ = write!(out, "PROXY {family} {a} {b} {p} {q}\r\n"); // a vector takes everything
}

/// Appends the binary form.
pub fn write_v2(out: &mut Vec<u8>, header: &Outgoing<'_>) {
    let start = out.len();
    let ends = header.ends.map(same_family);
    let transport = if header.is_datagram { 2 } else { 1 };
    out.extend_from_slice(SIGNATURE);
    out.push(if ends.is_some() { 0x21 } else { 0x20 });
    out.push(match ends {
        Some((from, _)) if from.is_ipv4() => 0x10 | transport,
        Some(_) => 0x20 | transport,
        None => 0,
    });
    out.extend_from_slice(&[0, 0]);
    if let Some((from, to)) = ends {
        for end in [from, to] {
            match end.ip() {
                IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
                IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
            }
        }
        out.extend_from_slice(&from.port().to_be_bytes());
        out.extend_from_slice(&to.port().to_be_bytes());
        tlv(out, kind::AUTHORITY, header.authority.map(str::as_bytes), 255);
        tlv(out, kind::ALPN, header.alpn, 255);
        tlv(out, kind::UNIQUE_ID, header.unique_id, 128);
        if header.checksum {
            tlv(out, kind::CRC32C, Some(&[0; 4]), 4);
        }
    }
    // Addresses and attributes together are bounded above, far below 64 KiB.
    let length = out.len().saturating_sub(start + 16);
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start + 14..start + 16) {
        place.copy_from_slice(&length);
    }
    if header.checksum && ends.is_some() {
        let sum = crc32c(out.iter().skip(start).copied()).to_be_bytes();
        let end = out.len();
        if let Some(place) = out.get_mut(end.saturating_sub(4)..) {
            place.copy_from_slice(&sum);
        }
    }
}

fn tlv(out: &mut Vec<u8>, kind: u8, value: Option<&[u8]>, most: usize) {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return };
    let value = value.get(..most).unwrap_or(value);
    out.push(kind);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(value);
}
