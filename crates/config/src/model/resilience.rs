//! What happens when servers fail or are full: retries, hedging, ejection, breakers, queues.

use std::time::Duration;

/// Another try when a server failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Further tries, each on another server; 2. A connection that died while idle does not count.
    pub attempts: u32,
    /// Which failures.
    pub on: RetryOn,
    /// Also requests that are not idempotent and of which a byte was sent; off.
    pub non_idempotent: bool,
    /// Longest time from a try's begin to its response head, while another try is allowed; none.
    pub try_timeout: Option<Duration>,
    /// Waited before the second try and later ones (the first follows at once): a random time up
    /// to `backoff`, doubled each time; 25 ms.
    pub backoff: Duration,
    /// Bound of the above; 250 ms.
    pub backoff_max: Duration,
    /// At most this many tries beside first ones, hedges included.
    pub budget: Budget,
}

/// Which failures lead to another try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// `connect`: the connection was refused, or did not stand in time; on.
    pub connect: bool,
    /// `reset`: it ended before the response head; on.
    pub reset: bool,
    /// `timeout`: no response head within `try_timeout` or `first_byte`; off, since a slow server
    /// is rarely helped by asking again. With a `try_timeout` written: on.
    pub timeout: bool,
    /// These statuses of a response; none.
    pub statuses: Vec<u16>,
}

/// How many tries beside the first ones a pool may make: retries must not become the load that
/// keeps it down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Share of the successful requests of the last seconds; 0.2.
    pub ratio: f64,
    /// A second (counted over five), whatever the ratio says; 3.
    pub min: u32,
}

/// A second try of a safe request before the first has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Hedge {
    /// After this time without a response head; `None` is the p95 that the pool shows.
    pub delay: Option<Duration>,
}

/// What real traffic says about servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// Failures in a row that eject: refused, reset, timed out, truncated, malformed, 502, 503,
    /// 504; 5; 0 is off.
    pub consecutive: u32,
    /// A share of failed requests that ejects; any 5xx counts. `None` is off.
    pub rate: Option<FailureRate>,
    /// `mark_down`: the first refused or timed out connection ejects for this time; off.
    pub mark_down: Option<Duration>,
    /// First ejection; each further one takes longer by this; 5 s.
    pub eject: Duration,
    /// Bound of the above; 5 min.
    pub eject_max: Duration,
    /// At most this share of the pool is ejected at a time, one server less than all at most; 0.5.
    pub ejected_max: f64,
}

/// A share of failed requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureRate {
    /// 0.5.
    pub share: f64,
    /// Of at least this many requests; 20.
    pub requests_min: u32,
    /// In this time; 10 s.
    pub window: Duration,
}

/// Limits of a pool and of each of its servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breaker {
    /// Requests in flight to the whole pool; no limit.
    pub in_flight: Option<u32>,
    /// Requests in flight to one server; no limit.
    pub server_in_flight: Option<u32>,
    /// Connections to one server, idle ones included, from all workers; no limit.
    pub server_connections: Option<u32>,
    /// Leave a server alone while too many of its answers are failures; none.
    pub server_errors: Option<ErrorBreaker>,
    /// Answer 503 at once while too many of the pool's answers are failures; none.
    pub errors: Option<ErrorBreaker>,
    /// Find each server's limit by its latency (Gradient2); off.
    pub adaptive: Option<Adaptive>,
}

/// Closed, open, half-open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorBreaker {
    /// What opens it.
    pub rate: FailureRate,
    /// How long it stays open; doubled each time it opens again at once, up to 10 times this; 5 s.
    pub open: Duration,
    /// Requests let through when half-open; all must succeed to close it; 3.
    pub probes: u32,
}

/// Gradient2: the limit of requests in flight follows the ratio of long- to short-term latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// At the start; 20.
    pub initial: u32,
    /// 10.
    pub min: u32,
    /// 1000.
    pub max: u32,
    /// Short-term latency may be this many times the long-term one; 1.5.
    pub tolerance: f64,
}

/// Requests that wait for a server when all that may are saturated.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Waiting requests of the pool, in all workers; 1,000; 0 never waits.
    pub max: u32,
    /// Longest wait; 1 s. Beyond: 503 with `Retry-After`.
    pub timeout: Duration,
}
