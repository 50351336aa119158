//! Field names the proxy itself must recognise, told apart once while parsing.

/// A field name with a meaning here; everything else is [`Known::Other`].
#[allow(missing_docs)] // each is its name
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// By name, lower case.
const NAMES: &[(&[u8], Known)] = &[
    (b"host", Known::Host),
    (b"connection", Known::Connection),
    (b"content-length", Known::ContentLength),
    (b"transfer-encoding", Known::TransferEncoding),
    (b"te", Known::Te),
    (b"trailer", Known::Trailer),
    (b"upgrade", Known::Upgrade),
    (b"expect", Known::Expect),
    (b"keep-alive", Known::KeepAlive),
    (b"proxy-connection", Known::ProxyConnection),
    (b"cookie", Known::Cookie),
    (b"date", Known::Date),
    (b"user-agent", Known::UserAgent),
    (b"http2-settings", Known::Http2Settings),
    (b"forwarded", Known::Forwarded),
    (b"x-forwarded-for", Known::XForwardedFor),
    (b"x-forwarded-proto", Known::XForwardedProto),
    (b"x-forwarded-host", Known::XForwardedHost),
    (b"x-forwarded-port", Known::XForwardedPort),
    (b"x-real-ip", Known::XRealIp),
    (b"x-request-id", Known::XRequestId),
];

impl Known {
    /// What `name` is, in any case of ASCII letters.
    pub fn of(name: &[u8]) -> Self {
        // Lengths differ enough that at most a few names are compared.
        NAMES
            .iter()
            .find(|(known, _)| known.len() == name.len() && known.eq_ignore_ascii_case(name))
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
                | Self::Http2Settings
        )
    }
}
