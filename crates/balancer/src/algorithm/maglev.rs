//! Maglev hashing (Eisenbud et al., NSDI 2016, §3.4), weighted: a table in which every server
//! fills slots in the order of its own permutation, in proportion to its weight. One look-up, and
//! a more even split than a ring of the same size; a little more moves when a server goes.

use super::hash::{Bound, WALK_MAX, choose};
use super::{Algorithm, PowerOfTwo};
use crate::{Pick, Rng, ServerId, Servers, hash_key};

/// Slots; a prime, and 100 for each of 655 servers. 256 KiB.
const SLOTS: u64 = 65_537;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Maglev {
    /// Index into `order`, for each slot.
    table: Vec<u32>,
    /// By identity, so that instances agree whatever the order in their configurations.
    order: Vec<ServerId>,
    bounded_load: Option<f64>,
    keyless: PowerOfTwo,
}

impl Maglev {
    /// With a bound, a server takes at most `bounded_load` times the mean load.
    pub fn new(bounded_load: Option<f64>) -> Self {
        Self { bounded_load, ..Self::default() }
    }
}

impl Algorithm for Maglev {
    fn pick(&mut self, servers: &Servers, pick: &Pick<'_>, rng: &mut Rng) -> Option<ServerId> {
        let Some(key) = pick.key else { return self.keyless.pick(servers, pick, rng) };
        // Each step is another hash of the key: what a full server cannot take spreads over all.
        let walk = (0..WALK_MAX).filter_map(|step| {
            let hash = match step {
                0 => key,
                step => mix(key.wrapping_add(u64::from(step))),
            };
            let at = self.table.get((hash % SLOTS) as usize)?;
            self.order.get(*at as usize).copied()
        });
        let bound = Bound::new(servers, self.bounded_load);
        choose(servers, pick, bound.as_ref(), walk)
    }

    fn rebuild(&mut self, servers: &Servers) {
        self.order = servers.eligible().to_vec();
        let key = |id: &ServerId| servers.server(*id).map(|server| server.key.clone());
        self.order.sort_by_cached_key(key);
        let mut fillers: Vec<Filler> =
            self.order.iter().filter_map(|id| Filler::new(servers, *id)).collect();
        self.table = fill(&mut fillers);
    }
}

struct Filler {
    weight: u64,
    credit: u64,
    at: u64,
    skip: u64,
}

impl Filler {
    fn new(servers: &Servers, id: ServerId) -> Option<Self> {
        let server = servers.server(id)?;
        let hash = hash_key(server.key.as_bytes());
        let skip = mix(hash) % (SLOTS - 1) + 1;
        Some(Self { weight: u64::from(server.effective), credit: 0, at: hash % SLOTS, skip })
    }
}

fn fill(fillers: &mut [Filler]) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let heaviest = fillers.iter().map(|filler| filler.weight).max().unwrap_or(0);
    if heaviest == 0 {
        return Vec::new();
    }
    let mut table = vec![FREE; SLOTS as usize];
    let mut filled = 0;
    while filled < SLOTS {
        for (index, filler) in fillers.iter_mut().enumerate() {
            filler.credit += filler.weight;
            if filler.credit < heaviest {
                continue;
            }
            filler.credit -= heaviest;
            // SLOTS is prime, so the steps visit every slot: a free one is found.
            while table.get(filler.at as usize).is_some_and(|slot| *slot != FREE) {
                filler.at = (filler.at + filler.skip) % SLOTS;
            }
            if let Some(slot) = table.get_mut(filler.at as usize) {
                *slot = index as u32;
            }
            filled += 1;
            if filled == SLOTS {
                break;
            }
        }
    }
    table
}

/// A second, independent hash.
fn mix(hash: u64) -> u64 {
    hash_key(&hash.to_le_bytes())
}
