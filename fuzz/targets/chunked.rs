//! Runs the property `chunked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::chunked::check(input));
