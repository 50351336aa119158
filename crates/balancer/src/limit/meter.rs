//! Rates, and three ways to keep them. Each makes one word of what a key has used: the moment until
//! which it has used what it may (token bucket, as GCRA: ITU-T I.371), or counts of windows.

use std::time::Duration;

use super::{Decision, Rule};

/// So many in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    /// More than zero.
    pub period: Duration,
}

/// How a rate is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Evenly, with this many at once: never more than rate × time + burst in any time.
    TokenBucket {
        /// At least 1.
        burst: u32,
    },
    /// So many in each period, which begin at the same moment for everybody: at the border of two, twice
    /// as many in a short time.
    FixedWindow,
    /// So many in any period, about: the last period is taken to have been even.
    SlidingWindow,
}

/// Most that a sliding window counts.
pub const SLIDING_MAX: u32 = (1 << 18) - 1;

/// A rate and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    kind: Kind,
    rate: Rate,
    /// Nanoseconds for one request, rounded up: never more than the rate.
    interval: u64,
    period: u64,
}

impl Meter {
    /// Of a rate that is kept like this.
    pub fn new(kind: Kind, rate: Rate) -> Self {
        let period = super::nanos(rate.period).max(1);
        let interval = period.div_ceil(u64::from(rate.count).max(1));
        Self { kind, rate, interval, period }
    }

    /// A word of the one is a word of the other.
    pub(super) fn counts_like(&self, other: &Self) -> bool {
        match (self.kind, other.kind) {
            (Kind::TokenBucket { .. }, Kind::TokenBucket { .. }) => true,
            (kind, other_kind) => kind == other_kind && self.period == other.period,
        }
    }

    /// Most that may come at once, and the seconds in which as many come again.
    pub fn quota(&self) -> (u64, u64) {
        let (quota, nanos) = match self.kind {
            Kind::TokenBucket { burst } => {
                (u64::from(burst), self.interval.saturating_mul(burst.into()))
            }
            _ => (u64::from(self.rate.count), self.period),
        };
        (quota, Duration::from_nanos(nanos.saturating_sub(1)).as_secs().saturating_add(1))
    }

    pub(super) fn at(&self, now: u64) -> At<'_> {
        At { meter: self, now }
    }
}

/// A meter at a moment, in nanoseconds.
pub(super) struct At<'m> {
    meter: &'m Meter,
    now: u64,
}

impl Rule for At<'_> {
    type Verdict = Decision;

    fn take(&self, word: u64) -> (Option<u64>, Decision) {
        match self.meter.kind {
            Kind::TokenBucket { burst } => self.token_bucket(word, burst),
            Kind::FixedWindow => self.fixed_window(word),
            Kind::SlidingWindow => self.sliding_window(word),
        }
    }

    fn unused(&self) -> u64 {
        let window = self.now / self.meter.period;
        match self.meter.kind {
            Kind::TokenBucket { .. } => self.now,
            Kind::FixedWindow => (window << 32).saturating_sub(1),
            Kind::SlidingWindow => (window.saturating_sub(1) << 36).saturating_sub(1),
        }
    }
}

impl At<'_> {
    fn token_bucket(&self, word: u64, burst: u32) -> (Option<u64>, Decision) {
        let interval = self.meter.interval;
        let most = interval.saturating_mul(burst.into());
        let used = word.saturating_sub(self.now);
        let after = used.saturating_add(interval);
        let allowed = after <= most;
        let used = if allowed { after } else { used };
        let decision = Decision {
            allowed,
            remaining: most.saturating_sub(used) / interval,
            retry_after: Duration::from_nanos(
                used.saturating_add(interval).saturating_sub(most) * u64::from(!allowed),
            ),
            reset: Duration::from_nanos(used),
        };
        (allowed.then(|| self.now.saturating_add(used)), decision)
    }

    /// The window's number and how much came in it, 32 bits each.
    fn fixed_window(&self, word: u64) -> (Option<u64>, Decision) {
        let (period, limit) = (self.meter.period, u64::from(self.meter.rate.count));
        // Another worker's clock may have been read a moment later than ours.
        let window = (self.now / period).max(word >> 32);
        let used = if word >> 32 == window { word & 0xffff_ffff } else { 0 };
        let left = window.saturating_add(1).saturating_mul(period).saturating_sub(self.now);
        let allowed = used < limit;
        let used = used + u64::from(allowed);
        let decision = Decision {
            allowed,
            remaining: limit.saturating_sub(used),
            retry_after: Duration::from_nanos(if allowed { 0 } else { left }),
            reset: Duration::from_nanos(left),
        };
        (allowed.then_some(window << 32 | used), decision)
    }

    /// The window's number, 28 bits, how much came in it and how much in the one before, 18 bits each.
    fn sliding_window(&self, word: u64) -> (Option<u64>, Decision) {
        const COUNT: u64 = SLIDING_MAX as u64;
        let (period, limit) = (self.meter.period, u64::from(self.meter.rate.count).min(COUNT));
        let window = (self.now / period).max(word >> 36);
        let passed = self.now.saturating_sub(window.saturating_mul(period));
        let (used, last) = match window.saturating_sub(word >> 36) {
            0 => (word >> 18 & COUNT, word & COUNT),
            1 => (0, word >> 18 & COUNT),
            _ => (0, 0),
        };
        let carried = |passed: u64| {
            (u128::from(last) * u128::from(period.saturating_sub(passed)))
                .div_ceil(u128::from(period)) as u64
        };
        let allowed = used + carried(passed) < limit;
        let used = used + u64::from(allowed);
        // The time after which of `from` so few are carried that one more has room beside `beside`.
        let room = |from: u64, beside: u64| {
            let room = u128::from(limit.saturating_sub(beside.saturating_add(1)));
            let kept = u128::from(period) * room / u128::from(from.max(1));
            period.saturating_sub(u64::try_from(kept).unwrap_or(period))
        };
        let retry_after = match (allowed, used < limit) {
            (true, _) => 0,
            (false, true) => room(last, used).saturating_sub(passed),
            (false, false) => period - passed + room(used, 0),
        };
        let decision = Decision {
            allowed,
            remaining: limit.saturating_sub(used + carried(passed)),
            retry_after: Duration::from_nanos(retry_after),
            reset: Duration::from_nanos(period.saturating_mul(2).saturating_sub(passed)),
        };
        (allowed.then_some(window << 36 | used << 18 | last), decision)
    }
}
