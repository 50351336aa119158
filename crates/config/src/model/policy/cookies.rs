//! `cookies`: what browsers are told about the cookies of servers (RFC 6265).

use crate::model::SameSite;

/// Changes of `Set-Cookie`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cookies {
    /// Which; all if there are none.
    pub names: Vec<String>,
    /// In place of the domain that a cookie has; empty takes it away. A cookie without one stays so.
    pub domain: Option<String>,
    /// The path.
    pub path: Option<CookiePath>,
    /// Only over TLS.
    pub secure: Option<bool>,
    /// Not shown to scripts.
    pub http_only: Option<bool>,
    /// Whether it goes along with requests that other sites cause.
    pub same_site: Option<SameSite>,
    /// A jar of its own for each site that it is embedded in.
    pub partitioned: Option<bool>,
}

/// A change of a cookie's path.
#[derive(Clone, Debug, PartialEq)]
pub enum CookiePath {
    /// This one, whatever it was.
    Set(String),
    /// This prefix, on segment boundaries, is replaced.
    Replace {
        /// Without a slash at its end.
        from: String,
        /// Without a slash at its end.
        to: String,
    },
}
