//! Whether this process itself was away: stopped, or too busy to look. A check that ran out of time
//! meanwhile says nothing about its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(50);
/// Lateness of a beat that is nothing special on a busy machine.
const USUAL: Duration = Duration::from_millis(20);

/// Counts the time this process was away, in nanoseconds.
#[derive(Clone)]
pub(super) struct Pulse(Arc<Beats>);

struct Beats {
    epoch: Instant,
    last: AtomicU64,
    away: AtomicU64,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Beats { epoch: now, last: AtomicU64::new(0), away: AtomicU64::new(0) }))
    }

    /// Beats until dropped.
    pub(super) async fn run(self) {
        loop {
            tokio::time::sleep(BEAT).await;
            self.beat(evenkeel_runtime::now());
        }
    }

    fn beat(&self, now: Instant) {
        let away = self.since_last(now);
        self.0.away.fetch_add(nanos(away), Relaxed);
        self.0.last.store(nanos(now.saturating_duration_since(self.0.epoch)), Relaxed);
    }

    /// How long the process was away until now, in all.
    pub(super) fn away(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.0.away.load(Relaxed)) + self.since_last(now)
    }

    /// How late the next beat is already.
    fn since_last(&self, now: Instant) -> Duration {
        let last = self.0.epoch + Duration::from_nanos(self.0.last.load(Relaxed));
        let late = now.saturating_duration_since(last).saturating_sub(BEAT);
        if late > USUAL { late } else { Duration::ZERO }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_away_is_counted_once_and_before_the_beat_that_was_late() {
        let begin = evenkeel_runtime::now();
        let pulse = Pulse::new(begin);
        let mut now = begin;
        for _ in 0..100 {
            now += BEAT + Duration::from_millis(5);
            pulse.beat(now);
        }
        assert_eq!(pulse.away(now), Duration::ZERO, "a beat a little late is not away");
        now += BEAT + Duration::from_secs(5);
        assert_eq!(pulse.away(now), Duration::from_secs(5));
        pulse.beat(now);
        assert_eq!(pulse.away(now), Duration::from_secs(5));
    }
}
