//! Latency × load, of two drawn at random. Latency is a moving average that jumps up at once and
//! comes down slowly (peak EWMA, as first described for Finagle), so a server that turns slow is
//! avoided after one answer. A failure counts as a slow answer: failing fast must not look fast.

use std::time::{Duration, Instant};

use super::{Algorithm, draw_two};
use crate::{Outcome, Pick, Rng, Server, ServerId, Servers};

/// What a server without history is assumed to take: less than most, so that it is tried soon, and
/// enough that requests in flight keep it from being flooded.
const ASSUMED: Duration = Duration::from_millis(10);

/// See the module's head.
#[derive(Debug)]
pub struct PeakEwma {
    decay: Duration,
    failure_penalty: Duration,
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self::new(Duration::from_secs(10), Duration::from_secs(1))
    }
}

impl PeakEwma {
    /// `decay` is the time in which an old answer loses 63 % of its weight; a failed request counts
    /// as one that took at least `failure_penalty`.
    pub fn new(decay: Duration, failure_penalty: Duration) -> Self {
        Self { decay: decay.max(Duration::from_millis(1)), failure_penalty }
    }

    /// The share of an old value that is left after `elapsed`.
    fn left(&self, elapsed: Duration) -> f64 {
        (-elapsed.as_secs_f64() / self.decay.as_secs_f64()).exp()
    }

    /// The average now: without answers it comes down towards the assumed one, so that a server
    /// that was slow once is tried again.
    fn cost(&self, server: &Server, now: Instant) -> f64 {
        let assumed = ASSUMED.as_nanos() as f64;
        match (server.cost, server.cost_at) {
            (Some(cost), Some(at)) if cost > assumed => {
                let left = self.left(now.saturating_duration_since(at));
                assumed + (cost - assumed) * left
            }
            (Some(cost), _) => cost,
            (None, _) => assumed,
        }
    }

    fn score(&self, servers: &Servers, id: ServerId, now: Instant) -> f64 {
        servers.server(id).map_or(f64::INFINITY, |server| self.cost(server, now) * servers.load(id))
    }
}

impl Algorithm for PeakEwma {
    fn pick(&mut self, servers: &Servers, pick: &Pick<'_>, rng: &mut Rng) -> Option<ServerId> {
        let (first, second) = draw_two(servers, rng)?;
        if first == second {
            return Some(first);
        }
        let better = self.score(servers, second, pick.now) < self.score(servers, first, pick.now);
        Some(if better { second } else { first })
    }

    fn observe(&mut self, server: &mut Server, outcome: Outcome, now: Instant) {
        let sample = match outcome {
            Outcome::Success { latency } => latency,
            Outcome::Failure { latency } => latency.max(self.failure_penalty),
            Outcome::Abandoned => return,
        };
        let sample = sample.as_nanos() as f64;
        let cost = match (server.cost, server.cost_at) {
            (Some(cost), Some(at)) if sample < cost => {
                let left = self.left(now.saturating_duration_since(at));
                cost * left + sample * (1.0 - left)
            }
            _ => sample,
        };
        server.cost = Some(cost);
        server.cost_at = Some(now);
    }
}
