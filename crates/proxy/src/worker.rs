//! One thread of the data plane: its listeners, its connections, and everything they touch, so
//! that nothing here is locked. Owns the life of a worker from its start to the end of its drain.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_balancer::Rng;
use evenkeel_config::model::ListenerId;
use evenkeel_runtime::{self as runtime, Detached, mailbox};

use crate::access_log::LogBuffers;
use crate::buffer::Stock;
use crate::connection::Registry;
use crate::counters::WorkerCounters;
use crate::generation::Generation;
use crate::http::heads::HeadStock;
use crate::listener;
use crate::shared::{Publication, Shared};

/// How often a worker looks after idle connections and unsent log lines.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// How a worker begins.
pub struct Setup {
    /// Which one it is.
    pub index: usize,
    /// The core it is pinned to, if any.
    pub core: Option<usize>,
    /// Makes its random choices; different for each worker.
    pub seed: u64,
    /// What it serves first.
    pub publication: Publication,
    /// Addresses to listen on, for each listener; in the order of the snapshot.
    pub binds: Vec<Vec<SocketAddr>>,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Its own counts.
    pub counters: Arc<WorkerCounters>,
    /// Orders, and connections handed over by others.
    pub inbox: mailbox::Receiver<Command>,
    /// The inboxes of all workers, by index.
    pub peers: Vec<mailbox::Sender<Command>>,
    /// Where access log lines go.
    pub logs: crate::access_log::LogSinks,
}

/// What a worker can be told.
pub enum Command {
    /// Serve by this from the next request on.
    Adopt(Publication),
    /// Stop accepting and finish what is running.
    Drain(Drain),
    /// End now, whatever is running.
    Stop,
    /// Serve this connection, accepted by another worker; already counted as this one's.
    Take(Handover),
}

/// A connection on its way from one worker to another.
pub struct Handover {
    /// The socket.
    pub stream: Detached,
    /// Where it was accepted.
    pub listener: ListenerId,
    /// The client, as counted.
    pub peer: SocketAddr,
}

/// How long things may go on once a worker stops accepting.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Requests in progress are cut at this moment.
    pub requests_until: Instant,
    /// Tunnels are cut at this moment.
    pub tunnels_until: Instant,
    /// A connection without a request is closed after this much silence.
    pub idle_grace: Duration,
}

/// What a worker's tasks share; never leaves its thread.
pub(crate) struct Worker {
    pub(crate) index: usize,
    generation: RefCell<Rc<Generation>>,
    seed: u64,
    pub(crate) rng: RefCell<Rng>,
    pub(crate) stock: Stock,
    pub(crate) heads: HeadStock,
    pub(crate) registry: Registry,
    pub(crate) drain: Cell<Option<Drain>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) peers: Vec<mailbox::Sender<Command>>,
    pub(crate) logs: LogBuffers,
}

impl Worker {
    /// What is served by now.
    pub(crate) fn generation(&self) -> Rc<Generation> {
        self.generation.borrow().clone()
    }

    /// New exchanges are served by `publication`; pools of the same name keep their state.
    fn adopt(&self, publication: &Publication) {
        let old = self.generation();
        let next = Generation::after(Some(&old), publication, self.index, self.seed);
        self.generation.replace(Rc::new(next));
    }

    /// No new exchange may begin on a connection after the one in progress.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    /// Drops kept connections to servers that are dead or too old; all of them when `all`.
    pub(crate) fn sweep_idle(&self, all: bool) {
        let now = runtime::now();
        for pool in self.generation().pools() {
            pool.idle.borrow_mut().sweep(|connection| !all && connection.is_usable(now));
        }
    }
}

/// Runs a worker on the calling thread until it has drained. `started` is told the addresses it
/// listens on (for each listener), or why it cannot.
///
/// # Errors
/// When the thread's event loop cannot be made.
pub fn run(
    setup: Setup,
    started: impl FnOnce(io::Result<Vec<Vec<SocketAddr>>>) + 'static,
) -> io::Result<()> {
    runtime::run(setup.core, serve(setup, started))
}

/// A worker's life, on whatever runtime the calling task is.
pub async fn serve(setup: Setup, started: impl FnOnce(io::Result<Vec<Vec<SocketAddr>>>)) {
    let listeners = match listener::bind_all(&setup.binds) {
        Ok(listeners) => listeners,
        Err(error) => return started(Err(error)),
    };
    started(Ok(listeners
        .iter()
        .map(|group| group.iter().map(|l| l.address()).collect())
        .collect()));
    let Setup { index, seed, publication, shared, counters, mut inbox, peers, logs, .. } = setup;
    let generation = Generation::after(None, &publication, index, seed);
    let worker = Rc::new(Worker {
        index,
        generation: RefCell::new(Rc::new(generation)),
        seed,
        rng: RefCell::new(Rng::from_seed(seed)),
        stock: Stock::default(),
        heads: HeadStock::default(),
        registry: Registry::default(),
        drain: Cell::new(None),
        shared,
        counters: counters.clone(),
        peers,
        logs: LogBuffers::new(logs, counters),
    });
    let accepting: Vec<_> = listeners
        .into_iter()
        .enumerate()
        .flat_map(|(at, group)| group.into_iter().map(move |l| (ListenerId(at as u32), l)))
        .map(|(id, socket)| listener::spawn(worker.clone(), id, socket))
        .collect();
    runtime::spawn(keep_house(Rc::downgrade(&worker)));
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Adopt(publication) => worker.adopt(&publication),
            Command::Take(handover) => listener::take_over(&worker, handover),
            Command::Drain(drain) => {
                worker.drain.set(Some(drain));
                accepting.iter().for_each(listener::Accepting::stop);
                worker.registry.hurry_idle(runtime::now() + drain.idle_grace);
                runtime::spawn(watch_drain(worker.clone(), drain));
            }
            Command::Stop => break,
        }
    }
    worker.logs.flush();
}

/// Cuts what outlives the drain's deadlines, and ends the worker when nothing is left.
async fn watch_drain(worker: Rc<Worker>, drain: Drain) {
    const LOOK: Duration = Duration::from_millis(20);
    loop {
        let now = runtime::now();
        if now >= drain.requests_until {
            worker.registry.cut_requests(now);
        }
        if now >= drain.tunnels_until || worker.registry.is_empty() {
            break;
        }
        runtime::sleep(LOOK).await;
    }
    if let Some(own) = worker.peers.get(worker.index) {
        // The inbox is bounded; one that stays full means that nobody listens any more.
        for _ in 0..100 {
            if own.try_send(Command::Stop).is_ok() {
                return;
            }
            runtime::sleep(LOOK).await;
        }
    }
}

async fn keep_house(worker: std::rc::Weak<Worker>) {
    loop {
        runtime::sleep(HOUSEKEEPING).await;
        let Some(worker) = worker.upgrade() else { return };
        worker.sweep_idle(false);
        worker.logs.flush();
    }
}
