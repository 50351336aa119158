//! Binary upgrade: a new process takes over the listening sockets while the old one serves, and the
//! old one drains once the new one has proved itself. Owns the hand-over from both sides; starting
//! workers and draining is the supervisor's, what is carried over the control plane's.
//!
//! ```text
//! old                                  new
//! starts it, its stdin is the line ─▶
//!                                   ◀─ hello: version
//! manifest, sockets ─────────────────▶ reads its configuration, starts workers; accepts nothing
//!                                   ◀─ ready, or refused: why
//! serve ─────────────────────────────▶ accepts, from the same queues as the old one
//!                                   ◀─ serving
//! (1 s: both serve)
//! yours ─────────────────────────────▶ is in charge: admin listener, systemd, more sockets
//! drains, ends
//! ```
//! Until `yours` the end of the new process changes nothing, and the end of the old one puts the new
//! one in charge if it had come as far as being ready.

mod action;
mod fault;
mod launch;
mod message;
mod predecessor;
mod sockets;
mod successor;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::action::Upgrading;
pub(crate) use self::launch::Launch;
pub(crate) use self::message::UdpPlace;
pub(crate) use self::sockets::{Inherited, Share};
pub(crate) use self::successor::{Succession, Tether, begin};

/// How long an upgrade may take in all, until the new process serves.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// However long is asked for: nothing that takes longer will ever be ready.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The program; the one this process was started from by default.
    pub(crate) exec: Option<PathBuf>,
    /// Until the new process serves.
    pub(crate) timeout: Duration,
}

impl Default for Order {
    fn default() -> Self {
        Self { exec: None, timeout: fault::timeout(TIMEOUT) }
    }
}

/// An upgrade that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Upgraded {
    /// The new process.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
}

/// How far an upgrade came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Starting the new process.
    Start,
    /// Waiting for its first word.
    Hello,
    /// Giving it the sockets.
    Sockets,
    /// Waiting until it could serve.
    Ready,
    /// Waiting until it serves.
    Serving,
    /// Watching whether it lives.
    Probation,
}

/// An upgrade that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Refused {
    /// How far it came.
    pub(crate) step: Step,
    /// Why it went no further.
    pub(crate) reason: String,
}

impl Refused {
    fn new(step: Step, reason: String) -> Self {
        Self { step, reason }
    }

    /// Not even begun.
    pub(crate) fn at_start(reason: String) -> Self {
        Self::new(Step::Start, reason)
    }

    fn by_successor(step: Step, why: String) -> Self {
        Self { step, reason: format!("the new process refuses: {why}") }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = match self.step {
            Step::Start => "could not start the new process",
            Step::Hello => "the new process did not say hello",
            Step::Sockets => "the new process did not take the sockets",
            Step::Ready => "the new process did not become ready",
            Step::Serving => "the new process did not begin to serve",
            Step::Probation => "the new process did not live long",
        };
        write!(f, "{step}: {}", self.reason)
    }
}
