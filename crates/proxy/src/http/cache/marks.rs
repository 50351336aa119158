//! Which URIs have been changed since when (RFC 9111 §4.4), in bounded memory and without a search for
//! what is stored of them: a table of moments by the hash of the URI. Of two URIs that share a place
//! both are taken for changed, which costs the other a question to its server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use evenkeel_runtime as runtime;
use xxhash_rust::xxh3::xxh3_64;

/// 128 KiB.
const PLACES: usize = 1 << 14;

/// See the module's head.
pub(super) struct Marks {
    origin: Instant,
    places: Box<[AtomicU64]>,
}

/// When something was asked for, and where its URI is marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Since {
    place: usize,
    at: u64,
}

impl Marks {
    pub(super) fn new() -> Self {
        let places = std::iter::repeat_with(AtomicU64::default).take(PLACES).collect();
        Self { origin: runtime::now(), places }
    }

    /// The URI is asked for now.
    pub(super) fn since(&self, uri: &[u8]) -> Since {
        Since { place: place(uri), at: self.moment() }
    }

    /// The URI has changed, as far as is known.
    pub(super) fn mark(&self, uri: &[u8]) {
        if let Some(mark) = self.places.get(place(uri)) {
            mark.fetch_max(self.moment(), Ordering::AcqRel);
        }
    }

    /// Whether it has changed since.
    pub(super) fn has_changed(&self, since: Since) -> bool {
        self.places.get(since.place).is_none_or(|mark| mark.load(Ordering::Acquire) >= since.at)
    }

    /// Never 0, which no mark is.
    fn moment(&self) -> u64 {
        let passed = runtime::now().saturating_duration_since(self.origin).as_nanos();
        u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
    }
}

fn place(uri: &[u8]) -> usize {
    xxh3_64(uri) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9111_4_4_what_was_asked_for_before_a_change_is_invalid_and_later_answers_are_not() {
        let marks = Marks::new();
        let before = marks.since(b"http://a/x");
        let other = marks.since(b"http://a/y");
        assert!(!marks.has_changed(before));
        marks.mark(b"http://a/x");
        assert!(marks.has_changed(before) && !marks.has_changed(other));
        while marks.since(b"http://a/x").at <= before.at {} // the clock's next tick
        std::thread::yield_now();
        let after = loop {
            let after = marks.since(b"http://a/x");
            if !marks.has_changed(after) {
                break after;
            }
        };
        assert!(!marks.has_changed(after));
    }
}
