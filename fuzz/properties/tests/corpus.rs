//! Every property over its corpus, and over seeded mutations of it: what the fuzzer has reached once
//! is tried in every build. `EVENKEEL_FUZZ_MUTATIONS` asks for more of them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use properties::mutate::{Random, mutate};
use properties::{Property, TARGETS};

/// Mutations of each target's corpus.
const MUTATIONS: u64 = 4_000;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|e| panic!("{target} has no corpus: {e}"));
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs a property; a failure names the input.
fn hold(target: &str, property: Property, input: &[u8], name: impl Fn() -> String) {
    if catch_unwind(AssertUnwindSafe(|| property(input))).is_err() {
        panic!("{target}, {}: {:?}", name(), String::from_utf8_lossy(input));
    }
}

#[test]
fn every_property_holds_for_its_corpus() {
    for (target, property) in TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() >= 5, "{target} has {} inputs", corpus.len());
        for (path, input) in corpus {
            hold(target, *property, &input, || path.display().to_string());
        }
    }
}

#[test]
fn every_property_holds_for_mutations_of_its_corpus() {
    let wanted = std::env::var("EVENKEEL_FUZZ_MUTATIONS").ok();
    let wanted = wanted.map_or(MUTATIONS, |count| count.parse().unwrap());
    for (target, property) in TARGETS {
        let corpus = corpus(target);
        for seed in 0..wanted {
            let mut random = Random::new(seed);
            let mut input = corpus[random.below(corpus.len())].1.clone();
            mutate(&mut input, &mut random);
            hold(target, *property, &input, || format!("seed {seed}"));
        }
    }
}

#[test]
fn the_boundaries_of_generated_traffic_are_the_same_to_every_reader() {
    let check = properties::exchange_boundaries::check;
    for seed in 0..MUTATIONS {
        let traffic = properties::traffic::generate(seed);
        hold("exchange_boundaries", check, &traffic.bytes, || format!("seed {seed}"));
    }
}

#[test]
fn the_corpora_are_small_enough_to_keep() {
    for (target, _) in TARGETS {
        let bytes: usize = corpus(target).iter().map(|(_, input)| input.len()).sum();
        assert!(bytes < 100_000, "{target}: {bytes} bytes");
    }
}
