//! Latencies and their percentiles, to within 1 %.

use std::time::Duration;

/// Steps for each doubling.
const STEPS: f64 = 128.0;

/// Counted latencies.
#[derive(Clone, Debug, Default)]
pub struct Percentiles {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Percentiles {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let micros = latency.as_secs_f64() * 1e6;
        let bucket = (micros.max(1.0).log2() * STEPS) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(latency);
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (to, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *to += from;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The latency that `share` of all do not exceed.
    pub fn at(&self, share: f64) -> Duration {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank.max(1) {
                let micros = ((bucket + 1) as f64 / STEPS).exp2();
                return Duration::from_secs_f64(micros / 1e6).min(self.max);
            }
        }
        Duration::ZERO
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_one_percent() {
        let mut all = Percentiles::default();
        for micros in 1..=10_000 {
            all.record(Duration::from_micros(micros));
        }
        for share in [0.5, 0.9, 0.99, 0.999] {
            let expected = 10_000.0 * share;
            let got = all.at(share).as_secs_f64() * 1e6;
            assert!((got / expected - 1.0).abs() < 0.011, "{share}: {got}");
        }
    }
}
