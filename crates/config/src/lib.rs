//! Text in, [`Config`] out, or every mistake at once with the place it was written.
#![forbid(unsafe_code)]

pub mod model;

pub use model::Config;
