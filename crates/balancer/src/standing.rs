//! What all workers and the control plane share about a server and a pool: relaxed atomics, each
//! written by its own party. The version is bumped with every change of standing, so that a worker
//! sees by one load whether it has to look. Owns the numbers; the rules are elsewhere.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::{Duration, Instant};

use crate::gate::{Gate, Passage};

/// What active checks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Nothing yet, or there are none: counts as up.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// What its operator says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// It takes requests.
    #[default]
    Enabled,
    /// It finishes what it has, and serves clients bound to it.
    Draining,
    /// It takes nothing.
    Disabled,
}

/// A server's standing as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What active checks say.
    pub check: Check,
    /// What its operator says.
    pub admin: Admin,
    /// What real traffic says.
    pub ejection: Passage,
    /// How often it was ejected lately.
    pub ejections: u32,
    /// Its breaker.
    pub breaker: Passage,
    /// The adaptive limit on requests in flight, once it is known.
    pub limit: Option<u32>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Connections, idle ones included.
    pub connections: u32,
}

/// Alone on its cache line (two: the adjacent one is prefetched with it).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// What is shared about a server, for as long as the pool has it.
#[derive(Debug)]
pub struct SharedServer {
    /// Written by every request.
    in_flight: Apart<AtomicU32>,
    /// Written now and then.
    connections: Apart<AtomicU32>,
    /// Read by every request, written when something changes.
    pub(crate) failures: AtomicU32,
    /// When the first of these was seen.
    failing_since: AtomicU64,
    pub(crate) ejection: Gate,
    pub(crate) breaker: Gate,
    check: AtomicU8,
    admin: AtomicU8,
    /// How often it was found down: connections from before are not trusted after.
    downs: AtomicU32,
    /// When it came (back), for slow start; 0 is long ago.
    entered: AtomicU64,
    pub(crate) limit: AtomicU32,
    pool: Arc<SharedPool>,
}

/// What is shared about a pool.
#[derive(Debug)]
pub struct SharedPool {
    /// Written by every request, if the pool has a limit.
    in_flight: Apart<AtomicU32>,
    waiting: Apart<AtomicU32>,
    epoch: Instant,
    version: AtomicU64,
    /// Servers ejected or on probation.
    ejected: AtomicU32,
    pub(crate) breaker: Gate,
    /// Tries of this second that the minimum of the retry budget allowed.
    spared: Apart<AtomicU64>,
}

impl SharedPool {
    /// Times are counted from `epoch`.
    pub fn new(epoch: Instant) -> Arc<Self> {
        Arc::new(Self {
            in_flight: Apart::default(),
            waiting: Apart::default(),
            epoch,
            version: AtomicU64::new(0),
            ejected: AtomicU32::new(0),
            breaker: Gate::default(),
            spared: Apart::default(),
        })
    }

    /// Nanoseconds since the epoch, and one: 0 is never.
    pub fn nanos(&self, at: Instant) -> u64 {
        saturating_nanos(at.saturating_duration_since(self.epoch)).saturating_add(1)
    }

    /// The reverse of [`Self::nanos`]; `None` beyond what the clock can say.
    pub fn instant(&self, nanos: u64) -> Option<Instant> {
        self.epoch.checked_add(Duration::from_nanos(nanos.saturating_sub(1)))
    }

    /// Changes with every change of standing of a server or of the pool.
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// Says that something changed.
    pub(crate) fn bump(&self) {
        self.version.fetch_add(1, Release);
    }

    /// Servers ejected or on probation.
    pub fn ejected(&self) -> u32 {
        self.ejected.load(Relaxed)
    }

    /// The pool's breaker.
    pub fn breaker(&self) -> Passage {
        self.breaker.passage()
    }

    /// Requests in flight; counted only if the pool has a limit on them.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.0.load(Relaxed)
    }

    /// Requests waiting for a server.
    pub fn waiting(&self) -> u32 {
        self.waiting.0.load(Relaxed)
    }

    /// A place among `most` ejected ones.
    pub(crate) fn claim_ejection(&self, most: u32) -> bool {
        enter(&self.ejected, most)
    }

    pub(crate) fn release_ejection(&self) {
        leave(&self.ejected);
    }

    pub(crate) fn spared(&self) -> &AtomicU64 {
        &self.spared.0
    }

    pub(crate) fn enter(&self, most: u32) -> bool {
        enter(&self.in_flight.0, most)
    }

    pub(crate) fn leave(&self) {
        leave(&self.in_flight.0);
    }

    pub(crate) fn wait(self: &Arc<Self>, most: u32) -> Option<Waiting> {
        enter(&self.waiting.0, most).then(|| Waiting(self.clone()))
    }
}

impl SharedServer {
    /// A server that was there when the pool began: no slow start.
    pub fn new(pool: &Arc<SharedPool>) -> Arc<Self> {
        Arc::new(Self {
            in_flight: Apart::default(),
            connections: Apart::default(),
            failures: AtomicU32::new(0),
            failing_since: AtomicU64::new(0),
            ejection: Gate::default(),
            breaker: Gate::default(),
            check: AtomicU8::new(0),
            admin: AtomicU8::new(0),
            downs: AtomicU32::new(0),
            entered: AtomicU64::new(0),
            limit: AtomicU32::new(0),
            pool: pool.clone(),
        })
    }

    /// A server that is added to a running pool at `now`.
    pub fn joining(pool: &Arc<SharedPool>, now: Instant) -> Arc<Self> {
        let server = Self::new(pool);
        server.entered.store(pool.nanos(now), Relaxed);
        server
    }

    /// Its pool.
    pub fn pool(&self) -> &Arc<SharedPool> {
        &self.pool
    }

    /// Requests in flight, from all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.0.load(Relaxed)
    }

    /// Connections from all workers, idle ones included.
    pub fn connections(&self) -> u32 {
        self.connections.0.load(Relaxed)
    }

    /// What active checks say.
    pub fn check(&self) -> Check {
        match self.check.load(Relaxed) {
            1 => Check::Up,
            2 => Check::Down,
            _ => Check::Unknown,
        }
    }

    /// What its operator says.
    pub fn admin(&self) -> Admin {
        match self.admin.load(Relaxed) {
            1 => Admin::Draining,
            2 => Admin::Disabled,
            _ => Admin::Enabled,
        }
    }

    /// Notes the verdict of active checks; for the control plane. Down to up begins slow start.
    pub fn set_check(&self, check: Check, now: Instant) {
        let before = self.check();
        if before == check {
            return;
        }
        if before == Check::Down {
            self.begin(self.pool.nanos(now));
        }
        if check == Check::Down {
            self.downs.fetch_add(1, Relaxed);
        }
        self.check.store(check as u8, Relaxed);
        // Unknown counts as up: thousands of first checks that only confirm it are no change.
        if (before == Check::Down) != (check == Check::Down) {
            self.pool.bump();
        }
    }

    /// Notes what the operator wants; for the control plane. Enabling what was disabled begins
    /// slow start.
    pub fn set_admin(&self, admin: Admin, now: Instant) {
        let before = self.admin();
        if before == admin {
            return;
        }
        if before == Admin::Disabled && admin == Admin::Enabled {
            self.begin(self.pool.nanos(now));
        }
        self.admin.store(admin as u8, Relaxed);
        self.pool.bump();
    }

    /// Forgets what real traffic said: ejection and breaker; for the control plane, when the
    /// operator knows better or the server leaves the pool.
    pub fn clear(&self, now: Instant) {
        let now = self.pool.nanos(now);
        if self.ejection.clear(now) {
            self.pool.release_ejection();
        }
        for gate in [&self.ejection, &self.breaker] {
            gate.times.store(0, Relaxed);
            gate.relapses.store(0, Relaxed);
        }
        self.breaker.clear(now);
        self.failures.store(0, Relaxed);
        self.pool.bump();
    }

    /// Ejected until then, for the `times`th time lately, as another process had decided; for the
    /// control plane, before anybody asks the server.
    pub fn continue_ejection(&self, until: Instant, times: u32, now: Instant) {
        let (until, now) = (self.pool.nanos(until), self.pool.nanos(now));
        // Its place was found there.
        if self.pool.claim_ejection(u32::MAX) {
            if self.ejection.turn(Passage::Passing, Passage::Shut { until }, now) {
                self.ejection.times.store(times, Relaxed);
                self.pool.bump();
            } else {
                self.pool.release_ejection();
            }
        }
    }

    /// Everything, for showing.
    pub fn standing(&self) -> Standing {
        Standing {
            check: self.check(),
            admin: self.admin(),
            ejection: self.ejection.passage(),
            ejections: self.ejection.times.load(Relaxed),
            breaker: self.breaker.passage(),
            limit: Some(self.limit.load(Relaxed)).filter(|limit| *limit > 0),
            in_flight: self.in_flight(),
            connections: self.connections(),
        }
    }

    /// A connection to it, counted until the guard is dropped; `None` at the limit.
    pub fn connect(self: &Arc<Self>, limit: Option<u32>) -> Option<Connection> {
        let most = limit.unwrap_or(u32::MAX);
        let downs = self.downs.load(Relaxed);
        let counted = enter(&self.connections.0, most);
        counted.then(|| Connection { server: self.clone(), downs })
    }

    /// One more failure; how many that makes in a row.
    pub(crate) fn fail(&self, now: u64) -> u32 {
        let before = self.failures.fetch_add(1, Relaxed);
        if before == 0 {
            self.failing_since.store(now, Relaxed);
        }
        before.saturating_add(1)
    }

    /// It answered what began at `begun`. What was under way when it began to fail says nothing about
    /// it since: a dying server's last answers are not to keep it in.
    pub(crate) fn answer(&self, begun: u64) {
        // The line is shared by all workers: written only if there is something to forget.
        if self.failures.load(Relaxed) != 0 && begun >= self.failing_since.load(Relaxed) {
            self.failures.store(0, Relaxed);
        }
    }

    pub(crate) fn begin(&self, now: u64) {
        self.entered.store(now, Relaxed);
    }

    /// When it came (back); 0 is long ago.
    pub(crate) fn entered(&self) -> u64 {
        self.entered.load(Relaxed)
    }

    /// Counts a request, unless `limit` are in flight.
    pub(crate) fn enter(&self, limit: u32) -> bool {
        let before = self.in_flight.0.fetch_add(1, Relaxed);
        if before >= limit {
            self.leave();
        }
        before < limit
    }

    pub(crate) fn leave(&self) {
        self.in_flight.0.fetch_sub(1, Relaxed);
    }
}

impl Drop for SharedServer {
    /// A server that left while it was ejected gives its place back.
    fn drop(&mut self) {
        if !self.ejection.is_passing() {
            self.pool.release_ejection();
        }
    }
}

/// A connection to a server, counted while it is held.
#[derive(Debug)]
#[must_use = "counted until it is dropped"]
pub struct Connection {
    server: Arc<SharedServer>,
    downs: u32,
}

impl Connection {
    /// Whether checks have not found the server down since the connection began: what was kept from
    /// before is likely dead, or leads to what is about to die.
    pub fn is_trusted(&self) -> bool {
        self.server.downs.load(Relaxed) == self.downs
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        leave(&self.server.connections.0);
    }
}

/// A place in the pool's queue, counted while it is held.
#[derive(Debug)]
#[must_use = "counted until it is dropped"]
pub struct Waiting(Arc<SharedPool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        leave(&self.0.waiting.0);
    }
}

/// One more, unless there are `most`.
fn enter(count: &AtomicU32, most: u32) -> bool {
    count.fetch_update(Relaxed, Relaxed, |n| (n < most).then(|| n.saturating_add(1))).is_ok()
}

fn leave(count: &AtomicU32) {
    let _ = count.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
}

/// A duration that fits, or the longest.
pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_from_before_a_server_was_down_are_not_trusted_after() {
        #[allow(clippy::disallowed_methods, reason = "any moment will do")]
        let epoch = Instant::now();
        let server = SharedServer::new(&SharedPool::new(epoch));
        let before = server.connect(None);
        server.set_check(Check::Up, epoch);
        assert!(before.as_ref().is_some_and(Connection::is_trusted));
        server.set_check(Check::Down, epoch);
        let during = server.connect(None);
        server.set_check(Check::Up, epoch);
        assert!(!before.is_some_and(|connection| connection.is_trusted()));
        assert!(during.is_some_and(|connection| connection.is_trusted()));
    }
}
