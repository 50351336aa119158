//! Counts of the last seconds, in ten steps: what is older than the window is forgotten by a tenth
//! at a time. One worker's own.

use crate::FailureRate;
use crate::standing::saturating_nanos;

/// Steps of a window.
const STEPS: usize = 10;

/// Two counts that belong together: all and failed, or earned and spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) first: u32,
    pub(crate) second: u32,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            first: self.first.saturating_add(other.first),
            second: self.second.saturating_add(other.second),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            first: self.first.saturating_sub(other.first),
            second: self.second.saturating_sub(other.second),
        }
    }

    /// The second for each of the first.
    pub(crate) fn share(self) -> f64 {
        if self.first == 0 { 0.0 } else { f64::from(self.second) / f64::from(self.first) }
    }
}

/// See the module's head.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Nanoseconds of a step.
    step: u64,
    /// Steps from the epoch to the present one.
    at: u64,
    steps: [Counts; STEPS],
    sum: Counts,
    /// What came before is not counted.
    pub(crate) from: u64,
}

impl Window {
    pub(crate) fn new(nanos: u64) -> Self {
        let step = (nanos / STEPS as u64).max(1);
        Self { step, at: 0, steps: [Counts::default(); STEPS], sum: Counts::default(), from: 0 }
    }

    /// Makes it the window of `rate`, without what came before `from`.
    pub(crate) fn fit(window: &mut Option<Box<Self>>, rate: Option<FailureRate>, from: u64) {
        let Some(rate) = rate else {
            *window = None;
            return;
        };
        let fitting = Self::new(saturating_nanos(rate.window));
        match window {
            Some(kept) if kept.step == fitting.step => {
                if kept.from < from {
                    kept.clear(from);
                }
            }
            _ => *window = Some(Box::new(Self { from, ..fitting })),
        }
    }

    /// Forgets what is too old.
    fn forward(&mut self, now: u64) {
        let at = now / self.step;
        if at <= self.at {
            return; // the same step, or a clock read a moment earlier
        }
        let passed = at - self.at;
        if passed >= STEPS as u64 {
            self.steps = [Counts::default(); STEPS];
            self.sum = Counts::default();
        } else {
            for step in self.at + 1..=at {
                if let Some(old) = self.steps.get_mut((step % STEPS as u64) as usize) {
                    self.sum = self.sum.minus(std::mem::take(old));
                }
            }
        }
        self.at = at;
    }

    pub(crate) fn add(&mut self, now: u64, first: u32, second: u32) -> Counts {
        self.forward(now);
        let more = Counts { first, second };
        if let Some(step) = self.steps.get_mut((self.at % STEPS as u64) as usize) {
            *step = step.plus(more);
        }
        self.sum = self.sum.plus(more);
        self.sum
    }

    pub(crate) fn counts(&mut self, now: u64) -> Counts {
        self.forward(now);
        self.sum
    }

    /// Takes out what `part` counted of the same requests.
    pub(crate) fn take_out(&mut self, part: &mut Self, now: u64) {
        self.forward(now);
        part.forward(now);
        for (own, other) in self.steps.iter_mut().zip(&part.steps) {
            *own = own.minus(*other);
        }
        self.sum = self.sum.minus(part.sum);
    }

    pub(crate) fn clear(&mut self, from: u64) {
        self.steps = [Counts::default(); STEPS];
        self.sum = Counts::default();
        self.from = from;
    }
}
