//! Pools and their servers: who they are, how one is chosen, how long it may take.

use std::net::SocketAddr;
use std::time::Duration;

use super::affinity::Sticky;
use super::discovery::Discover;
use super::health::HealthCheck;
use super::layer4::ProxyProtocolOut;
use super::resilience::{Breaker, Hedge, Outlier, Queue, Retry};
use super::tls::{PoolProtocol, PoolTls};

/// Servers that can stand in for each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its key in the file.
    pub name: String,
    /// How one of them is chosen.
    pub balance: Balance,
    /// At least one, unless `discover` finds them.
    pub servers: Vec<Server>,
    /// Where more servers are found while the process runs; none by default.
    pub discover: Option<Discover>,
    /// The `Host` that servers see.
    pub host: HostRewrite,
    /// Connections to servers are encrypted; not by default.
    pub tls: Option<PoolTls>,
    /// The version of HTTP that servers are spoken to in.
    pub protocol: PoolProtocol,
    /// Connections begin with a header of the PROXY protocol; not by default.
    pub proxy_protocol: Option<ProxyProtocolOut>,
    /// How long a server may take.
    pub timeouts: PoolTimeouts,
    /// Connections kept for the next request.
    pub keep_alive: KeepAlive,
    /// Active checks; none by default.
    pub health: Option<HealthCheck>,
    /// What real traffic says about servers; on by default.
    pub outlier: Option<Outlier>,
    /// How much the pool and each of its servers take at a time, and when they are left alone.
    pub breaker: Breaker,
    /// Requests that wait for a server when all that may are saturated.
    pub queue: Queue,
    /// How long a server that comes (back) takes to get its full share; 10 s; 0 is off.
    pub slow_start: Duration,
    /// Share of the pool's servers (of one priority) that has to be healthy, or health is ignored
    /// there: one of them may still answer; 0.1; 0 is never. Servers that drain or are disabled are
    /// left alone all the same.
    pub panic_threshold: f64,
    /// Another try when a server failed.
    pub retry: Retry,
    /// A second try before the first has failed; none by default.
    pub hedge: Option<Hedge>,
    /// A client stays with its server; no by default.
    pub sticky: Option<Sticky>,
}

/// A pool's member.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where it listens.
    pub address: Address,
    /// Its share relative to the others; 1 by default, 0 takes nothing, at most 1,000.
    pub weight: u32,
    /// 0 by default. Servers of the lowest number that has enough healthy ones take everything;
    /// `backup: true` is 1.
    pub priority: u32,
    /// Where its active checks go, unless to `address`.
    pub check: Option<Address>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A literal address and port.
    Socket(SocketAddr),
    /// A name to look up, and a port.
    Name(String, u16),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// The `Host` that servers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRewrite {
    /// The client's.
    Preserve,
    /// The server's own address as written in the file.
    Server,
    /// This one.
    Set(String),
}

/// How a server is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Balance {
    /// `round_robin`: each in turn, weights ignored.
    RoundRobin,
    /// `weighted_round_robin`: smooth, exact over a cycle.
    WeightedRoundRobin,
    /// `least_connections`: fewest requests in flight for its weight.
    LeastConnections,
    /// `random`: by weight.
    Random,
    /// `p2c`: the less loaded of two drawn at random.
    PowerOfTwo,
    /// `p2c_ewma` (the default): the one of two with the smaller latency × load.
    PeakEwma(PeakEwma),
    /// `ip_hash`: the client's network decides.
    IpHash(IpHash),
    /// `consistent_hash`: a key of the request decides.
    ConsistentHash(ConsistentHash),
}

/// Peak exponentially weighted moving average of the response latency.
#[derive(Clone, Debug, PartialEq)]
pub struct PeakEwma {
    /// Time in which an old sample loses 63 % of its weight; 10 s.
    pub decay: Duration,
    /// Added latency for a failed request, so that failing fast does not look fast; 1 s.
    pub failure_penalty: Duration,
}

/// Consistent hashing on a key of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsistentHash {
    /// What is hashed. A request without it is balanced by power of two choices.
    pub key: HashKey,
    /// The table.
    pub table: HashTable,
}

/// Hashing the client's network.
#[derive(Clone, Debug, PartialEq)]
pub struct IpHash {
    /// How much of an address is hashed.
    pub prefix: Prefix,
    /// The table.
    pub table: HashTable,
}

/// How many leading bits of an address count; a client that moves inside that network stays the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// 1 to 32; 32 by default.
    pub ipv4: u8,
    /// 1 to 128; 64 by default: one host has all of it.
    pub ipv6: u8,
}

/// A hash table and the load bound on it.
#[derive(Clone, Debug, PartialEq)]
pub struct HashTable {
    /// Which one.
    pub kind: HashKind,
    /// A server takes at most this factor of the mean load, then the next is asked; 1.0 to 10.0.
    pub bounded_load: Option<f64>,
}

/// Which table maps a hash to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// `ring`: 160 points for each unit of weight.
    Ring,
    /// `maglev` (the default): 65,537 slots.
    Maglev,
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// Addresses and ports of both ends of the client's connection (not of a request of HTTP).
    Connection,
    /// The value of this field (lower case).
    Header(String),
    /// The value of this cookie.
    Cookie(String),
    /// The normalised path without the query.
    Path,
    /// The value of this query parameter.
    Query(String),
}

/// How long a server may take.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolTimeouts {
    /// Until the connection stands; 3 s. Beyond: 504 `connect_timeout`.
    pub connect: Duration,
    /// From the request's last byte to the response head; 60 s. Beyond: 504 `response_timeout`.
    pub first_byte: Duration,
    /// Longest silence inside a response body or while a server takes no more of a request; 60 s.
    pub idle: Duration,
    /// Longest silence of a tunnel in both directions; 1 h.
    pub tunnel: Duration,
}

/// Connections kept for the next request.
#[derive(Clone, Debug, PartialEq)]
pub struct KeepAlive {
    /// Idle connections kept for each server and worker; 64; 0 keeps none.
    pub idle_max: u32,
    /// How long an idle one is kept; 50 s, less if the server is seen to close earlier.
    pub idle: Duration,
    /// A connection's age at which it is not used again; 1 h.
    pub age_max: Duration,
}
