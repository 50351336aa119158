//! `rate_limit`: so many requests in so much time.

use std::time::Duration;

use ipnet::IpNet;

use crate::model::{Prefix, Secret};

/// So many requests in so much time, for each key.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// How many.
    pub rate: RequestRate,
    /// How it is kept.
    pub algorithm: RateAlgorithm,
    /// Who has one of his own.
    pub key: KeyRule,
    /// Clients that are not limited.
    pub allow: Vec<IpNet>,
    /// Nobody is refused; what would have been is counted and logged.
    pub dry_run: bool,
    /// `RateLimit` and `RateLimit-Policy` are added to answers; on.
    pub fields: bool,
    /// Most bytes that keys take; 4 MiB.
    pub memory: u64,
    /// Counted by several instances together; not by default.
    pub shared: Option<SharedLimit>,
}

/// A limit that several instances share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedLimit {
    /// Who counts.
    pub store: LimitStore,
    /// What names of keys begin with; `evenkeel:`.
    pub prefix: String,
    /// Longest time that a request waits for the decision; 50 ms.
    pub timeout: Duration,
    /// What holds while nobody answers.
    pub without: Without,
}

/// A server of Valkey or Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitStore {
    /// Host and port.
    pub server: String,
    /// Who logs in; the server's default user if none.
    pub username: Option<String>,
    /// With what; no log-in if none.
    pub password: Option<Secret>,
    /// 0 by default.
    pub database: u32,
}

/// What holds while a shared limit cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Each instance keeps the whole rate by itself (the default).
    Local,
    /// Everybody passes.
    Allow,
    /// Nobody does: 503.
    Refuse,
}

/// So many in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRate {
    /// At least 1.
    pub count: u32,
    /// 1 s to 31 days.
    pub period: Duration,
}

/// How a rate is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateAlgorithm {
    /// Evenly, with so many at once (as many as the rate's count by default).
    TokenBucket {
        /// At least 1.
        burst: u32,
    },
    /// So many in each period.
    FixedWindow,
    /// So many in any period, about.
    SlidingWindow,
}

/// What a limit's key is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// All of these together; none is one key for everything.
    pub parts: Vec<KeyPart>,
    /// A request that lacks one of the parts is not limited; off: all that lack it share a key.
    pub skip_missing: bool,
}

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's network.
    Client(Prefix),
    /// A field's first value; the name is lower case.
    Header(String),
    /// A cookie's value.
    Cookie(String),
    /// A query parameter's value.
    Query(String),
    /// The route's name.
    Route,
    /// The listener's name.
    Listener,
}
