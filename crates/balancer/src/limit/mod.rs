//! How much each of many keys may have: the arithmetic of limits, and one bounded table of atomics that
//! all workers share. Pure: the caller brings the time and a hash of the key; what a key is made of, and
//! what becomes of who is refused, is decided elsewhere.
//!
//! What one key has used is one word. A table that is full of keys in use gives a newcomer the word of
//! the least used one, with all that is in it (Metwally et al. 2005, "Space-Saving"): what has been used
//! is never forgotten, so no flood of keys buys anybody more than the limit.

mod meter;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use meter::{Kind, Meter, Rate, SLIDING_MAX};
pub use table::{Busy, Place, Rule, Table};

/// What a limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// It may go on, and has been counted.
    pub allowed: bool,
    /// How many more may follow at once.
    pub remaining: u64,
    /// After this, one more will be let through; zero if one would be now.
    pub retry_after: Duration,
    /// After this, if nothing more comes, nothing will be used.
    pub reset: Duration,
}

/// A rate that each key may keep up.
#[derive(Clone, Debug)]
pub struct Limiter {
    meter: Meter,
    table: Arc<Table>,
    epoch: Instant,
}

impl Limiter {
    /// A limiter that never has more than `memory` bytes; `seed` keeps keys from being made that meet
    /// in one place.
    pub fn new(meter: Meter, memory: u64, seed: u64, now: Instant) -> Self {
        Self { meter, table: Arc::new(Table::new(memory, seed)), epoch: now }
    }

    /// Takes over what `old` has counted, if it counted in the same way.
    pub fn inherit(&mut self, old: &Self) {
        if self.meter.counts_like(&old.meter) && self.table.memory() == old.table.memory() {
            self.table = old.table.clone();
            self.epoch = old.epoch;
        }
    }

    /// Counts one request of a key.
    pub fn take(&self, key: &[u8], now: Instant) -> Decision {
        let at = self.meter.at(nanos(now.saturating_duration_since(self.epoch)));
        match self.table.take(self.table.hash(key), &at) {
            Ok((decision, _)) => decision,
            // Somebody is about to enter a key in the same place, and stands still: a thing of
            // nanoseconds, and rare. What is not counted is not let through.
            Err(Busy) => Decision {
                allowed: false,
                remaining: 0,
                retry_after: Duration::from_millis(1),
                reset: Duration::from_millis(1),
            },
        }
    }

    /// How it counts.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
}

/// As many things at a time as each key may have.
#[derive(Clone, Debug)]
pub struct Slots {
    table: Arc<Table>,
    limit: u64,
}

impl Slots {
    /// At most `limit` for each key, with no more than `memory` bytes.
    pub fn new(limit: u64, memory: u64, seed: u64) -> Self {
        Self { table: Arc::new(Table::new(memory, seed)), limit }
    }

    /// Takes over what is held of `old`.
    pub fn inherit(&mut self, old: &Self) {
        if self.table.memory() == old.table.memory() {
            self.table = old.table.clone();
        }
    }

    /// One more of `key`; `None` if it has all it may have. What is dropped is given back.
    pub fn enter(&self, key: &[u8]) -> Option<Slot> {
        let (entered, place) =
            self.table.take(self.table.hash(key), &Held { limit: self.limit }).ok()?;
        entered.then(|| Slot { table: self.table.clone(), place })
    }
}

/// One of those that a key has at a time.
#[derive(Debug)]
pub struct Slot {
    table: Arc<Table>,
    place: Place,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.table.change(self.place, |word| word.saturating_sub(1));
    }
}

/// The word is how many there are.
struct Held {
    limit: u64,
}

impl Rule for Held {
    type Verdict = bool;

    fn take(&self, word: u64) -> (Option<u64>, bool) {
        match word < self.limit {
            true => (Some(word.saturating_add(1)), true),
            false => (None, false),
        }
    }

    fn give_back(&self, word: u64) -> u64 {
        word.saturating_sub(1)
    }

    fn unused(&self) -> u64 {
        0
    }
}

/// Bytes a second that each key may keep up; who has taken more waits.
#[derive(Clone, Debug)]
pub struct Bandwidth {
    table: Arc<Table>,
    epoch: Instant,
    flow: Flow,
}

impl Bandwidth {
    /// `rate` bytes a second, and `burst` bytes at once.
    pub fn new(rate: u64, burst: u64, memory: u64, seed: u64, now: Instant) -> Self {
        let flow = Flow::new(rate, burst);
        Self { table: Arc::new(Table::new(memory, seed)), epoch: now, flow }
    }

    /// Takes over what `old` has counted.
    pub fn inherit(&mut self, old: &Self) {
        if self.table.memory() == old.table.memory() {
            self.table = old.table.clone();
            self.epoch = old.epoch;
        }
    }

    /// Counts what `key` has moved; how long it has to wait before it moves more.
    pub fn spend(&self, key: &[u8], bytes: u64, now: Instant) -> Duration {
        let now = nanos(now.saturating_duration_since(self.epoch));
        let spending = Spending { flow: self.flow, bytes, now };
        match self.table.take(self.table.hash(key), &spending) {
            Ok((wait, _)) => wait,
            Err(Busy) => Duration::from_millis(1),
        }
    }
}

/// Bytes a second, as the time that each takes.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    rate: u64,
    /// Nanoseconds that may be owed.
    burst: u64,
}

impl Flow {
    /// `rate` bytes a second, at least 1, and `burst` bytes at once.
    pub fn new(rate: u64, burst: u64) -> Self {
        let rate = rate.max(1);
        Self { rate, burst: time_of(burst, rate) }
    }

    /// What is owed after `bytes` more at `now`, and how long to wait before the next.
    pub fn spend(self, owed_until: u64, bytes: u64, now: u64) -> (u64, Duration) {
        let until = owed_until.max(now).saturating_add(time_of(bytes, self.rate));
        let wait = until.saturating_sub(now).saturating_sub(self.burst);
        (until, Duration::from_nanos(wait))
    }
}

/// Nanoseconds that `bytes` take at `rate` bytes a second, rounded up.
fn time_of(bytes: u64, rate: u64) -> u64 {
    let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    u64::try_from(nanos).unwrap_or(u64::MAX / 4)
}

struct Spending {
    flow: Flow,
    bytes: u64,
    now: u64,
}

impl Rule for Spending {
    type Verdict = Duration;

    fn take(&self, word: u64) -> (Option<u64>, Duration) {
        let (until, wait) = self.flow.spend(word, self.bytes, self.now);
        (Some(until), wait)
    }

    fn unused(&self) -> u64 {
        self.now
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
