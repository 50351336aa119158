//! Who may come in, end to end over HTTP/1.1, HTTP/2 and HTTP/3: by network, by password, by key, by
//! token, by certificate, by country, and by another server's word.
#![cfg(feature = "http3")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests may wait and share")]

mod certificates;
#[cfg(feature = "geo")]
mod countries;
mod external;
mod keys;
mod networks;
#[cfg(feature = "passwords")]
mod passwords;
#[path = "../support/quic.rs"]
mod quic;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "jwt")]
mod tokens;
#[path = "../support/versions.rs"]
mod versions;

use quic::{Answer, Site};
use support::{Backend, Proxy};
use versions::Field;

/// A proxy with a policy `p` on its listener, and what it sends to.
struct Stage {
    site: Site,
    proxy: Proxy,
    app: Backend,
}

impl Stage {
    /// `policy` is what `p` is. `$DIR` stands for a directory of the test.
    fn new(policy: &str) -> Self {
        Self::with(Site::new(), policy, "")
    }

    fn with(site: Site, policy: &str, more: &str) -> Self {
        let app = Backend::named("app");
        let proxy = Proxy::start(&Self::config(&site, &app, policy, more));
        Self { site, proxy, app }
    }

    fn config(site: &Site, app: &Backend, policy: &str, more: &str) -> String {
        let listener = format!("{}    policies: [p]\n", site.listener());
        // `more` are lines among the pools.
        let config = support::with_listener(&[app], &listener);
        let directory = site.directory.0.display().to_string();
        format!("{config}{more}policies:\n  p: {policy}\n").replace("$DIR", &directory)
    }

    fn reload(&self, policy: &str) -> String {
        self.proxy.reload(&Self::config(&self.site, &self.app, policy, ""))
    }

    /// What is answered, the same over each version of HTTP.
    fn get(&self, path: &str, fields: &[Field<'_>]) -> Answer {
        versions::same(&self.site, self.proxy.addresses[0], "GET", path, fields)
    }

    fn status(&self, fields: &[Field<'_>]) -> u16 {
        self.get("/", fields).status
    }
}
