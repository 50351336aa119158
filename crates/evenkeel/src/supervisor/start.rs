//! With what a process starts: the configuration as it is read, and what was told or learned before by
//! whoever it succeeds. Owns the order in which these count; starting is the supervisor's.

use evenkeel_config::{Config, Report};
use serde_json::Value;

use crate::certs::OwnTickets;
use crate::cli::refused;
use crate::control::carried::{Carried, Known};
use crate::control::intent::CommandLine;
use crate::control::origin::Origin;
use crate::control::past::Past;
use crate::control::state::{self, Pinned, Text};
use crate::control::wanted::{File, Wanted};
use crate::failure::{Exit, Failure};

/// With what a process starts.
pub(crate) struct Start {
    pub(crate) origin: Origin,
    pub(crate) wanted: Wanted,
    pub(crate) pinned: Option<Pinned>,
    /// What that comes to.
    pub(crate) config: Config,
    /// What a predecessor knew of servers.
    pub(super) known: Vec<Known>,
    /// Keys of tickets that a predecessor made.
    pub(super) tickets: Vec<OwnTickets>,
    /// What is doubtful about the file.
    pub(crate) warnings: Report,
    /// Said once there is a log.
    pub(super) complaint: Option<String>,
}

impl Start {
    /// Reads the configuration, and what was changed at runtime before: what a predecessor carries
    /// over, else what `admin.state` keeps.
    pub(crate) fn of(
        origin: Origin,
        command_line: CommandLine,
        carried: Option<Value>,
    ) -> Result<Self, Failure> {
        let sources = origin.read()?;
        let (mut file, mut warnings) = File::read(sources).map_err(|report| refused(&report))?;
        let mut complaint = None;
        // What was changed at runtime would be lost: then rather no upgrade.
        let carried = carried.filter(|value| !value.is_null());
        let carried = carried.map(serde_json::from_value::<Carried>);
        let carried = carried.transpose().map_err(|e| {
            let message =
                format!("cannot understand what the old process was told at runtime: {e}");
            Failure::new(Exit::Runtime, message).with_help("restart instead of upgrading")
        })?;
        let (mut known, mut tickets, mut past) = <(Vec<_>, Vec<_>, Past)>::default();
        let carried = carried.map(|carried| {
            (known, tickets, past) = (carried.servers, carried.tickets, carried.past);
            carried.kept
        });
        let kept = match (carried, &file.config.admin.state) {
            (Some(carried), _) => Some(carried),
            (None, Some(path)) => state::read(path).unwrap_or_else(|why| {
                complaint = Some(why);
                None
            }),
            (None, None) => None,
        };
        let kept = kept.unwrap_or_default();
        let is_instead = |pinned: &Pinned| pinned.instead_of == Text::all(&file.sources);
        let pinned = kept.pinned.filter(is_instead);
        if let Some(pinned) = &pinned
            && let Ok((earlier, doubts)) = File::read(Text::sources(&pinned.serves))
        {
            (file, warnings) = (earlier, doubts);
        }
        let version = kept.version + 1;
        let (mut wanted, config) = Wanted::new(file, kept.overlay, version, command_line);
        wanted.history = past.before(version);
        let start = Self::new(origin, wanted, config);
        Ok(Self { pinned, known, tickets, warnings, complaint, ..start })
    }

    /// With this and nothing else.
    pub(crate) fn new(origin: Origin, wanted: Wanted, config: Config) -> Self {
        let (known, tickets, warnings) = (Vec::new(), Vec::new(), Report::default());
        Self { origin, wanted, pinned: None, config, known, tickets, warnings, complaint: None }
    }
}
