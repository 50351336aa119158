//! Runs the property `response_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::response_head::check(input));
