//! Key material at the start of a process: all of it, or why it does not start.

use evenkeel_config::Config;
use evenkeel_runtime as runtime;

use super::keyring::{Keyring, Occasion, OwnTickets, prevents};
use super::problem;
use crate::cli::refused;
use crate::control::wanted::File;
use crate::failure::Failure;

/// Reads what listeners and pools need for TLS, and goes on with a predecessor's keys for tickets; all
/// that is wrong is said at once.
pub(crate) fn at_start(
    config: &Config,
    file: &File,
    tickets: Vec<OwnTickets>,
) -> Result<Keyring, Failure> {
    let occasion = Occasion::Start;
    let keyring = Keyring::after(tickets);
    let (keyring, problems) = keyring.renewed(config, occasion, runtime::wall_clock());
    let (errors, doubts): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| prevents(problem, occasion));
    for doubt in &doubts {
        tracing::warn!("{doubt}");
    }
    match errors.is_empty() {
        true => Ok(keyring),
        false => Err(refused(&problem::report(&errors, &file.places, &file.sources))),
    }
}
