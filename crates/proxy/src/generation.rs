//! One worker's live state for one snapshot: its pools, with what recent requests taught them and
//! the connections they keep. An exchange holds the generation it began with, so ids stay good
//! when a new snapshot is adopted meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_balancer::{
    Admin, Connection, Lease, Outcome, Pick, Pool, ServerId, ServerSpec, SharedPool, Unavailable,
    Waiting, hash_key,
};
use evenkeel_codec::plant::{self, Bug};
use evenkeel_config::model::{ListenerId, PoolId};

use crate::counters::ServerCounters;
use crate::http::queue::Queue;
use crate::http::upstream::UpstreamConnection;
use crate::http::upstream::conn_pool::ConnPool;
use crate::http::upstream::links::Links;
use crate::shared::{ListenerKey, Publication};
use crate::snapshot::{PoolSettings, Snapshot, Target};

/// See the module's head.
pub struct Generation {
    /// The settings this is the state of.
    pub snapshot: Arc<Snapshot>,
    /// Which publication it is of.
    pub(crate) number: u64,
    /// Sorted, since every exchange looks for its listener.
    listeners: Vec<(ListenerKey, ListenerId)>,
    pools: Vec<Rc<PoolState>>,
}

/// One worker's state of one pool.
pub struct PoolState {
    name: Rc<str>,
    /// What it was last set to: the same again changes nothing.
    settings: RefCell<Option<Arc<PoolSettings>>>,
    balancer: RefCell<Pool>,
    /// Requests that wait for one of its servers.
    pub(crate) queue: Queue,
    /// Most connections to a server.
    connections_max: Cell<Option<u32>>,
    /// Servers by the hash of their key, if clients are bound to them by a cookie.
    by_hash: RefCell<HashMap<u64, ServerId>>,
    pub(crate) idle: RefCell<ConnPool<Box<UpstreamConnection>>>,
    /// Connections that many exchanges share.
    pub(crate) links: Rc<Links>,
    /// By slot of the server.
    known: RefCell<Vec<Rc<KnownServer>>>,
}

/// What this worker needs to reach a server and to count what it does.
pub(crate) struct KnownServer {
    /// The name of its pool.
    pub(crate) pool: Rc<str>,
    pub(crate) target: Target,
    pub(crate) counters: Arc<ServerCounters>,
    /// When its last failure was written to the process log, and how many were not since.
    told: Cell<Option<Instant>>,
    untold: Cell<u64>,
    /// What exactly was wrong with its last failure, where the reason does not say it all.
    complaint: Cell<Option<Box<str>>>,
}

/// A server that fails is told of once in this time; a broken one fails thousands of times a second.
const TELL_AGAIN: Duration = Duration::from_secs(10);

impl KnownServer {
    /// Whether this failure is to be told of, and how many were not since the last.
    pub(crate) fn tells(&self, now: Instant) -> Option<u64> {
        if self.told.get().is_some_and(|told| now.saturating_duration_since(told) < TELL_AGAIN) {
            self.untold.set(self.untold.get() + 1);
            return None;
        }
        self.told.set(Some(now));
        Some(self.untold.take())
    }

    /// Notes what exactly is wrong with it, for when its failure is told of.
    pub(crate) fn complain(&self, text: Box<str>) {
        self.complaint.set(Some(text));
    }

    /// What was noted since last asked.
    pub(crate) fn complaint(&self) -> Option<Box<str>> {
        self.complaint.take()
    }
}

impl Generation {
    /// The state for a publication. Pools of the same name are carried over from `old` with their
    /// connections, latencies and counts.
    pub(crate) fn after(
        old: Option<&Self>,
        publication: &Publication,
        worker: usize,
        seed: u64,
    ) -> Self {
        let snapshot = publication.snapshot.clone();
        let mut pools = Vec::with_capacity(snapshot.pools.len());
        let known: HashMap<&str, &Rc<PoolState>> =
            old.iter().flat_map(|old| &old.pools).map(|pool| (&*pool.name, pool)).collect();
        for (at, settings) in snapshot.pools.iter().enumerate() {
            let fresh = || SharedPool::new(evenkeel_runtime::now());
            let shared_pool = publication.pools.get(at).cloned().unwrap_or_else(fresh);
            let shared = publication.servers.get(at).map(Vec::as_slice).unwrap_or_default();
            let kept = known.get(settings.config.name.as_str()).copied().cloned();
            let pool = kept.unwrap_or_else(|| {
                // One seed for each worker and pool, or all workers would choose alike.
                let seed = seed ^ evenkeel_balancer::hash_key(settings.config.name.as_bytes());
                Rc::new(PoolState::new(settings, &shared_pool, seed))
            });
            if old.is_none() || !plant::is(Bug::ChangeIsForgotten) {
                pool.set_servers(settings, shared, worker);
            }
            pools.push(pool);
        }
        let keys = publication.listeners.iter().map(|shared| shared.key);
        let mut listeners: Vec<_> = keys.zip((0..).map(ListenerId)).collect();
        listeners.sort_unstable();
        Self { snapshot, number: publication.number, listeners, pools }
    }

    /// The place of a listener in the snapshot, if it is configured.
    pub(crate) fn listener(&self, key: ListenerKey) -> Option<ListenerId> {
        let at = self.listeners.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.listeners.get(at).map(|(_, id)| *id)
    }

    /// The state of a pool.
    pub(crate) fn pool(&self, id: PoolId) -> Option<&Rc<PoolState>> {
        self.pools.get(id.0 as usize)
    }

    /// All pools, for housekeeping.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Rc<PoolState>> {
        self.pools.iter()
    }
}

/// Connections kept for later. One that began with a header about its client is no other's.
fn kept_most(settings: &PoolSettings) -> usize {
    match settings.config.proxy_protocol {
        Some(_) => 0,
        None => settings.config.keep_alive.idle_max as usize,
    }
}

impl PoolState {
    fn new(settings: &PoolSettings, shared: &Arc<SharedPool>, seed: u64) -> Self {
        let algorithm = crate::balance::algorithm(&settings.config.balance);
        Self {
            name: settings.config.name.as_str().into(),
            settings: RefCell::default(),
            queue: Queue::default(),
            connections_max: Cell::new(None),
            by_hash: RefCell::default(),
            balancer: RefCell::new(Pool::new(shared.clone(), algorithm, seed)),
            idle: RefCell::new(ConnPool::new(kept_most(settings))),
            links: Rc::default(),
            known: RefCell::new(Vec::new()),
        }
    }

    /// Servers that stay keep their slot and their state.
    fn set_servers(
        &self,
        settings: &Arc<PoolSettings>,
        shared: &[crate::shared::ServerShared],
        worker: usize,
    ) {
        let before = self.settings.borrow().clone();
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, settings)) {
            return;
        }
        let specs = settings.targets.iter().zip(shared).map(|(target, shared)| ServerSpec {
            key: target.key.clone(),
            // Nobody knows yet where it listens.
            weight: if target.addresses.is_empty() { 0 } else { target.weight },
            priority: target.priority,
            shared: shared.standing.clone(),
        });
        let mut balancer = self.balancer.borrow_mut();
        let now = evenkeel_runtime::now();
        balancer.set_rules(crate::rules::rules(&settings.config), now);
        if before.as_ref().is_some_and(|before| before.config.balance != settings.config.balance) {
            balancer.set_algorithm(crate::balance::algorithm(&settings.config.balance));
        }
        balancer.set_servers(specs, now);
        balancer.set_affinity(crate::balance::affinity_algorithm(settings.config.sticky.as_ref()));
        self.connections_max.set(settings.config.breaker.server_connections);
        let mut by_hash = self.by_hash.borrow_mut();
        by_hash.clear();
        if settings.stickiness.is_some() {
            let hash = |id| Some(hash_key(balancer.server(id)?.key.as_bytes()));
            by_hash.extend(balancer.servers().ids().filter_map(|id| Some((hash(id)?, id))));
        }
        let mut idle = self.idle.borrow_mut();
        idle.keep_most(kept_most(settings));
        let forgets = plant::is(Bug::ReuseOfAnotherServer);
        idle.keep_of(|id| forgets || balancer.server(id).is_some());
        self.links.keep_of(|id| balancer.server(id).is_some());
        let pairs = settings.targets.iter().zip(shared);
        let by_key: HashMap<&str, _> = pairs.map(|pair| (&*pair.0.key, pair)).collect();
        let mut known = self.known.borrow_mut();
        known.clear();
        for id in balancer.servers().ids() {
            let pair = balancer.server(id).and_then(|server| by_key.get(&*server.key));
            let Some((target, shared)) = pair.copied() else { continue };
            let counters = shared.counters.get(worker).cloned().unwrap_or_default();
            let slot = id.slot as usize;
            let entry = Rc::new(KnownServer {
                pool: self.name.clone(),
                target: target.clone(),
                counters,
                told: Cell::new(None),
                untold: Cell::new(0),
                complaint: Cell::new(None),
            });
            while known.len() <= slot {
                known.push(entry.clone());
            }
            if let Some(place) = known.get_mut(slot) {
                *place = entry;
            }
        }
        drop(known);
        self.settings.replace(Some(settings.clone()));
    }

    /// Whether the pool still has this server.
    pub(crate) fn has(&self, server: ServerId) -> bool {
        self.balancer.borrow().server(server).is_some()
    }

    /// See [`Pool::beat`].
    pub(crate) fn beat(&self, now: Instant, every: Duration) {
        self.balancer.borrow_mut().beat(now, every);
    }

    /// Chooses a server and counts the request as its load until the lease is given back.
    pub(crate) fn lease(self: &Rc<Self>, pick: Pick<'_>) -> Result<Leased, Unavailable> {
        let leased = self.pick(pick)?;
        match self.connections_max.get() {
            Some(most) if !leased.may_connect(most) => self.lease_elsewhere(pick, leased, most),
            _ => Ok(leased),
        }
    }

    fn pick(self: &Rc<Self>, pick: Pick<'_>) -> Result<Leased, Unavailable> {
        let lease = self.balancer.borrow_mut().pick(pick)?;
        let known = self.known.borrow().get(lease.server.slot as usize).cloned();
        let Some(known) = known else { return Err(Unavailable::NoneHealthy) };
        Ok(Leased { pool: self.clone(), server: lease.server, known, lease: Some(lease) })
    }

    /// Passes over servers that have all the connections they may.
    fn lease_elsewhere(
        self: &Rc<Self>,
        pick: Pick<'_>,
        mut full: Leased,
        most: u32,
    ) -> Result<Leased, Unavailable> {
        const PASSED_OVER_MAX: usize = 64;
        let mut tried = pick.tried.to_vec();
        for _ in 0..PASSED_OVER_MAX {
            tried.push(full.server);
            full.put_back();
            full = match self.pick(pick.tried(&tried)) {
                Ok(leased) if leased.may_connect(most) => return Ok(leased),
                Ok(leased) => leased,
                Err(Unavailable::AllTried) => return Err(Unavailable::Saturated),
                Err(other) => return Err(other),
            };
        }
        full.put_back();
        Err(Unavailable::Saturated)
    }

    /// The server whose key has this hash.
    pub(crate) fn find(&self, hash: u64) -> Option<ServerId> {
        self.by_hash.borrow().get(&hash).copied()
    }

    /// Whether a server may be sent those bound to it, once it has room.
    pub(crate) fn may_serve_bound(&self, server: ServerId) -> bool {
        self.balancer.borrow().may_serve_bound(server)
    }

    /// Asks for one try beside the first one; `false`: there must be none.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        plant::is(Bug::BudgetIgnored) || self.balancer.borrow_mut().withdraw(now)
    }

    /// Whether nothing succeeds at all.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.balancer.borrow().is_hopeless()
    }

    /// When to ask a second server though the first has not failed; `None` as long as too little is
    /// known.
    pub(crate) fn hedge_delay(&self) -> Option<Duration> {
        self.balancer.borrow().hedge_delay()
    }

    /// A place among those that may wait, in all workers.
    pub(crate) fn wait(&self) -> Option<Waiting> {
        self.balancer.borrow().wait()
    }
}

/// The right to send one request to one server. Gives itself back, whatever becomes of the
/// exchange that holds it.
pub(crate) struct Leased {
    pool: Rc<PoolState>,
    pub(crate) server: ServerId,
    /// Whom it was leased from: a late answer is never counted for the slot's next tenant.
    known: Rc<KnownServer>,
    lease: Option<Lease>,
}

impl Leased {
    /// What is known of the server, also when it was removed meanwhile.
    pub(crate) fn known(&self) -> &Rc<KnownServer> {
        &self.known
    }

    /// The pool it was leased from.
    pub(crate) fn pool(&self) -> &PoolState {
        &self.pool
    }

    /// The same, to choose from it again.
    pub(crate) fn pool_state(&self) -> &Rc<PoolState> {
        &self.pool
    }

    /// A connection to the server, counted until it is dropped. At the server's limit, one that is
    /// kept makes room.
    pub(crate) fn connect(&self) -> Option<Connection> {
        let connect = || self.pool.balancer.borrow().connect(self.server);
        connect().or_else(|| {
            let kept = self.pool.idle.borrow_mut().take(self.server, |_| true);
            drop(kept?);
            connect()
        })
    }

    /// Whether there is a connection for it, or may be another one.
    fn may_connect(&self, most: u32) -> bool {
        let balancer = self.pool.balancer.borrow();
        let open = balancer.server(self.server).map_or(0, |server| server.shared.connections());
        open < most
            || self.pool.idle.borrow().newest(self.server).is_some()
            || self.pool.links.has_room(self.server, evenkeel_runtime::now())
    }

    /// It was not used at all.
    pub(crate) fn put_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// What comes of it decides whether the server is well again.
    pub(crate) fn is_trial(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_trial)
    }

    /// Whether the server takes only who is bound to it, and not for much longer.
    pub(crate) fn is_draining(&self) -> bool {
        let balancer = self.pool.balancer.borrow();
        balancer.server(self.server).is_some_and(|server| server.shared.admin() == Admin::Draining)
    }

    /// Tells the pool how it goes, before it is over.
    pub(crate) fn judge(&mut self, outcome: Outcome, now: Instant) {
        if let Some(lease) = &mut self.lease {
            self.pool.balancer.borrow_mut().judge(lease, outcome, now);
        }
    }

    /// Tells the pool how it went.
    pub(crate) fn finish(mut self, outcome: Outcome, now: Instant) {
        self.end(outcome, now);
    }

    fn end(&mut self, outcome: Outcome, now: Instant) {
        if let Some(lease) = self.lease.take() {
            self.pool.balancer.borrow_mut().finish(lease, outcome, now);
            self.pool.queue.call_first();
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if plant::is(Bug::LoadLeaks) {
            return std::mem::forget(self.lease.take());
        }
        if self.lease.is_some() {
            self.end(Outcome::Abandoned, evenkeel_runtime::now());
        }
    }
}
