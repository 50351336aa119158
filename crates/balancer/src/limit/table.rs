//! A word for each key, in memory that does not grow. Sets of fifteen ways: a key is in the set that its
//! hash says, in any way of it. Owns where a key's word is and who makes room; what a word means is a
//! [`Rule`]'s business.
//!
//! Finding a key and changing its word takes no lock. Entering one does, of its set alone and for some
//! twenty loads, so that no key is ever entered twice.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Keys of a set.
const WAYS: usize = 15;
/// How often somebody who enters a key is waited for, a few nanoseconds each time.
const SPINS: usize = 10_000;
/// How often a word is looked for again that was given to another key meanwhile.
const TRIES: usize = 16;

/// What a word means.
pub trait Rule {
    /// What is said about it.
    type Verdict;

    /// One more: the word after that (`None` leaves it as it is), and what is said.
    fn take(&self, word: u64) -> (Option<u64>, Self::Verdict);

    /// One less, after a [`Self::take`] that does not count.
    fn give_back(&self, word: u64) -> u64 {
        word
    }

    /// Up to this, a word says nothing about its key any more. Among others, a smaller word is that of
    /// a key that has used less.
    fn unused(&self) -> u64;
}

/// Where a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    set: usize,
    way: usize,
}

/// No word could be had: others are entering keys in the same set and do not come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Four cache lines, two for tags and two for words.
#[derive(Default)]
#[repr(align(256))]
struct Set {
    /// Hashes of keys, odd; 0 is free.
    tags: [AtomicU64; WAYS],
    /// 1 while a key is entered.
    entering: AtomicU64,
    words: [AtomicU64; WAYS],
}

/// See the module's head.
pub struct Table {
    sets: Box<[Set]>,
    seed: u64,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} sets)", self.sets.len())
    }
}

impl Table {
    /// A table of at most `memory` bytes, at least one set.
    pub fn new(memory: u64, seed: u64) -> Self {
        let sets = usize::try_from(memory).unwrap_or(usize::MAX) / size_of::<Set>();
        Self { sets: std::iter::repeat_with(Set::default).take(sets.max(1)).collect(), seed }
    }

    /// Bytes that it has, whatever is in it.
    pub fn memory(&self) -> usize {
        self.sets.len() * size_of::<Set>()
    }

    /// The hash of a key, which nobody outside can guess.
    pub fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }

    /// Changes the word of the key with this hash.
    pub fn take<R: Rule>(&self, hash: u64, rule: &R) -> Result<(R::Verdict, Place), Busy> {
        let at = ((u128::from(hash) * self.sets.len() as u128) >> 64) as usize;
        let (Some(set), tag) = (self.sets.get(at), hash | 1) else { return Err(Busy) };
        for _ in 0..TRIES {
            let way = set.find(tag).or_else(|| set.enter(tag, rule.unused())).ok_or(Busy)?;
            let (Some(word), Some(owner)) = (set.words.get(way), set.tags.get(way)) else {
                return Err(Busy);
            };
            let (changed, verdict) = change(word, |word| rule.take(word));
            // Had the way gone to another key meanwhile, it would be that one that was counted. Who gives
            // ways away looks at the word after the tag, so one of us two notices.
            if owner.load(SeqCst) == tag {
                return Ok((verdict, Place { set: at, way }));
            }
            if changed {
                change(word, |word| (Some(rule.give_back(word)), ()));
            }
        }
        Err(Busy)
    }

    /// Changes the word at a place.
    pub fn change(&self, place: Place, next: impl Fn(u64) -> u64) {
        if let Some(word) = self.sets.get(place.set).and_then(|set| set.words.get(place.way)) {
            change(word, |word| (Some(next(word)), ()));
        }
    }
}

/// Each turn that fails is one in which another worker has come further.
fn change<V>(word: &AtomicU64, next: impl Fn(u64) -> (Option<u64>, V)) -> (bool, V) {
    let mut seen = word.load(SeqCst);
    loop {
        let (wanted, verdict) = next(seen);
        let Some(wanted) = wanted else { return (false, verdict) };
        match word.compare_exchange_weak(seen, wanted, SeqCst, SeqCst) {
            Ok(_) => return (true, verdict),
            Err(found) => seen = found,
        }
    }
}

impl Set {
    fn find(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|found| found.load(SeqCst) == tag)
    }

    /// Finds a way for a key that has none.
    #[cold]
    fn enter(&self, tag: u64, unused: u64) -> Option<usize> {
        for _ in 0..SPINS {
            if self.entering.compare_exchange(0, 1, SeqCst, SeqCst).is_ok() {
                let way = self.find(tag).or_else(|| self.replace(tag, unused));
                self.entering.store(0, SeqCst);
                return way;
            }
            spin_loop();
            if let Some(way) = self.find(tag) {
                return Some(way);
            }
        }
        None
    }

    /// Gives a way to another key: the least used one, with what is in its word.
    fn replace(&self, tag: u64, unused: u64) -> Option<usize> {
        for _ in 0..TRIES {
            let (way, least) = self.least_used(unused)?;
            let (owner, word) = (self.tags.get(way)?, self.words.get(way)?);
            let before = owner.swap(tag, SeqCst);
            if word.load(SeqCst) == least {
                return Some(way);
            }
            owner.store(before, SeqCst); // it is used just now
        }
        None
    }

    fn least_used(&self, unused: u64) -> Option<(usize, u64)> {
        let mut least: Option<(usize, u64)> = None;
        for (way, word) in self.words.iter().enumerate() {
            let word = word.load(SeqCst);
            if word <= unused {
                return Some((way, word));
            }
            if least.is_none_or(|(_, least)| word < least) {
                least = Some((way, word));
            }
        }
        least
    }
}
