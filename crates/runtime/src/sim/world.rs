//! The world of the calling thread: its clock, its chance, its trace, and what is about to happen.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::listener::Queue;
use super::plan::{Chance, Plan, splitmix};
use super::wire::{Event, Wire};

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// One simulated world.
pub(crate) struct World {
    pub(crate) plan: Plan,
    began: Instant,
    elapsed: Cell<Duration>,
    chance: Cell<u64>,
    pub(crate) trace: RefCell<Trace>,
    events: RefCell<BinaryHeap<Reverse<Scheduled>>>,
    sequence: Cell<u64>,
    pub(crate) wires: RefCell<Vec<Wire>>,
    pub(crate) listeners: RefCell<HashMap<SocketAddr, Vec<Rc<Queue>>>>,
    pub(crate) next_port: Cell<u16>,
}

/// Something that will happen to a wire.
struct Scheduled {
    at: Duration,
    sequence: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// What happened, as a hash and, if asked for, as text.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Rc<Self> {
        #[allow(clippy::disallowed_methods)] // an origin to count from; only differences are seen
        let began = Instant::now() + plan.uptime;
        let seed = plan.seed;
        Rc::new(Self {
            plan,
            began,
            elapsed: Cell::new(Duration::ZERO),
            chance: Cell::new(seed),
            trace: RefCell::default(),
            events: RefCell::default(),
            sequence: Cell::new(0),
            wires: RefCell::default(),
            listeners: RefCell::default(),
            next_port: Cell::new(10_000),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.began + self.elapsed.get()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    /// Time passes, never backwards.
    pub(crate) fn advance_to(&self, moment: Duration) {
        self.elapsed.set(self.elapsed.get().max(moment));
    }

    pub(crate) fn elapsed_at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.began)
    }

    pub(crate) fn wall_clock(&self) -> SystemTime {
        let date = UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.elapsed.get();
        let is_set_back = self.plan.date_jumps && self.elapsed.get().as_millis() / 10 % 2 == 1;
        if is_set_back { date - Duration::from_secs(3600) } else { date }
    }

    /// The world's next random number.
    pub(crate) fn draw(&self) -> u64 {
        let mut state = self.chance.get();
        let drawn = splitmix(&mut state);
        self.chance.set(state);
        drawn
    }

    /// One of `0..n`; 0 if there is none.
    pub(crate) fn below(&self, n: usize) -> usize {
        (self.draw() % (n as u64).max(1)) as usize
    }

    pub(crate) fn within(&self, range: &Range<usize>) -> usize {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// Whether a fault of this chance happens now.
    pub(crate) fn happens(&self, chance: Chance) -> bool {
        chance.0 > 0
            && self.elapsed() < self.plan.faults_until
            && self.draw() % 1_000_000 < u64::from(chance.0)
    }

    pub(crate) fn latency(&self) -> Duration {
        let span = self.plan.latency.end.saturating_sub(self.plan.latency.start);
        let nanos = self.draw() % (span.as_nanos() as u64).max(1);
        self.plan.latency.start + Duration::from_nanos(nanos)
    }

    pub(crate) fn schedule(&self, at: Duration, event: Event) {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        self.events.borrow_mut().push(Reverse(Scheduled { at, sequence, event }));
    }

    /// When the next event happens.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        self.events.borrow().peek().map(|Reverse(scheduled)| scheduled.at)
    }

    /// Lets happen all that is due.
    pub(crate) fn run_events(self: &Rc<Self>) {
        loop {
            let due = {
                let mut events = self.events.borrow_mut();
                match events.peek() {
                    Some(Reverse(next)) if next.at <= self.elapsed() => events.pop(),
                    _ => None,
                }
            };
            let Some(Reverse(scheduled)) = due else { return };
            super::wire::happen(self, scheduled.event);
        }
    }

    /// Writes down that something happened.
    pub(crate) fn note(&self, what: &str, subject: u64, bytes: &[u8]) {
        let mut trace = self.trace.borrow_mut();
        let mut hash = trace.hash;
        let time = (self.elapsed().as_nanos() as u64).to_le_bytes();
        for byte in time.iter().chain(what.as_bytes()).chain(&subject.to_le_bytes()).chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        trace.hash = hash;
        if self.plan.keep_trace {
            let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(160)).unwrap_or(bytes));
            let time = self.elapsed().as_micros();
            trace.lines.push(format!("{time:>10} {what:<9} {subject:>4} {text:?}"));
        }
    }
}

/// Makes `world` the one of this thread, or none.
pub(crate) fn install(world: Option<Rc<World>>) {
    WORLD.set(world);
}

pub(crate) fn with<T>(look: impl FnOnce(&Rc<World>) -> T) -> Option<T> {
    WORLD.with_borrow(|world| world.as_ref().map(look))
}

pub(crate) fn current() -> Option<Rc<World>> {
    with(Rc::clone)
}

/// Whether a world runs on this thread.
pub fn is_running() -> bool {
    WORLD.with_borrow(Option::is_some)
}

/// Writes into the world's trace.
pub fn note(what: &str, subject: u64, bytes: &[u8]) {
    with(|world| world.note(what, subject, bytes));
}
