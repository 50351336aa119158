//! The paths of one host: exact, then regular expressions in their order, then prefixes from the
//! longest. Exact paths and prefixes are looked up, so the work depends on the length of the path
//! asked for, not on the number of routes; regular expressions are tried one by one.

use evenkeel_config::model::PathMatch;
use regex::bytes::Regex;

use super::names::Names;
use super::{Candidate, Found, RequestView, first};

/// See the module's head.
#[derive(Default)]
pub(super) struct Paths {
    exact: Names<Vec<Candidate>>,
    regexes: Vec<(Regex, Candidate)>,
    prefixes: Names<Vec<Candidate>>,
    /// Which numbers of segments prefixes have; others need not be looked up.
    depths: Depths,
    any: Vec<Candidate>,
}

impl Paths {
    /// Adds a candidate; those added first go first.
    pub(super) fn add(&mut self, path: Option<&PathMatch>, candidate: Candidate) {
        match path {
            None => self.any.push(candidate),
            Some(PathMatch::Exact(path)) => self.exact.entry(path.as_bytes()).push(candidate),
            Some(PathMatch::Regex(pattern)) => self.regexes.push((pattern.0.clone(), candidate)),
            Some(PathMatch::Prefix(prefix)) if prefix.is_empty() => self.any.push(candidate),
            Some(PathMatch::Prefix(prefix)) => {
                self.depths.insert(depth(prefix.as_bytes()));
                self.prefixes.entry(prefix.as_bytes()).push(candidate);
            }
        }
    }

    /// The first candidate in order of precedence.
    pub(super) fn find(&self, request: &RequestView<'_>) -> Option<Found> {
        let whole = |route| Found { route, prefix_len: 0 };
        if let Some(candidates) = self.exact.find(request.path)
            && let Some(route) = first(candidates, request)
        {
            return Some(whole(route));
        }
        let regex = self
            .regexes
            .iter()
            .find(|(regex, candidate)| regex.is_match(request.path) && candidate.matches(request));
        if let Some((_, candidate)) = regex {
            return Some(whole(candidate.route));
        }
        if !self.prefixes.is_empty()
            && let Some(found) = self.find_prefix(request)
        {
            return Some(found);
        }
        first(&self.any, request).map(whole)
    }

    /// Prefixes end where a segment does: at the path's end or before a slash.
    fn find_prefix(&self, request: &RequestView<'_>) -> Option<Found> {
        let path = request.path;
        let mut prefix = match path.get(..=self.prefixes.longest()) {
            None => path,
            Some(longer) => parent(longer)?,
        };
        let mut depth = depth(prefix);
        while !prefix.is_empty() {
            if self.depths.has(depth)
                && let Some(candidates) = self.prefixes.find(prefix)
                && let Some(route) = first(candidates, request)
            {
                return Some(Found { route, prefix_len: prefix.len() });
            }
            prefix = parent(prefix)?;
            depth = depth.saturating_sub(1);
        }
        None
    }
}

/// Whether `path` is one that `pattern` stands for.
pub(super) fn is_match(pattern: &PathMatch, path: &[u8]) -> bool {
    match pattern {
        PathMatch::Exact(exact) => exact.as_bytes() == path,
        // `/`, which is everything, and `*` (RFC 9112 §3.2.4) too.
        PathMatch::Prefix(prefix) if prefix.is_empty() => true,
        PathMatch::Prefix(prefix) => path
            .strip_prefix(prefix.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/')),
        PathMatch::Regex(pattern) => pattern.0.is_match(path),
    }
}

/// Without the last slash and what follows it.
fn parent(path: &[u8]) -> Option<&[u8]> {
    path.get(..memchr::memrchr(b'/', path)?)
}

fn depth(path: &[u8]) -> usize {
    path.iter().filter(|byte| **byte == b'/').count()
}

/// A set of small numbers; all from 63 on count as one.
#[derive(Default)]
struct Depths(u64);

impl Depths {
    fn insert(&mut self, depth: usize) {
        self.0 |= 1 << depth.min(63);
    }

    fn has(&self, depth: usize) -> bool {
        self.0 & (1 << depth.min(63)) != 0
    }
}
