//! Instructions of the parts of a request's path, counted by valgrind's callgrind, which gives the
//! same number on every run: beside those recorded in `bench/instructions.json`, and a failure if
//! one grew by more than 3 %. `instructions [--record]`; `instructions case NAME` is the part that
//! runs under valgrind.
#![allow(clippy::disallowed_methods)] // not the data path

mod cases;

use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Map, Value, json};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");
/// How often a case is repeated; what is printed is for one.
const ROUNDS: usize = 500;
/// Growth that is let pass.
const GROWTH_MAX: f64 = 0.03;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        [] => compare(),
        ["--record"] => record(),
        ["case", name] => run(name),
        _ => Err(io::Error::other("usage: instructions [--record]")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one case; under valgrind.
fn run(name: &str) -> io::Result<bool> {
    let case = cases::all().into_iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| io::Error::other(format!("no case {name}")))?;
    let mut work = (case.prepare)();
    work(); // whatever is only done once is done
    repeat_and_count(&mut *work);
    Ok(true)
}

/// What is counted.
#[inline(never)]
fn repeat_and_count(work: &mut dyn FnMut()) {
    for _ in 0..ROUNDS {
        black_box(&mut *work)();
    }
}

/// Prints a line for each case; `false` if one grew too much.
fn compare() -> io::Result<bool> {
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(RECORDED)?)?;
    let compiler = compiler();
    if recorded.get("compiler") != Some(&json!(compiler)) {
        println!("recorded with {}, now {compiler}", recorded["compiler"]);
    }
    let mut grew = Vec::new();
    println!("{:<32} {:>10} {:>10} {:>9}", "instructions for one", "recorded", "now", "change");
    for case in cases::all() {
        let now = count(&case.name)?;
        let Some(old) = recorded["instructions"].get(&case.name).and_then(Value::as_f64) else {
            println!("{:<32} {:>10} {now:>10.1} {:>9}", case.name, "-", "new");
            continue;
        };
        let change = now / old - 1.0;
        println!("{:<32} {old:>10.1} {now:>10.1} {:>+7.1} %", case.name, change * 100.0);
        if change > GROWTH_MAX {
            grew.push(case.name);
        }
    }
    if !grew.is_empty() {
        println!("grew by more than {:.0} %: {}", GROWTH_MAX * 100.0, grew.join(", "));
        println!("`make instructions RECORD=1` accepts it");
    }
    Ok(grew.is_empty())
}

/// Writes the counts down.
fn record() -> io::Result<bool> {
    let mut counts = Map::new();
    for case in cases::all() {
        let now = count(&case.name)?;
        println!("{:<32} {now:>10.1}", case.name);
        counts.insert(case.name, json!(now));
    }
    let all = json!({ "compiler": compiler(), "instructions": counts });
    std::fs::write(RECORDED, format!("{all:#}\n"))?;
    Ok(true)
}

/// Instructions for one round, to a tenth.
fn count(case: &str) -> io::Result<f64> {
    let file: PathBuf = std::env::temp_dir().join(format!("instructions.{}", std::process::id()));
    let status = Command::new("valgrind")
        // What is in the environment moves the stack.
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg("--toggle-collect=*repeat_and_count*")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["case", case])
        .status()
        .map_err(|error| io::Error::other(format!("valgrind: {error}")))?;
    let total = if status.success() { total(&file)? } else { None };
    let _ = std::fs::remove_file(&file);
    match total {
        Some(total) if total > 0 => Ok((total as f64 / ROUNDS as f64 * 10.0).round() / 10.0),
        _ => Err(io::Error::other(format!("valgrind counted nothing for {case}"))),
    }
}

fn total(file: &Path) -> io::Result<Option<u64>> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary: "));
    Ok(line.and_then(|total| total.trim().parse().ok()))
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).trim().to_owned()
}
