//! How many requests a client may give up (RFC 9114 §10.5, CVE-2023-44487): each costs a server and us,
//! and next to nothing who sends it. Owns the amounts; takes the time.

use std::time::{Duration, Instant};

use super::Code;

/// In about a second. A browser that leaves a page gives up all its requests, twice at most.
const AT_ONCE_MAX: u32 = 256;
/// More than those that were left to finish, over the life of a connection.
const FOR_LIFE_MAX: u32 = 1000;
/// Half of what was spent is forgotten after this time.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// See the module's head.
#[derive(Debug)]
pub struct Resets {
    spent: u32,
    since: Instant,
    for_life: u32,
}

impl Resets {
    /// Of a new connection.
    pub fn new(now: Instant) -> Self {
        Self { spent: 0, since: now, for_life: 0 }
    }

    /// A request was given up, or broke a rule.
    ///
    /// # Errors
    /// It was one too many: the connection ends.
    pub fn reset(&mut self, now: Instant) -> Result<(), Code> {
        while self.spent > 0 && now.saturating_duration_since(self.since) >= HALF_LIFE {
            self.spent /= 2;
            self.since += HALF_LIFE;
        }
        if self.spent == 0 {
            self.since = now;
        }
        self.spent = self.spent.saturating_add(1);
        self.for_life = self.for_life.saturating_add(1);
        match self.spent > AT_ONCE_MAX || self.for_life > FOR_LIFE_MAX {
            true => Err(Code::ExcessiveLoad),
            false => Ok(()),
        }
    }

    /// A request was left to finish.
    pub fn finished(&mut self) {
        self.for_life = self.for_life.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)] // some moment; only differences matter
    fn begun() -> (Resets, Instant) {
        let now = Instant::now();
        (Resets::new(now), now)
    }

    #[test]
    fn a_page_may_be_left_and_the_next_one_too() {
        let (mut resets, now) = begun();
        assert!((0..256).all(|_| resets.reset(now).is_ok()));
        assert_eq!(resets.reset(now), Err(Code::ExcessiveLoad));
    }

    #[test]
    fn time_gives_back_but_not_for_life() {
        let (mut resets, mut now) = begun();
        for _ in 0..10 {
            now += Duration::from_secs(8);
            assert!((0..100).all(|_| resets.reset(now).is_ok()));
        }
        assert_eq!(resets.reset(now), Err(Code::ExcessiveLoad));
    }

    #[test]
    fn requests_that_finish_make_up_for_those_that_do_not() {
        let (mut resets, mut now) = begun();
        for _ in 0..100 {
            now += Duration::from_secs(1);
            assert!((0..100).all(|_| resets.reset(now).is_ok()));
            (0..100).for_each(|_| resets.finished());
        }
    }
}
