//! What a pool is told: limits, and when a server is left alone. Plain settings; what is decided by
//! them is in the file of each rule.

use std::time::Duration;

/// All rules of a pool. The default has none: every server that is up and enabled takes requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What real traffic says about servers.
    pub outlier: Option<Outlier>,
    /// Leaves a server alone while too many of its answers are failures.
    pub server_breaker: Option<Breaker>,
    /// Leaves the whole pool alone while too many of its answers are failures.
    pub breaker: Option<Breaker>,
    /// Finds each server's limit by its latency.
    pub adaptive: Option<Adaptive>,
    /// How much at a time.
    pub limits: Limits,
    /// How long a server that comes (back) takes to get its full share; zero is off.
    pub slow_start: Duration,
    /// Share of the servers of a tier below which health is ignored there; 0.0 is never.
    pub panic_threshold: f64,
    /// Tries beside the first ones.
    pub budget: Budget,
    /// Learns the p95 of the time to the response head, for hedging.
    pub hedge: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            outlier: None,
            server_breaker: None,
            breaker: None,
            adaptive: None,
            limits: Limits::default(),
            slow_start: Duration::ZERO,
            panic_threshold: 0.0,
            budget: Budget::default(),
            hedge: false,
        }
    }
}

/// When a server is ejected, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// Failures in a row, of all workers; 0 is off. A 5xx that is no gateway error is an answer.
    pub consecutive: u32,
    /// A share of failed requests that is clearly higher than that of the rest of the pool.
    pub rate: Option<FailureRate>,
    /// The first refused or timed out connection ejects for at least this.
    pub mark_down: Option<Duration>,
    /// The first ejection; the nth takes n times as long.
    pub eject: Duration,
    /// Bound of the above.
    pub eject_max: Duration,
    /// Largest share of the servers ejected or on probation at a time; always one less than all.
    pub ejected_max: f64,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: 5,
            rate: None,
            mark_down: None,
            eject: Duration::from_secs(5),
            eject_max: Duration::from_secs(300),
            ejected_max: 0.5,
        }
    }
}

/// A share of failed requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureRate {
    /// 0.0 to 1.0.
    pub share: f64,
    /// Of at least this many.
    pub requests_min: u32,
    /// In this time, in one worker.
    pub window: Duration,
}

/// Closed, open, half-open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// What opens it.
    pub rate: FailureRate,
    /// How long; doubled each time it opens again from half-open, up to ten times this.
    pub open: Duration,
    /// Requests let through at a time when half-open; that many successes close it.
    pub probes: u32,
}

/// Gradient2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// Requests in flight at the start.
    pub initial: u32,
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// Short-term latency may be this many times the long-term one.
    pub tolerance: f64,
}

/// How much at a time, from all workers; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight to the pool.
    pub in_flight: Option<u32>,
    /// Requests in flight to one server.
    pub server_in_flight: Option<u32>,
    /// Connections to one server, idle ones included.
    pub server_connections: Option<u32>,
    /// Requests waiting for a server.
    pub waiting: u32,
}

/// Tries beside the first ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Share of the successful requests of the last seconds.
    pub ratio: f64,
    /// A second (counted over five), whatever the ratio says, unless nothing succeeds at all.
    pub min: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { ratio: 0.2, min: 3 }
    }
}
