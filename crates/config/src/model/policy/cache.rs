//! `cache`: answers are kept, and given again.

use std::time::Duration;

/// Answers are kept, and given again (RFC 9111).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Bytes of memory, heads and overhead included.
    pub size: u64,
    /// Longest content that is kept, in bytes.
    pub max_object: u64,
    /// How long answers are fresh that do not say it.
    pub default_ttl: Option<Duration>,
    /// The same by status; an error is kept only if it is here.
    pub statuses: Vec<(u16, Duration)>,
    /// The longest freshness that is guessed from `Last-Modified`; zero: none is.
    pub heuristic_max: Duration,
    /// How long a stale answer may be given while it is renewed, if the server does not say.
    pub stale_while_revalidate: Duration,
    /// How long a stale answer may be given in place of an error, if the server does not say.
    pub stale_if_error: Duration,
    /// How long requests for what may not be kept are not made to wait for each other.
    pub hit_for_miss: Duration,
    /// What tells one answer from another, beside scheme, host and path.
    pub key: CacheKey,
    /// Requests that are not answered from it.
    pub bypass: CacheBypass,
    /// Answers that set cookies are kept without them, instead of not at all.
    pub strip_cookies: bool,
    /// Clients may ask for fresh answers.
    pub client_control: bool,
    /// Fields that name what an answer is made of; lower case.
    pub tags: Vec<String>,
    /// `Cache-Status` is said (RFC 9211).
    pub status_field: bool,
}

/// What is part of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheKey {
    /// Parameters of the query that are left out.
    pub ignore_query: Vec<String>,
    /// The only parameters of the query that count.
    pub only_query: Option<Vec<String>>,
    /// Fields of requests; lower case.
    pub fields: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
}

/// What a request has that is not answered from the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheBypass {
    /// One of these fields; lower case.
    pub fields: Vec<String>,
    /// One of these cookies.
    pub cookies: Vec<String>,
}
