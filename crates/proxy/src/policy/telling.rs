//! Log lines about what policies would have done: a few a second for each policy, however many requests
//! they are about. Shared by all workers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The least time between two lines.
const EVERY: Duration = Duration::from_millis(200);

/// When the last line was written, and about how many requests none was since.
#[derive(Debug)]
pub(super) struct Telling {
    epoch: Instant,
    /// Nanoseconds.
    next: AtomicU64,
    untold: AtomicU64,
}

impl Telling {
    pub(super) fn new(now: Instant) -> Self {
        Self { epoch: now, next: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

    /// Whether this one is told of, and how many were not since the last that was.
    pub(super) fn tells(&self, now: Instant) -> Option<u64> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(now.saturating_duration_since(self.epoch));
        let next = self.next.load(Relaxed);
        let after = now.saturating_add(nanos(EVERY));
        if now < next || self.next.compare_exchange(next, after, Relaxed, Relaxed).is_err() {
            self.untold.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // some moment; only differences matter
    fn lines_are_few_and_say_how_many_are_missing() {
        let start = Instant::now();
        let telling = Telling::new(start);
        assert_eq!(telling.tells(start), Some(0));
        assert_eq!(telling.tells(start), None);
        assert_eq!(telling.tells(start + EVERY / 2), None);
        assert_eq!(telling.tells(start + EVERY), Some(2));
    }
}
