//! The servers of one pool as one worker sees them, and what recent answers taught. Which of them
//! may be picked is decided in `eligible.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::gradient::Gradient;
use crate::window::Window;
use crate::{Rules, SharedServer, slow_start};

/// A slot and the generation of its tenant, so that a late answer for a server that has been
/// removed is never credited to the one that took its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerId {
    /// Place in the pool.
    pub slot: u32,
    /// Which tenant of that place.
    pub generation: u32,
}

/// What a pool is told of a server.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Stable identity, for example its address: hashes are made of it, so instances agree.
    pub key: Box<str>,
    /// Share relative to others; 0 takes nothing.
    pub weight: u32,
    /// Servers of the lowest number that has enough healthy ones take everything.
    pub priority: u32,
    /// What all workers and the control plane share about it.
    pub shared: Arc<SharedServer>,
}

/// A member of a pool, as one worker sees it.
#[derive(Clone, Debug)]
pub struct Server {
    /// See [`ServerSpec::key`].
    pub key: Box<str>,
    /// See [`ServerSpec::weight`].
    pub weight: u32,
    /// See [`ServerSpec::priority`].
    pub priority: u32,
    /// What all workers and the control plane share about it.
    pub shared: Arc<SharedServer>,
    /// The weight in tenths, less during slow start.
    pub(crate) effective: u32,
    /// Most requests in flight: as set, and now.
    pub(crate) limit_max: u32,
    pub(crate) limit: u32,
    /// Learned latency in nanoseconds; `None` before the first answer.
    pub(crate) cost: Option<f64>,
    /// When `cost` was true.
    pub(crate) cost_at: Option<Instant>,
    /// When it last failed in a way that counts as latency.
    pub(crate) failed_at: Option<Instant>,
    /// When it (re)entered, as far as `cost` knows.
    entered: u64,
    /// Requests and failures of late, for ejection by rate.
    pub(crate) outlier: Option<Box<Window>>,
    /// The same for its breaker.
    pub(crate) breaker: Option<Box<Window>>,
    /// The adaptive limit.
    pub(crate) gradient: Option<Box<Gradient>>,
}

impl Server {
    fn new(spec: ServerSpec) -> Self {
        let ServerSpec { key, weight, priority, shared } = spec;
        Self {
            key,
            weight,
            priority,
            shared,
            effective: weight.saturating_mul(slow_start::STEPS),
            limit_max: u32::MAX,
            limit: u32::MAX,
            cost: None,
            cost_at: None,
            failed_at: None,
            entered: 0,
            outlier: None,
            breaker: None,
            gradient: None,
        }
    }

    /// Latency as learned from recent answers of this worker.
    pub fn latency(&self) -> Option<Duration> {
        self.cost.map(|nanos| Duration::from_nanos(nanos as u64))
    }

    /// The weight now: less than `weight` during slow start.
    pub fn effective_weight(&self) -> f64 {
        f64::from(self.effective) / f64::from(slow_start::STEPS)
    }

    /// Has what these rules need, and nothing else. A server that came back is another one than
    /// the one that left: what it took then says nothing.
    pub(crate) fn apply(&mut self, rules: &Rules) {
        let entered = self.shared.entered();
        if entered != self.entered {
            self.entered = entered;
            (self.cost, self.cost_at, self.failed_at) = (None, None, None);
        }
        let rate = rules.outlier.as_ref().and_then(|outlier| outlier.rate);
        Window::fit(&mut self.outlier, rate, self.shared.ejection.since());
        let rate = rules.server_breaker.map(|breaker| breaker.rate);
        Window::fit(&mut self.breaker, rate, self.shared.breaker.since());
        match rules.adaptive {
            Some(adaptive) if self.gradient.as_ref().is_none_or(|own| !own.has(adaptive)) => {
                self.gradient = Some(Box::new(Gradient::new(adaptive)));
            }
            Some(_) => {}
            None => self.gradient = None,
        }
        self.limit_max = rules.limits.server_in_flight.unwrap_or(u32::MAX);
        let found = self.gradient.as_ref().map_or(u32::MAX, |gradient| gradient.limit());
        self.limit = self.limit_max.min(found);
    }

    /// Requests in flight for its weight; what least-loaded choices compare.
    pub(crate) fn load(&self, more: u32) -> f64 {
        let in_flight = f64::from(self.shared.in_flight().saturating_add(more));
        in_flight * f64::from(slow_start::STEPS) / f64::from(self.effective.max(1))
    }

    /// Whether one more request is within its limit.
    pub(crate) fn has_room(&self) -> bool {
        self.limit == u32::MAX || self.shared.in_flight() < self.limit
    }
}

/// All servers of a pool. `eligible` lists those that may be picked, so that a pick never looks at
/// the others.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub(crate) slots: Vec<Slot>,
    pub(crate) eligible: Vec<ServerId>,
    /// On probation, or with a breaker half-open: a few requests at a time.
    pub(crate) trials: Vec<ServerId>,
    /// Whether health is ignored in the tier that is used.
    pub(crate) panics: bool,
    /// Servers that may be ejected or on probation at a time.
    pub(crate) ejected_most: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) server: Option<Server>,
}

impl Servers {
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
                    server.priority = spec.priority;
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
    }

    /// Those that may be picked.
    pub fn eligible(&self) -> &[ServerId] {
        &self.eligible
    }

    /// Whether so few are healthy that health is ignored.
    pub fn is_panicking(&self) -> bool {
        self.panics
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

    /// The server with this key.
    pub(crate) fn find(&self, key: &str) -> Option<ServerId> {
        self.ids().find(|id| self.server(*id).is_some_and(|server| *server.key == *key))
    }

    pub(crate) fn server_mut(&mut self, id: ServerId) -> Option<&mut Server> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.server.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.server.is_none())
    }

    /// Requests in flight at a server, and one, for its weight.
    pub(crate) fn load(&self, id: ServerId) -> f64 {
        self.server(id).map_or(f64::INFINITY, |server| server.load(1))
    }

    pub(crate) fn has_room(&self, id: ServerId) -> bool {
        self.server(id).is_some_and(Server::has_room)
    }

    /// The effective weight in tenths.
    pub(crate) fn tenths(&self, id: ServerId) -> u32 {
        self.server(id).map_or(0, |server| server.effective)
    }
}
