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

/// See the module's head.
pub(crate) struct Trunk {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Streams being served.
    live: Cell<usize>,
    /// Handed over since the connection has last written everything.
    queued: Cell<usize>,
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
            waiting: RefCell::default(),
            task: RefCell::default(),
        })
    }

    /// Streams being served.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
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
pub(crate) struct Live(Rc<Trunk>);

impl Live {
    pub(crate) fn new(trunk: &Rc<Trunk>) -> Self {
        trunk.live.set(trunk.live.get().saturating_add(1));
        Self(trunk.clone())
    }

    pub(crate) fn trunk(&self) -> &Rc<Trunk> {
        &self.0
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get().saturating_sub(1));
        if let Some(task) = self.0.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }
}
