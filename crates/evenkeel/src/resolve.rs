//! Looking up the names of servers before they serve: the data path never asks a resolver. A name
//! that has no address ends the start, and refuses a change.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use evenkeel_config::Config;
use evenkeel_config::model::Address;

use crate::failure::{Exit, Failure};

/// Look-ups at a time: one that hangs for seconds does not add up with others, and a resolver is
/// not flooded.
const LOOKUPS_MAX: usize = 16;

/// A name, and the first pool that has it.
pub(crate) type Name = (Address, String);

/// Names of `config` of which `known` has no address.
pub(crate) fn unknown(config: &Config, known: &HashMap<Address, Vec<SocketAddr>>) -> Vec<Name> {
    let mut unknown = BTreeMap::new();
    for pool in &config.pools {
        for server in &pool.servers {
            if let Address::Name(name, port) = &server.address
                && !known.contains_key(&server.address)
            {
                unknown.entry((name.clone(), *port)).or_insert_with(|| pool.name.clone());
            }
        }
    }
    unknown.into_iter().map(|((name, port), pool)| (Address::Name(name, port), pool)).collect()
}

/// The addresses of these names, or all that have none. Blocks, maybe for seconds.
pub(crate) fn look_up(names: Vec<Name>) -> Result<Vec<(Address, Vec<SocketAddr>)>, Failure> {
    let mut resolved = Vec::new();
    let mut unknown = Vec::new();
    for (address, pool, found) in ask(&names) {
        match found {
            Ok(found) => resolved.push((address, found)),
            Err(error) => {
                unknown.push(format!("pool `{pool}`: server `{address}` has no address: {error}"));
            }
        }
    }
    if unknown.is_empty() {
        return Ok(resolved);
    }
    let help = "\nhelp: is the name spelt right, and can this machine look it up?";
    Err(Failure::new(Exit::Resolve, unknown.join("\nerror: ") + help))
}

type Found = (Address, String, io::Result<Vec<SocketAddr>>);

fn ask(names: &[Name]) -> Vec<Found> {
    let lane = names.len().div_ceil(LOOKUPS_MAX).max(1);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = names
            .chunks(lane)
            .map(|chunk| {
                let ask =
                    |(address, pool): &Name| (address.clone(), pool.clone(), addresses(address));
                scope.spawn(move || chunk.iter().map(ask).collect::<Vec<_>>())
            })
            .collect();
        lanes.into_iter().filter_map(|lane| lane.join().ok()).flatten().collect()
    })
}

fn addresses(address: &Address) -> io::Result<Vec<SocketAddr>> {
    let (name, port) = match address {
        Address::Socket(socket) => return Ok(vec![*socket]),
        Address::Name(name, port) => (name.as_str(), *port),
    };
    let mut found = Vec::new();
    for address in (name, port).to_socket_addrs()? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() { Err(io::Error::other("the name has none")) } else { Ok(found) }
}
