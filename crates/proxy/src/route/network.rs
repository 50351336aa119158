//! Client networks: a list of any length is asked in logarithmic time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Addresses as ranges, sorted and apart from each other.
pub(crate) struct Networks {
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl Networks {
    pub(crate) fn compile(list: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in list {
            match (network.network(), network.broadcast()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first, last)),
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    // Clients are never seen as IPv4-mapped addresses (RFC 4291 §2.5.5.2).
                    match (first.to_ipv4_mapped(), last.to_ipv4_mapped()) {
                        (Some(first), Some(last)) => v4.push((first, last)),
                        _ => v6.push((first, last)),
                    }
                }
                _ => {} // both ends are of one family
            }
        }
        Self { v4: merge(v4), v6: merge(v6) }
    }

    pub(crate) fn contains(&self, client: IpAddr) -> bool {
        match client.to_canonical() {
            IpAddr::V4(address) => has(&self.v4, address),
            IpAddr::V6(address) => has(&self.v6, address),
        }
    }
}

fn merge<A: Copy + Ord>(mut ranges: Vec<(A, A)>) -> Vec<(A, A)> {
    ranges.sort_unstable();
    let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn has<A: Copy + Ord>(ranges: &[(A, A)], address: A) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    let range = behind.checked_sub(1).and_then(|at| ranges.get(at));
    range.is_some_and(|(_, last)| address <= *last)
}
