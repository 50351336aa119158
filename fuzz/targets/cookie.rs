//! Runs the property `cookie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::cookie::check(input));
