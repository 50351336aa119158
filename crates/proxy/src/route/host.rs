//! Hosts: exact names, then wildcards from the longest, then any. Names are compared without
//! regard to ASCII case (RFC 9110 §4.2.3) and to a trailing dot; the work does not grow with their
//! number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::path::Paths;

/// Longest host name (RFC 1035 §2.3.4); a longer one matches no name.
const NAME_MAX: usize = 253;

/// By lower-case name.
type Map = HashMap<Box<[u8]>, Paths, BuildHasherDefault<Short>>;

/// Names are short, and those of the configuration are trusted: a fast hash will do.
#[derive(Default)]
pub(super) struct Short(u64);

impl Hasher for Short {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The paths of each host.
#[derive(Default)]
pub(super) struct Hosts {
    exact: Map,
    wildcards: Map,
    any: Paths,
}

impl Hosts {
    pub(super) fn exact(&mut self, name: &str) -> &mut Paths {
        self.exact.entry(name.as_bytes().into()).or_default()
    }

    pub(super) fn wildcard(&mut self, parent: &str) -> &mut Paths {
        self.wildcards.entry(parent.as_bytes().into()).or_default()
    }

    pub(super) fn any(&mut self) -> &mut Paths {
        &mut self.any
    }

    /// Asks the paths of each host that matches `sent`, the most specific first.
    pub(super) fn find<T>(&self, sent: &[u8], ask: impl Fn(&Paths) -> Option<T>) -> Option<T> {
        let mut folded = [0; NAME_MAX];
        let sent = sent.strip_suffix(b".").unwrap_or(sent);
        if let Some(name) = folded.get_mut(..sent.len())
            && !(self.exact.is_empty() && self.wildcards.is_empty())
        {
            name.copy_from_slice(sent);
            name.make_ascii_lowercase();
            let name: &[u8] = name;
            if let Some(found) = self.exact.get(name).and_then(&ask) {
                return Some(found);
            }
            if !self.wildcards.is_empty() {
                let mut rest = name;
                // A wildcard stands for one label or more: begin behind the first dot.
                while let Some(dot) = memchr::memchr(b'.', rest) {
                    rest = rest.get(dot + 1..).unwrap_or_default();
                    if let Some(found) = self.wildcards.get(rest).and_then(&ask) {
                        return Some(found);
                    }
                }
            }
        }
        ask(&self.any)
    }
}
