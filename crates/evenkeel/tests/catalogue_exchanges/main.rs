//! The attack catalogue, groups F, G, H, I and O: exchanges, connections to servers, hostile
//! servers, identity, resources. A test is named after its row; `docs/reliability.md` has the table
//! and says which rows are proved elsewhere. Where bytes matter they come whole, at every split in
//! two and byte by byte, and each time another client's unique request over the same pool must
//! get its own answer (the canary).
//!
//! Rows that need what does not exist yet: F13, G5, G16, G17, H11, H14, I9 (HTTP/2); H12 and the
//! half of H3 about TLS; H13 (decompression); H15 (rewriting of cookies); H16 (gRPC); I3 and I4
//! (forward auth); I8 (sticky cookies); O10 and O11 (admin interface, metrics). F11 and F5: there
//! is no CONNECT, it is refused. O5 needs a host of its own, whose ports may all be used up. O6 and
//! O7 are in the simulation (`crates/sim`).
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "../support/mod.rs"]
mod support;

mod endless_server;
mod hop_by_hop;
mod hostile_server;
mod identity;
mod large_bodies;
mod pipelining;
mod resources;
mod retries;
mod reuse;
mod stage;
