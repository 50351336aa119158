//! After which time a second try is worth it: the p95 of the latest times to the response head, from
//! a small histogram (four buckets for each doubling, so at most 19 % too high) in which old times
//! count less and less. One worker's own.

use std::time::Duration;

/// Four for each doubling from 2^16 ns (65 µs) to 2^36 ns (69 s).
const BUCKETS: usize = 80;
const FIRST_DOUBLING: u32 = 16;
/// All counts are halved when there are this many.
const HALVED_AT: u32 = 2_000;
/// Nothing is said of fewer.
const SAMPLES_MIN: u32 = 20;
/// Hedging faster than this costs more than it gains.
const FLOOR: Duration = Duration::from_millis(5);

/// See the module's head.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        if let Some(count) = self.counts.get_mut(bucket(latency)) {
            *count = count.saturating_add(1);
            self.total = self.total.saturating_add(1);
        }
        if self.total >= HALVED_AT {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
    }

    pub(crate) fn p95(&self) -> Option<Duration> {
        if self.total < SAMPLES_MIN {
            return None;
        }
        let rank = self.total - self.total / 20;
        let mut sum = 0;
        let at = self.counts.iter().position(|count| {
            sum += count;
            sum >= rank
        });
        at.map(|at| upper(at).max(FLOOR))
    }
}

fn bucket(latency: Duration) -> usize {
    let nanos = crate::standing::saturating_nanos(latency).max(1);
    let doubling = nanos.ilog2();
    if doubling < FIRST_DOUBLING {
        return 0;
    }
    let quarter = (nanos >> (doubling - 2)) & 3;
    ((doubling - FIRST_DOUBLING) as usize * 4 + quarter as usize).min(BUCKETS - 1)
}

/// Where a bucket ends.
fn upper(bucket: usize) -> Duration {
    let doubling = FIRST_DOUBLING + (bucket / 4) as u32;
    let quarter = (bucket % 4) as u64 + 5;
    Duration::from_nanos(quarter << (doubling - 2))
}
