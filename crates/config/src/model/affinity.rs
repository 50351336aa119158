//! A client stays with its server.

use std::time::Duration;

use super::{HashKey, HashTable, Prefix, SecretKey};

/// How a client is bound to a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Sticky {
    /// By a cookie made here.
    Cookie(StickyCookie),
    /// By a field, a cookie of the application's, or a query parameter: consistent hashing of its
    /// value. A request without it is balanced as the pool says.
    Key(HashKey, HashTable),
    /// By the client's network.
    Source(Prefix, HashTable),
}

/// A cookie that binds a client to the server it was first sent to (RFC 6265).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// `evenkeel` by default.
    pub name: String,
    /// Until when the client keeps it, and from when on it is not believed; `None`: a session.
    pub ttl: Option<Duration>,
    /// `/` by default.
    pub path: String,
    /// None by default.
    pub domain: Option<String>,
    /// `Secure`; `None`: when the client came over TLS.
    pub secure: Option<bool>,
    /// `HttpOnly`; on.
    pub http_only: bool,
    /// `SameSite`; lax.
    pub same_site: SameSite,
    /// Tokens are made with the first and understood with all. Empty: one made at the start of the
    /// process, so that sessions end with it.
    pub keys: Vec<SecretKey>,
}

/// `SameSite` of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// `Strict`
    Strict,
    /// `Lax`
    Lax,
    /// `None`
    None,
}
