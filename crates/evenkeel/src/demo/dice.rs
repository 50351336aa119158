//! Chance for the demo's servers and traffic, good enough to look natural (SplitMix64).

use std::time::Duration;

/// A source of chance.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Different throws for different seeds.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0.0 up to, not including, 1.0.
    pub(super) fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The wait until the next of events that come independently, `mean` apart; at most 5 × that.
    pub(super) fn wait(&mut self, mean: Duration) -> Duration {
        mean.mul_f64((-(1.0 - self.throw()).ln()).min(5.0))
    }

    /// One of `all`; `None` if there is none.
    pub(super) fn choose<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get((self.throw() * all.len() as f64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_are_even_and_waits_have_their_mean() {
        let mut dice = Dice::new(1);
        let mean = (0..10_000).map(|_| dice.throw()).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        let second = Duration::from_secs(1);
        let waited: f64 = (0..10_000).map(|_| dice.wait(second).as_secs_f64()).sum();
        assert!((0.95..1.05).contains(&(waited / 10_000.0)), "{waited}");
    }
}
