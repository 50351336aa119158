//! What servers wrote down: every request they read, when, and with which id.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::backend::Backend;

/// A request that a server read to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Since 1970.
    pub(crate) at: Duration,
    /// Whether it is a POST.
    pub(crate) is_post: bool,
    /// A hash of its id.
    pub(crate) id: u64,
}

/// The requests of a server in the order in which it read them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Entry>,
}

/// Now, as servers write it down.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Journal {
    /// Reads a file; one that is not there is empty.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self { entries: text.lines().filter_map(entry).collect() }
    }

    /// How many were read between two moments.
    pub(crate) fn between(&self, from: Duration, until: Duration) -> usize {
        self.entries.iter().filter(|entry| (from..until).contains(&entry.at)).count()
    }

    /// When the last before `until` was read, counted from `from`.
    pub(crate) fn last_between(&self, from: Duration, until: Duration) -> Option<Duration> {
        let seen = self.entries.iter().filter(|entry| (from..until).contains(&entry.at));
        seen.map(|entry| entry.at - from).max()
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let micros = words.next()?.parse().ok()?;
    let _connection = words.next()?;
    let is_post = words.next()? == "POST";
    let id = words.next()?.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Some(Entry { at: Duration::from_micros(micros), is_post, id })
}

/// What all servers together were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Executed {
    /// Requests read, repeats included.
    pub(crate) total: u64,
    /// POSTs read more than once.
    pub(crate) repeated_posts: u64,
    /// Other requests read more than once.
    pub(crate) repeated: u64,
}

/// Counts what all servers together were sent.
pub(crate) fn executed(backends: &[Backend]) -> Executed {
    let mut times: HashMap<(u64, bool), u64> = HashMap::new();
    let mut executed = Executed::default();
    for entry in backends.iter().flat_map(|backend| backend.journal().entries) {
        executed.total += 1;
        *times.entry((entry.id, entry.is_post)).or_default() += 1;
    }
    for ((_, is_post), _) in times.iter().filter(|(_, times)| **times > 1) {
        *(if *is_post { &mut executed.repeated_posts } else { &mut executed.repeated }) += 1;
    }
    executed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_by_a_kill_is_no_entry() {
        assert!(entry("17").is_none() && entry("17 1 GET").is_none());
        let whole = entry("17 1 POST 00001f90-3").map(|e| (e.at, e.is_post));
        assert_eq!(whole, Some((Duration::from_micros(17), true)));
    }
}
