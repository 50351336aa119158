//! TLS at listeners, end to end: real files, real sockets, a real client's library. Catalogue group L
//! (`docs/reliability.md` has the table): a test is named after its row.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers
#![allow(unreachable_pub, missing_docs)] // a test has no users

#[path = "../support/mod.rs"]
mod support;

mod authority;
mod check;
mod client;
mod handshake;
mod mutual;
mod renewal;
mod resumption;
mod to_https;
