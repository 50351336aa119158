//! The rules of the house that a compiler does not know, checked: which crate may use which, and
//! what every source file has. A new arrow is a decision, so it is made here first.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Crate of ours, where it is, and those of ours it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("crates/config", &[]),
    ("crates/codec", &[]),
    ("crates/balancer", &[]),
    ("crates/runtime", &[]),
    ("crates/proxy", &["config", "codec", "balancer", "runtime"]),
    ("crates/evenkeel", &["config", "codec", "balancer", "runtime", "proxy"]),
    ("crates/sim", &["balancer", "config", "codec", "proxy", "runtime"]),
    ("tools", &[]),
    ("bench", &["config", "codec", "balancer", "runtime", "proxy", "tools"]),
    ("chaos", &["tools"]),
    ("fuzz/properties", &["config", "codec"]),
];

/// Crates of ours that tests may use besides: the tools share no code with what they test, and what
/// reads a proxy's output for `fuzz` shares none with the codec.
const TESTS_MAY_USE: &[&str] = &["tools", "fuzz"];

/// Crates of others that only these of ours may use: what does I/O, blocks or draws.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tokio", &["crates/runtime", "crates/evenkeel", "tools", "bench", "chaos"]),
    ("libc", &["crates/runtime"]),
    ("rustix", &["crates/runtime", "bench"]),
    ("signal-hook", &["crates/evenkeel"]),
    ("tracing-subscriber", &["crates/evenkeel"]),
    ("ratatui", &["crates/evenkeel"]),
    ("axum", &["crates/evenkeel"]),
    ("hyper", &["crates/evenkeel"]),
    ("rustls", &["crates/proxy", "crates/evenkeel", "tools", "bench"]),
    ("h2", &["crates/proxy", "tools"]),
    ("h3", &["crates/proxy", "tools"]),
    ("quinn", &["crates/proxy", "tools"]),
    ("qpack", &["crates/proxy"]),
    ("jsonwebtoken", &["crates/proxy"]),
    ("maxminddb", &["crates/proxy"]),
    ("argon2", &["crates/evenkeel"]),
    ("bcrypt", &["crates/evenkeel"]),
    ("brotli", &["crates/proxy"]),
    ("flate2", &["crates/proxy"]),
    ("zstd", &["crates/proxy"]),
    ("instant-acme", &["crates/evenkeel"]),
    ("redis", &["crates/evenkeel"]),
    ("hickory-resolver", &["crates/evenkeel"]),
    ("notify", &["crates/evenkeel"]),
    ("clap", &["crates/evenkeel", "crates/sim", "tools", "bench", "chaos"]),
];

/// Where `unsafe` is impossible, not only denied.
const FORBID_UNSAFE: &[&str] = &[
    "crates/config/src/lib.rs",
    "crates/codec/src/lib.rs",
    "crates/balancer/src/lib.rs",
    "crates/proxy/src/lib.rs",
    "crates/sim/src/lib.rs",
    "crates/evenkeel/src/main.rs",
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "manager"];

/// A file beyond this is two ideas; its tests may be as long again.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Dependencies of a manifest: those that ship, and those of tests only.
fn dependencies(manifest: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut shipped, mut tests) = (Vec::new(), Vec::new());
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some(name) = line.split(['.', ' ', '=']).next().filter(|n| !n.is_empty()) {
            match section {
                _ if name.starts_with('#') => {}
                "[dev-dependencies]" => tests.push(name),
                _ if section.ends_with("dependencies]") => shipped.push(name),
                _ => {}
            }
        }
    }
    (shipped, tests)
}

#[test]
fn crates_use_only_what_they_may() {
    for (place, may_use) in MAY_USE {
        let manifest = read(&root().join(place).join("Cargo.toml"));
        let (shipped, tests) = dependencies(&manifest);
        for used in shipped.iter().filter_map(|name| name.strip_prefix("evenkeel-")) {
            assert!(may_use.contains(&used), "{place} may not use {used}");
        }
        for used in tests.iter().filter_map(|name| name.strip_prefix("evenkeel-")) {
            let may = may_use.contains(&used) || TESTS_MAY_USE.contains(&used);
            assert!(may, "{place} may not use {used}, not even in tests");
        }
        for (name, only_in) in ONLY_IN {
            let uses = shipped.contains(name);
            assert!(!uses || only_in.contains(place), "{place} may not use {name}");
        }
    }
}

#[test]
fn every_crate_is_in_the_table() {
    for entry in fs::read_dir(root().join("crates")).unwrap().flatten() {
        let place = format!("crates/{}", entry.file_name().to_string_lossy());
        assert!(MAY_USE.iter().any(|(listed, _)| *listed == place), "{place} is not in the table");
    }
}

/// Features for tests alone: a simulated world, and known bugs put back. Only [`SIMULATION`] may
/// ask for them, and nobody may use it.
const TEST_FEATURES: &[&str] = &["\"sim\"", "\"plant\""];
const SIMULATION: &str = "crates/sim";

#[test]
fn nothing_that_ships_can_be_simulated_or_have_a_bug_put_back() {
    for (place, may_use) in MAY_USE.iter().filter(|(place, _)| *place != SIMULATION) {
        let manifest = read(&root().join(place).join("Cargo.toml"));
        for feature in TEST_FEATURES {
            assert!(!manifest.contains(feature), "{place} asks for {feature}");
        }
        assert!(!may_use.contains(&"sim") && !manifest.contains("evenkeel-sim"), "{place}");
    }
}

#[test]
fn nothing_that_ships_can_be_asked_to_fail() {
    for (place, _) in MAY_USE {
        let manifest = read(&root().join(place).join("Cargo.toml"));
        let asks = manifest.lines().filter(|line| line.contains("fault-injection"));
        for line in asks.filter(|line| !line.starts_with('#')) {
            let declares = line.starts_with("fault-injection = ");
            assert!(declares, "{place} turns fault-injection on: {line}");
        }
    }
}

#[test]
fn crates_without_unsafe_say_so() {
    for file in FORBID_UNSAFE {
        let text = read(&root().join(file));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{file}");
    }
}

#[test]
fn every_file_says_what_it_owns_and_is_one_idea_long() {
    let mut files = Vec::new();
    for place in ["crates", "tools", "bench", "chaos", "fuzz"] {
        collect(&root().join(place), &mut files);
    }
    assert!(files.len() > 20, "found only {} files", files.len());
    let complaints: Vec<String> = files.iter().flat_map(|path| complain(path)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn complain(path: &Path) -> Vec<String> {
    let text = read(path);
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    let stem = path.file_stem().unwrap().to_string_lossy();
    let is_test = path.components().any(|c| c.as_os_str() == "tests") || stem == "tests";
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().count();
    let mut complaints = Vec::new();
    if !text.starts_with("//!") {
        complaints.push(format!("{shown} does not begin by saying what it owns"));
    }
    if EMPTY_NAMES.contains(&stem.as_ref()) {
        complaints.push(format!("{shown}: the name says nothing"));
    }
    if lines > LINES_MAX && !is_test {
        complaints.push(format!("{shown} has {lines} lines, more than {LINES_MAX}"));
    }
    for mark in [concat!("TO", "DO"), concat!("FIX", "ME")] {
        if text.contains(mark) {
            complaints.push(format!("{shown} has a {mark}"));
        }
    }
    complaints
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
