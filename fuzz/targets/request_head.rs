//! Runs the property `request_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::request_head::check(input));
