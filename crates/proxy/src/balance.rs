//! From a pool's configuration to the algorithm that balances it, and from a request to the key
//! that is hashed.

use std::net::IpAddr;

use evenkeel_balancer::{Algorithm, algorithm as make, hash_key};
use evenkeel_config::model::{Balance, HashKey, HashKind, HashTable};

use crate::route::{RequestView, key};

/// The algorithm for one pool and one worker.
pub(crate) fn algorithm(balance: &Balance) -> Box<dyn Algorithm> {
    match balance {
        Balance::RoundRobin => Box::new(make::RoundRobin::default()),
        Balance::WeightedRoundRobin => Box::new(make::WeightedRoundRobin::default()),
        Balance::LeastConnections => Box::new(make::LeastConnections),
        Balance::Random => Box::new(make::Random::default()),
        Balance::PowerOfTwo => Box::new(make::PowerOfTwo),
        Balance::PeakEwma(settings) => {
            Box::new(make::PeakEwma::new(settings.decay, settings.failure_penalty))
        }
        Balance::IpHash(hash) => hashed(&hash.table),
        Balance::ConsistentHash(hash) => hashed(&hash.table),
    }
}

fn hashed(table: &HashTable) -> Box<dyn Algorithm> {
    match table.kind {
        HashKind::Ring => Box::new(make::RingHash::new(table.bounded_load)),
        HashKind::Maglev => Box::new(make::Maglev::new(table.bounded_load)),
    }
}

/// The hash of what the pool's algorithm goes by; `None` if it goes by nothing, or the request has
/// no such thing.
pub(crate) fn key(balance: &Balance, view: &RequestView<'_>) -> Option<u64> {
    match balance {
        Balance::IpHash(_) => Some(hash_address(view.client)),
        Balance::ConsistentHash(hash) => match &hash.key {
            HashKey::ClientIp => Some(hash_address(view.client)),
            other => key::balance_key(other, view).map(|bytes| hash_key(&bytes)),
        },
        _ => None,
    }
}

fn hash_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => hash_key(&v4.octets()),
        IpAddr::V6(v6) => hash_key(&v6.octets()),
    }
}
