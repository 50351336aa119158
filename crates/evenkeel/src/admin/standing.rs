//! How a server stands, in the words of the API. Reads what the balancer knows; decides nothing.

use std::time::{Duration, Instant};

use evenkeel_balancer::{Check, Passage, SharedPool};

use crate::control::overlay::Wish;
use crate::control::view::ServerView;

/// In one word.
pub(crate) const STANDINGS: &[&str] =
    &["up", "down", "ejected", "probation", "open", "draining", "disabled"];

/// What there is to say about a server.
pub(crate) struct Figures {
    /// What was ordered.
    pub(crate) state: &'static str,
    /// What active checks say.
    pub(crate) check: &'static str,
    /// For how long it is still ejected.
    pub(crate) ejected: Option<Duration>,
    /// It was ejected, and has to prove itself.
    on_probation: bool,
    pub(crate) breaker: &'static str,
    /// The adaptive limit of requests in flight.
    pub(crate) limit: Option<u32>,
    pub(crate) in_flight: u32,
    pub(crate) connections: u32,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
}

impl Figures {
    /// One of [`STANDINGS`].
    pub(crate) fn standing(&self) -> &'static str {
        match () {
            () if self.state != "enabled" => self.state,
            () if self.check == "down" => "down",
            () if self.ejected.is_some() => "ejected",
            () if self.breaker == "open" => "open",
            () if self.on_probation => "probation",
            () => "up",
        }
    }

    /// May be sent new requests.
    pub(crate) fn is_available(&self) -> bool {
        matches!(self.standing(), "up" | "probation")
    }
}

/// As of now.
pub(crate) fn figures(server: &ServerView, pool: Option<&SharedPool>, now: Instant) -> Figures {
    let standing = server.shared.standing.standing();
    let until = |passage: &Passage| match passage {
        Passage::Shut { until } => pool
            .and_then(|pool| pool.instant(*until))
            .map(|until| until.saturating_duration_since(now))
            .filter(|left| !left.is_zero()),
        Passage::Passing | Passage::Trial { .. } => None,
    };
    let ejected = until(&standing.ejection);
    Figures {
        state: match server.wish {
            None => "enabled",
            Some(Wish::Draining) => "draining",
            Some(Wish::Disabled) => "disabled",
        },
        check: match standing.check {
            Check::Unknown => "unknown",
            Check::Up => "up",
            Check::Down => "down",
        },
        ejected,
        on_probation: ejected.is_none() && !matches!(standing.ejection, Passage::Passing),
        breaker: match standing.breaker {
            Passage::Passing => "closed",
            Passage::Shut { .. } if until(&standing.breaker).is_some() => "open",
            Passage::Shut { .. } | Passage::Trial { .. } => "half_open",
        },
        limit: standing.limit,
        in_flight: standing.in_flight,
        connections: standing.connections,
        requests: server.reading.requests,
        failures: server.shared.counters.iter().map(|counters| counters.failures.value()).sum(),
    }
}
