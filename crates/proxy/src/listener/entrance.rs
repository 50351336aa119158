//! One address of one listener, as one worker sees it: whether it still accepts, and by what its
//! connections are served once their listener is configured no more. Owns no socket.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_config::model::{Listener, ListenerId};
use evenkeel_runtime::{self as runtime, Timer};

use crate::generation::Generation;
use crate::shared::{Gauge, ListenerKey};
use crate::worker::{Cut, Drain, Running, Worker};

/// What clients come over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    #[cfg_attr(not(feature = "http3"), allow(dead_code, reason = "nothing else speaks it"))]
    Quic,
    /// Datagrams, as they are.
    Udp,
}

/// See the module's head. Every connection holds the one it came in through.
pub(crate) struct Entrance {
    pub(crate) key: ListenerKey,
    /// As bound, not as seen by a connection.
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    /// Open connections of the listener in all workers.
    pub(crate) connections: Arc<Gauge>,
    /// Of these, this entrance's in this worker.
    pub(crate) open: Cell<usize>,
    /// Whether this worker still accepts from its socket.
    pub(crate) accepts: Cell<bool>,
    drain: Cell<Option<Drain>>,
    /// By which rules connections are admitted: a number for each time that they became others.
    rules: Cell<u64>,
    wake: Timer,
    /// What is to end of its sessions.
    cuts: RefCell<Vec<Cut>>,
    /// The last generation that has the listener, once there is a later one.
    last: RefCell<Option<Rc<Generation>>>,
}

impl Entrance {
    pub(crate) fn new(
        key: ListenerKey,
        address: SocketAddr,
        transport: Transport,
        connections: Arc<Gauge>,
    ) -> Rc<Self> {
        Rc::new(Self {
            key,
            address,
            transport,
            connections,
            open: Cell::new(0),
            accepts: Cell::new(false),
            drain: Cell::new(None),
            rules: Cell::new(0),
            wake: Timer::new(),
            cuts: RefCell::default(),
            last: RefCell::new(None),
        })
    }

    /// Whether it is this address of this listener.
    pub(crate) fn is_at(&self, key: ListenerKey, address: SocketAddr) -> bool {
        self.key == key && self.address == address
    }

    /// What a new request is served by, and the listener's place there.
    pub(crate) fn serving(&self, worker: &Worker) -> Option<(Rc<Generation>, ListenerId)> {
        let generation = worker.generation();
        match generation.listener(self.key) {
            Some(id) => Some((generation, id)),
            None => {
                let last = self.last.borrow().clone()?;
                let id = last.listener(self.key)?;
                Some((last, id))
            }
        }
    }

    /// `next` follows `old`: connections of a listener that it does not have keep the old one.
    pub(crate) fn outlive(&self, old: &Rc<Generation>, next: &Generation) {
        if next.listener(self.key).is_none() && old.listener(self.key).is_some() {
            self.last.replace(Some(old.clone()));
        }
    }

    /// Takes what is already in the kernel's queue, then closes the socket; each connection ends
    /// after the request in progress.
    pub(crate) fn leave(&self, drain: Drain) {
        self.drain.set(Some(drain));
        self.wake.set(runtime::now());
    }

    /// Has the task of its sessions end what runs at a server.
    pub(crate) fn cut(&self, cut: &Cut) {
        if self.transport == Transport::Udp && cut.what == Running::All {
            self.cuts.borrow_mut().push(cut.clone());
            self.wake.set(runtime::now());
        }
    }

    /// What is to end, for that task.
    pub(crate) fn take_cuts(&self) -> Vec<Cut> {
        self.cuts.take()
    }

    /// By which rules a connection that comes now is admitted.
    pub(crate) fn rules(&self) -> u64 {
        self.rules.get()
    }

    /// From now on by others, which those that came before have not met; whether that is so.
    pub(crate) fn renew_rules(&self, old: &Generation, next: &Generation) -> bool {
        let listener = |of: &Generation| {
            let id = of.listener(self.key)?;
            Some(of.snapshot.listener(id)?.config.clone())
        };
        let (Some(old), Some(next)) = (listener(old), listener(next)) else { return false };
        let renewed = asks_for_more(&old, &next);
        self.rules.set(self.rules.get().saturating_add(u64::from(renewed)));
        renewed
    }

    /// Set once it has been left.
    pub(crate) fn drain(&self) -> Option<Drain> {
        self.drain.get()
    }

    /// Wakes its accept loop when it is left.
    pub(crate) fn wake(&self) -> &Timer {
        &self.wake
    }
}

/// Whether a client that `old` let in may be one that `next` would not.
fn asks_for_more(old: &Listener, next: &Listener) -> bool {
    let auth = |listener: &Listener| listener.tls.as_ref().map(|tls| tls.client_auth.clone());
    match (auth(old), auth(next)) {
        (None, Some(_)) => true,
        (Some(old), Some(Some(next))) => old.as_ref() != Some(&next),
        _ => false,
    }
}
