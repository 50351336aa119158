//! What `check` says about the files that a configuration names.

use evenkeel_config::{Config, Diagnostic, Places};
use evenkeel_runtime as runtime;

use super::keyring::{Keyring, Occasion};

/// Everything that is wrong with the files, as if the process started with them now.
pub(crate) fn inspect(config: &Config, places: &Places) -> Vec<Diagnostic> {
    let (_, problems) = Keyring::default().renewed(config, Occasion::Start, runtime::wall_clock());
    problems.iter().map(|problem| problem.diagnostic(places)).collect()
}
