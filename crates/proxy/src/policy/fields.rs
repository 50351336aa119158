//! Removes, renames, sets and adds fields of requests and responses. Owns what one set of edits is,
//! and what several do one after the other.

use std::sync::Arc;

use evenkeel_codec::claims;
use evenkeel_config::model::{self, Template};

use super::template::{self, Place, Said};
use crate::http::exchange::Exchange;

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

/// An old name in lower case, and the new one.
type Renaming = (Box<[u8]>, Box<[u8]>);

/// One direction: names whose lines are dropped or renamed, and lines that are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits {
    dropped: Vec<Box<[u8]>>,
    /// Names that are dropped in every spelling that a server may take for them.
    claimed: Vec<Box<[u8]>>,
    /// Received lines of these names are dropped, and those that edits before have written are not.
    hidden: Vec<Box<[u8]>>,
    /// Names that are replaced.
    renamed: Vec<Renaming>,
    /// Complete lines, ready to be copied.
    pub(crate) lines: Vec<u8>,
    /// Lines with variables, and whatever comes after the first of them.
    made: Vec<(Box<[u8]>, Arc<Template>)>,
    /// Complete lines that are written unless there is one of the name.
    defaults: Vec<u8>,
    /// The same, on connections that are encrypted.
    secure_defaults: Vec<u8>,
}

impl Edits {
    fn compile(edits: &model::Edits) -> Self {
        let set = edits.set.iter().map(|(name, _)| name);
        let dropped = edits.remove.iter().chain(set).map(|name| name.as_bytes().into()).collect();
        let renamed =
            |(from, to): &(String, String)| (from.as_bytes().into(), to.as_bytes().into());
        let renamed = edits.rename.iter().map(renamed).collect();
        let mut compiled = Self { dropped, renamed, ..Self::default() };
        for (name, value) in edits.set.iter().chain(&edits.add) {
            match value.fixed() {
                Some(text) if compiled.made.is_empty() => {
                    push_line(&mut compiled.lines, name.as_bytes(), text.as_bytes());
                }
                _ => compiled.made.push((name.as_bytes().into(), Arc::new(value.clone()))),
            }
        }
        compiled
    }

    /// A field in place of those of its name.
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// A field beside those of its name. What would end the line early is left out of the value.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        push_line(&mut self.lines, name, value);
    }

    /// None of this name, also of those that were set before.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.dropped.push(name.into());
        self.made.retain(|(made, _)| !made.eq_ignore_ascii_case(name));
        for lines in [&mut self.lines, &mut self.defaults, &mut self.secure_defaults] {
            if all_lines(lines).any(|line| name_of(line).eq_ignore_ascii_case(name)) {
                let kept =
                    all_lines(lines).filter(|line| !name_of(line).eq_ignore_ascii_case(name));
                *lines = kept.flatten().copied().collect();
            }
        }
    }

    /// None of this name but ours: servers believe it, so that nobody else may say it, nor spell it with
    /// `_` or `.` for `-`, which many servers take for the same.
    pub(crate) fn claim(&mut self, name: &[u8]) {
        self.claimed.push(name.into());
    }

    /// Makes the edits of `other` too, after its own.
    pub(crate) fn append(&mut self, other: Self) {
        other.dropped.iter().for_each(|name| self.remove(name));
        self.claimed.extend(other.claimed);
        self.hidden.extend(other.hidden);
        self.renamed.extend(other.renamed);
        self.lines.extend(other.lines);
        self.made.extend(other.made);
        self.defaults.extend(other.defaults);
        self.secure_defaults.extend(other.secure_defaults);
    }

    /// None of this name of those received; what policies have added stays.
    pub(crate) fn hide(&mut self, name: &[u8]) {
        self.hidden.push(name.into());
    }

    /// Whether received lines of this name are left out, and those written before are not.
    pub(crate) fn hides(&self, name: &[u8]) -> bool {
        self.hidden.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    /// Takes the values out that were added for this name.
    pub(crate) fn take(&mut self, name: &[u8]) -> Vec<Vec<u8>> {
        let is = |line: &&[u8]| name_of(line).eq_ignore_ascii_case(name);
        let value = |line: &[u8]| {
            let value = line.get(name.len() + 1..).unwrap_or_default();
            evenkeel_codec::syntax::trim(value.strip_suffix(b"\r\n").unwrap_or(value)).to_vec()
        };
        let taken = all_lines(&self.lines).filter(is).map(value).collect();
        self.lines = all_lines(&self.lines).filter(|line| !is(line)).flatten().copied().collect();
        taken
    }

    /// A field unless there is one of its name, whoever wrote it.
    pub(crate) fn set_unless_there(&mut self, name: &[u8], value: &[u8], only_secure: bool) {
        let lines = if only_secure { &mut self.secure_defaults } else { &mut self.defaults };
        push_line(lines, name, value);
    }

    /// Whether a received line of this name is left out, whatever is done about its name.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.erases(name) || self.hidden.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    fn erases(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
            || self.claimed.iter().any(|claimed| claims::is_spelling_of(name, claimed))
    }

    /// It does nothing about lines that were written before.
    fn leaves_lines(&self) -> bool {
        self.dropped.is_empty() && self.renamed.is_empty() && self.claimed.is_empty()
    }

    fn renames(&self, name: &[u8]) -> Option<&[u8]> {
        let found = self.renamed.iter().find(|(from, _)| from.eq_ignore_ascii_case(name));
        found.map(|(_, to)| &**to)
    }

    /// It is known beforehand what it does to every message.
    fn is_fixed(&self) -> bool {
        self.renamed.is_empty()
            && self.made.is_empty()
            && self.defaults.is_empty()
            && self.secure_defaults.is_empty()
            && self.hidden.is_empty()
            && self.claimed.is_empty()
    }

    /// Does what `next` does too, as the same edits, if that can be said; what is the case for all
    /// that is known beforehand.
    pub(super) fn merge(&mut self, next: &Self) -> bool {
        let mergeable = self.is_fixed() && next.is_fixed();
        if mergeable {
            next.dropped.iter().for_each(|name| self.remove(name));
            self.lines.extend_from_slice(&next.lines);
        }
        mergeable
    }
}

/// What becomes of a received line through all edits, one after the other: the name it has then;
/// `None`: it is left out.
pub(crate) fn name_through<'n>(
    edits: impl Iterator<Item = &'n Edits>,
    name: &'n [u8],
) -> Option<&'n [u8]> {
    let mut name = name;
    for edits in edits {
        if edits.drops(name) {
            return None;
        }
        name = edits.renames(name).unwrap_or(name);
    }
    Some(name)
}

/// Writes the lines of all edits: those of one that a later one leaves.
pub(crate) fn write_lines<'e>(
    out: &mut Vec<u8>,
    edits: impl Iterator<Item = &'e Edits> + Clone,
    exchange: &Exchange<'_>,
    said: Said<'_>,
) {
    let mut rest = edits.clone();
    while let Some(edits) = rest.next() {
        let leaves_all = rest.clone().all(Edits::leaves_lines);
        if leaves_all {
            out.extend_from_slice(&edits.lines);
        } else {
            for line in all_lines(&edits.lines) {
                write_through(out, rest.clone(), name_of(line), line);
            }
        }
        for (name, value) in &edits.made {
            let Some(name) = through_later(rest.clone(), name) else { continue };
            let begin = out.len();
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            template::write(out, value, exchange, Place::Field, said);
            while matches!(out.last(), Some(b' ' | b'\t')) && out.len() > begin {
                out.pop();
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    let mut rest = edits;
    while let Some(edits) = rest.next() {
        let secure = if exchange.connection.is_secure() { &*edits.secure_defaults } else { &[] };
        for line in all_lines(&edits.defaults).chain(all_lines(secure)) {
            let name = name_of(line);
            if !has_line(out, name) && through_later(rest.clone(), name).is_some() {
                out.extend_from_slice(line);
            }
        }
    }
}

fn write_through<'e>(
    out: &mut Vec<u8>,
    later: impl Iterator<Item = &'e Edits>,
    name: &'e [u8],
    line: &[u8],
) {
    if let Some(now) = through_later(later, name) {
        out.extend_from_slice(now);
        out.extend_from_slice(line.get(name.len()..).unwrap_or_default());
    }
}

/// As [`name_through`], of a line that edits before have written.
fn through_later<'n>(later: impl Iterator<Item = &'n Edits>, name: &'n [u8]) -> Option<&'n [u8]> {
    let mut name = name;
    for edits in later {
        if edits.erases(name) {
            return None;
        }
        name = edits.renames(name).unwrap_or(name);
    }
    Some(name)
}

fn push_line(lines: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    lines.extend_from_slice(name);
    lines.extend_from_slice(b": ");
    lines.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    lines.extend_from_slice(b"\r\n");
}

/// Lines with their ends.
fn all_lines(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.split_inclusive(|byte| *byte == b'\n')
}

fn name_of(line: &[u8]) -> &[u8] {
    line.get(..memchr::memchr(b':', line).unwrap_or(0)).unwrap_or_default()
}

/// Whether a head, as far as it is written, has a line of this name.
fn has_line(head: &[u8], name: &[u8]) -> bool {
    all_lines(head).any(|line| {
        line.get(name.len()) == Some(&b':')
            && line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(remove: &[&str], rename: &[(&str, &str)], set: &[(&str, &str)]) -> Edits {
        Edits::compile(&model::Edits {
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            rename: rename.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect(),
            set: set.iter().map(|(n, v)| ((*n).into(), Template::text(*v))).collect(),
            add: Vec::new(),
        })
    }

    #[test]
    fn what_is_set_again_is_there_once() {
        let mut changes = Edits::default();
        changes.set(b"X-A", b"1");
        changes.add(b"x-b", b"2");
        changes.set(b"x-a", b"3");
        assert_eq!(changes.lines, b"x-b: 2\r\nx-a: 3\r\n");
        changes.remove(b"X-B");
        assert_eq!(changes.lines, b"x-a: 3\r\n");
    }

    #[test]
    fn edits_that_are_known_beforehand_become_one() {
        let mut one = edits(&["x-gone"], &[], &[("x-a", "1"), ("x-b", "1")]);
        assert!(one.merge(&edits(&[], &[], &[("X-A", "2")])));
        assert_eq!(one.lines, b"x-b: 1\r\nX-A: 2\r\n");
        assert!(one.drops(b"x-gone") && one.drops(b"X-a") && one.drops(b"x-b"));
        assert!(!one.merge(&edits(&[], &[("x-b", "x-c")], &[])), "a new name is not known there");
    }

    #[test]
    fn a_line_goes_through_all_edits_in_their_order() {
        let all = [
            edits(&[], &[("x-a", "x-b")], &[]),
            edits(&["x-a"], &[("x-b", "x-c")], &[]),
            edits(&["x-d"], &[], &[]),
        ];
        let through = |name: &'static str| name_through(all.iter(), name.as_bytes());
        assert_eq!(through("X-A"), Some(b"x-c".as_slice()), "renamed before it would be removed");
        assert_eq!(through("x-b"), Some(b"x-c".as_slice()));
        assert_eq!((through("x-d"), through("x-e")), (None, Some(b"x-e".as_slice())));
    }
}
