//! What the demo's servers and its traffic tell the views: the last requests, and which server is
//! made slow. Shared by two threads of the demo, neither of which serves anybody else.

#![allow(clippy::disallowed_types, reason = "the demo's servers are not the data path")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The demo's servers.
pub(super) const LANES: usize = 3;
/// Their names, which are their colours too.
pub(super) const NAMES: [&str; LANES] = ["red", "green", "blue"];
/// Requests remembered: what fits on a tall screen.
const RECENT_MAX: usize = 100;

/// A request that a server has answered.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    /// When the answer went out.
    pub(super) at: Instant,
    /// By which server.
    pub(super) lane: usize,
    /// `GET /path`.
    pub(super) request: String,
    /// The response's status.
    pub(super) status: u16,
    /// How long the server took.
    pub(super) took: Duration,
    /// Whether it was the demo's own traffic.
    pub(super) own: bool,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Board {
    recent: Mutex<VecDeque<Recent>>,
    slow: [AtomicBool; LANES],
    ending: AtomicBool,
    /// The demo's own requests that were answered as they should be.
    pub(super) answered: AtomicU64,
    /// The demo's own requests that were not.
    pub(super) failed: AtomicU64,
}

impl Board {
    /// Remembers a request, and forgets the oldest.
    pub(super) fn note(&self, recent: Recent) {
        let mut all = self.recent();
        all.truncate(RECENT_MAX - 1);
        all.push_front(recent);
    }

    /// The last requests, newest first.
    pub(super) fn recent(&self) -> MutexGuard<'_, VecDeque<Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this server was made slow.
    pub(super) fn is_slow(&self, lane: usize) -> bool {
        self.slow.get(lane).is_some_and(|slow| slow.load(Relaxed))
    }

    /// Makes a server slow, or as fast as it was.
    pub(super) fn toggle_slow(&self, lane: usize) {
        if let Some(slow) = self.slow.get(lane) {
            slow.fetch_xor(true, Relaxed);
        }
    }

    /// The demo's own traffic stops, so that what ends with the demo does not look like failing.
    pub(super) fn stop_traffic(&self) {
        self.ending.store(true, Relaxed);
    }

    /// Whether the demo's own traffic is to stop.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Counts one of the demo's own requests.
    pub(super) fn count(&self, ok: bool) {
        if ok { &self.answered } else { &self.failed }.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_requests_are_remembered() {
        let board = Board::default();
        let at = evenkeel_runtime::now();
        for status in 0..300 {
            let (request, took) = (String::new(), Duration::ZERO);
            board.note(Recent { at, lane: 0, request, status, took, own: true });
        }
        assert_eq!(board.recent().len(), RECENT_MAX);
        assert_eq!(board.recent().front().map(|recent| recent.status), Some(299));
    }
}
