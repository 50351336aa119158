//! Lets worlds happen and tells what went wrong in them.
#![allow(clippy::disallowed_methods)] // measures how fast it is

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use clap::Parser;
use evenkeel_sim::plant::Bug;
use evenkeel_sim::{Kind, Outcome, Wish, simulate};

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
    /// Only worlds of this kind: calm, rough, hostile, change, storm or sick
    #[arg(long)]
    kind: Option<String>,
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
        let planted = arguments.planted.as_deref().and_then(named);
        let wish = Wish { planted, keep_trace: arguments.trace, ..arguments.wish() };
        let outcome = simulate(seed, wish);
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

impl Arguments {
    fn wish(&self) -> Wish {
        Wish { kind: self.kind.as_deref().and_then(Kind::named), ..Wish::default() }
    }
}

fn named(name: &str) -> Option<Bug> {
    Bug::ALL.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug)
}

/// Each bug until it is noticed.
fn planted(arguments: &Arguments, name: &str) -> ExitCode {
    let chosen: Vec<_> =
        Bug::ALL.iter().filter(|(known, _)| name == "all" || name == *known).collect();
    let next = AtomicUsize::new(0);
    let noticed = AtomicUsize::new(0);
    let work = || {
        while let Some((known, bug)) = chosen.get(next.fetch_add(1, Relaxed)) {
            let wish = Wish { planted: Some(*bug), ..arguments.wish() };
            let outcome = (arguments.from..arguments.from + arguments.seeds)
                .map(|seed| simulate(seed, wish))
                .find(|outcome| outcome.objection.is_some());
            match outcome {
                Some(Outcome { seed, objection: Some(objection), .. }) => {
                    noticed.fetch_add(1, Relaxed);
                    println!("{known:32} noticed in world {seed:4}: {objection}");
                }
                _ => println!("{known:32} NOT NOTICED in {} worlds", arguments.seeds),
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let (count, noticed) = (chosen.len(), noticed.into_inner());
    println!("{noticed} of {count} planted bugs were noticed");
    // One in twenty may slip through here, if fuzzing finds it.
    ExitCode::from(u8::from(count == 0 || (count - noticed) * 20 > count))
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
            let mut outcome = simulate(seed, arguments.wish());
            if arguments.twice && simulate(seed, arguments.wish()).trace != outcome.trace {
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
