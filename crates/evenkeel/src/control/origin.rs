//! Where the configuration comes from, so that it can be read again.

use std::path::{Path, PathBuf};

use evenkeel_config::Source;

use crate::failure::{Exit, Failure};
use crate::sources;

/// See the module's head.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A file, a directory of files, or `-`.
    Path(PathBuf),
    /// Given once: the command line, or a program's own.
    Text(Vec<Source>),
}

impl Origin {
    /// Its texts as they are now.
    pub(crate) fn read(&self) -> Result<Vec<Source>, Failure> {
        match self {
            Self::Path(path) => sources::read(path),
            Self::Text(texts) => Ok(texts.clone()),
        }
    }

    /// Its texts, again.
    pub(crate) fn read_again(&self) -> Result<Vec<Source>, Failure> {
        match self {
            Self::Path(path) if path == Path::new("-") => {
                let message = "the configuration came from standard input: it cannot be read again";
                Err(Failure::new(Exit::Config, message))
            }
            _ => self.read(),
        }
    }

    /// What to watch for changes.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) if path != Path::new("-") => Some(path),
            _ => None,
        }
    }
}
