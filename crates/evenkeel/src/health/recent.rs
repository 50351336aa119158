//! What the last checks of each server came to, for whoever wants to look: the API, not the data
//! path.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::probe::{Miss, Probed};

/// Results kept for each server.
const KEPT: usize = 10;

/// The last checks of one server, the latest first.
pub(crate) type Recent = VecDeque<Made>;

/// One check that was made, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// When it began.
    pub(crate) at: SystemTime,
    /// How long it took.
    pub(crate) took: Duration,
    /// What it came to.
    pub(crate) result: Came,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// As expected.
    Passed,
    /// What was got instead.
    Failed(String),
    /// Why it could not be made; says nothing about the server.
    NotMade(String),
}

impl From<&Probed> for Came {
    fn from(probed: &Probed) -> Self {
        match probed {
            Ok(()) => Self::Passed,
            Err(Miss::Failed(why)) => Self::Failed(why.clone()),
            Err(Miss::NotMade(why)) => Self::NotMade(why.clone()),
        }
    }
}

/// Adds a result, and forgets the oldest.
pub(super) fn note(recent: &watch::Sender<Recent>, made: Made) {
    recent.send_modify(|recent| {
        recent.truncate(KEPT - 1);
        recent.push_front(made);
    });
}

/// By pool and server.
pub(super) type ByServer = HashMap<Arc<str>, HashMap<Box<str>, watch::Receiver<Recent>>>;

/// Reads the last checks of any server, at any time, without waiting.
#[derive(Clone)]
pub(crate) struct Reader(pub(super) watch::Receiver<Arc<ByServer>>);

impl Reader {
    /// Those of a server; `None` if it is not checked.
    pub(crate) fn of(&self, pool: &str, server: &str) -> Option<Recent> {
        let found = self.0.borrow();
        Some(found.get(pool)?.get(server)?.borrow().clone())
    }
}
