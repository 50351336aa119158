//! What a header of the binary form says beyond addresses: types, lengths and values.

use std::net::SocketAddr;

/// Types that are known (`proxy-protocol.txt` §2.2, and what clouds have added).
pub mod kind {
    /// The protocol agreed on by ALPN.
    pub const ALPN: u8 = 0x01;
    /// The name asked for (SNI).
    pub const AUTHORITY: u8 = 0x02;
    /// The checksum of the whole header.
    pub const CRC32C: u8 = 0x03;
    /// Says nothing.
    pub const NOOP: u8 = 0x04;
    /// An identifier of the connection, at most 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// About the client's TLS session.
    pub const SSL: u8 = 0x20;
    /// Google Cloud: the identifier of a Private Service Connect connection.
    pub const GCP: u8 = 0xe0;
    /// Amazon: the endpoint of a virtual private cloud.
    pub const AWS: u8 = 0xea;
    /// Microsoft Azure: the link of a private endpoint.
    pub const AZURE: u8 = 0xee;
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'b> {
    /// See [`kind`].
    pub kind: u8,
    /// Its value.
    pub value: &'b [u8],
}

/// All of a header, one after the other; they have been checked to be whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'b>(pub(super) &'b [u8]);

impl<'b> Iterator for Tlvs<'b> {
    type Item = Tlv<'b>;

    fn next(&mut self) -> Option<Tlv<'b>> {
        let (tlv, rest) = split(self.0)?;
        self.0 = rest;
        Some(tlv)
    }
}

/// The first, and what is behind it.
pub(super) fn split(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
    Some((Tlv { kind, value }, rest))
}

impl<'b> Tlvs<'b> {
    /// The value of the first of this type.
    pub fn value(self, kind: u8) -> Option<&'b [u8]> {
        self.into_iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// The name that the client asked for.
    pub fn authority(self) -> Option<&'b str> {
        std::str::from_utf8(self.value(kind::AUTHORITY)?).ok()
    }

    /// Amazon's endpoint, like `vpce-08d2bf15fac5001c9`.
    pub fn aws_endpoint(self) -> Option<&'b str> {
        let (1, id) = self.value(kind::AWS)?.split_first()? else { return None };
        std::str::from_utf8(id).ok()
    }

    /// Azure's link.
    pub fn azure_link(self) -> Option<u32> {
        let (1, id) = self.value(kind::AZURE)?.split_first()? else { return None };
        id.try_into().ok().map(u32::from_le_bytes)
    }

    /// Google's connection.
    pub fn gcp_connection(self) -> Option<u64> {
        self.value(kind::GCP)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// An identifier that another proxy gave the connection.
    pub fn unique_id(self) -> Option<&'b [u8]> {
        self.value(kind::UNIQUE_ID).filter(|id| id.len() <= 128)
    }
}

/// Both ends in the one family that can say them: IPv4 if both are.
pub(super) fn same_family(ends: (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
    let (from, to) = (canonical(ends.0), canonical(ends.1));
    let as_v6 = |at: SocketAddr| match at.ip() {
        std::net::IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), at.port()),
        std::net::IpAddr::V6(_) => at,
    };
    match from.is_ipv4() == to.is_ipv4() {
        true => (from, to),
        false => (as_v6(from), as_v6(to)),
    }
}
