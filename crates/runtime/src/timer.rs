//! Deadlines of one worker. Setting a later deadline is a store; the queue is touched only when a
//! deadline becomes earlier than the entry that stands for it, or when an entry comes up.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::clock::now;

/// Entries come up together in steps of this length, rounded up: a timer is never early.
const STEP: Duration = Duration::from_millis(2);
/// An entry is looked at again after at most this long, so that few stale ones pile up when a
/// connection's deadlines go back and forth between near and far.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One deadline that can be moved.
pub struct Timer(Rc<TimerCell>);

struct TimerCell {
    deadline: Cell<Option<Instant>>,
    /// When the queue looks at this cell next.
    queued: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer {
    /// A timer without a deadline.
    pub fn new() -> Self {
        Self(Rc::new(TimerCell {
            deadline: Cell::new(None),
            queued: Cell::new(None),
            waker: RefCell::new(None),
        }))
    }

    /// Expires at `deadline`, instead of what was set before.
    pub fn set(&self, deadline: Instant) {
        if self.0.deadline.replace(Some(deadline)) == Some(deadline) {
            return; // also when it has just fired: its waiter is about to ask
        }
        if self.0.queued.get().is_none_or(|queued| deadline < queued) {
            enqueue(&self.0, deadline);
        }
    }

    /// Never expires.
    pub fn clear(&self) {
        self.0.deadline.set(None);
    }

    /// The same timer without a deadline, for whoever comes after its owner: short lives that each
    /// made their own would leave an entry in the queue until its deadline.
    pub fn pass_on(&self) -> Self {
        self.clear();
        Self(self.0.clone())
    }

    /// What is set.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get()
    }

    /// Ready once the deadline has passed; stays ready until it is set again.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.waker.borrow().as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.0.waker.replace(Some(cx.waker().clone()));
        }
        // The clock is read only near the deadline: an entry must have come up for that.
        match (self.0.deadline.get(), self.0.queued.get()) {
            (Some(deadline), None) if deadline <= now() => Poll::Ready(()),
            (Some(deadline), None) => {
                enqueue(&self.0, deadline);
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }

    /// Waits for the deadline.
    pub async fn expired(&self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }
}

struct Entry {
    at: Instant,
    cell: Weak<TimerCell>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

#[derive(Default)]
struct Queue {
    entries: BinaryHeap<Reverse<Entry>>,
    driver: Option<Waker>,
    /// What the driver sleeps until.
    sleeps_until: Option<Instant>,
}

thread_local! {
    static QUEUE: RefCell<Queue> = RefCell::default();
}

fn enqueue(cell: &Rc<TimerCell>, at: Instant) {
    cell.queued.set(Some(at));
    QUEUE.with_borrow_mut(|queue| {
        queue.entries.push(Reverse(Entry { at, cell: Rc::downgrade(cell) }));
        if queue.sleeps_until.is_none_or(|until| at < until)
            && let Some(driver) = &queue.driver
        {
            driver.wake_by_ref();
        }
    });
}

/// Fires what is due, and says when to come back.
pub(crate) fn fire(now: Instant) -> Option<Instant> {
    loop {
        let entry = QUEUE.with_borrow_mut(|queue| {
            let due = queue.entries.peek().is_some_and(|Reverse(entry)| entry.at <= now);
            if due { queue.entries.pop() } else { None }
        });
        let Some(Reverse(entry)) = entry else {
            return QUEUE.with_borrow(|queue| queue.entries.peek().map(|Reverse(e)| e.at));
        };
        let Some(cell) = entry.cell.upgrade() else { continue };
        if cell.queued.get() != Some(entry.at) {
            continue; // an earlier entry took its place
        }
        cell.queued.set(None);
        match cell.deadline.get() {
            Some(deadline) if deadline <= now => {
                if let Some(waker) = cell.waker.take() {
                    waker.wake();
                }
            }
            Some(deadline) => enqueue(&cell, deadline.min(now + LOOK_AGAIN)),
            None => {}
        }
    }
}

/// When the next entry comes up.
#[cfg(feature = "sim")]
pub(crate) fn next() -> Option<Instant> {
    QUEUE.with_borrow(|queue| queue.entries.peek().map(|Reverse(entry)| entry.at))
}

/// The worker's one task that sleeps.
pub(crate) async fn drive() {
    let mut sleep: Pin<Box<tokio::time::Sleep>> = Box::pin(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            let next = fire(now());
            QUEUE.with_borrow_mut(|queue| {
                queue.driver = Some(cx.waker().clone());
                queue.sleeps_until = next;
            });
            let Some(next) = next else { return Poll::<()>::Pending };
            sleep.as_mut().reset((next + STEP).into());
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// Waits until `deadline`.
pub async fn sleep_until(deadline: Instant) {
    let timer = Timer::new();
    timer.set(deadline);
    timer.expired().await;
}

/// Waits for `duration`.
pub async fn sleep(duration: Duration) {
    sleep_until(now() + duration).await;
}
