//! The data plane. A request's path, in order:
//!
//! 1. [`listener`] accepts a connection, or hands it to a less busy worker.
//! 2. `http::downstream` turns its bytes into exchanges.
//! 3. `http::exchange` serves one exchange: **start reading here**. It calls, in this order,
//! 4. [`route`]: which route,
//! 5. [`policy`]: what is changed on the way,
//! 6. `evenkeel_balancer::Pool`: which server,
//! 7. `http::upstream`: there and back on one connection,
//! 8. [`access_log`]: one line about it.
//!
//! Settings are shared and never change ([`snapshot`]); state belongs to one thread ([`worker`],
//! [`generation`]); the few numbers that workers share are in [`shared`].
#![forbid(unsafe_code)]

pub mod access_log;
mod balance;
mod buffer;
mod channel;
#[cfg(feature = "compression")]
mod coding;
mod connection;
pub mod counters;
pub mod failure;
pub mod generation;
mod http;
mod layer4;
pub mod listener;
pub mod policy;
mod proxy_header;
pub mod route;
mod rules;
pub mod services;
pub mod shared;
pub mod snapshot;
pub mod tls;
pub mod worker;

pub use http::affinity::{continue_process_key, process_key};
