//! Where a pool's servers are found while the process runs.

use std::net::SocketAddr;
use std::time::Duration;

/// A source of servers beside those written in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discover {
    /// `dns`: the addresses of a name.
    Dns(DnsSource),
    /// `file`: a list of servers in a file, taken over when it changes.
    File(FileSource),
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSource {
    /// The name; with `port` its A and AAAA records, without its SRV records (RFC 2782).
    pub name: String,
    /// The servers' port; `None` takes port, weight and priority of SRV records.
    pub port: Option<u16>,
    /// Resolvers to ask; the system's by default.
    pub resolvers: Vec<SocketAddr>,
    /// The least and the most time between two look-ups, whatever the records' TTL says; 1 s and
    /// 60 s.
    pub refresh_min: Duration,
    /// See `refresh_min`.
    pub refresh_max: Duration,
}

/// A list of servers in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// YAML or JSON: a list as `servers` takes it.
    pub path: String,
}
