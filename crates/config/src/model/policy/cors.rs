//! `cors`: which sites' scripts may ask (Fetch, §3.3).

use std::time::Duration;

/// Who may ask what.
#[derive(Clone, Debug, PartialEq)]
pub struct Cors {
    /// From where; at least one.
    pub origins: Vec<Origin>,
    /// With which methods, beyond those that are always allowed.
    pub methods: Vec<String>,
    /// With which fields, beyond those that are always allowed; `*` is any.
    pub headers: Vec<String>,
    /// Which fields of answers scripts may see, beyond those that they always may.
    pub expose: Vec<String>,
    /// With cookies; never together with [`Origin::Any`].
    pub credentials: bool,
    /// How long browsers remember what they were told.
    pub max_age: Duration,
    /// From public pages to private networks.
    pub private_network: bool,
}

/// Pages from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `*`.
    Any,
    /// `https://app.example.com`, lower case.
    Exact(String),
    /// `https://*.example.com`: one label more, or several.
    Below {
        /// `https://`.
        scheme: String,
        /// `example.com`, maybe with a port.
        parent: String,
    },
}
