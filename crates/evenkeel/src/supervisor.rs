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
use evenkeel_proxy::worker::{self, Adoption, Command, Drain, Opening, Setup};
use evenkeel_runtime::{self as runtime, mailbox};

use crate::control::access_logs::AccessLogs;
use crate::control::readings;
pub(crate) use crate::control::readings::ServerReading;
use crate::control::sockets::Sockets;
use crate::failure::{Exit, Failure};
use crate::signals::Request;
use crate::upgrade::{Inherited, Launch, Order, Refused, Tether, Upgraded, Upgrading};
use crate::{resolve, systemd};

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
    /// An upgrade has ended: another process serves, or nothing has changed.
    HandedOver(Result<Upgraded, Refused>),
    /// The old process has left everything to this one.
    InCharge,
}

/// Delivers events to [`Running::watch`].
#[derive(Clone)]
pub(crate) struct Events(SyncSender<Event>);

impl Events {
    /// The old process has left everything to this one.
    pub(crate) fn in_charge(&self) {
        // Waits if it must: said once. The supervisor has gone only if the process ends anyway.
        let _ = self.0.send(Event::InCharge);
    }

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
    upgrading: Upgrading,
    events: Events,
    since: Instant,
}

/// Starts the workers. They accept nothing until [`Running::accept`].
pub(crate) fn start(
    config: &Config,
    events: Events,
    inherited: &mut Inherited,
) -> Result<Running, Failure> {
    let resolved = resolve::resolve(config)?;
    let cores = runtime::available_cores();
    let count = config.workers.map_or(cores.len().max(1), |n| n.get() as usize);
    let descriptors = runtime::raise_descriptor_limit();
    let mut sockets = Sockets::new(count);
    sockets.commit(sockets.plan(&config.listeners, |_| false, inherited)?);
    let logs = AccessLogs::start(config)?;
    let seed = RandomState::new().build_hasher().finish();
    let publication = Ledger::new(count).publish(Snapshot::compile(config, &resolved));
    let shared = Shared::new(count, descriptors, seed);
    let (workers, inboxes): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mailbox::channel(COMMANDS_MAX)).unzip();
    let running = Running {
        counters: (0..count).map(|_| Arc::default()).collect(),
        workers,
        publication,
        shared,
        shutdown: config.shutdown.clone(),
        logs,
        sockets,
        upgrading: Upgrading::new(Launch::of_this_process()),
        events: events.clone(),
        since: runtime::now(),
    };
    for (index, inbox) in inboxes.into_iter().enumerate() {
        // Pinning helps only when each core has a worker to itself.
        let core = if count == cores.len() { cores.get(index).copied() } else { None };
        let setup = running.setup(index, core, seed.wrapping_add(index as u64), inbox);
        spawn(setup, events.clone())?;
    }
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

    /// Tells systemd that the process lives for as long as all workers do.
    pub(crate) fn keep_alive(&self) {
        let counters = self.counters.clone();
        systemd::keep_alive(move || counters.iter().map(|c| c.heartbeats.value()).collect());
    }

    /// How many sockets are listened on.
    pub(crate) fn socket_count(&self) -> usize {
        self.sockets.held().iter().flat_map(|held| &held.sockets).map(Vec::len).sum()
    }

    /// Lets the workers accept connections.
    pub(crate) fn accept(&self, config: &Config) -> Result<(), Failure> {
        let openings = self.sockets.openings(self.sockets.held().iter(), &self.publication);
        let openings = openings.map_err(|e| {
            Failure::new(Exit::Runtime, format!("cannot give sockets to the workers: {e}"))
        })?;
        self.open(openings);
        self.tell_start(config);
        Ok(())
    }

    fn open(&self, openings: Vec<Vec<Opening>>) {
        for (index, (worker, open)) in self.workers.iter().zip(openings).enumerate() {
            let adoption = Adoption { open, ..*Adoption::of(self.publication.clone()) };
            if worker.try_send(Command::Adopt(Box::new(adoption))).is_err() {
                tracing::error!(worker = index, "takes no orders");
            }
        }
    }

    /// What has been counted so far about every server, in the order of the configuration.
    pub(crate) fn servers(&self) -> Vec<ServerReading> {
        readings::servers(&self.publication)
    }

    /// Serves until the outside world asks for the end, or a worker fails.
    /// With a `tether` another process serves too, until it leaves all to this one.
    pub(crate) fn watch(
        mut self,
        inbox: &Receiver<Event>,
        mut tether: Option<Tether>,
    ) -> Result<(), Failure> {
        let mut left = self.workers.len();
        let mut give_up: Option<Instant> = None;
        let mut ended = Ok(());
        let mut dropped_before = 0;
        // Then the first signal is not the second that would end everything at once.
        let mut is_successor_there = false;
        while left > 0 {
            match next(inbox, give_up.is_some()) {
                Some(Event::Request(Request::End)) => match give_up {
                    None => {
                        self.upgrading.cancel();
                        match &tether {
                            Some(tether) => tether.leave(),
                            None => systemd::stopping("draining"),
                        }
                        give_up = Some(self.drain(&self.shutdown.clone()));
                    }
                    Some(_) if is_successor_there => {
                        is_successor_there = false;
                        tracing::info!("draining already, since a new process has taken over");
                    }
                    Some(_) => give_up = Some(self.stop("second signal: ending at once")),
                },
                Some(Event::Request(Request::Reload)) => tracing::warn!(
                    "SIGHUP: reloading comes with a later release; restart to apply changes"
                ),
                Some(Event::Request(Request::Reopen)) => {
                    self.logs.reopen();
                    tracing::info!("access log files opened again");
                }
                Some(Event::Request(Request::Upgrade)) => {
                    self.upgrade(give_up.is_some(), tether.is_some());
                }
                Some(Event::HandedOver(result)) => {
                    self.upgrading.is_over();
                    if let Some(upgraded) = told(result)
                        && give_up.is_none()
                    {
                        systemd::hand_over(upgraded.pid);
                        is_successor_there = true;
                        give_up = Some(self.drain(&self.shutdown.clone()));
                    }
                }
                Some(Event::InCharge) => {
                    tether = None;
                    self.take_charge(give_up.is_some());
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

    /// Hands over to a new process, if nothing speaks against it.
    fn upgrade(&mut self, is_draining: bool, is_tethered: bool) {
        let refused = match (is_draining, is_tethered) {
            (true, _) => Some("this process is draining"),
            (_, true) => Some("this process has not yet taken over from the old one"),
            _ => None,
        };
        if let Some(why) = refused {
            return tracing::warn!("upgrade refused: {why}");
        }
        let events = self.events.clone();
        let done = move |result| drop(events.0.send(Event::HandedOver(result)));
        let (order, carried) = (Order::default(), serde_json::Value::Null);
        if let Err(refused) = self.upgrading.begin(order, self.sockets.held(), carried, done) {
            tracing::warn!("upgrade refused: {refused}");
        }
    }

    /// Nobody else serves any more.
    fn take_charge(&mut self, is_draining: bool) {
        tracing::info!("in charge: the old process accepts no more");
        if !is_draining {
            let openings = self.sockets.complete(&self.publication);
            if openings.iter().any(|open| !open.is_empty()) {
                self.open(openings);
            }
        }
        systemd::take_charge(&self.status());
    }

    /// For `systemctl status`.
    pub(crate) fn status(&self) -> String {
        let (addresses, workers) = (self.sockets.held().len(), self.workers.len());
        format!("serving on {addresses} addresses with {workers} workers")
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
        inbox: mailbox::Receiver<Command>,
    ) -> Setup {
        Setup {
            index,
            core,
            seed,
            publication: self.publication.clone(),
            openings: Vec::new(),
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

/// Tells what became of an upgrade.
fn told(result: Result<Upgraded, Refused>) -> Option<Upgraded> {
    match result {
        Ok(upgraded) => {
            let Upgraded { pid, version } = &upgraded;
            tracing::info!(pid, %version, "upgraded: the new process serves");
            Some(upgraded)
        }
        Err(refused) => {
            tracing::error!("upgrade failed, nothing has changed: {refused}");
            None
        }
    }
}

/// The next event; `None` when it is time to look around.
fn next(inbox: &Receiver<Event>, draining: bool) -> Option<Event> {
    inbox.recv_timeout(if draining { LOOK_DRAINING } else { LOOK }).ok()
}
