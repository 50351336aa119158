//! The binary form (§2.2).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tlv::split;
use super::{HEADER_MAX, Header, HeaderError, Reading, SIGNATURE, Tlvs, crc32c, kind};

/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;

pub(super) fn read(bytes: &[u8]) -> Result<Reading<'_>, HeaderError> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Ok(Reading::Incomplete) };
    let [.., command, family, high, low] = *fixed;
    let wrong = HeaderError::Malformed;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        0x22..=0x2f => return Err(wrong("its command is not known")),
        _ => return Err(wrong("its version is not 2")),
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(whole) = bytes.get(..length) else { return Ok(Reading::Incomplete) };
    let rest = whole.get(FIXED..).unwrap_or_default();
    let is_datagram = family & 0x0f == 2;
    if is_local {
        let tlvs = Tlvs::default();
        return Ok(Reading::Header(Header { length, ends: None, is_datagram, tlvs }));
    }
    if family & 0x0f > 2 {
        return Err(wrong("its transport is not known"));
    }
    let short = || wrong("it is too short for its addresses");
    let (ends, tlvs) = match family >> 4 {
        0 => (None, &[][..]), // what follows an unspecified family is not known
        1 => {
            let (addresses, tlvs) = rest.split_first_chunk::<12>().ok_or_else(short)?;
            (Some(v4(*addresses)), tlvs)
        }
        2 => {
            let (addresses, tlvs) = rest.split_first_chunk::<36>().ok_or_else(short)?;
            (Some(v6(addresses)), tlvs)
        }
        3 => (None, rest.get(216..).ok_or_else(short)?),
        _ => return Err(wrong("its family is not known")),
    };
    check(whole, tlvs)?;
    Ok(Reading::Header(Header { length, ends, is_datagram, tlvs: Tlvs(tlvs) }))
}

fn v4(bytes: [u8; 12]) -> (SocketAddr, SocketAddr) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    let at = |ip: [u8; 4], port: [u8; 2]| {
        SocketAddr::new(Ipv4Addr::from(ip).into(), u16::from_be_bytes(port))
    };
    (at([a, b, c, d], [i, j]), at([e, f, g, h], [k, l]))
}

fn v6(bytes: &[u8; 36]) -> (SocketAddr, SocketAddr) {
    let ip = |at: usize| {
        let octets = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>());
        Ipv6Addr::from(octets.copied().unwrap_or_default())
    };
    let port = |at: usize| {
        let octets = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
        u16::from_be_bytes(octets.copied().unwrap_or_default())
    };
    (SocketAddr::new(ip(0).into(), port(32)), SocketAddr::new(ip(16).into(), port(34)))
}

/// Whether all attributes are whole, and the checksum, if there is one, is right.
fn check(whole: &[u8], tlvs: &[u8]) -> Result<(), HeaderError> {
    let mut left = tlvs;
    while !left.is_empty() {
        let (tlv, rest) = split(left).ok_or(HeaderError::Malformed("an attribute is cut off"))?;
        if tlv.kind == kind::CRC32C {
            let sum: [u8; 4] = tlv
                .value
                .try_into()
                .map_err(|_| HeaderError::Malformed("its checksum has another length"))?;
            let end = whole.len().saturating_sub(rest.len());
            let is_sum = end.saturating_sub(4)..end;
            let zeroed = whole.iter().enumerate();
            let zeroed = zeroed.map(|(at, byte)| if is_sum.contains(&at) { 0 } else { *byte });
            if crc32c(zeroed) != u32::from_be_bytes(sum) {
                return Err(HeaderError::Malformed("its checksum is wrong"));
            }
        }
        left = rest;
    }
    debug_assert!(whole.starts_with(SIGNATURE));
    Ok(())
}
