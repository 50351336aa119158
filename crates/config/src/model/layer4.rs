//! Listeners that do not speak HTTP: bytes of a connection, or datagrams, go to a server as they are.

use std::time::Duration;

use super::{HostMatch, PoolId};

/// What a listener does with what comes in.
#[derive(Clone, Debug, PartialEq)]
pub enum ListenerKind {
    /// HTTP: requests are routed (the default).
    Http,
    /// `tcp`: connections go to a server of a pool.
    Tcp(Tcp),
    /// `passthrough`: the first bytes of a connection decide which pool it goes to; TLS is not
    /// terminated. The first that matches wins; none is a close.
    Passthrough(Vec<Passthrough>),
    /// `udp`: datagrams go to a server of a pool.
    Udp(Udp),
}

impl ListenerKind {
    /// Requests are routed.
    pub fn is_http(&self) -> bool {
        matches!(self, Self::Http)
    }

    /// It needs no TCP socket.
    pub fn is_udp(&self) -> bool {
        matches!(self, Self::Udp(_))
    }

    /// The pools that it leads to; none if that is for routes to say.
    pub fn pools(&self) -> Vec<PoolId> {
        match self {
            Self::Http => Vec::new(),
            Self::Tcp(tcp) => vec![tcp.relay.to],
            Self::Passthrough(all) => all.iter().map(|one| one.relay.to).collect(),
            Self::Udp(udp) => vec![udp.to],
        }
    }

    /// The same with other ids for pools.
    pub fn with_pools(mut self, new: impl Fn(PoolId) -> PoolId) -> Self {
        match &mut self {
            Self::Http => {}
            Self::Tcp(tcp) => tcp.relay.to = new(tcp.relay.to),
            Self::Passthrough(all) => {
                all.iter_mut().for_each(|one| one.relay.to = new(one.relay.to));
            }
            Self::Udp(udp) => udp.to = new(udp.to),
        }
        self
    }
}

/// Connections that go to a server of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp {
    /// Where to, and for how long.
    pub relay: Relay,
    /// What is agreed to by ALPN (RFC 7301) where TLS is terminated; nothing by default.
    pub alpn: Vec<String>,
}

/// How a connection is relayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    /// Whose server gets it.
    pub to: PoolId,
    /// Longest silence in both directions; `timeouts.tunnel` of the pool without it.
    pub idle_timeout: Option<Duration>,
    /// Longest life; none by default.
    pub timeout: Option<Duration>,
    /// The kernel asks both peers whether they are there after this much silence; 60 s; 0 is off.
    pub keepalive: Duration,
    /// Whose address servers see.
    pub source: SourceAddress,
}

/// Whose address the servers of a relayed connection see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    /// This machine's (the default).
    Own,
    /// The client's (`IP_TRANSPARENT`): servers must route answers through this machine.
    Client,
}

/// Which connections, and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Passthrough {
    /// What it must begin with.
    pub protocol: FirstBytes,
    /// One of these names is asked for (SNI, RFC 6066 §3); empty is whatever.
    pub sni: Vec<HostMatch>,
    /// One of these is offered by ALPN; empty is whatever.
    pub alpn: Vec<String>,
    /// Where to.
    pub relay: Relay,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// Whatever, also nothing.
    Any,
    /// A ClientHello (RFC 8446 §4.1.2).
    Tls,
    /// A request of HTTP/1, or the preface of HTTP/2.
    Http,
    /// Neither, or nothing until `timeouts.handshake`.
    Other,
}

/// Datagrams that go to a server of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Udp {
    /// Whose server gets them.
    pub to: PoolId,
    /// Silence after which a session is forgotten; 30 s.
    pub idle_timeout: Duration,
    /// How many answers one datagram of a client has.
    pub reply: Reply,
    /// Sessions at a time, in all workers; 100,000. Beyond, the one idle for longest makes room.
    pub sessions: u32,
    /// Sessions of one client address (IPv6: of one /64) at a time; 1,000.
    pub sessions_per_ip: u32,
    /// What belongs together.
    pub session: UdpSession,
}

/// How many answers one datagram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Any number (the default).
    Any,
    /// One, which ends the session (DNS).
    Once,
    /// None is expected (syslog): nothing is brought back.
    Never,
}

/// Which datagrams are one session, and go to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpSession {
    /// Those of one address and port of a client to one of ours (the default).
    Ports,
    /// Those of one client address.
    Client,
}

/// Whether clients' connections begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocolIn {
    /// It is not looked for (the default).
    Off,
    /// Peers in `trusted_proxies` may send one.
    Accept,
    /// Peers in `trusted_proxies` must; all others are refused.
    Require,
}

/// Connections to servers begin with a header of the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocolOut {
    /// Which form.
    pub version: ProxyProtocolVersion,
    /// Active checks send one too (`LOCAL`, `UNKNOWN`); on.
    pub checks: bool,
    /// The name that the client asked for (`PP2_TYPE_AUTHORITY`), and the protocol agreed on or, if
    /// TLS is passed through, first offered (`PP2_TYPE_ALPN`); on.
    pub tls: bool,
    /// A checksum (`PP2_TYPE_CRC32C`); off.
    pub checksum: bool,
    /// An identifier of the connection (`PP2_TYPE_UNIQUE_ID`); off.
    pub unique_id: bool,
}

/// The form of a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocolVersion {
    /// A line of text.
    V1,
    /// Binary, with more about the connection.
    V2,
}
