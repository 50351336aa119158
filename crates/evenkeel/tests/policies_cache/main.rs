//! The policy `cache`, end to end, with a server that counts what it is asked. The rules themselves are
//! tested one by one in `codec/src/caching`; here is what clients and servers see of them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[cfg(feature = "http3")]
#[path = "../support/quic.rs"]
mod quic;
#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod rules;
mod stage;
mod together;
mod versions;
