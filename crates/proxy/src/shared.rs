//! What the workers of one process share: plain relaxed atomics, each on its own cache line where
//! it is hot. No lock, and nothing a worker ever waits for. Owns the numbers, not what is decided
//! by them.

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use evenkeel_balancer::SharedLoad;
use xxhash_rust::xxh3::Xxh3;

use crate::counters::ServerCounters;
use crate::snapshot::Snapshot;

/// A number alone on its cache line (two lines: the adjacent one is prefetched with it).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Gauge(AtomicU32);

impl Gauge {
    /// One more.
    pub fn enter(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less.
    pub fn leave(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// How many now.
    pub fn value(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// Shared by all workers for the life of the process.
pub struct Shared {
    /// Open client connections of each worker.
    pub workers: Box<[Gauge]>,
    /// Open client connections of each listener.
    pub listeners: Box<[Gauge]>,
    /// Open connections by client.
    pub clients: ClientTally,
    /// Most client connections for a listener that sets no limit.
    pub connections_max: u32,
}

impl Shared {
    /// `descriptors` is the process's limit on open files. A proxied connection needs two; a fifth
    /// is left for listeners, logs and checks.
    pub fn new(workers: usize, listeners: usize, descriptors: u64, seed: u64) -> Arc<Self> {
        let gauges = |n: usize| (0..n).map(|_| Gauge::default()).collect();
        let auto = descriptors.saturating_mul(8) / 10 / 2;
        Arc::new(Self {
            workers: gauges(workers),
            listeners: gauges(listeners),
            clients: ClientTally::new(seed),
            connections_max: u32::try_from(auto).unwrap_or(u32::MAX).max(64),
        })
    }

    /// The worker with the fewest connections, and how many it has.
    pub fn least_loaded(&self) -> Option<(usize, u32)> {
        self.workers.iter().map(Gauge::value).enumerate().min_by_key(|&(_, load)| load)
    }
}

/// Slots of one row of a [`ClientTally`]: 2 rows × 64 Ki × 4 B = 512 KiB, whatever the attack.
const SLOTS: usize = 1 << 16;

/// Connections by client address, in bounded memory and without a lock: a count-min sketch. A
/// client is never counted too low; it is counted too high only if both of its slots are shared
/// with busy others, which the secret seed keeps from being arranged. IPv6 clients count by /64,
/// since one host may have all of it.
pub struct ClientTally {
    rows: [Box<[AtomicU32]>; 2],
    seed: u64,
}

impl ClientTally {
    fn new(seed: u64) -> Self {
        let row = || std::iter::repeat_with(AtomicU32::default).take(SLOTS).collect();
        Self { rows: [row(), row()], seed }
    }

    /// Counts one more connection; `false`, and nothing counted, if `limit` is reached.
    pub fn enter(&self, client: IpAddr, limit: u32) -> bool {
        let slots = self.slots(client);
        let count = slots.iter().flatten().map(|slot| slot.load(Relaxed)).min().unwrap_or(0);
        if count >= limit {
            return false;
        }
        for slot in slots.into_iter().flatten() {
            slot.fetch_add(1, Relaxed);
        }
        true
    }

    /// Counts one less.
    pub fn leave(&self, client: IpAddr) {
        for slot in self.slots(client).into_iter().flatten() {
            slot.fetch_sub(1, Relaxed);
        }
    }

    fn slots(&self, client: IpAddr) -> [Option<&AtomicU32>; 2] {
        let mut hasher = Xxh3::with_seed(self.seed);
        match client.to_canonical() {
            IpAddr::V4(v4) => hasher.write(&v4.octets()),
            IpAddr::V6(v6) => hasher.write(v6.octets().get(..8).unwrap_or_default()),
        }
        let hash = hasher.finish();
        let [first, second] = &self.rows;
        let slot = |bits: u64| bits as usize % SLOTS;
        [first.get(slot(hash)), second.get(slot(hash >> 32))]
    }
}

/// What workers share about one server.
#[derive(Clone)]
pub struct ServerShared {
    /// Requests in flight from all workers.
    pub load: Arc<SharedLoad>,
    /// Indexed by worker: each writes its own.
    pub counters: Arc<[Arc<ServerCounters>]>,
}

/// A snapshot, and the shared numbers of its servers (by pool, then by server).
#[derive(Clone)]
pub struct Publication {
    /// The settings.
    pub snapshot: Arc<Snapshot>,
    /// In the order of [`Snapshot::pools`] and their targets.
    pub servers: Arc<[Vec<ServerShared>]>,
}

/// Keeps a server's shared numbers from one publication to the next, as long as pool and address
/// stay the same. Belongs to the control plane.
pub struct Ledger {
    workers: usize,
    servers: HashMap<(String, Box<str>), ServerShared>,
}

impl Ledger {
    /// For a process with this many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers, servers: HashMap::new() }
    }

    /// Joins a snapshot with what is known of its servers; forgets servers that are gone.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) -> Publication {
        let mut kept = HashMap::new();
        let mut all = Vec::with_capacity(snapshot.pools.len());
        for pool in &snapshot.pools {
            let mut servers = Vec::with_capacity(pool.targets.len());
            for target in &pool.targets {
                let key = (pool.config.name.clone(), target.key.clone());
                let known = self.servers.get(&key).or_else(|| kept.get(&key)).cloned();
                let server = known.unwrap_or_else(|| ServerShared {
                    load: Arc::default(),
                    counters: (0..self.workers).map(|_| Arc::default()).collect(),
                });
                kept.insert(key, server.clone());
                servers.push(server);
            }
            all.push(servers);
        }
        self.servers = kept;
        Publication { snapshot, servers: all.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_counted_exactly_while_it_is_alone() {
        let tally = ClientTally::new(1);
        let client = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..3 {
            assert!(tally.enter(client, 3));
        }
        assert!(!tally.enter(client, 3));
        tally.leave(client);
        assert!(tally.enter(client, 3));
    }

    #[test]
    fn an_ipv6_client_cannot_escape_into_its_own_network() {
        let tally = ClientTally::new(1);
        let address = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        assert!(tally.enter(address(1), 1));
        assert!(!tally.enter(address(2), 1));
        assert!(tally.enter(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]), 1));
    }

    #[test]
    fn many_clients_do_not_fill_each_others_share() {
        let tally = ClientTally::new(7);
        let refused =
            (0..20_000_u32).filter(|n| !tally.enter(IpAddr::from(n.to_be_bytes()), 10)).count();
        assert_eq!(refused, 0);
    }
}
