//! Latency × load, of two drawn at random. Latency is a moving average that jumps up at once and
//! comes down slowly (peak EWMA, as first described for Finagle), so a server that turns slow is
//! avoided after one answer. A failure is a penalty on top, soon forgotten: failing fast must not look
//! fast, and a single failure must not keep a server idle for a minute.
//!
//! Load is what a server has in flight, beside what is usual in this pool. The latency of a busy
//! server already has its queue in it; counted in full once more, the queue would make a server that
//! is ten times slower look as good as its busy neighbours.

use std::time::{Duration, Instant};

use super::{Algorithm, draw_two};
use crate::{Outcome, Pick, Rng, Server, ServerId, Servers};

/// What servers are assumed to take before the first answer of any.
const ASSUMED: Duration = Duration::from_millis(10);
/// The weight of one answer in what is typical for the pool.
const TYPICAL_STEP: f64 = 0.02;
/// The part of the usual load that everybody is taken to have. With none, shares go by latency ×
/// load; with much of it, by latency alone, and all run to the fastest. At a half, and with as much
/// in flight as usual, a server that takes three times as long gets nothing.
const USUAL_SHARE: f64 = 0.5;
/// A server that was slow once is, when nothing is heard of it, taken for faster than the typical
/// one in the end, or it would never be tried again. But not for much faster, or it would be flooded
/// before its next answer.
const FORGIVEN: f64 = 0.5;
/// After so much of the decay without an answer the old average says little: the server is asked
/// once, if nobody waits for it already, and what it answers then counts alone. A server that stood
/// still for five seconds would be idle for more than a minute otherwise.
const STALE: f64 = 0.25;
/// A failure is forgotten so much sooner than a slow answer.
const FAILURES_DECAY: f64 = 0.1;

/// See the module's head.
#[derive(Debug)]
pub struct PeakEwma {
    decay: Duration,
    failure_penalty: Duration,
    /// See [`STALE`].
    stale: Duration,
    /// What this pool's servers take, in nanoseconds.
    typical: f64,
    /// What they have in flight, for their weights.
    usual_load: f64,
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self::new(Duration::from_secs(10), Duration::from_secs(1))
    }
}

impl PeakEwma {
    /// `decay` is the time in which an old answer loses 63 % of its weight; a failed request adds
    /// `failure_penalty`, of which 63 % is forgotten in a tenth of that time.
    pub fn new(decay: Duration, failure_penalty: Duration) -> Self {
        let decay = decay.max(Duration::from_millis(1));
        let stale = decay.mul_f64(STALE);
        Self { decay, failure_penalty, stale, typical: ASSUMED.as_nanos() as f64, usual_load: 1.0 }
    }

    /// The share of an old value that is left after `elapsed`.
    fn left(&self, elapsed: Duration) -> f64 {
        (-elapsed.as_secs_f64() / self.decay.as_secs_f64()).exp()
    }

    fn is_stale(&self, since: Duration) -> bool {
        since > self.stale
    }

    /// The average now, and the penalty. A server without history is taken for one of which nothing
    /// was heard for long, or it might never be asked where the others are a little faster.
    fn cost(&self, server: &Server, now: Instant) -> f64 {
        self.latency(server, now) + self.penalty(server, now)
    }

    fn penalty(&self, server: &Server, now: Instant) -> f64 {
        let Some(at) = server.failed_at else { return 0.0 };
        let since = now.saturating_duration_since(at).as_secs_f64();
        let decay = self.decay.as_secs_f64() * FAILURES_DECAY;
        self.failure_penalty.as_nanos() as f64 * (-since / decay).exp()
    }

    fn latency(&self, server: &Server, now: Instant) -> f64 {
        let floor = self.typical * FORGIVEN;
        match (server.cost, server.cost_at) {
            (Some(cost), Some(at)) if cost > floor => {
                let since = now.saturating_duration_since(at);
                if self.is_stale(since) && server.shared.in_flight() == 0 {
                    return floor;
                }
                let left = self.left(since);
                floor + (cost - floor) * left
            }
            (Some(cost), _) => cost,
            (None, _) => floor,
        }
    }

    fn score(&self, servers: &Servers, id: ServerId, now: Instant) -> f64 {
        let load = servers.load(id) + self.usual_load * USUAL_SHARE;
        servers.server(id).map_or(f64::INFINITY, |server| self.cost(server, now) * load)
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
            Outcome::Success { latency } => latency.as_nanos() as f64,
            Outcome::Failure { latency, .. } => {
                server.failed_at = Some(now);
                let latency = latency.as_nanos() as f64;
                // Failing slowly is being slow; failing fast says nothing of how long answers take.
                if server.cost.is_none_or(|cost| latency <= cost) {
                    return;
                }
                latency
            }
            Outcome::Abandoned => return,
        };
        self.typical += (sample - self.typical) * TYPICAL_STEP;
        let load = server.load(0);
        self.usual_load += (load - self.usual_load) * TYPICAL_STEP;
        let cost = match (server.cost, server.cost_at) {
            (Some(cost), Some(at))
                if sample < cost && !self.is_stale(now.saturating_duration_since(at)) =>
            {
                let left = self.left(now.saturating_duration_since(at));
                cost * left + sample * (1.0 - left)
            }
            _ => sample,
        };
        server.cost = Some(cost);
        server.cost_at = Some(now);
    }
}
