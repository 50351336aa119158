//! Runs the property `exchange_boundaries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::exchange_boundaries::check(input));
