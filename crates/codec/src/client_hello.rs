//! The beginning of a TLS connection (RFC 8446 §4.1.2), read without answering it: the name that the
//! client asks for and the protocols that it offers, wherever the ClientHello is cut into records. An
//! encrypted one (ECH) is read by what is outside. Owns nothing that is said after it.

/// Longest beginning that is looked at, with the heads of its records.
pub const HELLO_MAX: usize = 16 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Of a record's plaintext (RFC 8446 §5.1).
const RECORD_MAX: usize = 1 << 14;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// Protocols that are looked at; nobody offers nearly as many.
const PROTOCOLS_MAX: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The name (RFC 6066 §3), lower case.
    pub server_name: Option<String>,
    /// What is offered by ALPN (RFC 7301), in the client's order.
    pub alpn: Vec<Vec<u8>>,
}

/// What the first bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloReading {
    /// More must come before that is known.
    Incomplete,
    /// A ClientHello.
    Hello(ClientHello),
    /// Not TLS.
    Other,
    /// TLS, but no ClientHello that can be read, or a longer one than is looked at.
    Malformed,
}

/// Reads what `bytes` begin with.
pub fn read(bytes: &[u8]) -> HelloReading {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [] => return HelloReading::Incomplete,
            [kind, ..] if *kind != HANDSHAKE => return otherwise(&message),
            [_, major, ..] if *major != 3 => return otherwise(&message),
            [_, _, _, high, low, body @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > RECORD_MAX {
                    return otherwise(&message);
                }
                let is_whole = body.len() >= length;
                let (fragment, behind) = body.split_at_checked(length).unwrap_or((body, &[]));
                message.extend_from_slice(fragment);
                if let Some(done) = of_message(&message) {
                    return done;
                }
                if !is_whole {
                    return incomplete(bytes);
                }
                rest = behind;
            }
            _ => return incomplete(bytes),
        }
    }
}

/// What it is if it is no record of a handshake.
fn otherwise(message: &[u8]) -> HelloReading {
    if message.is_empty() { HelloReading::Other } else { HelloReading::Malformed }
}

fn incomplete(bytes: &[u8]) -> HelloReading {
    if bytes.len() >= HELLO_MAX { HelloReading::Malformed } else { HelloReading::Incomplete }
}

/// `None` until all of the message is there.
fn of_message(message: &[u8]) -> Option<HelloReading> {
    let (kind, rest) = message.split_first()?;
    if *kind != CLIENT_HELLO {
        return Some(HelloReading::Malformed);
    }
    let (&[high, middle, low], rest) = rest.split_first_chunk::<3>()?;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > HELLO_MAX {
        return Some(HelloReading::Malformed);
    }
    let body = rest.get(..length)?;
    Some(hello(body).map_or(HelloReading::Malformed, HelloReading::Hello))
}

fn hello(body: &[u8]) -> Option<ClientHello> {
    let rest = body.get(2 + 32..)?; // version and random
    let (_session, rest) = vector8(rest)?;
    let (_ciphers, rest) = vector16(rest)?;
    let (_compression, rest) = vector8(rest)?;
    let mut hello = ClientHello::default();
    if rest.is_empty() {
        return Some(hello); // TLS 1.2 may have no extensions
    }
    let (mut extensions, rest) = vector16(rest)?;
    if !rest.is_empty() {
        return None;
    }
    while !extensions.is_empty() {
        let (&[high, low], behind) = extensions.split_first_chunk::<2>()?;
        let (content, behind) = vector16(behind)?;
        match u16::from_be_bytes([high, low]) {
            // RFC 8446 §4.2: there must not be two of one type.
            SERVER_NAME if hello.server_name.is_some() => return None,
            SERVER_NAME => hello.server_name = Some(server_name(content)?),
            ALPN if !hello.alpn.is_empty() => return None,
            ALPN => hello.alpn = protocols(content)?,
            _ => {}
        }
        extensions = behind;
    }
    Some(hello)
}

fn server_name(content: &[u8]) -> Option<String> {
    let (mut list, _) = vector16(content)?;
    while let Some((kind, rest)) = list.split_first() {
        let (name, behind) = vector16(rest)?;
        if *kind == 0 {
            let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-._".contains(b);
            let is_one = !name.is_empty() && name.len() <= 253 && name.iter().all(is_name);
            let name = std::str::from_utf8(name).ok().filter(|_| is_one)?;
            return Some(name.trim_end_matches('.').to_ascii_lowercase());
        }
        list = behind;
    }
    None
}

fn protocols(content: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut list, _) = vector16(content)?;
    let mut all = Vec::new();
    while !list.is_empty() && all.len() < PROTOCOLS_MAX {
        let (name, behind) = vector8(list)?;
        all.push(name.to_vec());
        list = behind;
    }
    Some(all)
}

/// What has its length before it in one byte, and what is behind.
fn vector8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// The same in two bytes.
fn vector16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sixteen(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &sixteen(content)].concat()
    }

    /// The message, for a name and `h2` and `http/1.1`, with an extension of ECH and one of GREASE.
    fn message(name: &str) -> Vec<u8> {
        let list = sixteen(&[&[0][..], &sixteen(name.as_bytes())].concat());
        let extensions = [
            extension(0x0a0a, &[]),
            extension(0xfe0d, &[7; 300]),
            extension(SERVER_NAME, &list),
            extension(ALPN, &sixteen(b"\x02h2\x08http/1.1")),
        ]
        .concat();
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend(*b"\x00\x00\x02\x13\x01\x01\x00");
        body.extend(sixteen(&extensions));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[CLIENT_HELLO], &length[1..], &body].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |part: &[u8]| [&[HANDSHAKE, 3, 1][..], &sixteen(part)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn expected() -> ClientHello {
        ClientHello {
            server_name: Some("shop.example".into()),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }

    #[test]
    fn a_name_is_found_however_the_message_is_cut_into_records() {
        let message = message("Shop.Example.");
        for size in [1, 7, 100, 10_000] {
            let bytes = records(&message, size);
            assert_eq!(read(&bytes), HelloReading::Hello(expected()), "{size}");
            for less in 0..bytes.len() {
                assert_eq!(read(&bytes[..less]), HelloReading::Incomplete, "{size} {less}");
            }
        }
    }

    #[test]
    fn what_is_not_tls_is_told_from_what_is_broken() {
        for other in [&b"GET / HTTP/1.1"[..], b"SSH-2.0-x", &[22, 2, 0], &[0x80, 46, 1]] {
            assert_eq!(read(other), HelloReading::Other, "{other:?}");
        }
        // Another handshake message, two names, and one longer than is looked at.
        assert_eq!(read(&records(&[2, 0, 0, 0], 9)), HelloReading::Malformed);
        assert_eq!(read(&records(&[1, 1, 0, 0], 9)), HelloReading::Malformed);
        assert_eq!(read(&records(&message("a b"), 999)), HelloReading::Malformed);
        assert_eq!(read(&[records(&[1], 9), vec![23, 3, 3]].concat()), HelloReading::Malformed);
    }

    proptest! {
        #[test]
        fn whatever_comes_something_is_said(
            change in proptest::collection::vec((0_usize..600, any::<u8>()), 0..8),
            size in 1_usize..700,
        ) {
            let mut message = message("shop.example");
            for (at, byte) in change {
                if let Some(place) = message.get_mut(at) { *place = byte; }
            }
            let _ = read(&records(&message, size));
        }

        #[test]
        fn long_beginnings_come_to_an_end(byte in any::<u8>()) {
            let bytes = records(&vec![byte; HELLO_MAX], 1000);
            prop_assert!(read(&bytes) != HelloReading::Incomplete);
        }
    }
}
