//! Why an exchange failed: whose fault it is, the status and the reason a client sees, and whether
//! another server may try. The one place where a failure becomes a status.

use evenkeel_balancer::{FailureKind, Unavailable};
use evenkeel_codec::{ChunkError, RequestError, ResponseError};
use evenkeel_config::model::RetryOn;

/// An exchange that cannot be answered by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub reason: Reason,
    /// Whether it may be tried elsewhere.
    pub retry: Retry,
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client.
    Downstream,
    /// A server.
    Upstream,
    /// The configuration or this process.
    Proxy,
}

/// Whether the request may be sent to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No server has seen it.
    Safe,
    /// A server may have acted on it: only an idempotent request may be sent again (RFC 9110
    /// §9.2.2).
    IfIdempotent,
    /// It may: the retry budget has been charged for it already.
    Paid,
    /// Not at all.
    Never,
}

/// What happened, as counted, logged and told to the client in `x-evenkeel-reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request head breaks a rule.
    BadRequest(RequestError),
    /// The path cannot be normalised.
    BadPath(&'static str),
    /// The chunked request body breaks a rule.
    BadRequestBody(ChunkError),
    /// The head took too long.
    HeadTimeout,
    /// The body took too long.
    BodyTimeout,
    /// The body is longer than the listener allows.
    BodyTooLarge,
    /// The client ended or broke the connection before the exchange was over.
    ClientGone,
    /// The client takes the response too slowly.
    ClientTooSlow,
    /// It has been passed on too often.
    Loop,
    /// No route matches.
    NoRoute,
    /// The site is being worked on (`maintenance`).
    Maintenance,
    /// The pool has no servers.
    NoServers,
    /// No server of the pool is healthy.
    NoHealthyServer,
    /// Every server was tried.
    AllServersTried,
    /// All servers are saturated, and as many requests wait for them as may.
    QueueFull,
    /// All servers were saturated for as long as a request waits for one.
    QueueTimeout,
    /// Too many of the pool's answers were failures: it is left alone for a while.
    BreakerOpen,
    /// The server has as many connections as it may.
    ServerConnections,
    /// The server refused the connection.
    ConnectRefused,
    /// The connection did not stand in time.
    ConnectTimeout,
    /// The connection failed for another reason.
    ConnectFailed,
    /// The server's certificate is signed by nobody who is trusted, or cannot be trusted otherwise.
    UpstreamTlsUntrusted,
    /// The server's certificate has expired, or is not valid yet.
    UpstreamTlsExpired,
    /// The server's certificate is for another name.
    UpstreamTlsName,
    /// There is no TLS with the server for another reason.
    UpstreamTlsHandshake,
    /// The connection stood, but not its TLS session in time.
    UpstreamTlsTimeout,
    /// The server broke the connection before the response head.
    UpstreamReset,
    /// The server closed the connection before the response head.
    UpstreamClosed,
    /// The server did not take the stream: it has no room for it (RFC 9113 §8.7).
    StreamRefused,
    /// The server said that it ends the connection before it took the request (RFC 9113 §6.8).
    UpstreamGoaway,
    /// The server asks for less (`ENHANCE_YOUR_CALM`).
    UpstreamCalm,
    /// The server broke the rules of HTTP/2, or says that we did.
    UpstreamProtocol,
    /// The server did not say in time that it is still there.
    UpstreamSilent,
    /// The request cannot be said in the server's version of HTTP.
    Unspeakable,
    /// The server takes no tunnels in its version of HTTP.
    NoTunnel,
    /// The client of a call does not wait any more (`grpc-timeout`).
    DeadlineExceeded,
    /// The response head breaks a rule.
    BadResponse(ResponseError),
    /// The response head did not come in time.
    ResponseTimeout,
    /// The response body, or the server's reading of the request, stopped.
    UpstreamIdle,
    /// The response body ended early or breaks a rule.
    ResponseTruncated,
    /// The process is out of file descriptors.
    OutOfDescriptors,
    /// Too many connections from this address.
    TooManyConnections,
    /// The client, or what else a limit goes by, has made as many requests as it may.
    RateLimited,
    /// The client is in a network that may not.
    AddressDenied,
    /// Who keeps a shared limit does not answer, and without it nobody passes.
    LimitUnknown,
    /// The client, or what else a limit goes by, has as many requests under way as it may.
    TooManyAtOnce,
    /// This address makes connections faster than it may.
    ConnectionRate,
    /// The client is in a country that may not.
    CountryDenied,
    /// The client has not said who it is, or not truly.
    NoCredentials,
    /// Its certificate is none of those that may.
    CertificateDenied,
    /// Nobody can say at the moment whether it may.
    AuthUnavailable,
    /// A request in early data that could change something if it is replayed (RFC 8470 §5.2).
    TooEarly,
    /// A request without TLS where TLS is spoken.
    PlaintextOnTlsPort,
    /// The client wants nothing that a server has to be asked for (RFC 9111 §5.2.1.7).
    NotCached,
    /// Serving it panicked.
    Panicked,
}

impl Failure {
    /// A failure that is not retried.
    pub fn new(reason: Reason) -> Self {
        Self { reason, retry: Retry::Never }
    }

    /// A failure of a server that has not seen the request.
    pub fn unsent(reason: Reason) -> Self {
        Self { reason, retry: Retry::Safe }
    }

    /// A failure of a server that may have acted on the request.
    pub fn sent(reason: Reason) -> Self {
        Self { reason, retry: Retry::IfIdempotent }
    }
}

impl Reason {
    /// The status of the local reply (RFC 9110 §15).
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest(error) => error.status(),
            Self::BadPath(_)
            | Self::BadRequestBody(_)
            | Self::ClientGone
            | Self::PlaintextOnTlsPort => 400,
            Self::HeadTimeout | Self::BodyTimeout | Self::ClientTooSlow => 408,
            Self::BodyTooLarge => 413,
            Self::AddressDenied | Self::CertificateDenied | Self::CountryDenied => 403,
            Self::NoCredentials => 401,
            Self::NoRoute => 404,
            Self::Loop => 508,
            Self::TooManyConnections
            | Self::RateLimited
            | Self::TooManyAtOnce
            | Self::ConnectionRate => 429,
            Self::TooEarly => 425,
            Self::Panicked => 500,
            Self::Maintenance
            | Self::NoServers
            | Self::NoHealthyServer
            | Self::AllServersTried
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::BreakerOpen
            | Self::ServerConnections
            | Self::StreamRefused
            | Self::UpstreamGoaway
            | Self::UpstreamCalm
            | Self::LimitUnknown
            | Self::AuthUnavailable
            | Self::OutOfDescriptors => 503,
            Self::ConnectRefused
            | Self::ConnectFailed
            | Self::UpstreamTlsUntrusted
            | Self::UpstreamTlsExpired
            | Self::UpstreamTlsName
            | Self::UpstreamTlsHandshake
            | Self::UpstreamReset
            | Self::UpstreamClosed
            | Self::UpstreamProtocol
            | Self::ResponseTruncated
            | Self::BadResponse(_) => 502,
            Self::Unspeakable | Self::NoTunnel => 501,
            Self::ConnectTimeout
            | Self::UpstreamTlsTimeout
            | Self::UpstreamSilent
            | Self::DeadlineExceeded
            | Self::NotCached
            | Self::ResponseTimeout
            | Self::UpstreamIdle => 504,
        }
    }

    /// A stable word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::BadRequest(error) => error.reason(),
            Self::BadPath(word) => word,
            Self::BadRequestBody(_) => "bad_request_body",
            Self::HeadTimeout => "request_head_timeout",
            Self::BodyTimeout => "request_body_timeout",
            Self::BodyTooLarge => "request_body_too_large",
            Self::ClientGone => "client_gone",
            Self::ClientTooSlow => "client_too_slow",
            Self::NoRoute => "no_route",
            Self::Maintenance => "maintenance",
            Self::Loop => "loop",
            Self::NoServers => "no_servers",
            Self::NoHealthyServer => "no_healthy_server",
            Self::AllServersTried => "all_servers_tried",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::BreakerOpen => "breaker_open",
            Self::ServerConnections => "server_connections",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::UpstreamTlsUntrusted => "upstream_tls_untrusted",
            Self::UpstreamTlsExpired => "upstream_tls_expired",
            Self::UpstreamTlsName => "upstream_tls_name",
            Self::UpstreamTlsHandshake => "upstream_tls_handshake",
            Self::UpstreamTlsTimeout => "upstream_tls_timeout",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamClosed => "upstream_closed",
            Self::StreamRefused => "stream_refused",
            Self::UpstreamGoaway => "upstream_goaway",
            Self::UpstreamCalm => "upstream_calm",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamSilent => "upstream_silent",
            Self::Unspeakable => "unspeakable",
            Self::NoTunnel => "no_tunnel",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::BadResponse(_) => "bad_response",
            Self::ResponseTimeout => "response_timeout",
            Self::UpstreamIdle => "upstream_idle_timeout",
            Self::ResponseTruncated => "response_truncated",
            Self::OutOfDescriptors => "out_of_descriptors",
            Self::TooManyConnections => "too_many_connections",
            Self::RateLimited => "rate_limited",
            Self::AddressDenied => "address_denied",
            Self::LimitUnknown => "limit_unknown",
            Self::TooManyAtOnce => "too_many_at_once",
            Self::ConnectionRate => "connection_rate",
            Self::CountryDenied => "country_denied",
            Self::NoCredentials => "no_credentials",
            Self::CertificateDenied => "certificate_denied",
            Self::AuthUnavailable => "auth_unavailable",
            Self::TooEarly => "too_early",
            Self::PlaintextOnTlsPort => "plaintext_on_tls_port",
            Self::NotCached => "not_cached",
            Self::Panicked => "internal_error",
        }
    }

    /// What it says about the server; `None` if nothing.
    pub fn kind(self) -> Option<FailureKind> {
        match self {
            Self::ConnectRefused
            | Self::ConnectFailed
            | Self::UpstreamTlsUntrusted
            | Self::UpstreamTlsExpired
            | Self::UpstreamTlsName
            | Self::UpstreamTlsHandshake => Some(FailureKind::Refused),
            Self::ConnectTimeout | Self::UpstreamTlsTimeout => Some(FailureKind::ConnectTimeout),
            Self::UpstreamReset | Self::UpstreamClosed | Self::ResponseTruncated => {
                Some(FailureKind::Reset)
            }
            Self::BadResponse(_) | Self::UpstreamProtocol => Some(FailureKind::Malformed),
            Self::ResponseTimeout | Self::UpstreamIdle | Self::UpstreamSilent => {
                Some(FailureKind::Timeout)
            }
            Self::StreamRefused | Self::UpstreamGoaway | Self::UpstreamCalm => {
                Some(FailureKind::Refused)
            }
            _ => None,
        }
    }

    /// Whether it is one of those after which another server is asked.
    pub fn is_among(self, on: &RetryOn) -> bool {
        match self {
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectFailed
            | Self::UpstreamTlsUntrusted
            | Self::UpstreamTlsExpired
            | Self::UpstreamTlsName
            | Self::UpstreamTlsHandshake
            | Self::UpstreamTlsTimeout => on.connect,
            Self::UpstreamReset
            | Self::UpstreamClosed
            | Self::StreamRefused
            | Self::UpstreamGoaway
            | Self::UpstreamCalm
            | Self::UpstreamSilent => on.reset,
            Self::ResponseTimeout | Self::UpstreamIdle => on.timeout,
            // These say nothing about the next server.
            Self::OutOfDescriptors | Self::ServerConnections => true,
            _ => false,
        }
    }

    /// Who is to blame.
    pub fn fault(self) -> Fault {
        match self {
            Self::BadRequest(_)
            | Self::BadPath(_)
            | Self::BadRequestBody(_)
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::ClientGone
            | Self::ClientTooSlow
            | Self::TooManyConnections
            | Self::RateLimited
            | Self::TooManyAtOnce
            | Self::ConnectionRate
            | Self::TooEarly
            | Self::PlaintextOnTlsPort
            | Self::AddressDenied
            | Self::CountryDenied
            | Self::NoCredentials
            | Self::CertificateDenied
            | Self::NotCached
            | Self::NoRoute => Fault::Downstream,
            Self::Loop
            | Self::NoServers
            | Self::NoHealthyServer
            | Self::AllServersTried
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::BreakerOpen
            | Self::ServerConnections
            | Self::LimitUnknown
            | Self::OutOfDescriptors
            | Self::AuthUnavailable
            | Self::Unspeakable
            | Self::NoTunnel
            | Self::DeadlineExceeded
            | Self::Panicked => Fault::Proxy,
            _ => Fault::Upstream,
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(why: Unavailable) -> Self {
        Self::new(match why {
            Unavailable::NoServers => Reason::NoServers,
            Unavailable::NoneHealthy => Reason::NoHealthyServer,
            Unavailable::AllTried => Reason::AllServersTried,
            Unavailable::Saturated => Reason::QueueFull,
            Unavailable::BreakerOpen => Reason::BreakerOpen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained() {
        use Reason as R;
        let manual = include_str!("../../../docs/reasons.md");
        let bad_body = R::BadRequestBody(ChunkError::BadSize);
        let bad_response = R::BadResponse(ResponseError::TooManyInterim);
        for reason in [
            [R::HeadTimeout, R::BodyTimeout, R::BodyTooLarge, R::ClientGone, R::ClientTooSlow],
            [R::NoRoute, R::Loop, R::NoServers, R::NoHealthyServer, R::AllServersTried],
            [R::QueueFull, R::QueueTimeout, R::BreakerOpen, R::ServerConnections, bad_body],
            [
                R::ConnectRefused,
                R::ConnectTimeout,
                R::ConnectFailed,
                R::UpstreamReset,
                bad_response,
            ],
            [R::UpstreamClosed, R::ResponseTimeout, R::UpstreamIdle, R::ResponseTruncated, R::Loop],
            [
                R::UpstreamTlsUntrusted,
                R::UpstreamTlsExpired,
                R::UpstreamTlsName,
                R::UpstreamTlsHandshake,
                R::UpstreamTlsTimeout,
            ],
            [
                R::StreamRefused,
                R::UpstreamGoaway,
                R::UpstreamCalm,
                R::UpstreamProtocol,
                R::NotCached,
            ],
            [R::UpstreamSilent, R::Unspeakable, R::NoTunnel, R::DeadlineExceeded, R::NoRoute],
            [R::TooManyAtOnce, R::ConnectionRate, R::LimitUnknown, R::NoRoute, R::NoServers],
            [R::OutOfDescriptors, R::TooManyConnections, R::Panicked, R::RateLimited, R::NoServers],
            [
                R::AddressDenied,
                R::NoCredentials,
                R::CertificateDenied,
                R::AuthUnavailable,
                R::CountryDenied,
            ],
        ]
        .concat()
        {
            let word = format!("`{}`", reason.word());
            let row = manual.lines().find(|line| line.contains(&word));
            let row = row.unwrap_or_else(|| panic!("{word} is not in docs/reasons.md"));
            let status = reason.status().to_string();
            assert!(row.contains(&status) || reason == R::ClientGone, "{row}: {status}");
        }
    }
}
