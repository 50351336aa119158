//! Signals, turned into events for the supervisor. Owns the thread that waits for them, not what
//! they lead to. SIGPIPE is ignored by Rust's start-up code already.

use std::io;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// What the outside world asks of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGTERM or SIGINT: the first ends gently, the second at once.
    End,
    /// The API: end gently, within this time if one is given.
    EndBy(Option<Duration>),
    /// SIGHUP: take over a changed configuration.
    Reload,
    /// SIGUSR1: open log files again, after they were moved away.
    Reopen,
    /// SIGUSR2: hand over to a new process.
    Upgrade,
}

/// Hands every signal from now on to `deliver`, on a thread of its own that lives as long as the
/// process.
pub(crate) fn listen(deliver: impl Fn(Request) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            deliver(match signal {
                SIGHUP => Request::Reload,
                SIGUSR1 => Request::Reopen,
                SIGUSR2 => Request::Upgrade,
                _ => Request::End,
            });
        }
    })?;
    Ok(())
}
