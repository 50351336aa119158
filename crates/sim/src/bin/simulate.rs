//! Lets worlds happen and tells what went wrong in them.
#![allow(clippy::disallowed_methods)] // measures how fast it is

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use clap::Parser;
use evenkeel_sim::plant::Bug;
use evenkeel_sim::{Outcome, Wish, simulate};

/// Runs the data plane in simulated worlds.
#[derive(Debug, Parser)]
struct Arguments {
    /// One world only
    #[arg(long)]
    seed: Option<u64>,
    /// How many worlds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Print all that happens in the one world
    #[arg(long)]
    trace: bool,
    /// Run each world twice and compare the traces
    #[arg(long)]
    twice: bool,
    /// Put known bugs back, one at a time, and see which are noticed within so many worlds; one by
    /// name, or `all`
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        let outcome = simulate(seed, Wish { keep_trace: arguments.trace, ..Wish::default() });
        for line in &outcome.lines {
            println!("{line}");
        }
        println!("{outcome:#?}");
        return ExitCode::from(u8::from(outcome.objection.is_some()));
    }
    match &arguments.planted {
        Some(name) => planted(&arguments, name),
        None => many(&arguments),
    }
}

/// Each bug until it is noticed.
fn planted(arguments: &Arguments, name: &str) -> ExitCode {
    let mut missed = 0;
    let chosen = Bug::ALL.iter().filter(|(known, _)| name == "all" || name == *known);
    let mut count = 0;
    for (known, bug) in chosen {
        count += 1;
        let wish = Wish { planted: Some(*bug), ..Wish::default() };
        let noticed = (arguments.from..arguments.from + arguments.seeds)
            .map(|seed| simulate(seed, wish))
            .find(|outcome| outcome.objection.is_some());
        match noticed {
            Some(Outcome { seed, objection: Some(objection), .. }) => {
                println!("{known:32} noticed in world {seed:4}: {objection}");
            }
            _ => {
                missed += 1;
                println!("{known:32} NOT NOTICED in {} worlds", arguments.seeds);
            }
        }
    }
    println!("{} of {count} planted bugs were noticed", count - missed);
    // One in twenty may slip through here, if fuzzing finds it.
    ExitCode::from(u8::from(count == 0 || missed * 20 > count))
}

fn many(arguments: &Arguments) -> ExitCode {
    let begun = Instant::now();
    let end = arguments.from + arguments.seeds;
    let next = AtomicU64::new(arguments.from);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                return done;
            }
            let mut outcome = simulate(seed, Wish::default());
            if arguments.twice && simulate(seed, Wish::default()).trace != outcome.trace {
                outcome.objection = Some("the second time was different".into());
            }
            outcome.lines.clear();
            if let Some(objection) = &outcome.objection {
                println!("seed {seed} ({:?}): {objection}", outcome.kind);
            }
            done.push(outcome);
        }
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            outcomes.extend(thread.join().unwrap_or_default());
        }
    });
    summary(&outcomes, begun.elapsed().as_secs_f64())
}

fn summary(outcomes: &[Outcome], seconds: f64) -> ExitCode {
    let bad = outcomes.iter().filter(|outcome| outcome.objection.is_some()).count();
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let lived: f64 = outcomes.iter().map(|outcome| outcome.elapsed.as_secs_f64()).sum();
    println!(
        "{} worlds, {bad} with a broken promise; {} steps, {} answered, {} refused by the proxy, {} cut, {} executed; {lived:.0} s of their time in {seconds:.0} s",
        outcomes.len(),
        sum(|o| o.steps),
        sum(|o| o.tally.answered),
        sum(|o| o.tally.failed),
        sum(|o| o.tally.broken),
        sum(|o| o.tally.executions),
    );
    ExitCode::from(u8::from(bad > 0))
}
