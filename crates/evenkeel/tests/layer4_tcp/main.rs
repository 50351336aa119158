//! Connections that are not HTTP, end to end: real sockets, servers that are scripted.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers
#![allow(unreachable_pub, missing_docs)] // a test has no users

#[path = "../support/mod.rs"]
mod support;

mod first_bytes;
mod many;
mod proxy_protocol;
mod relay;
mod secure;
mod server;
mod source;
