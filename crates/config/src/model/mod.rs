//! The configuration as meant: defaults filled in, names resolved, nothing left to check.
//!
//! Only validation makes these values, so an id never dangles and no number is out of its bounds.
//! How a user writes them is the business of the reading side, not of this file.

mod admin;
mod affinity;
mod discovery;
mod health;
mod layer4;
mod policy;
mod pool;
mod resilience;
mod secret;
mod template;
mod tls;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

pub use admin::*;
pub use affinity::*;
pub use discovery::*;
pub use health::*;
pub use layer4::*;
pub use policy::*;
pub use pool::*;
pub use resilience::*;
pub use secret::*;
pub use template::*;
pub use tls::*;

/// Index into [`Config::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);
/// Index into [`Config::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);
/// Index into [`Config::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u32);
/// Index into [`Config::policies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(pub u32);

/// Everything a process needs to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Worker threads; `None` is one for each core the process may use.
    pub workers: Option<NonZeroU32>,
    /// How the process ends, and how long anything that is drained may take.
    pub shutdown: Shutdown,
    /// Take over changed files without being asked; off.
    pub watch: bool,
    /// Who is asked for the addresses of servers that have names; the system's if none.
    pub resolvers: Vec<SocketAddr>,
    /// How a running process is looked at and changed.
    pub admin: Admin,
    /// Where certificates come from by themselves; nowhere by default.
    pub acme: Option<Acme>,
    /// Where connections are accepted, in the order written.
    pub listeners: Vec<Listener>,
    /// What is done with a request, in the order written (which is not the order of precedence).
    pub routes: Vec<Route>,
    /// Groups of servers.
    pub pools: Vec<Pool>,
    /// Named rules that listeners and routes apply.
    pub policies: Vec<Policy>,
}

/// How long running exchanges may take to finish after the first SIGTERM.
#[derive(Clone, Debug, PartialEq)]
pub struct Shutdown {
    /// Requests in progress; 30 s.
    pub drain: Duration,
    /// Tunnels (WebSocket and other upgrades); 5 min.
    pub drain_tunnels: Duration,
}

/// Where connections are accepted, and what one client may take there.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its key in the file.
    pub name: String,
    /// At least one; port 0 takes any free port.
    pub bind: Vec<SocketAddr>,
    /// What is done with what comes in; HTTP by default.
    pub kind: ListenerKind,
    /// Connections are encrypted; not by default.
    pub tls: Option<ListenerTls>,
    /// The versions of HTTP spoken; what the listener can do by default, none if it is not HTTP's.
    pub protocols: Protocols,
    /// Every request is answered with a redirect to `https`; not by default.
    pub redirect_https: Option<HttpsRedirect>,
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed; none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections of those begin with a header of the PROXY protocol; off.
    pub proxy_protocol: ProxyProtocolIn,
    /// How much.
    pub limits: ListenerLimits,
    /// How long.
    pub timeouts: ListenerTimeouts,
    /// What servers are told about the client.
    pub identity: Identity,
    /// How paths are made comparable before routing.
    pub path: PathRules,
    /// Applied to every request of this listener, before those of the route.
    pub policies: Vec<PolicyId>,
}

/// How much one listener, and one client of it, may take.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerLimits {
    /// Open connections; `None` is computed from the process's file descriptor limit.
    pub connections: Option<u32>,
    /// Open connections of one client address (IPv6: of one /64); 1,000 by default.
    pub connections_per_ip: u32,
    /// New connections of one client address (IPv6: of one /64); `None` is unlimited.
    pub connection_rate_per_ip: Option<RequestRate>,
    /// Bytes of a request head; 32 KiB. Beyond: 431.
    pub head: usize,
    /// Bytes of a request line; 16 KiB. Beyond: 414.
    pub request_line: usize,
    /// Fields in a head, and in a trailer section; 100. Beyond: 431.
    pub fields: usize,
    /// Bytes of a request body; `None` is unlimited. Beyond: 413.
    pub body: Option<u64>,
    /// Requests on one connection; 100,000.
    pub requests_per_connection: u32,
}

/// How long a client may take.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTimeouts {
    /// From the accept to the end of the TLS handshake; 10 s.
    pub handshake: Duration,
    /// From the accept, or a later head's first byte, to its last; 10 s. Beyond: 408.
    pub head: Duration,
    /// Bytes a second a head must keep up once a grace of 2 s is over; 500; 0 is off.
    pub head_rate_min: u64,
    /// Longest silence inside a request body; 30 s. Beyond: 408.
    pub body_idle: Duration,
    /// Bytes a second a request body must keep up on average after a grace of 10 s; 1 KiB; 0 is off.
    pub body_rate_min: u64,
    /// Longest time a client may accept nothing of a response; 30 s.
    pub send_idle: Duration,
    /// Bytes a second a client must take of a response while it has some waiting, after a grace
    /// of 10 s; 1 KiB; 0 is off.
    pub send_rate_min: u64,
    /// A kept-alive connection without a request; 60 s.
    pub idle: Duration,
    /// A connection's age at which it is closed after the exchange in progress; 1 h.
    pub age_max: Duration,
}

/// What servers are told about the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `X-Real-IP`; on.
    pub x_forwarded: bool,
    /// `Forwarded` (RFC 7239); off.
    pub forwarded: bool,
    /// `Via` (RFC 9110 §7.6.3) in both directions, with this pseudonym; `None` is off.
    pub via: Option<String>,
    /// `X-Request-Id`: made here unless a trusted peer sent one; on.
    pub request_id: bool,
}

/// How paths are made comparable before routing (RFC 3986 §6.2.2). What is matched is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// `%2F` and `%5C` in a path; reject.
    pub encoded_slash: EncodedSlash,
    /// `//` becomes `/`; on.
    pub merge_slashes: bool,
}

/// What to do with an encoded separator in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodedSlash {
    /// 400.
    Reject,
    /// Leave it as it is: it is data, not a separator.
    Keep,
    /// Treat it as the separator it encodes.
    Decode,
}

/// Which requests, and what is done with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// As written, else made from the match (`shop.example/api`); unique.
    pub name: String,
    /// What a request must be like.
    pub matches: Match,
    /// What is done with it.
    pub action: Action,
    /// Applied to its requests, after those of the listener.
    pub policies: Vec<PolicyId>,
}

/// A condition on a request. The empty `All` matches everything.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// Each of these.
    All(Vec<Self>),
    /// At least one of these; never empty.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// The request came in through this listener.
    Listener(ListenerId),
    /// The authority's host.
    Host(HostMatch),
    /// The normalised path.
    Path(PathMatch),
    /// One of these methods, upper or lower case as RFC 9110 §9.1 has them: case-sensitive.
    Method(Vec<String>),
    /// A field line of this name (lower case).
    Header(String, ValueMatch),
    /// A cookie of this name (case-sensitive).
    Cookie(String, ValueMatch),
    /// A query parameter of this name (percent-decoded, case-sensitive).
    Query(String, ValueMatch),
    /// The client's address (after trusted proxies) is in one of these networks.
    Client(Vec<IpNet>),
    /// The client is in one of these countries; known where a policy `geo` of the listener says so.
    Country(Vec<String>),
    /// A claim of the token that a policy `jwt` of the listener has found good.
    Claim(String, ValueMatch),
}

/// A host name, lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostMatch {
    /// This name or address.
    Exact(String),
    /// `*.example.com` (stored `example.com`): one or more labels before it.
    Wildcard(String),
}

/// A path, in normalised form.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// This path and everything below it on segment boundaries: `/api` matches `/api` and
    /// `/api/x`, not `/apis`. Stored without a trailing slash; `/` is stored as the empty string.
    Prefix(String),
    /// Matches anywhere unless anchored.
    Regex(Pattern),
}

/// What a field's, cookie's or parameter's value must be like.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueMatch {
    /// There, with whatever value.
    Present,
    /// Exactly this.
    Exact(String),
    /// Matches anywhere unless anchored.
    Regex(Pattern),
}

/// A regular expression that compiled: linear time, bounded size.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::bytes::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send it to a server of this pool.
    Pool(PoolId),
    /// Send it to a pool chosen at random by weight; at least one weight is not 0.
    Split(Vec<(PoolId, u32)>),
    /// Answer with a `Location`.
    Redirect(Redirect),
    /// Answer with this.
    Respond(Respond),
}

/// A redirect (RFC 9110 §15.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308 (the default).
    pub status: u16,
    /// The `Location`.
    pub to: Template,
}

/// A fixed response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// `Content-Type`; `text/plain; charset=utf-8` by default.
    pub content_type: String,
    /// The content; at most 64 KiB as written.
    pub body: Template,
}
