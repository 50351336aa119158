//! Lets everything through, nothing, or a few on trial: what ejections and breakers have in common.
//! Shared by all workers, without a lock: every transition is one compare-exchange, so that of
//! those who see a reason at the same moment one makes it. Knows no reasons and no durations.

use std::sync::atomic::{
    AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
};

/// How long a trial request may go unanswered before another is let through in its place.
const PATIENCE: u64 = 5_000_000_000;
/// Trials in a row whose clients gave up before their answers: as telling as one that is overdue.
const GIVEN_UP_MAX: u64 = 3;

/// What a gate lets through. Times are nanoseconds since the pool's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    Passing,
    /// Nothing until then, and only trials afterwards.
    Shut {
        /// When the first trial may go.
        until: u64,
    },
    /// A few at a time.
    Trial {
        /// Successes that are still needed.
        left: u32,
    },
}

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// A [`Passage`]: the kind in the lowest two bits.
    word: AtomicU64,
    /// [`Trials`].
    trials: AtomicU64,
    /// When the present passage began.
    since: AtomicU64,
    /// How often it was shut; its owner decides when that shrinks.
    pub(crate) times: AtomicU32,
    /// How often it was shut after it had passed; likewise.
    pub(crate) relapses: AtomicU32,
}

/// What is known of trials. In one word: 8 bits, 8 bits, and the rest.
#[derive(Clone, Copy)]
struct Trials {
    under_way: u64,
    /// Those that ended without an answer since the last answer.
    given_up: u64,
    /// When the first one began of which no answer has come, in microseconds; 0 is never.
    since: u64,
}

impl Trials {
    fn pack(self) -> u64 {
        (self.since << 16) | (self.given_up.min(255) << 8) | self.under_way.min(255)
    }

    fn unpack(word: u64) -> Self {
        Self { under_way: word & 255, given_up: (word >> 8) & 255, since: word >> 16 }
    }

    fn are_overdue(self, now: u64) -> bool {
        self.since > 0 && now > self.since.saturating_mul(1_000).saturating_add(PATIENCE)
    }
}

impl Passage {
    fn pack(self) -> u64 {
        match self {
            Self::Passing => 0,
            Self::Shut { until } => (until.min(u64::MAX >> 2) << 2) | 1,
            Self::Trial { left } => (u64::from(left) << 2) | 2,
        }
    }

    fn unpack(word: u64) -> Self {
        match word & 3 {
            1 => Self::Shut { until: word >> 2 },
            2 => Self::Trial { left: u32::try_from(word >> 2).unwrap_or(u32::MAX) },
            _ => Self::Passing,
        }
    }
}

impl Gate {
    pub(crate) fn passage(&self) -> Passage {
        Passage::unpack(self.word.load(Acquire))
    }

    pub(crate) fn is_passing(&self) -> bool {
        self.word.load(Relaxed) == 0
    }

    /// When the present passage began.
    pub(crate) fn since(&self) -> u64 {
        self.since.load(Relaxed)
    }

    /// Goes from one passage to another; `false` if it is not (any more) in the first.
    pub(crate) fn turn(&self, from: Passage, to: Passage, now: u64) -> bool {
        let turned = self.word.compare_exchange(from.pack(), to.pack(), AcqRel, Relaxed).is_ok();
        if turned && std::mem::discriminant(&from) != std::mem::discriminant(&to) {
            self.since.store(now, Relaxed);
            self.trials.store(0, Relaxed);
        }
        turned
    }

    /// Begins trials if its time has come; whether it did.
    pub(crate) fn lapse(&self, now: u64, successes: u32) -> bool {
        match self.passage() {
            shut @ Passage::Shut { until } if until <= now => {
                self.turn(shut, Passage::Trial { left: successes.max(1) }, now)
            }
            _ => false,
        }
    }

    /// A trial succeeded. Whether that was the last one needed, at `now` or later than `earliest`.
    pub(crate) fn succeed(&self, now: u64, earliest: u64) -> bool {
        loop {
            let Passage::Trial { left } = self.passage() else { return false };
            let from = Passage::Trial { left };
            let left = left.saturating_sub(1);
            let passes = left == 0 && now >= earliest;
            let to = if passes { Passage::Passing } else { Passage::Trial { left } };
            if from == to || self.turn(from, to, now) {
                return passes;
            }
        }
    }

    /// Lets everything through again, whatever it did; whether it did not before.
    pub(crate) fn clear(&self, now: u64) -> bool {
        loop {
            match self.passage() {
                Passage::Passing => return false,
                other if self.turn(other, Passage::Passing, now) => return true,
                _ => {}
            }
        }
    }

    /// Asks for one of `most` trials at a time.
    pub(crate) fn enter(&self, now: u64, most: u32) -> bool {
        let most = u64::from(most.clamp(1, 255));
        let begins = (now / 1_000).max(1);
        let entered = self.trials.fetch_update(AcqRel, Relaxed, |word| {
            let trials = Trials::unpack(word);
            let entered = if trials.under_way < most {
                let since = if trials.since == 0 { begins } else { trials.since };
                Trials { under_way: trials.under_way + 1, since, ..trials }
            } else if trials.are_overdue(now) {
                Trials { since: begins, ..trials }
            } else {
                return None;
            };
            Some(entered.pack())
        });
        entered.is_ok()
    }

    /// A trial is over; `answered` if the server has said anything, or was never asked.
    pub(crate) fn leave(&self, answered: bool) {
        let _ = self.trials.fetch_update(AcqRel, Relaxed, |word| {
            let Trials { under_way, given_up, since } = Trials::unpack(word);
            let under_way = under_way.saturating_sub(1);
            let left = match answered {
                true => Trials { under_way, given_up: 0, since: 0 },
                false => Trials { under_way, given_up: given_up + 1, since },
            };
            Some(left.pack())
        });
    }

    /// Whether the server owes answers to trials for so long that it seems to hang: since when.
    pub(crate) fn hangs(&self, now: u64) -> Option<u64> {
        let trials = Trials::unpack(self.trials.load(Relaxed));
        let is_telling = trials.under_way > 0 || trials.given_up >= GIVEN_UP_MAX;
        (is_telling && trials.are_overdue(now)).then(|| trials.since.saturating_mul(1_000))
    }
}
