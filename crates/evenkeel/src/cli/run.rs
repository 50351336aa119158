//! `evenkeel run`: from a file, a directory or `--to` to a process that serves until a signal ends
//! it. Serving itself is the supervisor's.

use std::num::NonZeroU32;
use std::path::PathBuf;

use evenkeel_config::model::LogFormat;

use super::{LogArguments, check};
use crate::admin::Living;
use crate::control::intent::CommandLine;
use crate::control::origin::Origin;
use crate::failure::{Exit, Failure};
use crate::log::process;
use crate::supervisor::{self, Start};
use crate::upgrade::{self, Inherited};
use crate::{signals, sources, systemd};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without -c and --to, ./evenkeel.yaml and then /etc/evenkeel/evenkeel.yaml is read.

Signals:
  SIGTERM, SIGINT  finish what is in progress, then end; a second one ends at once
  SIGHUP           read the configuration again and take over what differs
  SIGUSR1          open access log files again, after they were moved away
  SIGUSR2          hand over to a new process, started from the same file, without a failed request")]
pub(crate) struct Arguments {
    /// The configuration: a file, a directory of files, or `-` for standard input
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "to")]
    config: Option<PathBuf>,
    /// Where to listen when servers are given with --to
    #[arg(long, value_name = "ADDRESS", requires = "to", default_value = "127.0.0.1:8080")]
    listen: String,
    /// A server, instead of a configuration; repeat for more
    #[arg(long, value_name = "URL")]
    to: Vec<String>,
    /// Worker threads, one for each core by default
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroU32>,
    /// Log every request on standard output, as text or json
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "text")]
    access_log: Option<process::Format>,
    #[command(flatten)]
    log: LogArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let log = process::start(arguments.log.log_format, &arguments.log.log_level)?;
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture(); // empty unless RUST_BACKTRACE asks
        tracing::error!("{panic}\n{backtrace}");
    }));
    let ended = serve(arguments);
    drop(log); // after the last line
    ended
}

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let given = systemd::sockets();
    let (succession, mut inherited) = match upgrade::begin()? {
        Some((succession, inherited)) => (Some(succession), inherited),
        None => (None, Inherited::from_activation(given)),
    };
    let (events, inbox) = supervisor::events();
    let deliver = events.clone();
    signals::listen(move |request| deliver.request(request))
        .map_err(|e| Failure::new(Exit::Runtime, format!("cannot wait for signals: {e}")))?;
    let considered = succession.as_ref().map_or(Ok(()), upgrade::Succession::consider);
    let carried = succession.as_ref().map(|succession| succession.carried.clone());
    let prepared = considered.and_then(|()| begin(arguments, carried)).and_then(|start| {
        check::print_warnings(&start.warnings);
        supervisor::start(start, events.clone(), &mut inherited)
    });
    let running = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            if let Some(succession) = succession {
                succession.refuse(failure.text());
            }
            return Err(failure);
        }
    };
    inherited.close();
    let tether = match succession {
        Some(mut succession) => {
            succession.ready(running.socket_count())?;
            running.accept()?;
            Some(succession.serving(move || events.in_charge()))
        }
        None => {
            running.accept()?;
            running.open_admin(Living::Stays);
            systemd::ready(&running.status());
            None
        }
    };
    running.keep_alive();
    running.watch(&inbox, tether)
}

/// The configuration, with what the command line says about it.
fn begin(arguments: &Arguments, carried: Option<serde_json::Value>) -> Result<Start, Failure> {
    let command_line = CommandLine {
        workers: arguments.workers,
        access_log: arguments.access_log.map(|format| match format {
            process::Format::Text => LogFormat::Text,
            process::Format::Json => LogFormat::Json,
        }),
    };
    Start::of(origin(arguments)?, command_line, carried)
}

fn origin(arguments: &Arguments) -> Result<Origin, Failure> {
    if !arguments.to.is_empty() {
        let targets: Vec<&str> = arguments.to.iter().map(String::as_str).collect();
        let source = evenkeel_config::source_of_targets(&arguments.listen, &targets);
        return Ok(Origin::Text(vec![source]));
    }
    Ok(Origin::Path(match &arguments.config {
        Some(path) => path.clone(),
        None => sources::find()?,
    }))
}
