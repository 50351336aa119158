//! When a server is checked, and what its answers come to: the verdict of active checks and their
//! schedule. What a check is, and making it, is the control plane's.

use std::time::Duration;

use crate::{Check, Rng};

/// Part of an interval by which it varies, each way, so that checks do not fall into step.
const JITTER: f64 = 0.1;
/// A check whose timer fired this much late says nothing: this process stood still.
const LATE: Duration = Duration::from_millis(500);

/// How a server is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From one check to the next.
    pub interval: Duration,
    /// The same while successes or failures are being counted.
    pub interval_changing: Duration,
    /// A server that stays down is checked less and less often, up to this.
    pub interval_down_max: Duration,
    /// Successes in a row that bring a server back.
    pub rise: u32,
    /// Failures in a row that take a server out.
    pub fall: u32,
}

/// What is known of one server by its checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    state: Check,
    /// Answers in a row that speak against `state`.
    against: u32,
    /// Failures since it was found down.
    down_for: u32,
}

/// What one check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The server's state, if it is another one now.
    pub changed: Option<Check>,
    /// Until the next check.
    pub wait: Duration,
}

impl Schedule {
    /// Until the first check of the `nth` of `count` servers: spread evenly over the interval, so
    /// that there is no burst however many there are.
    pub fn first(&self, nth: usize, count: usize, rng: &mut Rng) -> Duration {
        let part = (nth as f64 + rng.unit_f64()) / count.max(1) as f64;
        scaled(self.interval, part.clamp(0.0, 1.0))
    }
}

impl Verdict {
    /// What is known already, for a server whose checks begin anew.
    pub fn of(state: Check) -> Self {
        Self { state, against: 0, down_for: 0 }
    }

    /// What checks say so far.
    pub fn state(&self) -> Check {
        self.state
    }

    /// Takes a check's result. `late` is by how much its time limit fired late, if it was that
    /// which ended it: zero otherwise.
    pub fn take(&mut self, good: bool, late: Duration, schedule: &Schedule, rng: &mut Rng) -> Next {
        if !good && late > LATE {
            return Next { changed: None, wait: vary(schedule.interval_changing, rng) };
        }
        let (against, needed, other) = match self.state {
            // What was never seen down counts as up; its first good answer makes it so.
            Check::Unknown if good => (true, 1, Check::Up),
            Check::Unknown | Check::Up => (!good, schedule.fall, Check::Down),
            Check::Down => (good, schedule.rise, Check::Up),
        };
        self.against = if against { self.against.saturating_add(1) } else { 0 };
        let changed = (self.against >= needed.max(1)).then_some(other);
        if let Some(state) = changed {
            *self = Self::of(state);
        }
        self.down_for = match self.state {
            Check::Down if !good => self.down_for.saturating_add(1),
            _ => 0,
        };
        Next { changed, wait: vary(self.interval(schedule), rng) }
    }

    fn interval(&self, schedule: &Schedule) -> Duration {
        match self.state {
            _ if self.against > 0 => schedule.interval_changing.min(schedule.interval),
            Check::Down => {
                // Half as long again with each failure.
                let growth = 1.5_f64.powi(i32::try_from(self.down_for.min(64)).unwrap_or(64) - 1);
                let most = schedule.interval_down_max.max(schedule.interval);
                let grown = schedule.interval.as_secs_f64() * growth.max(1.0);
                Duration::try_from_secs_f64(grown.min(most.as_secs_f64())).unwrap_or(most)
            }
            _ => schedule.interval,
        }
    }
}

fn vary(interval: Duration, rng: &mut Rng) -> Duration {
    scaled(interval, 1.0 - JITTER + 2.0 * JITTER * rng.unit_f64())
}

fn scaled(interval: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(interval.as_secs_f64() * factor).unwrap_or(interval)
}
