//! Networks and what is said of them, flattened into ranges that do not overlap: of tens of thousands,
//! the most specific one that an address is in is found in logarithmic time. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// See the module's head. `T` is what is said.
#[derive(Debug)]
pub(crate) struct NetworkTable<T> {
    v4: Vec<(u128, Option<T>)>,
    v6: Vec<(u128, Option<T>)>,
}

/// A network as numbers, with the length of its prefix.
struct Range<T> {
    first: u128,
    last: u128,
    length: u8,
    says: T,
}

impl<T: Copy> NetworkTable<T> {
    /// Of the same network, the last one counts.
    pub(crate) fn new(networks: impl IntoIterator<Item = (IpNet, T)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, says) in networks {
            let length = network.prefix_len();
            match (network.network(), network.broadcast()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    v4.push(range_4(first, last, length, says))
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    // Clients are never seen as IPv4-mapped addresses (RFC 4291 §2.5.5.2).
                    match (first.to_ipv4_mapped(), last.to_ipv4_mapped()) {
                        (Some(first), Some(last)) => {
                            v4.push(range_4(first, last, length.saturating_sub(96), says));
                        }
                        _ => v6.push(range_6(first, last, length, says)),
                    }
                }
                _ => {} // both ends are of one family
            }
        }
        Self { v4: flatten(v4), v6: flatten(v6) }
    }

    /// What is said of the most specific network that has this address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<T> {
        let (steps, at) = match address.to_canonical() {
            IpAddr::V4(v4) => (&self.v4, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => (&self.v6, u128::from(v6)),
        };
        let behind = steps.partition_point(|(first, _)| *first <= at);
        steps.get(behind.checked_sub(1)?)?.1
    }
}

fn range_4<T>(first: Ipv4Addr, last: Ipv4Addr, length: u8, says: T) -> Range<T> {
    let number = |address: Ipv4Addr| u128::from(u32::from(address));
    Range { first: number(first), last: number(last), length, says }
}

fn range_6<T>(first: Ipv6Addr, last: Ipv6Addr, length: u8, says: T) -> Range<T> {
    Range { first: first.into(), last: last.into(), length, says }
}

/// Networks lie within each other or apart; so whoever has begun last and not ended is the most
/// specific.
fn flatten<T: Copy>(mut ranges: Vec<Range<T>>) -> Vec<(u128, Option<T>)> {
    ranges.sort_by_key(|range| (range.first, range.length));
    let mut steps: Vec<(u128, Option<T>)> = Vec::with_capacity(ranges.len());
    let mut open: Vec<(u128, T)> = Vec::new();
    for range in ranges {
        close(&mut open, Some(range.first), &mut steps);
        step(&mut steps, range.first, Some(range.says));
        open.push((range.last, range.says));
    }
    close(&mut open, None, &mut steps);
    steps
}

/// Ends what ends before `until`.
fn close<T: Copy>(
    open: &mut Vec<(u128, T)>,
    until: Option<u128>,
    steps: &mut Vec<(u128, Option<T>)>,
) {
    while let Some((last, _)) = open.last().copied()
        && until.is_none_or(|until| last < until)
    {
        open.pop();
        let Some(behind) = last.checked_add(1) else { continue };
        step(steps, behind, open.last().map(|(_, says)| *says));
    }
}

fn step<T>(steps: &mut Vec<(u128, Option<T>)>, at: u128, says: Option<T>) {
    match steps.last_mut() {
        Some((begin, before)) if *begin == at => *before = says,
        _ => steps.push((at, says)),
    }
}

/// The networks of a file: one on each line, or an address; `#` begins a comment.
///
/// # Errors
/// The first line that is none.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<IpNet>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut networks = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let written = line.split('#').next().unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        match (written.parse::<IpNet>(), written.parse::<IpAddr>()) {
            (Ok(network), _) => networks.push(network.trunc()),
            (_, Ok(address)) => networks.push(address.into()),
            _ => return Err(format!("line {}: `{written}` is not a network", at + 1)),
        }
    }
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> IpNet {
        text.parse::<IpNet>().unwrap().trunc()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_most_specific_network_decides_wherever_it_is_written() {
        let all = [
            ("10.1.2.3/32", 3),
            ("0.0.0.0/0", 0),
            ("10.0.0.0/8", 1),
            ("10.1.0.0/16", 2),
            ("255.255.255.255/32", 9),
            ("2001:db8::/32", 6),
            ("::ffff:192.0.2.0/120", 7),
        ];
        let table = NetworkTable::new(all.map(|(text, says)| (net(text), says)));
        for (address, says) in [
            ("10.1.2.3", Some(3)),
            ("10.1.2.4", Some(2)),
            ("10.2.0.0", Some(1)),
            ("9.255.255.255", Some(0)),
            ("255.255.255.255", Some(9)),
            ("::ffff:10.1.2.3", Some(3)),
            ("192.0.2.8", Some(7)),
            ("2001:db8:ffff::1", Some(6)),
            ("2001:db9::", None),
        ] {
            assert_eq!(table.find(ip(address)), says, "{address}");
        }
    }

    #[test]
    fn a_file_has_a_network_on_each_line_and_a_bad_one_is_told_with_its_line() {
        let read_text = |text: &str| read(text.as_bytes());
        let all = read_text("# ours\n10.1.2.3/8\n\n192.0.2.1 # one\r\n2001:db8::/32\n").unwrap();
        assert_eq!(all, [net("10.0.0.0/8"), net("192.0.2.1/32"), net("2001:db8::/32")]);
        let wrong = read_text("10.0.0.0/8\n10.0.0.0/33\n").unwrap_err();
        assert_eq!(wrong, "line 2: `10.0.0.0/33` is not a network");
    }

    proptest! {
        #[test]
        fn the_table_finds_what_looking_at_every_network_finds(
            all in prop::collection::vec((any::<u8>(), 0_u8..=10, 0_u8..4), 0..40),
            addresses in prop::collection::vec(any::<u16>(), 40),
        ) {
            let address = |high: u16| Ipv4Addr::from(u32::from(high) << 16);
            let networks: Vec<(IpNet, u8)> = all
                .iter()
                .map(|(high, length, says)| {
                    let network = IpNet::new(address(u16::from(*high) << 8).into(), *length);
                    (network.unwrap().trunc(), *says)
                })
                .collect();
            let table = NetworkTable::new(networks.iter().copied());
            for high in addresses {
                let client = IpAddr::from(address(high));
                let found = networks.iter().filter(|(network, _)| network.contains(&client));
                let expected = found.max_by_key(|(network, _)| network.prefix_len());
                prop_assert_eq!(table.find(client), expected.map(|(_, says)| *says));
            }
        }
    }
}
