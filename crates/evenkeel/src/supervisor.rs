//! The life of the serving process: starts the workers, watches them, tells them to drain, and
//! ends. The only file that speaks to the data plane; what a request goes through is not here.

mod access_logs;
mod bind;
mod readings;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use evenkeel_config::Config;
use evenkeel_config::model::Shutdown;
use evenkeel_proxy::counters::WorkerCounters;
use evenkeel_proxy::shared::{Ledger, Publication, Shared};
use evenkeel_proxy::snapshot::Snapshot;
use evenkeel_proxy::worker::{self, Command, Drain, Setup};
use evenkeel_runtime::{self as runtime, mailbox};

use self::access_logs::AccessLogs;
pub(crate) use self::readings::ServerReading;
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
    addresses: Vec<Vec<SocketAddr>>,
    since: Instant,
}

/// Starts the workers; returns once all of them accept connections.
pub(crate) fn start(config: &Config, events: Events) -> Result<Running, Failure> {
    let resolved = resolve::resolve(config)?;
    bind::probe(config)?;
    let logs = AccessLogs::start(config)?;
    let cores = runtime::available_cores();
    let count = config.workers.map_or(cores.len().max(1), |n| n.get() as usize);
    let seed = RandomState::new().build_hasher().finish();
    let descriptors = runtime::raise_descriptor_limit();
    let publication = Ledger::new(count).publish(Snapshot::compile(config, &resolved));
    let shared = Shared::new(count, config.listeners.len(), descriptors, seed);
    let (workers, inboxes): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mailbox::channel(COMMANDS_MAX)).unzip();
    let mut running = Running {
        counters: (0..count).map(|_| Arc::default()).collect(),
        workers,
        publication,
        shared,
        shutdown: config.shutdown.clone(),
        logs,
        addresses: config.listeners.iter().map(|listener| listener.bind.clone()).collect(),
        since: runtime::now(),
    };
    for (index, inbox) in inboxes.into_iter().enumerate() {
        // Pinning helps only when each core has a worker to itself.
        let core = if count == cores.len() { cores.get(index).copied() } else { None };
        let setup = running.setup(index, core, seed.wrapping_add(index as u64), inbox);
        // Port 0 becomes a real port with the first worker; the others share it.
        running.addresses = spawn(setup, events.clone())?;
    }
    running.tell_start(config);
    Ok(running)
}

/// Starts a worker's thread; returns its addresses once it listens.
fn spawn(setup: Setup, events: Events) -> Result<Vec<Vec<SocketAddr>>, Failure> {
    let index = setup.index;
    let cannot = |what: &str, e: io::Error| {
        Failure::new(Exit::Runtime, format!("cannot start worker {index}: {what}{e}"))
    };
    let (tell, told) = sync_channel(1);
    let serve = move || {
        let ended = worker::run(setup, move |bound| drop(tell.send(bound)));
        ended.map_err(|e| e.to_string())
    };
    let body = move || {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
        let ended = caught.unwrap_or_else(|_| Err("it panicked".into()));
        // The supervisor has gone only if the process ends anyway.
        let _ = events.0.send(Event::Ended(index, ended));
    };
    let thread = std::thread::Builder::new().name(format!("worker-{index}"));
    thread.spawn(body).map_err(|e| cannot("", e))?;
    match told.recv() {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(e)) => Err(Failure::new(Exit::Bind, format!("worker {index} cannot listen: {e}"))),
        Err(_) => Err(cannot("", io::Error::other("it ended before it listened"))),
    }
}

impl Running {
    /// Where each listener listens.
    pub(crate) fn addresses(&self) -> &[Vec<SocketAddr>] {
        &self.addresses
    }

    /// What has been counted so far about every server, in the order of the configuration.
    pub(crate) fn servers(&self) -> Vec<ServerReading> {
        readings::servers(&self.publication)
    }

    /// Serves until the outside world asks for the end, or a worker fails.
    pub(crate) fn watch(self, inbox: &Receiver<Event>) -> Result<(), Failure> {
        let mut left = self.workers.len();
        let mut give_up: Option<Instant> = None;
        let mut ended = Ok(());
        let mut dropped_before = 0;
        while left > 0 {
            match next(inbox, give_up.is_some()) {
                Some(Event::Request(Request::End)) => match give_up {
                    None => give_up = Some(self.drain(&self.shutdown)),
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
    pub(crate) fn end(self, inbox: &Receiver<Event>, drain: Duration) -> Result<(), Failure> {
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
    fn drain(&self, shutdown: &Shutdown) -> Instant {
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
        inbox: mailbox::Receiver<Command>,
    ) -> Setup {
        Setup {
            index,
            core,
            seed,
            publication: self.publication.clone(),
            binds: self.addresses.clone(),
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
        for (listener, addresses) in config.listeners.iter().zip(&self.addresses) {
            for address in addresses {
                tracing::info!(listener = %listener.name, "listening on http://{address}");
            }
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
