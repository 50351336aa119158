//! A server's limit on requests in flight, found by its latency: Gradient2 (Netflix
//! concurrency-limits). While the latency of the last moment stays near that of the long run the
//! limit grows by a small queue; when it rises the limit falls with the ratio of the two. Traffic is
//! never held back to measure anything.

use crate::{Adaptive, Server};

/// Samples are gathered for at least this long,
const WINDOW: u64 = 100_000_000;
/// and at least so many.
const SAMPLES_MIN: u32 = 10;
/// The long-term latency is an average over this many windows,
const LONG: f64 = 600.0;
/// rising so much slower than it falls,
const RISE: f64 = 4.0;
/// and a plain mean of the first ones.
const WARM_UP: u32 = 10;
/// What may wait at the server.
const QUEUE: f64 = 4.0;
/// Weight of a new limit.
const SMOOTHING: f64 = 0.2;

/// See the module's head.
#[derive(Clone, Debug)]
pub(crate) struct Gradient {
    rules: Adaptive,
    limit: f64,
    /// Long-term latency in nanoseconds, and of how many windows.
    long: f64,
    windows: u32,
    /// The present window: when it began, the sum and number of its samples, the most in flight.
    began: u64,
    sum: f64,
    samples: u32,
    most: u32,
}

impl Gradient {
    pub(crate) fn new(rules: Adaptive) -> Self {
        let limit =
            f64::from(rules.initial.clamp(rules.min.max(1), rules.max.max(rules.min).max(1)));
        Self { rules, limit, long: 0.0, windows: 0, began: 0, sum: 0.0, samples: 0, most: 0 }
    }

    pub(crate) fn has(&self, rules: Adaptive) -> bool {
        self.rules == rules
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// A response came after `nanos`, while `in_flight` were under way; whether the limit changed.
    pub(crate) fn sample(&mut self, nanos: u64, in_flight: u32, now: u64) -> bool {
        if self.samples == 0 {
            self.began = now;
        }
        self.sum += nanos as f64;
        self.samples = self.samples.saturating_add(1);
        self.most = self.most.max(in_flight);
        if self.samples < SAMPLES_MIN || now.saturating_sub(self.began) < WINDOW {
            return false;
        }
        let short = (self.sum / f64::from(self.samples)).max(1.0);
        let before = self.limit();
        self.update(short);
        (self.sum, self.samples, self.most) = (0.0, 0, 0);
        self.limit() != before
    }

    fn update(&mut self, short: f64) {
        self.windows = self.windows.saturating_add(1);
        let weight = match self.windows {
            warm if warm <= WARM_UP => 1.0 / f64::from(warm),
            // Slower upwards: a queue of our own making must not become what is usual.
            _ if short > self.long => 2.0 / (LONG + 1.0) / RISE,
            _ => 2.0 / (LONG + 1.0),
        };
        self.long += (short - self.long) * weight;
        // After a long time of high latency, back to normal faster than the average would be.
        if self.long / short > 2.0 {
            self.long *= 0.95;
        }
        // A limit that is not used says nothing.
        if f64::from(self.most) < self.limit / 2.0 {
            return;
        }
        let gradient = (self.rules.tolerance.max(1.0) * self.long / short).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + QUEUE;
        let limit = self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING;
        let min = f64::from(self.rules.min.max(1));
        self.limit = limit.clamp(min, f64::from(self.rules.max).max(min));
    }
}

/// Learns from a response.
pub(crate) fn learn(server: &mut Server, latency: std::time::Duration, now: u64) {
    let in_flight = server.shared.in_flight();
    let Some(gradient) = &mut server.gradient else { return };
    if gradient.sample(crate::standing::saturating_nanos(latency), in_flight, now) {
        server.limit = server.limit_max.min(gradient.limit());
        server.shared.limit.store(gradient.limit(), std::sync::atomic::Ordering::Relaxed);
    }
}
