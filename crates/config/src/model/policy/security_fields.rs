//! `security_fields`: what browsers are told to be careful about.

use std::time::Duration;

/// Fields of responses that servers often forget. Each is left out if it is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityFields {
    /// `Strict-Transport-Security`, on encrypted connections; nothing if 0.
    pub hsts: Duration,
    /// `X-Content-Type-Options: nosniff`.
    pub nosniff: bool,
    /// `X-Frame-Options`.
    pub frame: Frame,
    /// `Referrer-Policy`.
    pub referrer: String,
    /// `Permissions-Policy`.
    pub permissions: String,
    /// `Content-Security-Policy`.
    pub csp: String,
    /// Names of fields that tell what servers are made of.
    pub remove: Vec<String>,
    /// Also where a server has said something else.
    pub replace: bool,
}

/// Who may show a page within another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nobody.
    Deny,
    /// Pages of the same origin.
    SameOrigin,
    /// Nothing is said.
    Off,
}
