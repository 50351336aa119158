//! The client's side, one file for each version of HTTP.

pub(crate) mod h1;
