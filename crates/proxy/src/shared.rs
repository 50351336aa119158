//! What the workers of one process share: plain relaxed atomics, each on its own cache line where
//! it is hot. No lock, and nothing a worker ever waits for. Owns the numbers, not what is decided
//! by them.

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use evenkeel_balancer::{Admin, SharedPool, SharedServer};
use evenkeel_codec::plant::{self, Bug};
use xxhash_rust::xxh3::Xxh3;

use crate::counters::{ListenerCounters, ServerCounters};
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
    /// The publication that each worker serves by.
    adopted: Box<[AtomicU64]>,
    /// Open connections by client.
    pub clients: ClientTally,
    /// Sessions by client. Anybody can invent a sender, so they are not counted as connections: else
    /// one would be shut out by what others invent.
    pub senders: ClientTally,
    /// Most client connections for a listener that sets no limit.
    pub connections_max: u32,
}

impl Shared {
    /// `descriptors` is the process's limit on open files. A proxied connection needs two; a fifth
    /// is left for listeners, logs and checks.
    pub fn new(workers: usize, descriptors: u64, seed: u64) -> Arc<Self> {
        let auto = descriptors.saturating_mul(8) / 10 / 2;
        Arc::new(Self {
            workers: (0..workers).map(|_| Gauge::default()).collect(),
            adopted: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            clients: ClientTally::new(seed),
            senders: ClientTally::new(seed.rotate_left(32)),
            connections_max: u32::try_from(auto).unwrap_or(u32::MAX).max(64),
        })
    }

    /// The worker with the fewest connections, and how many it has.
    pub fn least_loaded(&self) -> Option<(usize, u32)> {
        self.workers.iter().map(Gauge::value).enumerate().min_by_key(|&(_, load)| load)
    }

    /// The number of the publication that `worker` serves by; 0 before its first.
    pub fn adopted(&self, worker: usize) -> u64 {
        self.adopted.get(worker).map_or(0, |number| number.load(Relaxed))
    }

    pub(crate) fn adopt(&self, worker: usize, publication: u64) {
        if let Some(number) = self.adopted.get(worker) {
            number.store(publication, Relaxed);
        }
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
    /// Its load and standing.
    pub standing: Arc<SharedServer>,
    /// Indexed by worker: each writes its own.
    pub counters: Arc<[Arc<ServerCounters>]>,
}

/// A listener for as long as one of its name is configured, whatever snapshots come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerKey(pub u32);

/// What workers share about one listener.
#[derive(Clone)]
pub struct ListenerShared {
    /// Never used again for another.
    pub key: ListenerKey,
    /// Open client connections, or sessions.
    pub connections: Arc<Gauge>,
    /// Indexed by worker: each writes its own.
    pub counters: Arc<[Arc<ListenerCounters>]>,
}

/// A snapshot, and what is shared about its listeners, pools and servers (by pool, then by server).
#[derive(Clone)]
pub struct Publication {
    /// Counts up with each publication of a [`Ledger`], from 1.
    pub number: u64,
    /// The settings.
    pub snapshot: Arc<Snapshot>,
    /// In the order of [`Snapshot::pools`] and their targets.
    pub servers: Arc<[Vec<ServerShared>]>,
    /// In the order of [`Snapshot::listeners`].
    pub listeners: Arc<[ListenerShared]>,
    /// In the order of [`Snapshot::pools`].
    pub pools: Arc<[Arc<SharedPool>]>,
}

/// Keeps shared numbers from one publication to the next: a server's as long as pool and address
/// stay the same, a listener's as long as its name does. Belongs to the control plane.
pub struct Ledger {
    workers: usize,
    published: u64,
    listener_keys: u32,
    listeners: HashMap<String, ListenerShared>,
    pools: HashMap<String, Arc<SharedPool>>,
    servers: HashMap<(String, Box<str>), ServerShared>,
}

impl Ledger {
    /// For a process with this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            published: 0,
            listener_keys: 0,
            listeners: HashMap::new(),
            pools: HashMap::new(),
            servers: HashMap::new(),
        }
    }

    /// Joins a snapshot with what is known of its parts; forgets those that are gone.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) -> Publication {
        let now = evenkeel_runtime::now();
        let mut kept = HashMap::new();
        let mut kept_pools = HashMap::new();
        let mut all = Vec::with_capacity(snapshot.pools.len());
        let mut pools = Vec::with_capacity(snapshot.pools.len());
        for pool in &snapshot.pools {
            let name = &pool.config.name;
            let known_pool = self.pools.get(name).cloned();
            let is_new = known_pool.is_none();
            let shared = known_pool.unwrap_or_else(|| SharedPool::new(now));
            kept_pools.insert(name.clone(), shared.clone());
            pools.push(shared.clone());
            let mut servers = Vec::with_capacity(pool.targets.len());
            for target in &pool.targets {
                let key = (name.clone(), target.key.clone());
                let known = self.servers.get(&key).or_else(|| kept.get(&key)).cloned();
                let server = known.unwrap_or_else(|| ServerShared {
                    standing: match is_new {
                        true => SharedServer::new(&shared),
                        false => SharedServer::joining(&shared, now),
                    },
                    counters: (0..self.workers).map(|_| Arc::default()).collect(),
                });
                if plant::is(Bug::StandingIsForgotten) {
                    server.standing.set_admin(Admin::Enabled, now);
                }
                kept.insert(key, server.clone());
                servers.push(server);
            }
            all.push(servers);
        }
        for (key, gone) in std::mem::replace(&mut self.servers, kept) {
            if !self.servers.contains_key(&key) {
                gone.standing.clear(now);
            }
        }
        self.pools = kept_pools;
        let listeners = self.listeners_of(&snapshot);
        self.published += 1;
        Publication {
            number: self.published,
            snapshot,
            servers: all.into(),
            listeners,
            pools: pools.into(),
        }
    }

    fn listeners_of(&mut self, snapshot: &Snapshot) -> Arc<[ListenerShared]> {
        let mut kept = HashMap::new();
        let mut all = Vec::with_capacity(snapshot.listeners.len());
        for listener in &snapshot.listeners {
            let name = &listener.config.name;
            let known = self.listeners.get(name).cloned().unwrap_or_else(|| {
                self.listener_keys += 1;
                ListenerShared {
                    key: ListenerKey(self.listener_keys),
                    connections: Arc::default(),
                    counters: (0..self.workers).map(|_| Arc::default()).collect(),
                }
            });
            kept.insert(name.clone(), known.clone());
            all.push(known);
        }
        self.listeners = kept;
        all.into()
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
