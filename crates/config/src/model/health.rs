//! Active health checks.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Pattern, PoolTls};

/// How the servers of a pool are checked, from one place in the process.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// What a check is.
    pub probe: Probe,
    /// From one check of a server to the next, ±10 %; 5 s.
    pub interval: Duration,
    /// A check that takes longer has failed; 2 s.
    pub timeout: Duration,
    /// Successes in a row that bring an unhealthy server back; 2.
    pub rise: u32,
    /// Failures in a row that take a healthy server out; 3.
    pub fall: u32,
    /// While successes or failures are being counted: the interval until it is decided; 1 s.
    pub interval_changing: Duration,
    /// A server that stays down is checked less and less often, up to this; 30 s.
    pub interval_down_max: Duration,
    /// Checked at this port instead of the server's.
    pub port: Option<u16>,
}

/// What a check is.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// `http` and `https`: a request, and what its response must be like.
    Http(Box<HttpProbe>),
    /// `tcp`: the connection stands; after `send`, `expect` comes somewhere in what is received.
    Tcp(Exchange),
    /// `grpc`: `grpc.health.v1.Health/Check` says SERVING.
    Grpc(GrpcProbe),
    /// `udp`: after `send` (one datagram), one that contains `expect` comes back.
    Udp(Exchange),
    /// `command`: a program ends with status 0.
    Command(CommandProbe),
}

/// A request, and what its response must be like.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpProbe {
    /// Over TLS; as the pool by default.
    pub tls: Option<PoolTls>,
    /// GET.
    pub method: String,
    /// `/`; with the query, if any.
    pub path: String,
    /// The `Host`; the server's address by default.
    pub host: Option<String>,
    /// Added to the request.
    pub headers: Vec<(String, String)>,
    /// Statuses that are a success; 200 to 299.
    pub status: Vec<RangeInclusive<u16>>,
    /// What the body must be like; all of them.
    pub body: Vec<BodyTest>,
    /// Bytes of the body that are looked at; 64 KiB. A longer one fails a `json` test.
    pub body_max: usize,
}

/// What a body must be like.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyTest {
    /// Contains this text.
    Contains(String),
    /// Matches this expression somewhere.
    Regex(Pattern),
    /// Is JSON whose value at this path equals this one.
    Json(JsonTest),
}

/// `$.db == "connected"`, written `{ $.db: connected }`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonTest {
    /// `$` and then member names and array indices: `$.pools[0].name`, as its steps.
    pub path: Vec<JsonStep>,
    /// What is there: a text, number, boolean or null, as JSON.
    pub equals: serde_json::Value,
}

/// A step of a path into JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonStep {
    /// `.name`
    Member(String),
    /// `[3]`
    Index(usize),
}

/// Bytes out, bytes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Sent once the connection stands; nothing by default. `\r`, `\n`, `\t`, `\0`,
    /// `\` and `\xHH` are what they are in C.
    pub send: Option<Vec<u8>>,
    /// Contained in the first 64 KiB received; nothing by default.
    pub expect: Option<Vec<u8>>,
}

/// gRPC health (grpc.health.v1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcProbe {
    /// The service asked about; empty is the whole server.
    pub service: String,
    /// The `:authority`; the server's address by default.
    pub authority: Option<String>,
    /// Over TLS.
    pub tls: Option<PoolTls>,
}

/// A program that is run for each check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandProbe {
    /// The program and its arguments; no shell. It gets `EVENKEEL_POOL`, `EVENKEEL_SERVER`,
    /// `EVENKEEL_ADDRESS`, `EVENKEEL_HOST` and `EVENKEEL_PORT` in its environment.
    pub argv: Vec<String>,
    /// Added to its environment, which is otherwise `PATH` and the above.
    pub env: Vec<(String, String)>,
}
