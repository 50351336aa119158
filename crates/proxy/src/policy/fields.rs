//! Adds, sets and removes fields of requests and responses.

use evenkeel_codec::claims;
use evenkeel_config::model;

/// Both directions.
pub(super) struct Fields {
    pub(super) request: Edits,
    pub(super) response: Edits,
}

impl Fields {
    pub(super) fn compile(edits: &model::FieldEdits) -> Self {
        Self { request: Edits::compile(&edits.request), response: Edits::compile(&edits.response) }
    }
}

/// One direction: names whose lines are dropped, and lines that are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits {
    dropped: Vec<Box<[u8]>>,
    /// Names that are dropped in every spelling that a server may take for them.
    claimed: Vec<Box<[u8]>>,
    /// Complete lines, ready to be copied.
    pub(crate) lines: Vec<u8>,
}

impl Edits {
    fn compile(edits: &model::Edits) -> Self {
        let set = edits.set.iter().map(|(name, _)| name);
        let dropped = edits.remove.iter().chain(set).map(|name| name.as_bytes().into()).collect();
        let mut lines = Vec::new();
        for (name, value) in edits.set.iter().chain(&edits.add) {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        Self { dropped, claimed: Vec::new(), lines }
    }

    /// A field in place of those of its name.
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// A field beside those of its name. What would end the line early is left out of the value.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.lines.extend_from_slice(name);
        self.lines.extend_from_slice(b": ");
        self.lines.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
        self.lines.extend_from_slice(b"\r\n");
    }

    /// Those of another, too.
    pub(crate) fn join(&mut self, other: &Self) {
        self.dropped.extend(other.dropped.iter().cloned());
        self.lines.extend_from_slice(&other.lines);
    }

    /// None of this name.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.dropped.push(name.into());
    }

    /// None of this name but ours: servers believe it, so that nobody else may say it, nor spell it with
    /// `_` or `.` for `-`, which many servers take for the same.
    pub(crate) fn claim(&mut self, name: &[u8]) {
        self.claimed.push(name.into());
    }

    /// Makes the edits of `other` too, after its own.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.dropped.append(&mut other.dropped);
        self.claimed.append(&mut other.claimed);
        self.lines.append(&mut other.lines);
    }

    /// Whether a line of this name is left out.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
            || self.claimed.iter().any(|claimed| claims::is_spelling_of(name, claimed))
    }
}
