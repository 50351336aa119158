//! Runs the property `h3`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::h3::check(input));
