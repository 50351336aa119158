//! Where a configuration names files. What is in a file is no business of this crate; whoever reads
//! it asks here for the place that names it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::Span;

/// Places by who names a file (`listeners.web`, `pools.app`) and by its path as written.
#[derive(Clone, Debug, Default)]
pub struct Places(HashMap<(String, PathBuf), Span>);

impl Places {
    pub(crate) fn note(&mut self, owner: &str, path: &str, span: Span) {
        self.0.entry((owner.to_owned(), path.into())).or_insert(span);
    }

    /// Where `owner` first names `path`.
    pub fn of(&self, owner: &str, path: &Path) -> Option<Span> {
        self.0.get(&(owner.to_owned(), path.to_path_buf())).copied()
    }
}
