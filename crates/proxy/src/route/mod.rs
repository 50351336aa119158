//! Which route a request takes. The order of precedence is decided when the configuration is
//! checked (`evenkeel_config::precedence`); this table only finds the first alternative that
//! matches without looking at the others: by host, then by path, then by what else is asked for.

use std::net::IpAddr;

use evenkeel_codec::RequestHead;
use evenkeel_config::Config;
use evenkeel_config::model::{ListenerId, RouteId};
use evenkeel_config::precedence;

pub(crate) mod claim;
pub mod explain;
mod host;
pub mod key;
mod names;
mod network;
mod path;
mod predicate;
mod query;

use host::Hosts;
pub(crate) use network::Networks;
use predicate::Predicate;

/// What routing may look at: everything borrowed, nothing computed unless a condition asks.
pub struct RequestView<'a> {
    /// Where it came in.
    pub listener: ListenerId,
    /// As sent.
    pub method: &'a [u8],
    /// The name asked for, as sent: any case, no port, maybe with a trailing dot.
    pub host: &'a [u8],
    /// Normalised.
    pub path: &'a [u8],
    /// Without the `?`.
    pub query: Option<&'a [u8]>,
    /// For fields and cookies.
    pub head: &'a RequestHead,
    /// What the head's spans refer to.
    pub bytes: &'a [u8],
    /// After trusted proxies.
    pub client: IpAddr,
    /// Of a good token, if a policy has found one.
    pub claims: Option<&'a serde_json::Map<String, serde_json::Value>>,
    /// Of the client, if a policy has found it.
    pub country: Option<[u8; 2]>,
}

/// A route, and how much of the path it matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub route: RouteId,
    /// Bytes of the normalised path matched by its prefix; 0 unless it matches by prefix.
    pub prefix_len: usize,
}

/// One alternative of a route, under its host and path.
struct Candidate {
    route: RouteId,
    rest: Vec<Predicate>,
}

impl Candidate {
    fn matches(&self, request: &RequestView<'_>) -> bool {
        self.rest.iter().all(|predicate| predicate.holds(request))
    }
}

/// The first of `candidates`, which are in order of precedence, that matches.
fn first(candidates: &[Candidate], request: &RequestView<'_>) -> Option<RouteId> {
    candidates.iter().find(|candidate| candidate.matches(request)).map(|found| found.route)
}

/// All routes of a snapshot.
#[derive(Default)]
pub struct Table {
    hosts: Hosts,
}

impl Table {
    /// Builds the table; whatever could be wrong was a diagnostic before.
    pub fn compile(config: &Config) -> Self {
        let mut hosts = Hosts::default();
        for alternative in precedence::alternatives(config) {
            let rest = alternative.rest.iter().map(Predicate::compile).collect();
            let candidate = Candidate { route: alternative.route, rest };
            hosts.entry(alternative.host.as_ref()).add(alternative.path.as_ref(), candidate);
        }
        Self { hosts }
    }

    /// The route of a request; the most specific host that has a match decides.
    pub fn find(&self, request: &RequestView<'_>) -> Option<Found> {
        self.hosts.find(request.host, |paths| paths.find(request))
    }
}

#[cfg(test)]
mod tests;
