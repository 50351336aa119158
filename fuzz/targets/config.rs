//! Runs the property `config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::config::check(input));
