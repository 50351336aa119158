//! The store: what is known of each key, within a bound of memory. What is evicted is decided by
//! `quick_cache` (an S3-FIFO that scans cannot empty); its shards' locks are held for a look-up.
//! Owns places and costs; not what is fresh, or who fetches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_codec::caching::Vary;
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::body::Piece;
use super::entry::Entry;
use super::fetch::Fetch;

/// What is counted for a key beside its bytes.
const PLACE_COST: u64 = 160;
/// Of a mark without content.
const MARK_COST: u64 = 128;

/// What is known of a key.
#[derive(Clone)]
pub(super) enum Slot {
    Entry(Arc<Entry>),
    /// It is being fetched; what comes is behind the piece.
    Fetch(Arc<Fetch>, Arc<Piece>),
    /// Its answers differ by these fields; each is under a longer key.
    Vary(Arc<Vary>),
    /// Until then it is no use to wait for what others fetch.
    Pass(Instant),
}

impl Slot {
    pub(super) fn is_fetch(&self, fetch: &Arc<Fetch>) -> bool {
        matches!(self, Self::Fetch(own, _) if Arc::ptr_eq(own, fetch))
    }

    pub(super) fn is_entry(&self, entry: &Arc<Entry>) -> bool {
        matches!(self, Self::Entry(own) if Arc::ptr_eq(own, entry))
    }
}

#[derive(Clone)]
struct Costs;

impl Weighter<Vec<u8>, Slot> for Costs {
    fn weight(&self, key: &Vec<u8>, slot: &Slot) -> u64 {
        let cost = match slot {
            Slot::Entry(entry) => entry.cost(),
            Slot::Fetch(..) | Slot::Vary(_) | Slot::Pass(_) => MARK_COST,
        };
        cost.saturating_add(key.len() as u64).saturating_add(PLACE_COST)
    }
}

/// What is being fetched is not evicted: those who wait would fetch it again.
#[derive(Clone)]
struct Pins;

impl Lifecycle<Vec<u8>, Slot> for Pins {
    type RequestState = ();

    fn is_pinned(&self, _: &Vec<u8>, slot: &Slot) -> bool {
        matches!(slot, Slot::Fetch(..))
    }

    fn on_evict(&self, (): &mut (), _: Vec<u8>, _: Slot) {}
}

/// See the module's head.
pub(super) struct Store {
    map: Cache<Vec<u8>, Slot, Costs, DefaultHashBuilder, Pins>,
}

impl Store {
    /// At most so many bytes, for entries of at most `largest`: each shard holds a few of them.
    pub(super) fn new(size: u64, largest: u64) -> Self {
        let shard = largest.saturating_mul(4).max(4 << 20);
        let shards = usize::try_from(size / shard).unwrap_or(1).clamp(1, 64);
        let items = usize::try_from(size / (8 << 10)).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let mut options = OptionsBuilder::new();
        options.shards(shards).estimated_items_capacity(items).weight_capacity(size);
        let hasher = DefaultHashBuilder::default();
        let map = match options.build() {
            Ok(options) => Cache::with_options(options, Costs, hasher, Pins),
            Err(_) => Cache::with(items, size, Costs, hasher, Pins), // cannot be: all are given
        };
        Self { map }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Slot> {
        self.map.get(key)
    }

    /// The same, without counting as a use.
    pub(super) fn peek(&self, key: &[u8]) -> Option<Slot> {
        self.map.peek(key)
    }

    /// Bytes counted, and how many places.
    pub(super) fn usage(&self) -> (u64, usize) {
        (self.map.weight(), self.map.len())
    }

    /// Puts `new` in the place of `key`, unless `keep` knows something to do with what is there.
    pub(super) async fn claim<T>(
        &self,
        key: &[u8],
        new: impl FnOnce() -> (Slot, T),
        keep: impl FnOnce(&Slot) -> Option<Slot>,
    ) -> Claimed<T> {
        let look = |_: &Vec<u8>, slot: &mut Slot| match keep(slot) {
            Some(slot) => EntryAction::Retain(slot),
            None => EntryAction::ReplaceWithGuard,
        };
        match self.map.entry_async(key, look).await {
            EntryResult::Retained(slot) => Claimed::Taken(slot),
            EntryResult::Vacant(guard) | EntryResult::Replaced(guard, _) => {
                let (slot, what) = new();
                let _ = guard.insert(slot); // purged meanwhile: then it is fetched for nobody else
                Claimed::Ours(what)
            }
            EntryResult::Removed(..) | EntryResult::Timeout => {
                let (slot, what) = new();
                self.map.insert(key.to_vec(), slot);
                Claimed::Ours(what)
            }
        }
    }

    /// Changes what is known of a key, if it is still what `is` says; `None` forgets it.
    pub(super) fn change(&self, key: &[u8], is: impl Fn(&Slot) -> bool, new: Option<Slot>) -> bool {
        let Some(new) = new else { return self.map.remove_if(key, is).is_some() };
        let change = |_: &Vec<u8>, slot: &mut Slot| {
            let is = is(slot);
            if is {
                *slot = new;
            }
            EntryAction::<bool>::Retain(is)
        };
        // Without waiting: where somebody else is about to put something, it is not ours any more.
        matches!(self.map.entry(key, Some(Duration::ZERO), change), EntryResult::Retained(true))
    }

    pub(super) fn insert(&self, key: &[u8], slot: Slot) {
        self.map.insert(key.to_vec(), slot);
    }

    /// Forgets what `is` says; how many.
    pub(super) fn purge(&self, is: impl Fn(&[u8], &Slot) -> bool) -> usize {
        let all = self.map.iter();
        let found: Vec<_> = all.filter(|(key, slot)| is(key, slot)).map(|(key, _)| key).collect();
        found
            .iter()
            .filter(|key| self.map.remove_if(key.as_slice(), |slot| is(key, slot)).is_some())
            .count()
    }
}

/// Who fetches.
pub(super) enum Claimed<T> {
    /// Who asked.
    Ours(T),
    /// Nobody, or somebody else.
    Taken(Slot),
}
