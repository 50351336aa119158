//! How many tries beside the first ones a pool may make: a share of the requests that succeeded of
//! late, so that retries stop when everything fails, and a few a second, so that a pool with little
//! traffic may retry at all. Retries and hedges draw from the same budget.

use std::sync::atomic::Ordering::Relaxed;

use crate::window::Window;
use crate::{Budget, SharedPool};

/// The last seconds. Short: what succeeded before an outage is spent during it.
const WINDOW: u64 = 2_000_000_000;
/// Failures in a row in one worker after which nothing is taken to succeed at all.
const HOPELESS: u32 = 12;
const SECOND: u64 = 1_000_000_000;

/// One worker's part of the budget. The share is of what this worker saw succeed; the minimum is
/// common to all.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    budget: Budget,
    /// Requests that succeeded, and tries that were allowed for them.
    window: Window,
    failures: u32,
}

impl RetryBudget {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, window: Window::new(WINDOW), failures: 0 }
    }

    pub(crate) fn set(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// A try ended.
    pub(crate) fn note(&mut self, succeeded: bool, now: u64) {
        if succeeded {
            self.window.add(now, 1, 0);
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Takes one try, if there is one left.
    pub(crate) fn withdraw(&mut self, pool: &SharedPool, now: u64) -> bool {
        let counts = self.window.counts(now);
        let earned = self.budget.ratio.max(0.0) * f64::from(counts.first);
        if f64::from(counts.second) + 1.0 <= earned {
            self.window.add(now, 0, 1);
            return true;
        }
        !self.is_hopeless() && spare(pool, self.budget.min, now)
    }

    /// Nothing succeeds at all.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.failures >= HOPELESS
    }
}

/// The minimum is counted in periods of this many seconds: after a silence, a few failures in the
/// same second must not be too many.
const PERIOD: u64 = 5;

/// One of the tries of this period, `min` for each of its seconds, of all workers.
fn spare(pool: &SharedPool, min: u32, now: u64) -> bool {
    let period = now / (PERIOD * SECOND);
    let most = u64::from(min).saturating_mul(PERIOD);
    let spared = pool.spared().fetch_update(Relaxed, Relaxed, |word| {
        let (of, count) = (word >> 32, word & u64::from(u32::MAX));
        // A clock read a moment earlier counts for the later period.
        let (of, count) = if period > of { (period, 0) } else { (of, count) };
        (count < most).then_some((of << 32) | (count + 1))
    });
    spared.is_ok()
}
