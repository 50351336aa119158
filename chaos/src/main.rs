//! Starts real processes (Evenkeel, and beside it nginx and HAProxy; servers; clients that retry
//! nothing), does things to them, and prints a row for each scenario: what was lost, and whether that
//! is within the goal. Ends with status 0 only if every goal was met. This file is the command line.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // not the data path
#![forbid(unsafe_code)]

mod backend;
mod balancer;
mod journal;
mod lanes;
mod network;
mod row;
mod scenarios;
mod stage;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use balancer::Kind;
use clap::Parser;
use evenkeel_tools::install::need;
use row::Row;
use scenarios::{ALL, Scenario};
use stage::Stage;

/// What goes wrong in a scenario before there is anything to judge.
type Fault = Box<dyn Error>;

/// Does things to real processes under load, and counts what clients lose.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scenarios, like R1 F4; all by default
    names: Vec<String>,
    /// List the scenarios and their goals
    #[arg(long)]
    list: bool,
    /// A few seconds each: fewer requests, the same goals
    #[arg(long)]
    short: bool,
    /// Let nginx and HAProxy do the scenarios that can be compared, too
    #[arg(long)]
    peers: bool,
    /// How many scenarios at a time; figures are better taken one by one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    lanes: u8,
    /// Multiplies every rate, for machines that are slower or busy
    #[arg(long, default_value_t = 1.0)]
    pace: f64,
    /// Where evenkeel and faultd are; beside this program by default
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Write the results here too, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep configurations and logs
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for scenario in ALL {
            println!("{:4} {}", scenario.name, scenario.goal);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(name) = arguments.names.iter().find(|name| find(name).is_none()) {
        eprintln!("chaos: no scenario {name}: see --list");
        return ExitCode::from(2);
    }
    // Before the network is one without a way out.
    if let Err(error) = install(&arguments) {
        eprintln!("chaos: {error}");
        return ExitCode::from(2);
    }
    if arguments.lanes > 1 {
        return side_by_side(&arguments).unwrap_or_else(|fault| {
            eprintln!("chaos: {fault}");
            ExitCode::from(2)
        });
    }
    if let Some(status) = network::run_apart() {
        return status;
    }
    match run(&arguments) {
        Ok(rows) if rows.iter().any(Row::is_missed) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("chaos: {fault}");
            ExitCode::from(2)
        }
    }
}

fn side_by_side(arguments: &Arguments) -> Result<ExitCode, Fault> {
    let names: Vec<&str> = wanted(arguments).map(|scenario| scenario.name).collect();
    let mut options = vec!["--pace".to_owned(), arguments.pace.to_string()];
    if let Some(binaries) = &arguments.binaries {
        options.extend(["--binaries".to_owned(), binaries.display().to_string()]);
    }
    let flags =
        [(arguments.short, "--short"), (arguments.peers, "--peers"), (arguments.keep, "--keep")];
    options.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| (*flag).to_owned()));
    lanes::run(&names, usize::from(arguments.lanes), &options)
}

/// The scenarios that are asked for.
fn wanted(arguments: &Arguments) -> impl Iterator<Item = &'static Scenario> {
    let is_named = |scenario: &&Scenario| {
        arguments.names.iter().any(|name| scenario.name.eq_ignore_ascii_case(name))
    };
    ALL.iter().filter(move |scenario| arguments.names.is_empty() || is_named(scenario))
}

fn install(arguments: &Arguments) -> std::io::Result<()> {
    if network::is_apart() {
        return Ok(());
    }
    // Without it the scenario that needs it is skipped.
    let _ = need("nft", "nftables");
    if arguments.peers {
        need("nginx", "nginx")?;
        need("haproxy", "haproxy")?;
    }
    Ok(())
}

fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name.eq_ignore_ascii_case(name))
}

fn run(arguments: &Arguments) -> Result<Vec<Row>, Fault> {
    let mut kinds = vec![Kind::Evenkeel];
    if arguments.peers {
        kinds.extend([Kind::Nginx, Kind::Haproxy]);
    }
    let stage = Stage::new(arguments)?;
    let mut rows = Vec::new();
    row::print_heading();
    for scenario in wanted(arguments) {
        for kind in &kinds {
            if *kind == Kind::Evenkeel || scenario.peers {
                let row = stage.perform(scenario, *kind);
                row.print();
                rows.push(row);
            }
        }
    }
    row::print_end(&rows);
    if let Some(path) = &arguments.json {
        let all: Vec<_> = rows.iter().map(Row::to_json).collect();
        std::fs::write(path, format!("{:#}\n", serde_json::Value::from(all)))?;
    }
    Ok(rows)
}
