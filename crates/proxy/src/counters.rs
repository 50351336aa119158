//! What one worker counts: plain numbers that only it writes and anyone may read at any moment.
//! Owns the cells and the shape of the histogram, not how they are exported.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that goes up. One writer, so a load and a store are enough: no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the worker that owns it may.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Its value now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Sub-buckets for each power of two: a value is known to within 12.5 %.
const STEPS: u64 = 8;
const STEP_BITS: u32 = 3;
/// Powers of two above the linear part: up to 2^31 µs, about 36 minutes.
const POWERS: u64 = 28;
/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = (STEPS + POWERS * STEPS) as usize;

/// Latencies in microseconds, log-linear: `STEPS` buckets for each power of two. Histograms of
/// several workers are merged by adding bucket by bucket, so percentiles of the sum are real ones.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[Counter]>,
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = std::iter::repeat_with(Counter::default).take(BUCKETS).collect();
        Self { buckets, sum: Counter::default() }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(micros)) {
            bucket.add(1);
        }
        self.sum.add(micros);
    }

    /// Adds what was counted so far to `merged`.
    pub fn merge_into(&self, merged: &mut Merged) {
        for (to, from) in merged.buckets.iter_mut().zip(self.buckets.iter()) {
            *to += from.value();
        }
        merged.sum_micros = merged.sum_micros.wrapping_add(self.sum.value());
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = micros.ilog2(); // at least STEP_BITS
    let step = (micros >> (power - STEP_BITS)) - STEPS;
    let index = STEPS + u64::from(power - STEP_BITS) * STEPS + step;
    (index as usize).min(BUCKETS - 1)
}

/// The largest value that falls into `bucket`, in microseconds.
pub fn bucket_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = ((bucket - STEPS) / STEPS, (bucket - STEPS) % STEPS);
    ((STEPS + step + 1) << power) - 1
}

/// Several histograms added up.
#[derive(Clone, Debug)]
pub struct Merged {
    /// How many values fell into each bucket.
    pub buckets: Vec<u64>,
    /// Sum of all values, in microseconds.
    pub sum_micros: u64,
}

impl Default for Merged {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], sum_micros: 0 }
    }
}

impl Merged {
    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The value below which `share` (0.0 to 1.0) of all values lie; `None` if there are none.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return Some(Duration::from_micros(bucket_end(bucket)));
            }
        }
        None
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        Self {
            buckets: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum_micros: self.sum_micros.wrapping_sub(earlier.sum_micros),
        }
    }
}

/// What one worker counts about one server.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Requests sent to it, each try counted.
    pub requests: Counter,
    /// Responses by hundreds: `[0]` is 1xx.
    pub statuses: [Counter; 5],
    /// Tries that ended without a usable response.
    pub failures: Counter,
    /// Connections opened to it.
    pub connections: Counter,
    /// Requests that went out on a kept connection.
    pub reused: Counter,
    /// Kept connections found dead when used, and replaced without the client noticing.
    pub stale: Counter,
    /// Bytes of connections that are not HTTP, to it.
    pub bytes_sent: Counter,
    /// The same, from it.
    pub bytes_received: Counter,
    /// From the request's first byte out to the response head; of a connection that is not HTTP, until
    /// it stood.
    pub latency: Histogram,
}

/// What one worker counts about one listener of datagrams.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Sessions begun.
    pub sessions: Counter,
    /// Clients that got none: too many of theirs, or no server, or no room.
    pub refused: Counter,
    /// Sessions that had to make room for others.
    pub evicted: Counter,
    /// Sessions that ended because no server could be reached.
    pub failed: Counter,
    /// Datagrams that came from clients.
    pub datagrams_in: Counter,
    /// Datagrams for clients.
    pub datagrams_out: Counter,
    /// Datagrams, or runs of them, that were thrown away, either way.
    pub datagrams_dropped: Counter,
    /// Bytes that came from clients.
    pub bytes_in: Counter,
    /// Bytes for clients.
    pub bytes_out: Counter,
}

/// What one worker counts about itself.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Goes up a few times a second for as long as the worker's event loop turns.
    pub heartbeats: Counter,
    /// Connections accepted here.
    pub accepted: Counter,
    /// Connections taken over from, and handed to, another worker.
    pub taken_over: Counter,
    /// Connections handed to another worker.
    pub handed_over: Counter,
    /// Connections refused because of a limit.
    pub refused: Counter,
    /// Connections of HTTP/2 ended because the client sent too much that brings nobody anything.
    pub floods: Counter,
    /// Requests refused by a limit of a policy.
    pub limited: Counter,
    /// Requests that would have been, had the policy not been tried only.
    pub would_limit: Counter,
    /// Connections closed.
    pub closed: Counter,
    /// Exchanges finished.
    pub exchanges: Counter,
    /// Responses by hundreds: `[0]` is 1xx (tunnels).
    pub statuses: [Counter; 5],
    /// Exchanges answered by this process because something failed.
    pub failures: Counter,
    /// Exchanges whose client went away first.
    pub abandoned: Counter,
    /// Tries after one that failed.
    pub retries: Counter,
    /// Second tries made before the first had failed.
    pub hedges: Counter,
    /// Exchanges that waited for a server because all that may were saturated.
    pub queued: Counter,
    /// Panics, each of which ended one client's connection.
    pub panics: Counter,
    /// TLS handshakes that ended in a session.
    pub handshakes: Counter,
    /// Of these, those that resumed an earlier session.
    pub handshakes_resumed: Counter,
    /// Those that did not: too slow, refused, broken, or no TLS at all.
    pub handshakes_failed: Counter,
    /// Connections that were not HTTP and have ended.
    pub sessions: Counter,
    /// Bytes received from clients in bodies.
    pub body_bytes_in: Counter,
    /// Bytes sent to clients.
    pub bytes_out: Counter,
    /// Access log blocks dropped because the writer was behind.
    pub log_blocks_dropped: Counter,
    /// From a request's last head byte to the end of its response.
    pub latency: Histogram,
}

/// Counts `status` under its hundred.
pub(crate) fn count_status(statuses: &[Counter; 5], status: u16) {
    if let Some(counter) = statuses.get(usize::from(status / 100).wrapping_sub(1)) {
        counter.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket_and_within_an_eighth(micros in 0_u64..1 << 31) {
            let bucket = bucket_of(micros);
            prop_assert!(micros <= bucket_end(bucket));
            prop_assert!(bucket == 0 || micros > bucket_end(bucket - 1));
            prop_assert!(bucket_end(bucket) as f64 <= micros as f64 * 1.125 + 1.0);
        }
    }

    #[test]
    fn percentiles_are_those_of_all_values_not_means() {
        let histogram = Histogram::default();
        for _ in 0..99 {
            histogram.record(Duration::from_millis(1));
        }
        histogram.record(Duration::from_millis(500));
        let mut merged = Merged::default();
        histogram.merge_into(&mut merged);
        assert_eq!(merged.count(), 100);
        assert!(merged.percentile(0.99) < Some(Duration::from_millis(2)));
        assert!(merged.percentile(1.0) >= Some(Duration::from_millis(500)));
    }

    #[test]
    fn values_beyond_the_scale_are_counted_in_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }
}
