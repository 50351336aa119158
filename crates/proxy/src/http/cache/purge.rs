//! What operators have forgotten: by URL, by the beginning of URLs, by tag. Runs outside of workers;
//! the store's shards are held for one look-up at a time.

use super::store::Slot;
use super::{Cache, key};

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Everything.
    All,
    /// The answers of one URL, as clients see it.
    Url(String),
    /// Of all that begin with this.
    Prefix(String),
    /// All that say they are made of this.
    Tag(String),
}

impl Cache {
    /// Forgets; how many answers and marks that were. What is being fetched meanwhile is not stored.
    pub(crate) fn purge(&self, what: &Purge) -> usize {
        match what {
            Purge::All => self.store.purge(|_, _| true),
            Purge::Url(url) => {
                self.marks.mark(url.as_bytes());
                self.store.purge(|found, _| key::uri(found) == url.as_bytes())
            }
            Purge::Prefix(prefix) => {
                self.store.purge(|found, _| key::uri(found).starts_with(prefix.as_bytes()))
            }
            // What is on its way may be made of it: nobody knows yet.
            Purge::Tag(tag) => self.store.purge(|_, slot| match slot {
                Slot::Entry(entry) => {
                    entry.tags.binary_search_by(|own| (**own).cmp(tag.as_bytes())).is_ok()
                }
                Slot::Fetch(..) => true,
                Slot::Vary(_) | Slot::Pass(_) => false,
            }),
        }
    }

    /// Bytes that it takes, and how many answers and marks there are.
    pub(crate) fn usage(&self) -> (u64, usize) {
        self.store.usage()
    }
}
