//! Looking up the names of servers before serving starts: the data path never asks a resolver.
//! Names are looked up once; a name that has no address ends the start.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use evenkeel_config::Config;
use evenkeel_config::model::Address;
use evenkeel_proxy::snapshot::Resolved;

use crate::failure::{Exit, Failure};

/// Look-ups at a time: one that hangs for seconds does not add up with others, and a resolver is
/// not flooded.
const LOOKUPS_MAX: usize = 16;

/// The addresses of every server that has a name.
pub(crate) fn resolve(config: &Config) -> Result<Resolved, Failure> {
    let names = names(config);
    let mut resolved = Resolved::default();
    let mut unknown = Vec::new();
    for (address, pool, found) in look_up(&names) {
        match found {
            Ok(found) => resolved.insert(address, found),
            Err(error) => {
                let Address::Name(name, _) = &address else { continue };
                unknown.push(format!("pool `{pool}`: server `{name}` has no address: {error}"));
            }
        }
    }
    if unknown.is_empty() {
        return Ok(resolved);
    }
    let help = "\nhelp: is the name spelt right, and can this machine look it up?";
    Err(Failure::new(Exit::Resolve, unknown.join("\nerror: ") + help))
}

/// Each name once, with the first pool that has it.
fn names(config: &Config) -> Vec<(Address, &str)> {
    let mut names = BTreeMap::new();
    for pool in &config.pools {
        for server in &pool.servers {
            if let Address::Name(name, port) = &server.address {
                names.entry((name.clone(), *port)).or_insert(pool.name.as_str());
            }
        }
    }
    names.into_iter().map(|((name, port), pool)| (Address::Name(name, port), pool)).collect()
}

type Found<'n> = (Address, &'n str, io::Result<Vec<SocketAddr>>);

fn look_up<'n>(names: &[(Address, &'n str)]) -> Vec<Found<'n>> {
    let lane = names.len().div_ceil(LOOKUPS_MAX).max(1);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = names
            .chunks(lane)
            .map(|chunk| {
                let ask = |(address, pool): &(Address, &'n str)| {
                    (address.clone(), *pool, addresses(address))
                };
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
