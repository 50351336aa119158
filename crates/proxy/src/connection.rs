//! One client connection as its worker sees it, and the register of all of them. Owns counting,
//! the connection's one timer, and what a drain does to connections; not what is said on them.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use evenkeel_codec::plant::{self, Bug};
use evenkeel_config::model::ListenerId;
use evenkeel_runtime::{self as runtime, Timer};

use crate::channel::Channel;
use crate::generation::{Generation, KnownServer};
use crate::listener::Entrance;
use crate::shared::Gauge;
use crate::tls::Session;
use crate::worker::{Drain, Worker};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting for a request.
    Idle,
    /// Serving one.
    Busy,
    /// Passing bytes both ways after an upgrade.
    Tunnel,
}

/// The part of a connection that others may touch.
pub(crate) struct ConnectionState {
    /// Whatever the connection waits for, it waits no longer than this.
    pub(crate) timer: Timer,
    phase: Cell<Phase>,
    /// The drain's deadline has passed: what runs must end.
    cut: Cell<bool>,
    /// No wait of its exchange is longer.
    end: Cell<Option<Instant>>,
    pub(crate) entrance: Rc<Entrance>,
    /// By which of the entrance's rules it was admitted.
    rules: Cell<u64>,
    /// Where its exchange was sent last.
    server: RefCell<Option<Rc<KnownServer>>>,
    /// The connection that this is a stream of.
    trunk: Option<Rc<Self>>,
    /// It has streams, and wants to hear of a drain at once.
    is_trunk: Cell<bool>,
    /// Of its streams, those that are tunnels.
    tunnels: Cell<u32>,
}

impl ConnectionState {
    /// It does something else now.
    pub(crate) fn enter(&self, phase: Phase) {
        let before = self.phase.replace(phase);
        if let Some(trunk) = &self.trunk {
            let tunnels = trunk.tunnels.get();
            trunk.tunnels.set(match (before == Phase::Tunnel, phase == Phase::Tunnel) {
                (false, true) => tunnels.saturating_add(1),
                (true, false) => tunnels.saturating_sub(1),
                _ => tunnels,
            });
        }
        if phase == Phase::Idle {
            self.end.set(None);
            self.server.take();
        }
    }

    /// Its exchange is sent to this server now.
    pub(crate) fn send_to(&self, server: Rc<KnownServer>) {
        self.server.replace(Some(server));
    }

    /// Something of `pool` runs at `server`.
    pub(crate) fn is_at(&self, pool: &str, server: &str) -> bool {
        let is = |at: &Rc<KnownServer>| *at.pool == *pool && *at.target.key == *server;
        self.server.borrow().as_ref().is_some_and(is)
    }

    /// It was admitted by these rules, before it was counted.
    #[cfg_attr(not(feature = "http3"), allow(dead_code, reason = "others are counted at once"))]
    pub(crate) fn admitted_by(&self, rules: u64) {
        self.rules.set(rules);
    }

    /// It was admitted by rules that are not in force any more.
    pub(crate) fn is_outdated(&self) -> bool {
        self.rules.get() != self.entrance.rules()
    }

    /// It carries streams from now on.
    pub(crate) fn become_trunk(&self) {
        self.is_trunk.set(true);
    }

    /// It is a tunnel, or one of its streams is.
    fn is_tunnel(&self) -> bool {
        self.phase.get() == Phase::Tunnel || self.tunnels.get() > 0
    }

    /// It has to end from `now` on.
    pub(crate) fn cut(&self, now: Instant) {
        if !self.cut.replace(true) {
            self.timer.set(now);
        }
    }

    /// It has to end now: what its exchange waits for is nobody's fault.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Whatever its exchange waits for, it waits no longer than until then.
    pub(crate) fn end_by(&self, end: Option<Instant>) {
        self.end.set(end);
    }

    /// Waits until `deadline`, unless the connection has to end now.
    pub(crate) fn allow_until(&self, deadline: Instant) {
        if !self.cut.get() {
            self.timer.set(self.end.get().map_or(deadline, |end| end.min(deadline)));
        }
    }
}

/// Timers of streams that have ended, kept for others.
const TIMERS_MAX: usize = 1024;

/// Every open connection of a worker.
#[derive(Default)]
pub(crate) struct Registry {
    slots: RefCell<Slots>,
    timers: RefCell<Vec<Timer>>,
}

#[derive(Default)]
struct Slots {
    states: Vec<Option<Rc<ConnectionState>>>,
    free: Vec<usize>,
}

impl Registry {
    fn enter(
        &self,
        entrance: Rc<Entrance>,
        trunk: Option<Rc<ConnectionState>>,
    ) -> (usize, Rc<ConnectionState>) {
        let rules = trunk.as_ref().map_or_else(|| entrance.rules(), |trunk| trunk.rules.get());
        let state = Rc::new(ConnectionState {
            rules: Cell::new(rules),
            timer: self.timers.borrow_mut().pop().unwrap_or_default(),
            phase: Cell::new(Phase::Idle),
            cut: Cell::new(false),
            end: Cell::new(None),
            entrance,
            server: RefCell::new(None),
            trunk,
            is_trunk: Cell::new(false),
            tunnels: Cell::new(0),
        });
        let mut slots = self.slots.borrow_mut();
        let at = slots.free.pop().unwrap_or(slots.states.len());
        if at == slots.states.len() {
            slots.states.push(None);
        }
        if let Some(slot) = slots.states.get_mut(at) {
            *slot = Some(state.clone());
        }
        (at, state)
    }

    fn leave(&self, at: usize) {
        let mut slots = self.slots.borrow_mut();
        if slots.states.get_mut(at).and_then(Option::take).is_some() {
            slots.free.push(at);
        }
    }

    /// A stream has ended; its timer serves another.
    fn keep_timer(&self, timer: &Timer) {
        let mut timers = self.timers.borrow_mut();
        if timers.len() < TIMERS_MAX {
            timers.push(timer.pass_on());
        }
    }

    /// No connection is open.
    pub(crate) fn is_empty(&self) -> bool {
        let slots = self.slots.borrow();
        slots.states.len() == slots.free.len()
    }

    /// Of these connections those without a request are closed at `deadline` at the latest; those
    /// that carry streams look at once, since they can tell their clients.
    pub(crate) fn hurry_idle(&self, deadline: Instant, which: impl Fn(&ConnectionState) -> bool) {
        let now = runtime::now();
        for state in self.slots.borrow().states.iter().flatten() {
            if state.is_trunk.get() && which(state) {
                state.timer.set(now);
            } else if state.phase.get() == Phase::Idle
                && which(state)
                && state.timer.deadline().is_none_or(|at| at > deadline)
            {
                state.timer.set(deadline);
            }
        }
    }

    /// Ends what runs on these connections.
    pub(crate) fn cut(
        &self,
        now: Instant,
        what: Running,
        which: impl Fn(&ConnectionState) -> bool,
    ) {
        for state in self.slots.borrow().states.iter().flatten() {
            let spared = what == Running::Requests && state.is_tunnel();
            if !spared && which(state) {
                state.cut(now);
            }
        }
    }
}

/// What may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Requests in progress; tunnels go on.
    Requests,
    /// Tunnels too.
    All,
}

/// A version of HTTP, as a connection settles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.0 or HTTP/1.1: each request says which.
    H1,
    H2,
    #[cfg_attr(not(feature = "http3"), allow(dead_code, reason = "nobody speaks it"))]
    H3,
}

/// One client connection. Dropping it closes the socket and uncounts it everywhere.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) stream: Channel,
    /// The version of HTTP spoken on it.
    pub(crate) protocol: Cell<Protocol>,
    /// What its TLS handshake settled.
    pub(crate) tls: OnceCell<Rc<Session>>,
    pub(crate) state: Rc<ConnectionState>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The peer's address as it is told to servers.
    pub(crate) peer_text: Rc<str>,
    pub(crate) opened: Instant,
    /// Requests begun on it.
    pub(crate) requests: Cell<u32>,
    slot: usize,
    /// A stream of a connection is no connection to those who count them.
    is_stream: bool,
}

impl Connection {
    /// A connection that its worker, listener and client have already been counted for.
    pub(crate) fn new(
        worker: Rc<Worker>,
        stream: Channel,
        entrance: Rc<Entrance>,
        now: Instant,
    ) -> Self {
        entrance.open.set(entrance.open.get().saturating_add(1));
        let (slot, state) = worker.registry.enter(entrance, None);
        let (peer, local) = (stream.peer_addr(), stream.local_addr());
        let peer_text = peer.ip().to_canonical().to_string().into();
        let requests = Cell::new(0);
        Self {
            worker,
            stream,
            protocol: Cell::new(Protocol::H1),
            tls: OnceCell::new(),
            state,
            peer,
            local,
            peer_text,
            opened: now,
            requests,
            slot,
            is_stream: false,
        }
    }

    /// A stream of `trunk`, with one request: like a connection of its own to drains and deadlines,
    /// but not counted as one.
    pub(crate) fn of_stream(trunk: &Self, stream: Channel) -> Self {
        let worker = trunk.worker.clone();
        let entrance = trunk.state.entrance.clone();
        let (slot, state) = worker.registry.enter(entrance, Some(trunk.state.clone()));
        state.enter(Phase::Busy);
        Self {
            worker,
            stream,
            protocol: trunk.protocol.clone(),
            tls: trunk.tls.clone(),
            state,
            peer: trunk.peer,
            local: trunk.local,
            peer_text: trunk.peer_text.clone(),
            opened: runtime::now(),
            requests: Cell::new(1),
            slot,
            is_stream: true,
        }
    }

    /// What its next request is served by, and its listener's place there.
    pub(crate) fn serving(&self) -> Option<(Rc<Generation>, ListenerId)> {
        self.state.entrance.serving(&self.worker)
    }

    /// Set once no new exchange may begin on it after the one in progress.
    pub(crate) fn drain(&self) -> Option<Drain> {
        let drain = self.worker.drain.get().or_else(|| self.state.entrance.drain());
        drain.or_else(|| self.state.is_outdated().then(|| Drain::at_once(runtime::now())))
    }

    /// Its listener speaks HTTP.
    pub(crate) fn is_http(&self) -> bool {
        self.serving().is_some_and(|(generation, id)| {
            generation.snapshot.listener(id).is_some_and(|l| l.config.kind.is_http())
        })
    }

    /// Whether it is encrypted between the client and here.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.get().is_some()
    }

    /// The peer's port.
    pub(crate) fn peer_port(&self) -> u16 {
        self.peer.port()
    }

    /// The peer's address; an IPv4 one that came in over IPv6 as IPv4.
    pub(crate) fn peer_ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.registry.leave(self.slot);
        self.state.enter(Phase::Idle);
        if self.is_stream {
            return self.worker.registry.keep_timer(&self.state.timer);
        }
        let entrance = &self.state.entrance;
        entrance.open.set(entrance.open.get().saturating_sub(1));
        uncount(&self.worker, &entrance.connections, self.peer.ip());
        self.worker.counters.closed.add(1);
    }
}

/// Takes back what was counted when a connection was accepted for this worker.
pub(crate) fn uncount(worker: &Worker, listener: &Gauge, peer: IpAddr) {
    let shared = &worker.shared;
    let forgotten = plant::is(Bug::CountLeaks) && worker.is_draining();
    if let Some(gauge) = shared.workers.get(worker.index)
        && !forgotten
    {
        gauge.leave();
    }
    listener.leave();
    shared.clients.leave(peer);
}
