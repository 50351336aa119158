//! The servers of one pool, which of them may take requests, and what recent ones taught.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A slot and the generation of its tenant, so that a late answer for a server that has been
/// removed is never credited to the one that took its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerId {
    /// Place in the pool.
    pub slot: u32,
    /// Which tenant of that place.
    pub generation: u32,
}

/// Requests in flight from all workers, alone on its cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct SharedLoad(AtomicU32);

impl SharedLoad {
    /// How many now.
    pub fn in_flight(&self) -> u32 {
        self.0.load(Relaxed)
    }

    pub(crate) fn enter(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Whether a server may take new requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It may.
    #[default]
    Healthy,
    /// Active checks failed.
    Unhealthy,
    /// Real traffic failed; out for a while.
    Ejected,
    /// Finishes what it has, takes nothing new.
    Draining,
}

/// What a pool is told of a server.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Stable identity, for example its address: hashes are made of it, so instances agree.
    pub key: Box<str>,
    /// Share relative to others; 0 takes nothing.
    pub weight: u32,
    /// Its load from all workers.
    pub shared: Arc<SharedLoad>,
}

/// A member of a pool, as one worker sees it.
#[derive(Clone, Debug)]
pub struct Server {
    /// See [`ServerSpec::key`].
    pub key: Box<str>,
    /// See [`ServerSpec::weight`].
    pub weight: u32,
    /// Whether it may take new requests.
    pub health: Health,
    /// Its load from all workers.
    pub shared: Arc<SharedLoad>,
    /// Learned latency in nanoseconds; `None` before the first answer.
    pub(crate) cost: Option<f64>,
    /// When `cost` was true.
    pub(crate) cost_at: Option<Instant>,
}

impl Server {
    fn new(spec: ServerSpec) -> Self {
        let ServerSpec { key, weight, shared } = spec;
        Self { key, weight, health: Health::Healthy, shared, cost: None, cost_at: None }
    }

    /// Latency as learned from recent answers of this worker.
    pub fn latency(&self) -> Option<Duration> {
        self.cost.map(|nanos| Duration::from_nanos(nanos as u64))
    }

    fn is_eligible(&self) -> bool {
        self.weight > 0 && self.health == Health::Healthy
    }
}

/// All servers of a pool. `eligible` lists those that may be picked, so that a pick never looks at
/// the others.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    slots: Vec<Slot>,
    eligible: Vec<ServerId>,
}

#[derive(Clone, Debug)]
struct Slot {
    generation: u32,
    server: Option<Server>,
}

impl Servers {
    /// Servers in the order given.
    pub fn new(specs: impl IntoIterator<Item = ServerSpec>) -> Self {
        let mut servers = Self::default();
        servers.replace(specs);
        servers
    }

    /// Makes these the servers: those whose key stays keep their slot and what was learned; the
    /// slots of the others are free for new tenants.
    pub(crate) fn replace(&mut self, specs: impl IntoIterator<Item = ServerSpec>) {
        let mut wanted: Vec<Option<ServerSpec>> = Vec::new();
        let mut by_key: HashMap<Box<str>, usize> = HashMap::new();
        for spec in specs {
            by_key.entry(spec.key.clone()).or_insert(wanted.len());
            wanted.push(Some(spec));
        }
        for slot in &mut self.slots {
            let Some(server) = &mut slot.server else { continue };
            let spec = by_key.get(&server.key).and_then(|at| wanted.get_mut(*at)?.take());
            match spec {
                Some(spec) => {
                    server.weight = spec.weight;
                    server.shared = spec.shared;
                }
                None => slot.server = None,
            }
        }
        let mut free =
            (0..self.slots.len()).filter(|at| self.slots[*at].server.is_none()).collect::<Vec<_>>();
        free.reverse();
        for spec in wanted.into_iter().flatten() {
            let server = Some(Server::new(spec));
            match free.pop().and_then(|at| self.slots.get_mut(at)) {
                Some(slot) => {
                    slot.generation = slot.generation.wrapping_add(1);
                    slot.server = server;
                }
                None => self.slots.push(Slot { generation: 0, server }),
            }
        }
        self.refresh();
    }

    /// Those that may be picked.
    pub fn eligible(&self) -> &[ServerId] {
        &self.eligible
    }

    /// All, eligible or not, in slot order.
    pub fn ids(&self) -> impl Iterator<Item = ServerId> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.server.is_some())
            .map(|(at, slot)| ServerId { slot: at as u32, generation: slot.generation })
    }

    /// A server, unless it was removed.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.server.as_ref().filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn server_mut(&mut self, id: ServerId) -> Option<&mut Server> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.server.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.server.is_none())
    }

    pub(crate) fn refresh(&mut self) {
        self.eligible.clear();
        for (at, slot) in self.slots.iter().enumerate() {
            if slot.server.as_ref().is_some_and(Server::is_eligible) {
                self.eligible.push(ServerId { slot: at as u32, generation: slot.generation });
            }
        }
    }

    /// Requests in flight at a server for its weight; what least-loaded choices compare.
    pub(crate) fn load(&self, id: ServerId) -> f64 {
        self.server(id).map_or(f64::INFINITY, |server| {
            f64::from(server.shared.in_flight().saturating_add(1)) / f64::from(server.weight.max(1))
        })
    }
}
