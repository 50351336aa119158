//! Which server gets the next request, and why not the others. Pure: every call takes the time,
//! and a pool owns its random numbers, so a seed and a list of events replay a day.
#![forbid(unsafe_code)]

pub mod algorithm;
mod breaker;
mod eligible;
mod gate;
mod gradient;
pub mod health;
mod hedge;
mod lease;
pub mod limit;
mod outlier;
pub mod pool;
mod retry_budget;
pub mod rng;
pub mod rules;
pub mod server;
pub mod sessions;
mod slow_start;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod verdict;
mod window;

pub use algorithm::Algorithm;
pub use gate::Passage;
pub use lease::Lease;
pub use pool::{Pick, Pool, Unavailable};
pub use rng::Rng;
pub use rules::{Adaptive, Breaker, Budget, FailureRate, Limits, Outlier, Rules};
pub use server::{Server, ServerId, ServerSpec, Servers};
pub use sessions::{SessionId, SessionLimits, Sessions};
pub use standing::{Admin, Check, Connection, SharedPool, SharedServer, Standing, Waiting};
pub use verdict::{FailureKind, Outcome};

/// The hash of a balancing key: the same on every instance and after every restart.
pub fn hash_key(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
