//! A pool as one worker sees it: its servers, its algorithm, and who gets the next request. What is
//! learned from a request is in `verdict.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::gate::Passage;
use crate::hedge::Latencies;
use crate::lease::{Lease, Trial};
use crate::retry_budget::RetryBudget;
use crate::standing::{Admin, Check, Connection, Waiting};
use crate::window::Window;
use crate::{Algorithm, Rng, Rules, Server, ServerId, ServerSpec, Servers, SharedPool};

/// How often the algorithm is asked again when it answers with a server that was tried already.
const ASK_AGAIN: usize = 4;
/// Servers looked at one after the other when the algorithm knows none.
const SCAN_MAX: usize = 1024;
/// A worker that beats so much too late stood still; a busy one is late by less.
const GAP: Duration = Duration::from_millis(500);

/// See the module's head.
pub struct Pool {
    pub(crate) shared: Arc<SharedPool>,
    pub(crate) servers: Servers,
    pub(crate) algorithm: Box<dyn Algorithm>,
    affinity: Option<Box<dyn Algorithm>>,
    rng: Rng,
    pub(crate) rules: Rules,
    /// The version that `servers` was looked at; `None`: has to be looked at.
    seen: Option<u64>,
    /// When it has to be looked at again.
    again: Option<Instant>,
    /// The pool's own counts, beside those of its servers.
    pub(crate) outlier: Option<Box<Window>>,
    pub(crate) breaker: Option<Box<Window>>,
    pub(crate) budget: RetryBudget,
    pub(crate) latencies: Option<Box<Latencies>>,
    /// When this worker last said that it is alive, and how often it does.
    beat: Option<(Instant, Duration)>,
    /// When this worker last went on after it had stood still.
    pub(crate) resumed: Option<Instant>,
}

/// What the request tells the pool.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'t> {
    /// Hash of what the pool balances by, if it does and the request has it.
    pub key: Option<u64>,
    /// Hash of what the client stays with a server by, if the pool has such and the request has it.
    pub affinity: Option<u64>,
    /// The server that the client is bound to: taken if it may, draining or not.
    pub bound: Option<ServerId>,
    /// Servers it was sent to already; none of them is picked again.
    pub tried: &'t [ServerId],
    /// Whether it may be sent again if this server fails: such go first to servers on trial.
    pub replayable: bool,
    /// The time.
    pub now: Instant,
}

impl<'t> Pick<'t> {
    /// Any server will do.
    pub fn new(now: Instant) -> Self {
        Self { key: None, affinity: None, bound: None, tried: &[], replayable: true, now }
    }

    /// Not these.
    pub fn tried<'u>(self, tried: &'u [ServerId]) -> Pick<'u> {
        let Self { key, affinity, bound, replayable, now, .. } = self;
        Pick { key, affinity, bound, tried, replayable, now }
    }
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The pool is empty.
    NoServers,
    /// None may take requests.
    NoneHealthy,
    /// All that may were tried.
    AllTried,
    /// All that may have as much as they take: waiting may help.
    Saturated,
    /// Too many of the pool's answers were failures; it is left alone for a while.
    BreakerOpen,
}

impl Pool {
    /// A pool without servers or rules that makes its random choices from `seed`.
    pub fn new(shared: Arc<SharedPool>, algorithm: Box<dyn Algorithm>, seed: u64) -> Self {
        let rules = Rules::default();
        let mut pool = Self {
            shared,
            servers: Servers::default(),
            algorithm,
            affinity: None,
            rng: Rng::from_seed(seed),
            budget: RetryBudget::new(rules.budget),
            rules,
            seen: None,
            again: None,
            outlier: None,
            breaker: None,
            latencies: None,
            beat: None,
            resumed: None,
        };
        pool.algorithm.rebuild(&pool.servers);
        pool
    }

    /// Chooses a server and counts the request as its load.
    ///
    /// # Errors
    /// When there is nobody to choose.
    pub fn pick(&mut self, pick: Pick<'_>) -> Result<Lease, Unavailable> {
        let stale = self.seen != Some(self.shared.version());
        if stale || self.again.is_some_and(|again| pick.now >= again) {
            self.look(pick.now);
        }
        if !self.servers.trials.is_empty() {
            self.notice_gap(pick.now);
        }
        if self.rules.limits.in_flight.is_none() && self.rules.breaker.is_none() {
            return self.choose(&pick);
        }
        let admission = crate::breaker::admit(&self.shared, &self.rules, pick.now)?;
        let mut lease = self.choose(&pick)?;
        lease.admission = Some(admission);
        Ok(lease)
    }

    fn choose(&mut self, pick: &Pick<'_>) -> Result<Lease, Unavailable> {
        if let Some(lease) = self.bound(pick).or_else(|| self.trial(pick)) {
            return Ok(lease);
        }
        if self.servers.eligible().is_empty() {
            return self.last_resort(pick).ok_or(
                match (self.servers.is_empty(), self.servers.trials.is_empty()) {
                    (true, _) => Unavailable::NoServers,
                    (_, true) => Unavailable::NoneHealthy,
                    _ if self.servers.trials.iter().all(|id| pick.tried.contains(id)) => {
                        Unavailable::AllTried
                    }
                    _ => Unavailable::Saturated,
                },
            );
        }
        for _ in 0..ASK_AGAIN {
            let id = match (pick.affinity, &mut self.affinity) {
                (Some(key), Some(affinity)) => {
                    let pick = Pick { key: Some(key), ..*pick };
                    affinity.pick(&self.servers, &pick, &mut self.rng)
                }
                _ => self.algorithm.pick(&self.servers, pick, &mut self.rng),
            };
            if let Some(id) = id.filter(|id| !pick.tried.contains(id))
                && let Some(lease) = self.lease(id, pick.now)
            {
                return Ok(lease);
            }
        }
        match self.any(pick) {
            Err(Unavailable::AllTried) => self.last_resort(pick).ok_or(Unavailable::AllTried),
            found => found,
        }
    }

    /// Where nobody better is left, a server that real traffic put out may still do: since then it
    /// may have come back, or those that were to stand in for it have gone.
    fn last_resort(&self, pick: &Pick<'_>) -> Option<Lease> {
        if self.rules.panic_threshold <= 0.0 {
            return None;
        }
        self.servers.ids().take(SCAN_MAX).filter(|id| !pick.tried.contains(id)).find_map(|id| {
            let server = self.servers.server(id)?;
            let shared = &server.shared;
            let may = server.weight > 0
                && shared.admin() == Admin::Enabled
                && shared.check() != Check::Down
                && (self.rules.server_breaker.is_none() || shared.breaker.is_passing());
            // No trial: what comes of it is not what probation counts.
            (may && shared.enter(server.limit))
                .then(|| Lease::new(id, shared.clone(), Trial::default(), pick.now))
        })
    }

    /// Any that was not tried, beginning anywhere.
    fn any(&mut self, pick: &Pick<'_>) -> Result<Lease, Unavailable> {
        let eligible = self.servers.eligible();
        let count = eligible.len();
        let begin = self.rng.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize;
        let mut why = Unavailable::AllTried;
        for step in 0..count.min(SCAN_MAX) {
            let at = (begin + step) % count;
            let Some(id) = self.servers.eligible().get(at).copied() else { continue };
            if pick.tried.contains(&id) {
                continue;
            }
            match self.lease(id, pick.now) {
                Some(lease) => return Ok(lease),
                None => why = Unavailable::Saturated,
            }
        }
        Err(why)
    }

    /// The server that the client is bound to, if it may.
    fn bound(&self, pick: &Pick<'_>) -> Option<Lease> {
        let id = pick.bound.filter(|id| !pick.tried.contains(id))?;
        if self.may_serve_bound(id) { self.lease(id, pick.now) } else { None }
    }

    /// Whether a server may be sent those bound to it, once it has room: draining or not, but not
    /// disabled, down or ejected.
    pub fn may_serve_bound(&self, id: ServerId) -> bool {
        let Some(server) = self.servers.server(id) else { return false };
        let shared = &server.shared;
        let shut = |passage| matches!(passage, Passage::Shut { .. });
        let sick = shared.check() == Check::Down
            || self.rules.outlier.is_some() && shut(shared.ejection.passage());
        let broken = self.rules.server_breaker.is_some() && shut(shared.breaker.passage());
        shared.admin() != Admin::Disabled && !broken && (!sick || self.servers.panics)
    }

    /// A server on trial that has room for one more.
    fn trial(&self, pick: &Pick<'_>) -> Option<Lease> {
        let now = self.shared.nanos(pick.now);
        self.servers.trials.iter().filter(|id| !pick.tried.contains(id)).find_map(|id| {
            let server = self.servers.server(*id)?;
            // Requests that cannot be sent again do only if no others come.
            let due = pick.replayable || crate::outlier::is_waiting(&server.shared, now);
            due.then(|| self.lease(*id, pick.now)).flatten()
        })
    }

    /// The right to send a request there; `None` if it has as much as it takes.
    fn lease(&self, id: ServerId, now: Instant) -> Option<Lease> {
        let server = self.servers.server(id)?;
        let trial = match self.servers.trials.is_empty() {
            true => Trial::default(),
            false => {
                let resumed = self.resumed.map(|resumed| self.shared.nanos(resumed));
                let now = self.shared.nanos(now);
                Trial::enter(server, &self.rules, now, resumed, self.servers.panics)?
            }
        };
        if !server.shared.enter(server.limit) {
            trial.leave(&server.shared, true);
            return None;
        }
        Some(Lease::new(id, server.shared.clone(), trial, now))
    }

    /// Looks at all servers again; whether tables were built anew.
    fn look(&mut self, now: Instant) -> bool {
        let version = self.shared.version();
        let look = self.servers.refresh(&self.rules, self.shared.nanos(now));
        self.seen = Some(version);
        self.again = look.again.and_then(|again| self.shared.instant(again));
        if look.changed {
            self.rebuild();
        }
        look.changed
    }

    fn rebuild(&mut self) {
        self.algorithm.rebuild(&self.servers);
        if let Some(affinity) = &mut self.affinity {
            affinity.rebuild(&self.servers);
        }
    }

    /// Makes these the servers; those that stay keep their state.
    pub fn set_servers(&mut self, specs: impl IntoIterator<Item = ServerSpec>, now: Instant) {
        self.servers.replace(specs);
        // Tables are built of weights and identities, which a look alone does not compare.
        if !self.look(now) {
            self.rebuild();
        }
    }

    /// Makes these the rules; what was learned stays.
    pub fn set_rules(&mut self, rules: Rules, now: Instant) {
        self.budget.set(rules.budget);
        self.latencies = match (rules.hedge, self.latencies.take()) {
            (true, kept) => Some(kept.unwrap_or_default()),
            (false, _) => None,
        };
        let rate = rules.outlier.as_ref().and_then(|outlier| outlier.rate);
        Window::fit(&mut self.outlier, rate, 0);
        let since = self.shared.breaker.since();
        Window::fit(&mut self.breaker, rules.breaker.map(|breaker| breaker.rate), since);
        self.rules = rules;
        self.look(now);
    }

    /// Chooses by this instead; what it learns begins anew.
    pub fn set_algorithm(&mut self, algorithm: Box<dyn Algorithm>) {
        self.algorithm = algorithm;
        self.rebuild();
    }

    /// Chooses by this for requests with an affinity key: a consistent hash.
    pub fn set_affinity(&mut self, affinity: Option<Box<dyn Algorithm>>) {
        self.affinity = affinity;
        self.rebuild();
    }

    /// Tells that this worker is alive; to be called `every` so often. A gap means that it stood
    /// still, and then failures of requests that began before say nothing about servers.
    pub fn beat(&mut self, now: Instant, every: Duration) {
        self.notice_gap(now);
        self.beat = Some((now, every));
    }

    pub(crate) fn notice_gap(&mut self, now: Instant) {
        if let Some((beat, every)) = &mut self.beat
            && now.saturating_duration_since(*beat) > every.saturating_add(GAP)
        {
            *beat = now;
            self.resumed = Some(now);
        }
    }

    /// Asks for one try beside the first one: a retry or a hedge. `false`: there must be none.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let nanos = self.shared.nanos(now);
        self.budget.withdraw(&self.shared, nanos)
    }

    /// Whether nothing succeeds at all: then not even a request that no server has seen is worth
    /// another try.
    pub fn is_hopeless(&self) -> bool {
        self.budget.is_hopeless()
    }

    /// When to hedge: the p95 of the time to the response head, at least 5 ms; `None` as long as
    /// too little is known. Needs [`Rules::hedge`].
    pub fn hedge_delay(&self) -> Option<Duration> {
        self.latencies.as_ref()?.p95()
    }

    /// A place in the pool's queue, until the guard is dropped; `None` if it is full.
    pub fn wait(&self) -> Option<Waiting> {
        self.shared.wait(self.rules.limits.waiting)
    }

    /// A new connection to a server, counted until the guard is dropped; `None` at its limit.
    pub fn connect(&self, id: ServerId) -> Option<Connection> {
        self.server(id)?.shared.connect(self.rules.limits.server_connections)
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What is shared about the pool.
    pub fn shared(&self) -> &Arc<SharedPool> {
        &self.shared
    }

    /// All servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// A server, unless it was removed.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.server(id)
    }

    /// The server with this key, for a client that is bound to it: [`Pick::bound`].
    pub fn find(&self, key: &str) -> Option<ServerId> {
        self.servers.find(key)
    }
}
