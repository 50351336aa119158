//! The versions that were in force, as one process tells them to the next: texts that several versions
//! share are told once. Owns how much is told and how it is read again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel_config::Source;
use serde::{Deserialize, Serialize};

use super::overlay::Overlay;
use super::state::Text;
use super::wanted::Entry;

/// Bytes of configuration texts that are told; older versions than fit are not.
const TEXTS_MAX: usize = 16 << 20;

/// See the module's head.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Past {
    texts: Vec<Vec<Text>>,
    /// The latest last.
    versions: Vec<Version>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Version {
    version: u64,
    /// Milliseconds since 1970.
    at: u64,
    author: String,
    changes: Vec<String>,
    /// Which of the texts.
    text: usize,
    overlay: Overlay,
}

impl Past {
    /// What is told of these.
    pub(crate) fn of(history: &VecDeque<Entry>) -> Self {
        let mut past = Self::default();
        let mut known: Vec<&Arc<[Source]>> = Vec::new();
        let mut room = TEXTS_MAX;
        for entry in history.iter().rev() {
            let place = known.iter().position(|sources| Arc::ptr_eq(sources, &entry.sources));
            let text = place.unwrap_or(known.len());
            if place.is_none() {
                let length = entry.sources.iter().map(|source| source.text.len()).sum();
                let Some(left) = room.checked_sub(length) else { break };
                room = left;
                known.push(&entry.sources);
                past.texts.push(Text::all(&entry.sources));
            }
            let since = entry.at.duration_since(UNIX_EPOCH).unwrap_or_default();
            past.versions.push(Version {
                version: entry.version,
                at: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
                author: entry.author.clone(),
                changes: entry.changes.clone(),
                text,
                overlay: entry.overlay.clone(),
            });
        }
        past.versions.reverse();
        past
    }

    /// The versions before `first`, which is this process's own.
    pub(crate) fn before(self, first: u64) -> VecDeque<Entry> {
        let texts: Vec<Arc<[Source]>> =
            self.texts.iter().map(|texts| Text::sources(texts).into()).collect();
        let entry = |told: Version| {
            Some(Entry {
                version: told.version,
                at: UNIX_EPOCH.checked_add(Duration::from_millis(told.at)).unwrap_or_else(now),
                author: told.author,
                changes: told.changes,
                sources: texts.get(told.text)?.clone(),
                overlay: told.overlay,
            })
        };
        self.versions.into_iter().filter(|told| told.version < first).filter_map(entry).collect()
    }
}

fn now() -> SystemTime {
    evenkeel_runtime::wall_clock()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, sources: &Arc<[Source]>) -> Entry {
        Entry {
            version,
            at: UNIX_EPOCH + Duration::from_millis(version),
            author: "somebody".into(),
            changes: vec![format!("change {version}")],
            sources: sources.clone(),
            overlay: Overlay::default(),
        }
    }

    fn texts(length: usize) -> Arc<[Source]> {
        [Source { name: "a.yaml".into(), text: "x".repeat(length) }].into()
    }

    /// Told and read again, as it is between processes.
    fn carried(history: &VecDeque<Entry>, first: u64) -> VecDeque<Entry> {
        let told = serde_json::to_value(Past::of(history)).unwrap();
        serde_json::from_value::<Past>(told).unwrap().before(first)
    }

    #[test]
    fn versions_are_told_with_their_texts_and_each_text_once() {
        let (one, other) = (texts(10), texts(20));
        let history = [entry(1, &one), entry(2, &one), entry(3, &other)].into();
        assert_eq!(Past::of(&history).texts.len(), 2);
        let read = carried(&history, 4);
        let shown = |entry: &Entry| (entry.version, entry.at, entry.changes.clone());
        assert!(read.iter().map(shown).eq(history.iter().map(shown)));
        assert_eq!(read[0].sources[0].text.len(), 10);
        assert_eq!(read[2].sources[0].text.len(), 20);
    }

    #[test]
    fn what_is_told_is_bounded_and_the_latest_is_told_first() {
        let history = (1..=5).map(|version| entry(version, &texts(TEXTS_MAX / 3))).collect();
        let versions: Vec<u64> = carried(&history, 9).iter().map(|entry| entry.version).collect();
        assert_eq!(versions, [3, 4, 5]);
    }

    #[test]
    fn a_version_of_the_new_process_is_not_there_twice() {
        let history = [entry(1, &texts(1)), entry(2, &texts(1))].into();
        assert_eq!(carried(&history, 2).len(), 1);
    }
}
