//! From a pool's configuration to the algorithms that balance it and that keep its clients with a
//! server, and from a request to the keys that these hash.

use std::net::{IpAddr, SocketAddr};

use evenkeel_balancer::{Algorithm, algorithm as make, hash_key};
use evenkeel_config::model::{Balance, HashKey, HashKind, HashTable, Prefix, Sticky};

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

/// The algorithm for requests that have an affinity key, if the pool goes by one.
pub(crate) fn affinity_algorithm(sticky: Option<&Sticky>) -> Option<Box<dyn Algorithm>> {
    match sticky? {
        Sticky::Cookie(_) => None,
        Sticky::Key(_, table) | Sticky::Source(_, table) => Some(hashed(table)),
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
        Balance::IpHash(hash) => Some(hash_network(view.client, hash.prefix)),
        Balance::ConsistentHash(hash) => hash_of(&hash.key, view),
        _ => None,
    }
}

/// The same of a session, which has nothing but its ends: the client's address and port, and ours.
pub(crate) fn connection_key(
    balance: &Balance,
    client: SocketAddr,
    local: SocketAddr,
) -> Option<u64> {
    match balance {
        Balance::IpHash(hash) => Some(hash_network(client.ip(), hash.prefix)),
        Balance::ConsistentHash(hash) => hash_of_ends(&hash.key, client, local),
        _ => None,
    }
}

/// The hash of what a session stays with a server by.
pub(crate) fn connection_affinity(
    sticky: Option<&Sticky>,
    client: SocketAddr,
    local: SocketAddr,
) -> Option<u64> {
    match sticky? {
        Sticky::Cookie(_) => None,
        Sticky::Key(key, _) => hash_of_ends(key, client, local),
        Sticky::Source(prefix, _) => Some(hash_network(client.ip(), *prefix)),
    }
}

fn hash_of_ends(key: &HashKey, client: SocketAddr, local: SocketAddr) -> Option<u64> {
    match key {
        HashKey::ClientIp => Some(hash_network(client.ip(), ALL)),
        HashKey::Connection => {
            let mut bytes = Vec::with_capacity(36);
            for end in [client, local] {
                match end.ip().to_canonical() {
                    IpAddr::V4(v4) => bytes.extend(v4.octets()),
                    IpAddr::V6(v6) => bytes.extend(v6.octets()),
                }
                bytes.extend(end.port().to_be_bytes());
            }
            Some(hash_key(&bytes))
        }
        _ => None,
    }
}

/// The hash of what the client stays with a server by; `None` if by nothing that is hashed, or the
/// request has no such thing.
pub(crate) fn affinity(sticky: Option<&Sticky>, view: &RequestView<'_>) -> Option<u64> {
    match sticky? {
        Sticky::Cookie(_) => None,
        Sticky::Key(key, _) => hash_of(key, view),
        Sticky::Source(prefix, _) => Some(hash_network(view.client, *prefix)),
    }
}

fn hash_of(key: &HashKey, view: &RequestView<'_>) -> Option<u64> {
    match key {
        HashKey::ClientIp => Some(hash_network(view.client, ALL)),
        other => key::balance_key(other, view).map(|bytes| hash_key(&bytes)),
    }
}

/// The whole address.
const ALL: Prefix = Prefix { ipv4: 32, ipv6: 128 };

/// The hash of the network that an address is in; an IPv4 one in an IPv6 one counts as IPv4.
fn hash_network(address: IpAddr, prefix: Prefix) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(prefix.ipv4)));
            hash_key(&(u32::from(v4) & mask.unwrap_or(0)).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix.ipv6)));
            hash_key(&(u128::from(v6) & mask.unwrap_or(0)).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(address: &str, ipv4: u8, ipv6: u8) -> u64 {
        hash_network(address.parse().unwrap(), Prefix { ipv4, ipv6 })
    }

    #[test]
    fn clients_of_one_network_are_one() {
        assert_eq!(hash("192.0.2.1", 24, 64), hash("192.0.2.200", 24, 64));
        assert_ne!(hash("192.0.2.1", 24, 64), hash("192.0.3.1", 24, 64));
        assert_ne!(hash("192.0.2.1", 32, 64), hash("192.0.2.2", 32, 64));
        assert_eq!(hash("2001:db8::1", 32, 64), hash("2001:db8::ffff:0:1", 32, 64));
        assert_ne!(hash("2001:db8:0:1::1", 32, 64), hash("2001:db8:0:2::1", 32, 64));
        assert_ne!(hash("2001:db8::1", 32, 128), hash("2001:db8::2", 32, 128));
        assert_eq!(hash("::ffff:192.0.2.1", 32, 64), hash("192.0.2.1", 32, 128));
        assert_eq!(hash("192.0.2.1", 0, 0), hash("198.51.100.1", 0, 0));
    }

    #[test]
    fn a_whole_address_is_hashed_as_it_always_was() {
        assert_eq!(hash("192.0.2.1", 32, 64), hash_key(&[192, 0, 2, 1]));
    }
}
