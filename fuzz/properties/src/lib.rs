//! What holds for every input, as functions that panic where it does not. The fuzzer's targets call
//! them, and so does an ordinary test over the corpora and over seeded mutations of them.
#![forbid(unsafe_code)]

pub mod chunked;
pub mod config;
pub mod cookie;
pub mod exchange_boundaries;
pub mod h3;
pub mod host;
pub mod mutate;
pub mod path;
pub mod reference;
pub mod request_head;
pub mod response_head;
pub mod stream;
pub mod traffic;

/// A property: panics if it does not hold for this input.
pub type Property = fn(&[u8]);

/// Every target by its name, which is also its corpus's.
pub const TARGETS: &[(&str, Property)] = &[
    ("chunked", chunked::check),
    ("config", config::check),
    ("cookie", cookie::check),
    ("exchange_boundaries", exchange_boundaries::check),
    ("h3", h3::check),
    ("host", host::check),
    ("path", path::check),
    ("request_head", request_head::check),
    ("response_head", response_head::check),
];
