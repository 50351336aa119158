//! Requests that wait for a server while all that may take them are saturated: in order, bounded,
//! each for a limited time. Owns the order and the waiting; not who may be asked.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenkeel_balancer::Unavailable;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_runtime::{self as runtime, Timer};

use crate::connection::ConnectionState;
use crate::failure::{Failure, Reason};
use crate::generation::{Leased, PoolState};
use crate::http::body::Pump;
use crate::http::client_watch::ClientWatch;
use crate::http::exchange::Exchange;
use crate::http::tries::Tries;

/// The first in the queue looks again after this time: what other workers finish wakes nobody here.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Those of one worker that wait for a pool. How many may is counted by the pool for all workers.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
}

#[derive(Default)]
struct Ticket {
    waker: RefCell<Option<Waker>>,
}

impl Queue {
    /// Somebody waits, and must not be overtaken.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// A server may have room: the first may look.
    pub(crate) fn call_first(&self) {
        if plant::is(Bug::QueueForgets) {
            return;
        }
        if let Some(first) = self.waiting.borrow().front()
            && let Some(waker) = first.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }
}

/// A place in the queue; dropped, it is free.
struct Place<'p> {
    queue: &'p Queue,
    ticket: Rc<Ticket>,
}

impl<'p> Place<'p> {
    fn last(queue: &'p Queue) -> Self {
        let ticket = Rc::<Ticket>::default();
        queue.waiting.borrow_mut().push_back(ticket.clone());
        Self { queue, ticket }
    }

    fn is_first(&self) -> bool {
        self.queue.waiting.borrow().front().is_some_and(|first| Rc::ptr_eq(first, &self.ticket))
    }

    fn register(&self, cx: &Context<'_>) {
        let mut waker = self.ticket.waker.borrow_mut();
        if waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if plant::is(Bug::QueueLeavesTicket) {
            return;
        }
        let mut waiting = self.queue.waiting.borrow_mut();
        let at = waiting.iter().position(|ticket| Rc::ptr_eq(ticket, &self.ticket));
        if let Some(at) = at {
            waiting.remove(at);
        }
        drop(waiting);
        if at == Some(0) {
            self.queue.call_first(); // there may be room for more than one
        }
    }
}

/// Waits in line, at most for `most`, until `lease` says that a server has room; whatever waits is no
/// exchange.
pub(crate) async fn wait_in_line(
    pool: &PoolState,
    most: Duration,
    state: &ConnectionState,
    lease: impl Fn() -> Result<Leased, Unavailable>,
) -> Result<Leased, Failure> {
    let Some(_counted) = pool.wait() else { return Err(Failure::new(Reason::QueueFull)) };
    let place = Place::last(&pool.queue);
    state.allow_until(runtime::now() + most);
    let look_again = Timer::new();
    poll_fn(|cx| {
        while place.is_first() {
            match lease() {
                Err(Unavailable::Saturated) => {}
                found => return Poll::Ready(found.map_err(Failure::from)),
            }
            look_again.set(runtime::now() + LOOK_AGAIN);
            if look_again.poll_expired(cx).is_pending() {
                break;
            }
        }
        place.register(cx);
        state.timer.poll_expired(cx).map(|()| Err(Failure::new(Reason::QueueTimeout)))
    })
    .await
}

/// Waits until a server has room; it is leased then.
pub(super) async fn wait(
    exchange: &mut Exchange<'_>,
    tries: &Tries<'_>,
    pump: &Pump,
) -> Result<Leased, Failure> {
    let pool: &PoolState = tries.pool;
    let Some(_counted) = pool.wait() else { return Err(Failure::new(Reason::QueueFull)) };
    if plant::is(Bug::WaitingLeaks) {
        std::mem::forget(pool.wait());
    }
    exchange.connection.worker.counters.queued.add(1);
    if pump.is_received() {
        exchange.connection.worker.stock.shrink(&mut exchange.buffer);
    }
    let place = Place::last(&pool.queue);
    let deadline = runtime::now() + tries.settings.config.queue.timeout;
    exchange.connection.state.allow_until(deadline);
    let mut client = ClientWatch::default();
    let look_again = Timer::new();
    poll_fn(|cx| {
        while place.is_first() {
            match tries.lease_first() {
                Err(Unavailable::Saturated) => {}
                Ok(lease) => return Poll::Ready(Ok(lease)),
                Err(other) => return Poll::Ready(Err(other.into())),
            }
            look_again.set(runtime::now() + LOOK_AGAIN);
            if plant::is(Bug::QueueForgets) || look_again.poll_expired(cx).is_pending() {
                break;
            }
        }
        place.register(cx);
        if client.poll_gone_between(cx, exchange, pump).is_ready() {
            return Poll::Ready(Err(Failure::new(Reason::ClientGone)));
        }
        let timer = &exchange.connection.state.timer;
        timer.poll_expired(cx).map(|()| Err(Failure::new(Reason::QueueTimeout)))
    })
    .await
}
