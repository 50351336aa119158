//! Runs a world's tasks: one at a time, in an order that the seed decides. When none can run, time
//! jumps to what happens next.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::plan::Plan;
use super::world::{self, World};
use crate::timer;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// How a world ended.
#[derive(Debug)]
pub struct Report {
    /// The main task came to its end.
    pub finished: bool,
    /// What a check after a step objected to.
    pub objection: Option<String>,
    /// Polls.
    pub steps: u64,
    /// Time that passed in the world.
    pub elapsed: Duration,
    /// Hash of all that happened.
    pub trace: u64,
    /// The same as text, if the plan asked for it.
    pub lines: Vec<String>,
}

thread_local! {
    static SPAWNED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Adds a task to the world.
pub fn spawn(task: Task) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
}

struct Slot {
    task: Option<Task>,
    awake: Arc<Awake>,
}

/// Wakes one task, once until it is polled.
struct Awake {
    task: usize,
    queued: AtomicBool,
    queue: Sender<usize>,
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Relaxed) {
            let _ = self.queue.send(self.task);
        }
    }
}

/// Runs a world by `plan` until `main` ends, checking with `check` after each step. The calling
/// thread should be a fresh one: what it keeps between worlds would show in the trace.
pub fn run(
    plan: Plan,
    main: impl Future<Output = ()> + 'static,
    mut check: impl FnMut() -> Result<(), String>,
) -> Report {
    let world = World::new(plan);
    world::install(Some(world.clone()));
    let mut executor = Executor::new(world.clone());
    executor.add(Box::pin(main));
    let (finished, objection) = executor.run(&mut check);
    let steps = executor.steps;
    drop(executor); // with its tasks, which may still look at their world
    SPAWNED.with_borrow_mut(Vec::clear);
    world::install(None);
    let trace = world.trace.take();
    Report {
        finished,
        objection,
        steps,
        elapsed: world.elapsed(),
        trace: trace.hash,
        lines: trace.lines,
    }
}

struct Executor {
    world: Rc<World>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    ready: Vec<usize>,
    woken: Receiver<usize>,
    waker: Sender<usize>,
    steps: u64,
}

impl Executor {
    fn new(world: Rc<World>) -> Self {
        let (waker, woken) = channel();
        Self {
            world,
            slots: Vec::new(),
            free: Vec::new(),
            ready: Vec::new(),
            woken,
            waker,
            steps: 0,
        }
    }

    fn add(&mut self, task: Task) {
        let at = self.free.pop().unwrap_or(self.slots.len());
        let awake =
            Arc::new(Awake { task: at, queued: AtomicBool::new(true), queue: self.waker.clone() });
        let slot = Slot { task: Some(task), awake };
        match self.slots.get_mut(at) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        self.ready.push(at);
    }

    fn run(&mut self, check: &mut dyn FnMut() -> Result<(), String>) -> (bool, Option<String>) {
        loop {
            self.world.run_events();
            timer::fire(self.world.now());
            self.ready.extend(self.woken.try_iter());
            if self.ready.is_empty() {
                let timer = timer::next().map(|at| self.world.elapsed_at(at));
                let Some(next) = timer.into_iter().chain(self.world.next_event()).min() else {
                    return (false, Some("everybody waits and nothing will happen".into()));
                };
                self.world.advance_to(next);
                continue;
            }
            if self.steps >= self.world.plan.steps_max {
                return (false, Some("too many steps".into()));
            }
            if self.world.elapsed() > self.world.plan.time_max {
                return (false, Some("too much time has passed".into()));
            }
            let chosen = self.ready.swap_remove(self.world.below(self.ready.len()));
            let ended = self.step(chosen);
            if let Err(objection) = check() {
                return (false, Some(objection));
            }
            if ended && chosen == 0 {
                return (true, None);
            }
        }
    }

    /// Polls one task; whether it has ended.
    fn step(&mut self, at: usize) -> bool {
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let Some(task) = &mut slot.task else { return false };
        slot.awake.queued.store(false, Relaxed);
        self.steps += 1;
        // A step takes a moment, or two things could never happen between each other.
        let moment = Duration::from_nanos(200 + self.world.draw() % 4000);
        self.world.advance_to(self.world.elapsed() + moment);
        let waker = Waker::from(slot.awake.clone());
        let ended = task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(());
        if ended {
            let task = slot.task.take();
            drop(task);
            // A wake-up that is still under way may find the next task there: that is harmless,
            // tasks must bear to be polled for nothing.
            if at != 0 {
                self.free.push(at);
            }
        } else if self.world.happens(self.world.plan.spurious) {
            waker.wake();
        }
        for task in SPAWNED.with_borrow_mut(std::mem::take) {
            self.add(task);
        }
        ended
    }
}
