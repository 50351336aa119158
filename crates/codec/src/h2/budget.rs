//! What a connection may do for nothing, kind by kind. Owns the amounts, how time and useful work
//! give them back, and their names; does not know what a frame looks like.

use std::fmt;
use std::time::{Duration, Instant};

/// A kind of frame that costs this side more than it costs who sends it. What is spent halves each
/// [`HALF_LIFE`] (except what is marked as for life), so half of an amount can be spent every second
/// for ever; the amounts are in [`Budget::amount`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Budget {
    /// Streams that were begun and then reset, by the client (CVE-2023-44487) or by this side because
    /// the client provoked it (CVE-2025-8671), beyond those that were left to finish.
    Resets,
    /// The same, over the life of the connection.
    ResetsForLife,
    /// CONTINUATION frames of one header block (RFC 9113 §6.10), empty or not.
    Continuations,
    /// Bytes of one header block, before they are decoded.
    HeaderBlock,
    /// SETTINGS, each weighed by its length; acknowledgements too.
    Settings,
    /// PING, acknowledgements too.
    Pings,
    /// PRIORITY.
    Priorities,
    /// DATA without content that does not end its stream.
    EmptyData,
    /// WINDOW_UPDATE beyond what was sent to the client.
    WindowUpdates,
    /// Frames of a type that is not RFC 9113's.
    UnknownFrames,
    /// GOAWAY, which a client has no reason to repeat.
    GoAways,
}

/// How long it takes until half of what was spent is forgotten.
pub(super) const HALF_LIFE: Duration = Duration::from_secs(1);

impl Budget {
    /// How many there are.
    const COUNT: usize = 11;

    /// What may be spent.
    #[must_use]
    pub const fn amount(self) -> u32 {
        match self {
            // A browser that leaves a page resets all its streams, twice in a second at most.
            Self::Resets => 256,
            Self::ResetsForLife => 1000,
            Self::Continuations => 20,
            // The guard is told.
            Self::HeaderBlock => u32::MAX,
            Self::Settings => 100,
            Self::Pings => 200,
            Self::Priorities | Self::UnknownFrames => 256,
            Self::EmptyData => 64,
            Self::WindowUpdates => 1000,
            Self::GoAways => 8,
        }
    }

    /// For counters and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::ResetsForLife => "resets_for_life",
            Self::Continuations => "continuations",
            Self::HeaderBlock => "header_block",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::Priorities => "priorities",
            Self::EmptyData => "empty_data",
            Self::WindowUpdates => "window_updates",
            Self::UnknownFrames => "unknown_frames",
            Self::GoAways => "goaways",
        }
    }

    /// Whether time gives back what was spent.
    const fn is_forgotten(self) -> bool {
        !matches!(self, Self::ResetsForLife)
    }

    /// All of them.
    #[must_use]
    pub const fn all() -> [Self; Self::COUNT] {
        [
            Self::Resets,
            Self::ResetsForLife,
            Self::Continuations,
            Self::HeaderBlock,
            Self::Settings,
            Self::Pings,
            Self::Priorities,
            Self::EmptyData,
            Self::WindowUpdates,
            Self::UnknownFrames,
            Self::GoAways,
        ]
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resets => "too many streams were reset",
            Self::ResetsForLife => "too many streams were reset over the life of the connection",
            Self::Continuations => "too many CONTINUATION frames",
            Self::HeaderBlock => "too long a header block",
            Self::Settings => "too many SETTINGS",
            Self::Pings => "too many PINGs",
            Self::Priorities => "too many PRIORITY frames",
            Self::EmptyData => "too many empty DATA frames",
            Self::WindowUpdates => "too many WINDOW_UPDATE frames",
            Self::UnknownFrames => "too many frames of unknown types",
            Self::GoAways => "too many GOAWAY frames",
        })
    }
}

/// What was spent of each.
#[derive(Debug)]
pub(super) struct Spent {
    levels: [u32; Budget::COUNT],
    halved: Instant,
}

impl Spent {
    pub(super) fn new(now: Instant) -> Self {
        Self { levels: [0; Budget::COUNT], halved: now }
    }

    /// Forgets what time has paid for.
    #[inline]
    pub(super) fn forget(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.halved);
        if since >= HALF_LIFE {
            self.halve(since, now);
        }
    }

    #[cold]
    fn halve(&mut self, since: Duration, now: Instant) {
        let times = u32::try_from(since.as_secs() / HALF_LIFE.as_secs()).unwrap_or(u32::MAX);
        self.halved = now;
        for (level, budget) in self.levels.iter_mut().zip(Budget::all()) {
            if budget.is_forgotten() {
                *level = level.checked_shr(times).unwrap_or(0);
            }
        }
    }

    /// # Errors
    /// The budget, if that was more than is left of it.
    #[inline]
    pub(super) fn spend(&mut self, budget: Budget, cost: u32) -> Result<(), Budget> {
        let Some(level) = self.levels.get_mut(budget as usize) else { return Ok(()) };
        *level = level.saturating_add(cost);
        if *level > budget.amount() { Err(budget) } else { Ok(()) }
    }

    /// Useful work has paid for so much. Nothing can be saved up.
    #[inline]
    pub(super) fn give_back(&mut self, budget: Budget, amount: u32) {
        if let Some(level) = self.levels.get_mut(budget as usize) {
            *level = level.saturating_sub(amount);
        }
    }

    /// What was spent of one.
    #[cfg(test)]
    pub(super) fn level(&self, budget: Budget) -> u32 {
        self.levels.get(budget as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
    fn half_of_what_was_spent_is_forgotten_each_second() {
        let start = Instant::now();
        let mut spent = Spent::new(start);
        assert_eq!(spent.spend(Budget::Pings, 200), Ok(()));
        assert_eq!(spent.spend(Budget::ResetsForLife, 200), Ok(()));
        spent.forget(start + Duration::from_millis(999));
        assert_eq!(spent.level(Budget::Pings), 200);
        spent.forget(start + Duration::from_millis(2000));
        assert_eq!(spent.level(Budget::Pings), 50);
        assert_eq!(spent.level(Budget::ResetsForLife), 200, "not what is for life");
        spent.forget(start + Duration::from_secs(100_000));
        assert_eq!(spent.level(Budget::Pings), 0);
        assert_eq!(spent.spend(Budget::Pings, 201), Err(Budget::Pings));
        assert_eq!(spent.spend(Budget::Pings, u32::MAX), Err(Budget::Pings), "for good");
    }

    #[test]
    fn every_budget_has_its_own_place_and_name() {
        for (at, budget) in Budget::all().into_iter().enumerate() {
            assert_eq!(budget as usize, at);
            assert_eq!(Budget::all().iter().filter(|b| b.name() == budget.name()).count(), 1);
        }
    }
}
