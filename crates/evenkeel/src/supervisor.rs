//! The life of the serving process: starts the workers, watches them, tells them to drain, and
//! ends. The only file that speaks to the data plane; what a request goes through is not here.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use evenkeel_config::Config;
use evenkeel_config::model::Shutdown;
use evenkeel_proxy::counters::WorkerCounters;
use evenkeel_proxy::shared::{Ledger, Publication, Shared};
use evenkeel_proxy::snapshot::Snapshot;
use evenkeel_proxy::worker::{self, Command, Drain, Opening, Setup};
use evenkeel_runtime::{self as runtime, mailbox};

use crate::control::access_logs::AccessLogs;
use crate::control::readings;
pub(crate) use crate::control::readings::ServerReading;
use crate::control::sockets::{self, Sockets};
use crate::failure::{Exit, Failure};
use crate::resolve;
use crate::signals::Request;

/// Events that may wait for the supervisor; workers send a handful each, signals beyond are
/// dropped.
const EVENTS_MAX: usize = 1024;
/// Commands that may wait for a worker: connections handed over faster than it takes them.
const COMMANDS_MAX: usize = 1024;
/// While draining, a connection without a request is closed after this much silence: long enough
/// for a request that is on its way, short enough not to hold up the end.
const IDLE_GRACE: Duration = Duration::from_millis(500);
/// How much longer than its drain, or than an order to end at once, a worker may take.
const END_GRACE: Duration = Duration::from_secs(2);
/// How often the supervisor looks around while serving, and while draining.
const LOOK: Duration = Duration::from_secs(10);
const LOOK_DRAINING: Duration = Duration::from_secs(1);

/// What happens to the process.
pub(crate) enum Event {
    /// The outside world asks for something.
    Request(Request),
    /// A worker has ended.
    Ended(usize, Result<(), String>),
}

/// Delivers events to [`Running::watch`].
#[derive(Clone)]
pub(crate) struct Events(SyncSender<Event>);

impl Events {
    /// Passes on what the outside world asks for.
    pub(crate) fn request(&self, request: Request) {
        // If a thousand events wait, one more request says nothing new.
        let _ = self.0.try_send(Event::Request(request));
    }
}

/// A bounded queue of events.
pub(crate) fn events() -> (Events, Receiver<Event>) {
    let (sender, inbox) = sync_channel(EVENTS_MAX);
    (Events(sender), inbox)
}

/// Workers that serve.
pub(crate) struct Running {
    workers: Vec<mailbox::Sender<Command>>,
    counters: Vec<Arc<WorkerCounters>>,
    publication: Publication,
    shared: Arc<Shared>,
    shutdown: Shutdown,
    logs: AccessLogs,
    sockets: Sockets,
    since: Instant,
}

/// Starts the workers; returns once all of them accept connections.
pub(crate) fn start(config: &Config, events: Events) -> Result<Running, Failure> {
    let resolved = resolve::resolve(config)?;
    let cores = runtime::available_cores();
    let count = config.workers.map_or(cores.len().max(1), |n| n.get() as usize);
    let descriptors = runtime::raise_descriptor_limit();
    let mut sockets = Sockets::new(count);
    sockets.commit(sockets.plan(&config.listeners, |_| false, &mut sockets::nothing)?);
    let logs = AccessLogs::start(config)?;
    let seed = RandomState::new().build_hasher().finish();
    let publication = Ledger::new(count).publish(Snapshot::compile(config, &resolved));
    let shared = Shared::new(count, descriptors, seed);
    let (workers, inboxes): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mailbox::channel(COMMANDS_MAX)).unzip();
    let openings = sockets.openings(sockets.held().iter(), &publication).map_err(|e| {
        Failure::new(Exit::Runtime, format!("cannot give sockets to the workers: {e}"))
    })?;
    let running = Running {
        counters: (0..count).map(|_| Arc::default()).collect(),
        workers,
        publication,
        shared,
        shutdown: config.shutdown.clone(),
        logs,
        sockets,
        since: runtime::now(),
    };
    for (index, (inbox, openings)) in inboxes.into_iter().zip(openings).enumerate() {
        // Pinning helps only when each core has a worker to itself.
        let core = if count == cores.len() { cores.get(index).copied() } else { None };
        let setup = running.setup(index, core, seed.wrapping_add(index as u64), openings, inbox);
        spawn(setup, events.clone())?;
    }
    running.tell_start(config);
    Ok(running)
}

/// Starts a worker's thread.
fn spawn(setup: Setup, events: Events) -> Result<(), Failure> {
    let index = setup.index;
    let serve = move || worker::run(setup).map_err(|e| e.to_string());
    let body = move || {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
        let ended = caught.unwrap_or_else(|_| Err("it panicked".into()));
        // The supervisor has gone only if the process ends anyway.
        let _ = events.0.send(Event::Ended(index, ended));
    };
    let thread = std::thread::Builder::new().name(format!("worker-{index}"));
    thread
        .spawn(body)
        .map(drop)
        .map_err(|e| Failure::new(Exit::Runtime, format!("cannot start worker {index}: {e}")))
}

impl Running {
    /// Where each listener listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.held().iter().map(|held| held.address).collect()
    }

    /// What has been counted so far about every server, in the order of the configuration.
    pub(crate) fn servers(&self) -> Vec<ServerReading> {
        readings::servers(&self.publication)
    }

    /// Serves until the outside world asks for the end, or a worker fails.
    pub(crate) fn watch(mut self, inbox: &Receiver<Event>) -> Result<(), Failure> {
        let mut left = self.workers.len();
        let mut give_up: Option<Instant> = None;
        let mut ended = Ok(());
        let mut dropped_before = 0;
        while left > 0 {
            match next(inbox, give_up.is_some()) {
                Some(Event::Request(Request::End)) => match give_up {
                    None => give_up = Some(self.drain(&self.shutdown.clone())),
                    Some(_) => give_up = Some(self.stop("second signal: ending at once")),
                },
                Some(Event::Request(Request::Reload)) => tracing::warn!(
                    "SIGHUP: reloading comes with a later release; restart to apply changes"
                ),
                Some(Event::Request(Request::Reopen)) => {
                    self.logs.reopen();
                    tracing::info!("access log files opened again");
                }
                Some(Event::Ended(index, result)) => {
                    left -= 1;
                    if let Some(failure) = self.judge_end(index, result, give_up.is_some()) {
                        ended = Err(failure);
                        give_up = Some(self.stop("ending, because a worker failed"));
                    }
                }
                None => dropped_before = self.look_around(give_up.is_some(), dropped_before),
            }
            if give_up.is_some_and(|moment| runtime::now() >= moment) {
                let message = format!("{left} of {} workers did not end", self.workers.len());
                ended = Err(Failure::new(Exit::Runtime, message));
                break;
            }
        }
        self.tell_end();
        self.logs.finish();
        ended
    }

    /// Ends gently within `drain`, without watching for anything else.
    pub(crate) fn end(mut self, inbox: &Receiver<Event>, drain: Duration) -> Result<(), Failure> {
        let shutdown = Shutdown { drain, drain_tunnels: drain };
        let give_up = self.drain(&shutdown);
        let mut left = self.workers.len();
        while left > 0 && runtime::now() < give_up {
            if let Some(Event::Ended(..)) = next(inbox, true) {
                left -= 1;
            }
        }
        self.logs.finish();
        Ok(())
    }

    /// Tells the workers to finish; returns the moment by which they must have.
    fn drain(&mut self, shutdown: &Shutdown) -> Instant {
        self.sockets.close(); // or the kernel would go on queueing clients that nobody accepts
        let now = runtime::now();
        let drain = Drain {
            requests_until: now + shutdown.drain,
            tunnels_until: now + shutdown.drain.max(shutdown.drain_tunnels),
            idle_grace: IDLE_GRACE.min(shutdown.drain),
        };
        let connections = self.connections();
        let limit = shutdown.drain;
        tracing::info!(
            connections,
            ?limit,
            "draining: no new connections; a second signal ends at once"
        );
        self.order(|| Command::Drain(drain));
        drain.tunnels_until + END_GRACE
    }

    fn stop(&self, why: &str) -> Instant {
        tracing::warn!(connections = self.connections(), "{why}");
        self.order(|| Command::Stop);
        runtime::now() + END_GRACE
    }

    fn order(&self, command: impl Fn() -> Command) {
        for (index, worker) in self.workers.iter().enumerate() {
            if worker.try_send(command()).is_err() {
                tracing::error!(worker = index, "takes no orders");
            }
        }
    }

    /// Open client connections.
    fn connections(&self) -> u64 {
        self.shared.workers.iter().map(|gauge| u64::from(gauge.value())).sum()
    }

    fn setup(
        &self,
        index: usize,
        core: Option<usize>,
        seed: u64,
        openings: Vec<Opening>,
        inbox: mailbox::Receiver<Command>,
    ) -> Setup {
        Setup {
            index,
            core,
            seed,
            publication: self.publication.clone(),
            openings,
            shared: self.shared.clone(),
            counters: self.counters.get(index).cloned().unwrap_or_default(),
            inbox,
            peers: self.workers.clone(),
            logs: self.logs.sinks(),
        }
    }

    /// A worker may end only when asked to.
    fn judge_end(&self, index: usize, result: Result<(), String>, asked: bool) -> Option<Failure> {
        let why = match result {
            Ok(()) if asked => return None,
            Ok(()) => "it ended by itself".into(),
            Err(error) => error,
        };
        tracing::error!(worker = index, "worker failed: {why}");
        Some(Failure::new(Exit::Runtime, format!("worker {index} failed: {why}")))
    }

    fn tell_start(&self, config: &Config) {
        for held in self.sockets.held() {
            tracing::info!(listener = %held.listener, "listening on http://{}", held.address);
        }
        let (routes, pools) = (config.routes.len(), config.pools.len());
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(workers = self.workers.len(), routes, pools, %version, "serving");
    }

    /// Tells how a drain goes, and of log lines lost; returns how many blocks were until now.
    fn look_around(&self, draining: bool, dropped_before: u64) -> u64 {
        if draining {
            tracing::info!(connections = self.connections(), "draining");
        }
        let dropped = self.sum(|c| c.log_blocks_dropped.value());
        if dropped > dropped_before {
            let blocks = dropped - dropped_before;
            tracing::warn!(blocks, "access log: its place is too slow, lines are lost");
        }
        dropped
    }

    fn sum(&self, count: fn(&WorkerCounters) -> u64) -> u64 {
        self.counters.iter().map(|counters| count(counters)).sum()
    }

    fn tell_end(&self) {
        let seconds = runtime::now().duration_since(self.since).as_secs();
        tracing::info!(
            seconds,
            connections = self.sum(|c| c.accepted.value()),
            requests = self.sum(|c| c.exchanges.value()),
            failures = self.sum(|c| c.failures.value()),
            cut = self.connections(),
            "ended"
        );
    }
}

/// The next event; `None` when it is time to look around.
fn next(inbox: &Receiver<Event>, draining: bool) -> Option<Event> {
    inbox.recv_timeout(if draining { LOOK_DRAINING } else { LOOK }).ok()
}
