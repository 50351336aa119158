//! Headers of the specification, headers that are wrong, and what holds for all.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn header(bytes: &[u8]) -> Header<'_> {
    match read(bytes) {
        Ok(Reading::Header(header)) => header,
        other => panic!("{other:?}: {bytes:?}"),
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn the_text_is_read_as_specified() {
    let line = b"PROXY TCP4 255.255.255.255 192.0.2.1 65535 0\r\nGET /";
    let read = header(line);
    assert_eq!(read.ends, Some((at("255.255.255.255:65535"), at("192.0.2.1:0"))));
    assert_eq!(line[read.length..], b"GET /"[..]);
    assert_eq!(
        header(b"PROXY TCP6 ::1 2001:db8::1 1 2\r\n").ends,
        Some((at("[::1]:1"), at("[2001:db8::1]:2")))
    );
    assert_eq!(header(b"PROXY UNKNOWN\r\n").ends, None);
    assert_eq!(header(b"PROXY UNKNOWN ffff::1 whatever\r\n").ends, None);
}

#[test]
fn a_text_that_breaks_a_rule_is_refused() {
    for line in [
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY \r\n",
    ] {
        assert!(matches!(read(line.as_bytes()), Err(HeaderError::Malformed(_))), "{line}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    assert_eq!(read(long.as_bytes()), Err(HeaderError::TooLong));
    assert_eq!(read(b"GET / HTTP/1.1\r\n"), Err(HeaderError::Absent));
    assert_eq!(read(b"PROXZ"), Err(HeaderError::Absent));
    assert_eq!(read(b"\r\n\r\nGET"), Err(HeaderError::Absent));
}

#[test]
fn the_checksum_is_that_of_rfc_3720() {
    assert_eq!(crc32c([0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c([0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(*b"123456789"), 0xe306_9283);
}

#[test]
fn attributes_of_clouds_can_be_read() {
    let mut bytes = Vec::new();
    write_v2(
        &mut bytes,
        &Outgoing { ends: Some((at("1.2.3.4:5"), at("6.7.8.9:10"))), ..Outgoing::default() },
    );
    for tlv in [
        &b"\xea\x00\x07\x01vpce-1"[..],
        b"\xee\x00\x05\x01\x78\x56\x34\x12",
        b"\xe0\x00\x08\0\0\0\0\0\0\0\x2a",
    ] {
        bytes.extend_from_slice(tlv);
    }
    let length = u16::try_from(bytes.len() - 16).unwrap().to_be_bytes();
    bytes[14..16].copy_from_slice(&length);
    let tlvs = header(&bytes).tlvs;
    assert_eq!(tlvs.aws_endpoint(), Some("vpce-1"));
    assert_eq!(tlvs.azure_link(), Some(0x1234_5678));
    assert_eq!(tlvs.gcp_connection(), Some(42));
}

#[test]
fn a_binary_header_that_breaks_a_rule_is_refused() {
    let mut good = Vec::new();
    let ends = Some((at("1.2.3.4:5"), at("6.7.8.9:10")));
    write_v2(&mut good, &Outgoing { ends, checksum: true, ..Outgoing::default() });
    assert!(read(&good).is_ok());
    for (place, value, why) in [
        (12, 0x11, "version"),
        (12, 0x22, "command"),
        (13, 0x41, "family"),
        (13, 0x13, "transport"),
        (13, 0x21, "too short"),
        (16, 9, "checksum is wrong"),
        (29, 9, "cut off"),
    ] {
        let mut bad = good.clone();
        bad[place] = value;
        match read(&bad) {
            Err(HeaderError::Malformed(said)) => assert!(said.contains(why), "{said}, not {why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    let mut long = good;
    long[14] = 0xff;
    assert_eq!(read(&long), Err(HeaderError::TooLong));
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(|octets| std::net::IpAddr::from(octets).to_canonical()),
    ];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_no_less_of_it_is_enough(
        ends in proptest::option::of((address(), address())),
        (text, checksum, is_datagram) in any::<(bool, bool, bool)>(),
        authority in proptest::option::of("[a-z.]{1,60}"),
        id in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..128)),
    ) {
        let mut bytes = Vec::new();
        match text {
            true => write_v1(&mut bytes, ends),
            false => write_v2(&mut bytes, &Outgoing {
                ends, is_datagram, checksum,
                authority: authority.as_deref(),
                unique_id: id.as_deref(),
                alpn: Some(b"h2"),
            }),
        }
        for less in 0..bytes.len() {
            prop_assert_eq!(read(&bytes[..less]), Ok(Reading::Incomplete));
        }
        let length = bytes.len();
        bytes.extend_from_slice(b"what follows");
        let header = header(&bytes);
        prop_assert_eq!(header.length, length);
        let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        let read = header.ends.map(|(from, to)| (canonical(from), canonical(to)));
        prop_assert_eq!(read, ends);
        if !text && ends.is_some() {
            prop_assert_eq!(header.is_datagram, is_datagram);
            prop_assert_eq!(header.tlvs.authority(), authority.as_deref());
            prop_assert_eq!(header.tlvs.unique_id(), id.as_deref());
            prop_assert_eq!(header.tlvs.value(kind::ALPN), Some(&b"h2"[..]));
            prop_assert_eq!(header.tlvs.value(kind::CRC32C).is_some(), checksum);
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused_and_never_longer_than_what_came(
        v2 in any::<bool>(),
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = if v2 { SIGNATURE.to_vec() } else { TEXT.to_vec() };
        bytes.extend(rest);
        if let Ok(Reading::Header(header)) = read(&bytes) {
            prop_assert!(header.length <= bytes.len());
            prop_assert!(header.tlvs.count() < 300);
        }
    }
}
