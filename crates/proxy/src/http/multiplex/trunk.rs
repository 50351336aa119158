//! What the streams of one connection share: how many there are, and how much of what they have sent
//! still waits for the connection itself. Owns the bound on that; flow control is the protocol's.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::worker::Worker;

/// Bytes that all streams together may have handed over before the connection has written them.
/// With what the client may send unasked, this keeps one connection below a mebibyte.
const QUEUED_MAX: usize = 256 * 1024;

/// Streams whose client takes nothing of what a server has sent, each with a block of it. Beyond that
/// the others read their answers in small pieces, so that a client which asks for much and takes
/// nothing makes us hold little.
const STALLED_MAX: usize = 8;

/// Bytes of heads of all streams together: many long ones at once are an attack.
const HEADS_MAX: usize = 256 * 1024;

/// See the module's head.
pub(crate) struct Trunk {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Streams being served.
    live: Cell<usize>,
    /// Handed over since the connection has last written everything.
    queued: Cell<usize>,
    /// Bytes of their requests' heads.
    heads: Cell<usize>,
    /// Streams whose client takes nothing at the moment.
    stalled: Cell<usize>,
    /// Streams that wait for room; at most one entry for each.
    waiting: RefCell<Vec<Waker>>,
    /// The connection's own task.
    task: RefCell<Option<Waker>>,
}

impl Trunk {
    pub(crate) fn new(worker: Rc<Worker>, peer: SocketAddr, local: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            worker,
            peer,
            local,
            live: Cell::new(0),
            queued: Cell::new(0),
            heads: Cell::new(0),
            stalled: Cell::new(0),
            waiting: RefCell::default(),
            task: RefCell::default(),
        })
    }

    /// Streams being served.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// Whether a stream with a head of so many bytes may be served, too.
    pub(crate) fn has_room(&self, head: usize) -> bool {
        self.heads.get().saturating_add(head) <= HEADS_MAX
    }

    /// So much is held for a client that takes nothing that more should be little.
    pub(crate) fn is_crowded(&self) -> bool {
        self.stalled.get() >= STALLED_MAX
    }

    /// Wakes the task that polls with `cx` when a stream has ended.
    pub(crate) fn watch(&self, cx: &mut Context<'_>) {
        let mut task = self.task.borrow_mut();
        if task.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// The connection has written all that was handed over.
    pub(crate) fn flushed(&self) {
        self.queued.set(0);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Ready when another piece may be handed over.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.queued.get() < QUEUED_MAX {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// So many bytes have been handed over.
    pub(crate) fn queue(&self, bytes: usize) {
        self.queued.set(self.queued.get().saturating_add(bytes));
    }
}

#[cfg(feature = "http3")]
impl Trunk {
    /// Of what a stream has handed over, so much waits instead of so much.
    pub(crate) fn requeue(&self, before: usize, now: usize) {
        self.queued.set(self.queued.get().saturating_sub(before).saturating_add(now));
        if self.queued.get() < QUEUED_MAX && now < before {
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }
}

/// A stream that is being served, for as long as this is kept.
pub(crate) struct Live {
    trunk: Rc<Trunk>,
    head: usize,
    stalled: Cell<bool>,
}

impl Live {
    /// With a head of so many bytes.
    pub(crate) fn new(trunk: &Rc<Trunk>, head: usize) -> Self {
        trunk.heads.set(trunk.heads.get().saturating_add(head));
        trunk.live.set(trunk.live.get().saturating_add(1));
        Self { trunk: trunk.clone(), head, stalled: Cell::new(false) }
    }

    pub(crate) fn trunk(&self) -> &Rc<Trunk> {
        &self.trunk
    }

    /// Whether its client takes nothing of what there is for it.
    pub(crate) fn stalls(&self, stalls: bool) {
        let stalled = self.trunk.stalled.get();
        match (self.stalled.replace(stalls), stalls) {
            (false, true) => self.trunk.stalled.set(stalled.saturating_add(1)),
            (true, false) => self.trunk.stalled.set(stalled.saturating_sub(1)),
            _ => {}
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stalls(false);
        self.trunk.heads.set(self.trunk.heads.get().saturating_sub(self.head));
        self.trunk.live.set(self.trunk.live.get().saturating_sub(1));
        if let Some(task) = self.trunk.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }
}
