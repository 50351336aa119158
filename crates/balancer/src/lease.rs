//! The right to send one request to one server: counted as load, as a trial and as the pool's
//! until it is given back, whatever becomes of who holds it.

use std::sync::Arc;
use std::time::Instant;

use crate::breaker::Admission;
use crate::gate::Passage;
use crate::outlier::TRIALS;
use crate::{Rules, Server, ServerId, SharedServer};

/// The right to send one request. Counts as the server's load until it is finished or dropped.
#[must_use = "a lease counts as load until it is finished"]
#[derive(Debug)]
pub struct Lease {
    /// Whom to send it to.
    pub server: ServerId,
    pub(crate) shared: Arc<SharedServer>,
    pub(crate) trial: Trial,
    pub(crate) admission: Option<Admission>,
    /// When it was given.
    pub(crate) begun: Instant,
    /// Whether it was judged already, and how.
    pub(crate) judged: Option<bool>,
}

/// Which gates of a server this request is a trial for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) ejection: bool,
    pub(crate) breaker: bool,
}

impl Trial {
    /// `None` if there are enough of them, unless there is nobody else to send it to.
    pub(crate) fn enter(server: &Server, rules: &Rules, now: u64, panics: bool) -> Option<Self> {
        let on_trial = |passage| matches!(passage, Passage::Trial { .. });
        let shared = &server.shared;
        let mut trial = Self::default();
        if rules.outlier.is_some() && on_trial(shared.ejection.passage()) {
            trial.ejection = shared.ejection.enter(now, TRIALS);
            if !trial.ejection && !panics {
                return None;
            }
        }
        if let Some(breaker) = rules.server_breaker
            && on_trial(shared.breaker.passage())
        {
            trial.breaker = shared.breaker.enter(now, breaker.probes);
            if !trial.breaker {
                trial.leave(shared);
                return None;
            }
        }
        Some(trial)
    }

    pub(crate) fn leave(self, shared: &SharedServer) {
        if self.ejection {
            shared.ejection.leave();
        }
        if self.breaker {
            shared.breaker.leave();
        }
    }
}

impl Lease {
    pub(crate) fn new(
        server: ServerId,
        shared: Arc<SharedServer>,
        trial: Trial,
        begun: Instant,
    ) -> Self {
        Self { server, shared, trial, admission: None, begun, judged: None }
    }

    /// Whether the server is on trial: its answer decides about it.
    pub fn is_trial(&self) -> bool {
        self.trial != Trial::default()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.trial.leave(&self.shared);
        self.shared.leave();
    }
}
