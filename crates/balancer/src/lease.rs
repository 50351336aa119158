//! The right to send one request to one server: counted as load, as a trial and as the pool's
//! until it is given back, whatever becomes of who holds it.

use std::sync::Arc;
use std::time::Instant;

use crate::breaker::Admission;
use crate::gate::Passage;
use crate::outlier::{self, TRIALS};
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
    /// `None` if there are enough of them, unless there is nobody else to send it to. What is owed
    /// since this worker stood still, until `resumed`, is not owed by the server.
    pub(crate) fn enter(
        server: &Server,
        rules: &Rules,
        now: u64,
        resumed: Option<u64>,
        panics: bool,
    ) -> Option<Self> {
        let on_trial = |passage| matches!(passage, Passage::Trial { .. });
        let shared = &server.shared;
        let mut trial = Self::default();
        if let Some(outlier) = &rules.outlier
            && on_trial(shared.ejection.passage())
        {
            let hangs = shared.ejection.hangs(now);
            if hangs.is_some_and(|since| resumed.is_none_or(|resumed| resumed < since)) {
                outlier::relapse(shared, outlier, now);
            } else {
                trial.ejection = shared.ejection.enter(now, TRIALS);
            }
            if !trial.ejection && !panics {
                return None;
            }
        }
        if let Some(breaker) = rules.server_breaker
            && on_trial(shared.breaker.passage())
        {
            trial.breaker = shared.breaker.enter(now, breaker.probes);
            if !trial.breaker {
                trial.leave(shared, true);
                return None;
            }
        }
        Some(trial)
    }

    /// It is over; `answered` if the server has said anything, or was never asked.
    pub(crate) fn leave(self, shared: &SharedServer, answered: bool) {
        if self.ejection {
            shared.ejection.leave(answered);
        }
        if self.breaker {
            shared.breaker.leave(answered);
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

    /// Nothing was sent: the server owes no answer.
    pub fn give_back(mut self) {
        std::mem::take(&mut self.trial).leave(&self.shared, true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.trial.leave(&self.shared, false);
        self.shared.leave();
    }
}
