//! Lookup by a name that is part of the configuration: a host, a path. The work depends on the
//! name asked for, not on how many there are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values by name.
pub(super) struct Names<V> {
    map: HashMap<Box<[u8]>, V, BuildHasherDefault<Short>>,
    /// Bytes of the longest name: nothing longer needs to be hashed.
    longest: usize,
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self { map: HashMap::default(), longest: 0 }
    }
}

impl<V: Default> Names<V> {
    /// The value of `name`, made if it is new.
    pub(super) fn entry(&mut self, name: &[u8]) -> &mut V {
        self.longest = self.longest.max(name.len());
        self.map.entry(name.into()).or_default()
    }
}

impl<V> Names<V> {
    pub(super) fn find(&self, name: &[u8]) -> Option<&V> {
        if name.len() > self.longest {
            return None;
        }
        self.map.get(name)
    }

    /// Bytes of the longest name.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// Only names of the configuration are ever put in a map, so a client cannot make them collide:
/// a fast hash without a secret will do.
#[derive(Default)]
pub(super) struct Short(u64);

impl Hasher for Short {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    /// The length that precedes a slice says nothing that its bytes do not.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
