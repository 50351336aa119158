//! The paths of one host: exact, then regular expressions in their order, then prefixes from the
//! longest. Exact paths and prefixes are looked up, so the work depends on the length of the path
//! asked for, not on the number of routes.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use evenkeel_config::model::PathMatch;
use regex::bytes::Regex;

use super::host::Short;
use super::{Candidate, Found, RequestView, first};

type Map = HashMap<Box<[u8]>, Vec<Candidate>, BuildHasherDefault<Short>>;

/// See the module's head.
#[derive(Default)]
pub(super) struct Paths {
    exact: Map,
    regexes: Vec<(Regex, Candidate)>,
    prefixes: Map,
    /// Segments of the deepest prefix: deeper ones need not be looked up.
    depth: usize,
    any: Vec<Candidate>,
}

impl Paths {
    /// Adds a candidate; those added first go first.
    pub(super) fn add(&mut self, path: Option<&PathMatch>, candidate: Candidate) {
        match path {
            None => self.any.push(candidate),
            Some(PathMatch::Exact(path)) => {
                self.exact.entry(path.as_bytes().into()).or_default().push(candidate);
            }
            Some(PathMatch::Regex(pattern)) => self.regexes.push((pattern.0.clone(), candidate)),
            Some(PathMatch::Prefix(prefix)) if prefix.is_empty() => self.any.push(candidate),
            Some(PathMatch::Prefix(prefix)) => {
                self.depth = self.depth.max(prefix.matches('/').count());
                self.prefixes.entry(prefix.as_bytes().into()).or_default().push(candidate);
            }
        }
    }

    /// The first candidate in order of precedence.
    pub(super) fn find(&self, request: &RequestView<'_>) -> Option<Found> {
        let whole = |route| Found { route, prefix_len: 0 };
        if !self.exact.is_empty()
            && let Some(candidates) = self.exact.get(request.path)
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
        if self.depth > 0
            && let Some(found) = self.find_prefix(request)
        {
            return Some(found);
        }
        first(&self.any, request).map(whole)
    }

    /// Prefixes end where a segment does: at the path's end or before a slash.
    fn find_prefix(&self, request: &RequestView<'_>) -> Option<Found> {
        let path = request.path;
        let mut ends = path.get(1..).unwrap_or_default();
        // The end of the deepest prefix that can match.
        let mut end = 1;
        for _ in 0..self.depth {
            match memchr::memchr(b'/', ends) {
                Some(slash) => {
                    ends = ends.get(slash + 1..).unwrap_or_default();
                    end += slash + 1;
                }
                None => {
                    end = path.len() + 1;
                    break;
                }
            }
        }
        let mut prefix = path.get(..end.saturating_sub(1))?;
        while !prefix.is_empty() {
            if let Some(candidates) = self.prefixes.get(prefix)
                && let Some(route) = first(candidates, request)
            {
                return Some(Found { route, prefix_len: prefix.len() });
            }
            prefix = prefix.get(..memchr::memrchr(b'/', prefix)?)?;
        }
        None
    }
}
