//! Files read once, together, so that all that is made of them is of the same state.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::files;
use super::problem::Problem;

/// See the module's head.
pub(super) struct Read {
    files: Vec<(PathBuf, Result<Vec<u8>, Problem>)>,
}

impl Read {
    pub(super) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut seen = HashSet::new();
        let paths = paths.into_iter().filter(|path| seen.insert(path.clone()));
        Self {
            files: paths
                .map(|path| {
                    let bytes = files::read(&path);
                    (path, bytes)
                })
                .collect(),
        }
    }

    pub(super) fn bytes(&self, path: &Path) -> Result<&[u8], Problem> {
        match self.files.iter().find(|(known, _)| known == path) {
            Some((_, Ok(bytes))) => Ok(bytes),
            Some((_, Err(problem))) => Err(problem.clone()),
            None => Err(Problem::error("unreadable-file", path, "it was not read")),
        }
    }

    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, bytes) in &self.files {
            path.hash(&mut hasher);
            bytes.as_deref().ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}
