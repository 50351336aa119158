//! `evenkeel run`: from a file, a directory or `--to` to a process that serves until a signal ends
//! it. Serving itself is the supervisor's.

use std::num::NonZeroU32;
use std::path::PathBuf;

use evenkeel_config::model::{AccessLog, LogFormat, LogTarget, Policy, PolicyId, PolicyKind};
use evenkeel_config::{Config, Loaded};

use super::{LogArguments, check};
use crate::failure::{Exit, Failure};
use crate::log::process;
use crate::upgrade::{self, Inherited};
use crate::{signals, sources, supervisor, systemd};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without -c and --to, ./evenkeel.yaml and then /etc/evenkeel/evenkeel.yaml is read.

Signals:
  SIGTERM, SIGINT  finish what is in progress, then end; a second one ends at once
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
    let prepared = considered.and_then(|()| configure(arguments)).and_then(|config| {
        let running = supervisor::start(&config, events.clone(), &mut inherited)?;
        Ok((config, running))
    });
    let (config, running) = match prepared {
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
            running.accept(&config)?;
            Some(succession.serving(move || events.in_charge()))
        }
        None => {
            running.accept(&config)?;
            systemd::ready(&running.status());
            None
        }
    };
    running.keep_alive();
    running.watch(&inbox, tether)
}

/// The configuration, with what the command line says about it.
fn configure(arguments: &Arguments) -> Result<Config, Failure> {
    let mut config = load(arguments)?;
    if arguments.workers.is_some() {
        config.workers = arguments.workers;
    }
    if let Some(format) = arguments.access_log {
        add_access_log(&mut config, format);
    }
    Ok(config)
}

fn load(arguments: &Arguments) -> Result<Config, Failure> {
    if !arguments.to.is_empty() {
        let targets: Vec<&str> = arguments.to.iter().map(String::as_str).collect();
        let config = evenkeel_config::from_targets(&arguments.listen, &targets);
        return config.map_err(|report| check::refused(&report));
    }
    let path = match &arguments.config {
        Some(path) => path.clone(),
        None => sources::find()?,
    };
    let sources = sources::read(&path)?;
    let loaded = evenkeel_config::load(&sources, &|name| std::env::var(name).ok());
    let Loaded { config, warnings, .. } = loaded.map_err(|report| check::refused(&report))?;
    check::print_warnings(&warnings);
    Ok(config)
}

/// Gives every listener that has no access log one on standard output.
fn add_access_log(config: &mut Config, format: process::Format) {
    let format = match format {
        process::Format::Text => LogFormat::Text,
        process::Format::Json => LogFormat::Json,
    };
    let is_log = |policy: &Policy| matches!(policy.kind, PolicyKind::AccessLog(_));
    let logs: Vec<bool> = config.policies.iter().map(is_log).collect();
    let added = PolicyId(u32::try_from(config.policies.len()).unwrap_or(u32::MAX));
    let kind = PolicyKind::AccessLog(AccessLog { format, to: LogTarget::Stdout, sample: 1.0 });
    config.policies.push(Policy { name: "--access-log".into(), kind });
    for listener in &mut config.listeners {
        let is_logged = |id: &PolicyId| logs.get(id.0 as usize).copied().unwrap_or(false);
        if !listener.policies.iter().any(is_logged) {
            listener.policies.push(added);
        }
    }
}
