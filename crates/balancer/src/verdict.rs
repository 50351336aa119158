//! What a pool learns from how a request went: who is told of an outcome, and in which order.

use std::time::{Duration, Instant};

use crate::lease::Lease;
use crate::outlier::Case;
use crate::{Pool, breaker, gradient, outlier};

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A usable response; its head came after `latency`.
    Success {
        /// From the first byte out to the response head.
        latency: Duration,
    },
    /// The server's fault.
    Failure {
        /// Until it was clear.
        latency: Duration,
        /// What it was.
        kind: FailureKind,
    },
    /// The client went away; says nothing about the server.
    Abandoned,
}

/// What a server did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It refused the connection, or cannot be reached.
    Refused,
    /// The connection did not stand in time.
    ConnectTimeout,
    /// No response, or nothing more of it, in time.
    Timeout,
    /// The connection broke before the end of the response.
    Reset,
    /// What it sent breaks the protocol.
    Malformed,
    /// It answered 502, 503 or 504.
    Gateway,
    /// It answered another 5xx.
    Error,
    /// It answered 429: it lives, but wants less.
    Busy,
}

impl FailureKind {
    /// Whether the server, or what it needs, is out of order: an application's 5xx is an answer.
    pub fn is_broken(self) -> bool {
        !matches!(self, Self::Error | Self::Busy)
    }

    /// Whether the connection could not be made.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Self::Refused | Self::ConnectTimeout)
    }
}

impl Outcome {
    /// That of a response with this status: RFC 9110 §15.6, and 429 (RFC 6585 §4).
    pub fn of_status(status: u16, latency: Duration) -> Self {
        let kind = match status {
            429 => FailureKind::Busy,
            502..=504 => FailureKind::Gateway,
            500.. => FailureKind::Error,
            _ => return Self::Success { latency },
        };
        Self::Failure { latency, kind }
    }

    /// What went wrong, if something did.
    pub fn failure(self) -> Option<FailureKind> {
        match self {
            Self::Failure { kind, .. } => Some(kind),
            _ => None,
        }
    }
}

impl Pool {
    /// Learns how a request went, and ends its lease. A server that was removed meanwhile learns
    /// nothing.
    pub fn finish(&mut self, mut lease: Lease, outcome: Outcome, now: Instant) {
        self.judge(&mut lease, outcome, now);
    }

    /// Learns how a request went before it is over: for responses and tunnels that go on for long
    /// after their head. Later judgements count only if they are worse.
    pub fn judge(&mut self, lease: &mut Lease, outcome: Outcome, now: Instant) {
        let failed = outcome.failure();
        let said = lease.judged.is_some_and(|bad| bad || failed.is_none());
        if outcome == Outcome::Abandoned || said {
            return;
        }
        if self.is_forgiven(lease, outcome, now) {
            return std::mem::take(&mut lease.trial).leave(&lease.shared, true);
        }
        let again = lease.judged.replace(failed.is_some()).is_some();
        let nanos = self.shared.nanos(now);
        let Some(server) = self.servers.server_mut(lease.server) else { return };
        self.algorithm.observe(server, outcome, now);
        if let Outcome::Success { latency } = outcome {
            if let Some(latencies) = &mut self.latencies {
                latencies.record(latency);
            }
            gradient::learn(server, latency, nanos);
        }
        // A server that answers 429 or 500 is there: no sign that nothing succeeds.
        if failed.is_none_or(FailureKind::is_broken) {
            self.budget.note(failed.is_none(), nanos);
        }
        let trial = std::mem::take(&mut lease.trial);
        let case = Case { failed, again, trial, begun: self.shared.nanos(lease.begun) };
        let probe = lease.admission.as_ref().is_some_and(|admission| admission.probe);
        outlier::judge(self, lease.server, case, nanos);
        breaker::judge(self, lease.server, case, probe, nanos);
        trial.leave(&lease.shared, true);
    }

    /// Failures that come to light after this worker stood still are its own.
    fn is_forgiven(&mut self, lease: &Lease, outcome: Outcome, now: Instant) -> bool {
        let Some(kind) = outcome.failure() else { return false };
        self.notice_gap(now);
        kind != FailureKind::Refused && self.resumed.is_some_and(|resumed| lease.begun < resumed)
    }
}
