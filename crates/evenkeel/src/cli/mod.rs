//! The command line: its grammar and which command it leads to. What a command does is in the
//! file of its name.

mod cache;
mod cert;
mod check;
mod client;
mod kernel;
mod order;
mod run;
mod status;
mod table;

use std::path::PathBuf;

pub(crate) use self::check::refused;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::failure::{EXIT_CODES, Failure};
use crate::log::process::Format;
use crate::{demo, terminal};

/// A layer 7 load balancer: safe defaults, one file, errors that say what to do.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Balance requests until a signal ends it
    Run(run::Arguments),
    /// Say whether a configuration is right: every mistake at once, each with its place
    Check(check::Arguments),
    /// Three servers, a load balancer and some traffic, to look at
    Demo(demo::Arguments),
    /// Show what a running process does
    Status(status::Arguments),
    /// Show the servers of a running process, and how they stand
    Servers(status::ServersArguments),
    /// Send nothing new to a server, a pool, a listener or the process
    Drain(order::DrainArguments),
    /// End a drain: send requests again
    Enable(order::TargetArguments),
    /// Send nothing at all to a server or a pool
    Disable(order::TargetArguments),
    /// Change a server's share
    Weight(order::WeightArguments),
    /// Let a running process read its configuration again, and say what changed or what is wrong
    Reload(order::ReloadArguments),
    /// Go back to an earlier version of the configuration
    Rollback(order::RollbackArguments),
    /// Hand the sockets over to a new process, without losing a request
    Upgrade(order::UpgradeArguments),
    /// Show what caches hold, or have them forget
    #[command(subcommand)]
    Cache(cache::Command),
    /// Make certificates to try things with
    #[command(subcommand)]
    Cert(cert::Command),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print the reference of the configuration (docs/configuration.md is made from this)
    #[command(hide = true)]
    Reference,
    /// Print a completion script for a shell
    #[command(after_help = "For bash:  source <(evenkeel completions bash)")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// How the process log is written.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArguments {
    /// How the process log (on standard error) is written
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    log_format: Format,
    /// What the process log tells: error, warn, info, debug, or a filter like `evenkeel_proxy=debug`
    #[arg(long, env = "EVENKEEL_LOG", default_value = "info", value_name = "LEVEL")]
    log_level: String,
}

/// Where a configuration is read from.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgument {
    /// A file, a directory of files, or `-` for standard input
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
}

/// Does what the command line asks.
pub(crate) fn run() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Servers(arguments) => status::servers(&arguments),
        Command::Drain(arguments) => order::drain(&arguments),
        Command::Enable(arguments) => order::enable(&arguments),
        Command::Disable(arguments) => order::disable(&arguments),
        Command::Weight(arguments) => order::weight(&arguments),
        Command::Reload(arguments) => order::reload(&arguments),
        Command::Rollback(arguments) => order::rollback(&arguments),
        Command::Upgrade(arguments) => order::upgrade(&arguments),
        Command::Cache(command) => cache::run(&command),
        Command::Cert(command) => cert::run(&command),
        Command::Schema => {
            terminal::print(&format!("{:#}", evenkeel_config::schema()));
            Ok(())
        }
        Command::Reference => {
            terminal::print(&evenkeel_config::reference());
            Ok(())
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "evenkeel", &mut script);
            terminal::print(&String::from_utf8_lossy(&script));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_does_not_contradict_itself() {
        Cli::command().debug_assert();
    }
}
