//! Which server gets the next request, and why not the others. Pure: every call takes the time,
//! and a pool owns its random numbers, so a seed and a list of events replay a day.
#![forbid(unsafe_code)]

pub mod algorithm;
pub mod pool;
pub mod rng;
pub mod server;

pub use algorithm::Algorithm;
pub use pool::{Lease, Outcome, Pick, Pool, Unavailable};
pub use rng::Rng;
pub use server::{Health, Server, ServerId, ServerSpec, Servers, SharedLoad};

/// The hash of a balancing key: the same on every instance and after every restart.
pub fn hash_key(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
