//! Drains in progress: what, until when, how many are left, and the cut at the end. Owns the
//! deadlines; a listener's connections are cut by the workers themselves.

use std::sync::Arc;
use std::time::Instant;

use evenkeel_proxy::shared::{Gauge, ServerShared};
use evenkeel_proxy::worker::{Cut, Running};

/// What is drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A server of a pool; `removed`: it is configured no more.
    Server { pool: String, server: Box<str>, removed: bool },
    /// A listener.
    Listener { name: String, removed: bool },
}

/// Where the number left is read.
#[derive(Clone)]
pub(crate) enum Count {
    Requests(ServerShared),
    Connections(Arc<Gauge>),
}

/// One drain.
#[derive(Clone)]
pub(crate) struct Draining {
    pub(crate) what: What,
    pub(crate) since: Instant,
    /// Requests are cut then.
    pub(crate) requests_until: Option<Instant>,
    /// Tunnels too.
    pub(crate) tunnels_until: Option<Instant>,
    pub(crate) count: Count,
}

impl Draining {
    /// Requests, or connections, that are not finished.
    pub(crate) fn left(&self) -> u32 {
        match &self.count {
            Count::Requests(server) => server.standing.in_flight(),
            Count::Connections(gauge) => gauge.value(),
        }
    }

    fn cut(&self, now: Instant) -> Option<Cut> {
        let What::Server { pool, server, .. } = &self.what else { return None };
        let is_past = |until: Option<Instant>| until.is_some_and(|until| now >= until);
        let what = match (is_past(self.tunnels_until), is_past(self.requests_until)) {
            (true, _) => Running::All,
            (false, true) => Running::Requests,
            (false, false) => return None,
        };
        Some(Cut { pool: pool.clone(), server: server.clone(), what })
    }
}

/// See the module's head.
#[derive(Default)]
pub(crate) struct Drains(Vec<Draining>);

/// What is to be done at a moment.
#[derive(Default)]
pub(crate) struct Due {
    /// To tell the workers.
    pub(crate) cuts: Vec<Cut>,
    /// Nothing is left of these.
    pub(crate) finished: Vec<Draining>,
}

impl Drains {
    /// Begins one; an earlier one of the same is over.
    pub(crate) fn begin(&mut self, draining: Draining) {
        self.end(&draining.what);
        self.0.push(draining);
    }

    /// It is drained no more.
    pub(crate) fn end(&mut self, what: &What) {
        self.0.retain(|known| known.what != *what);
    }

    /// Goes on with these only.
    pub(crate) fn keep(&mut self, stays: impl Fn(&What) -> bool) {
        self.0.retain(|known| stays(&known.what));
    }

    /// What is due by now; asked again every few milliseconds while there is any drain.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        self.0.retain(|draining| {
            if draining.left() == 0 {
                due.finished.push(draining.clone());
                return false;
            }
            due.cuts.extend(draining.cut(now));
            true
        });
        due
    }

    /// Those in progress.
    pub(crate) fn all(&self) -> &[Draining] {
        &self.0
    }
}
