//! Field names the proxy itself must recognise, told apart once while parsing.

/// A field name with a meaning here; everything else is [`Known::Other`].
#[allow(missing_docs)] // each is its name
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    Other,
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Te,
    Trailer,
    Upgrade,
    Expect,
    KeepAlive,
    ProxyConnection,
    /// No field of HTTP: a CGI server would read it as its own `HTTP_PROXY` (CVE-2016-5385).
    Proxy,
    Authorization,
    Cookie,
    Date,
    UserAgent,
    Http2Settings,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XRealIp,
    XRequestId,
}

type Names = &'static [(&'static [u8], Known)];

/// The names of this length, in lower case: at most four are compared.
const fn of_length(length: usize) -> Names {
    match length {
        2 => &[(b"te", Known::Te)],
        4 => &[(b"host", Known::Host), (b"date", Known::Date)],
        5 => &[(b"proxy", Known::Proxy)],
        6 => &[(b"cookie", Known::Cookie), (b"expect", Known::Expect)],
        7 => &[(b"upgrade", Known::Upgrade), (b"trailer", Known::Trailer)],
        9 => &[(b"forwarded", Known::Forwarded), (b"x-real-ip", Known::XRealIp)],
        10 => &[
            (b"user-agent", Known::UserAgent),
            (b"connection", Known::Connection),
            (b"keep-alive", Known::KeepAlive),
        ],
        12 => &[(b"x-request-id", Known::XRequestId)],
        13 => &[(b"authorization", Known::Authorization)],
        14 => {
            &[(b"content-length", Known::ContentLength), (b"http2-settings", Known::Http2Settings)]
        }
        15 => &[(b"x-forwarded-for", Known::XForwardedFor)],
        16 => &[
            (b"x-forwarded-host", Known::XForwardedHost),
            (b"x-forwarded-port", Known::XForwardedPort),
            (b"proxy-connection", Known::ProxyConnection),
        ],
        17 => &[
            (b"transfer-encoding", Known::TransferEncoding),
            (b"x-forwarded-proto", Known::XForwardedProto),
        ],
        _ => &[],
    }
}

impl Known {
    /// What `name` is, in any case of ASCII letters.
    pub fn of(name: &[u8]) -> Self {
        of_length(name.len())
            .iter()
            .find(|(known, _)| is_folded(known, name))
            .map_or(Self::Other, |(_, known)| *known)
    }

    /// Only between two neighbours, never passed on (RFC 9110 §7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::TransferEncoding
                | Self::Te
                | Self::Upgrade
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Proxy
                | Self::Http2Settings
        )
    }

    /// A server would act on it: whose request it is, where it goes, how long it is.
    pub(crate) fn is_trusted_by_servers(self) -> bool {
        !matches!(self, Self::Other | Self::Date | Self::UserAgent | Self::Trailer)
    }
}

/// Whether `name`, of the same length, is `known` but for the case of ASCII letters. Eight bytes at
/// a time: every field of every head is looked up.
fn is_folded(known: &[u8], name: &[u8]) -> bool {
    match (known.first_chunk(), known.last_chunk(), name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last), Some(name_first), Some(name_last)) => {
            let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
            word(last) == fold(word(name_last))
                && word(first) == fold(word(name_first))
                && (known.len() <= 16 || known.eq_ignore_ascii_case(name))
        }
        _ => known.eq_ignore_ascii_case(name),
    }
}

/// Eight bytes with the ASCII letters among them in lower case.
fn fold(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let seven = word & (EACH * 0x7f);
    let from_a = seven + EACH * (0x80 - b'A' as u64);
    let beyond_z = seven + EACH * (0x80 - b'Z' as u64 - 1);
    let is_upper = (from_a & !beyond_z & !word) & (EACH << 7);
    word | (is_upper >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_under_its_own_length() {
        let mut count = 0;
        for length in 0..64 {
            for (name, known) in of_length(length) {
                assert_eq!(name.len(), length);
                assert_eq!(Known::of(name), *known);
                assert_eq!(Known::of(&name.to_ascii_uppercase()), *known);
                count += 1;
            }
        }
        assert_eq!(count, Known::XRequestId as usize, "a name is missing");
    }

    #[test]
    fn folding_touches_letters_only() {
        for byte in 0..=u8::MAX {
            let word = u64::from_le_bytes([byte, 0xff, byte, b'Z', byte, 0, b'A', byte]);
            let bytes = word.to_le_bytes().map(|byte| byte.to_ascii_lowercase());
            assert_eq!(fold(word), u64::from_le_bytes(bytes), "{byte}");
        }
    }

    #[test]
    fn c9_names_are_folded_by_ascii_only() {
        assert_eq!(Known::of("tranſfer-encoding".as_bytes()), Known::Other);
        assert_eq!(Known::of("\u{212a}eep-alive".as_bytes()), Known::Other);
    }
}
