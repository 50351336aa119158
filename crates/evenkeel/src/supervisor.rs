//! The life of the serving process: starts the workers and the control plane, watches them, tells
//! them to drain, and ends. What is changed meanwhile is the control plane's business, what a request
//! goes through the workers'.

mod start;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use evenkeel_config::model::Shutdown;
use evenkeel_proxy::counters::WorkerCounters;
use evenkeel_proxy::services::{Services, SharedTake};
use evenkeel_proxy::shared::{Ledger, Shared};
use evenkeel_proxy::snapshot::Snapshot;
use evenkeel_proxy::worker::{self, Command, Drain, Setup};
use evenkeel_runtime::{self as runtime, mailbox};
use tokio::sync::watch as latest;

pub(crate) use self::start::Start;
use crate::admin::Living;
use crate::certs;
use crate::control::access_logs::AccessLogs;
use crate::control::actor::Actor;
use crate::control::carried;
use crate::control::drains::Drains;
use crate::control::lookout::Lookout;
use crate::control::plane::{self, Plane};
use crate::control::readings;
pub(crate) use crate::control::readings::ServerReading;
use crate::control::sockets::Sockets;
use crate::control::view::Stand;
use crate::control::{Handle, Message};
use crate::documents;
use crate::failure::{Exit, Failure};
use crate::limits;
use crate::passwords;
use crate::signals::Request;
use crate::systemd;
use crate::upgrade::{Inherited, Launch, Order, Tether, Upgraded, Upgrading};

/// Events that may wait for the supervisor; workers send a handful each, signals beyond are
/// dropped.
const EVENTS_MAX: usize = 1024;
/// Commands that may wait for a worker: connections handed over faster than it takes them.
const COMMANDS_MAX: usize = 1024;
/// Documents that workers want fetched anew; beyond that they ask again.
const DOCUMENTS_WANTED_MAX: usize = 64;
/// Decisions by shared limits that may wait to be asked for; beyond that they count as not answered.
const SHARED_TAKES_MAX: usize = 4096;
/// While draining, a connection without a request is closed after this much silence: long enough
/// for a request that is on its way, short enough not to hold up the end.
pub(crate) const IDLE_GRACE: Duration = Duration::from_millis(500);
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
    /// Another process serves: this one may end.
    HandedOver(Upgraded),
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

    /// Another process serves.
    pub(crate) fn handed_over(&self, upgraded: Upgraded) {
        let _ = self.0.send(Event::HandedOver(upgraded));
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

/// A process that serves.
pub(crate) struct Running {
    workers: Vec<mailbox::Sender<Command>>,
    counters: Arc<[Arc<WorkerCounters>]>,
    shared: Arc<Shared>,
    handle: Handle,
    /// Closed when the control plane has ended.
    control: Receiver<()>,
    /// How many were bound at the start.
    sockets: usize,
    since: Instant,
}

/// Starts the workers and the control plane. Nothing is accepted until [`Running::accept`].
pub(crate) fn start(
    start: Start,
    events: Events,
    inherited: &mut Inherited,
) -> Result<Running, Failure> {
    let Start { origin, mut wanted, pinned, mut config, known, tickets, complaint, .. } = start;
    let keyring = certs::at_start(&config, &wanted.file, tickets)?;
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let control = control.map_err(|e| cannot_control(&e))?;
    let seed = RandomState::new().build_hasher().finish();
    let (lookout, first) = control.block_on(Lookout::begin(&config, seed));
    let keyring = keyring.informed(control.block_on(documents::first(&config)));
    let passwords = passwords::start().map_err(|e| cannot_control(&e))?;
    let (documents, wanted_documents) = mailbox::channel(DOCUMENTS_WANTED_MAX);
    let (limits, shared_takes) = mailbox::channel(SHARED_TAKES_MAX);
    let services = Services {
        passwords: Some(passwords),
        documents: Some(documents),
        limits: limits::offered(limits),
    };
    let addresses = first.addresses.into_iter().collect();
    if !first.servers.is_empty() {
        config = wanted.with_first(first.servers);
    }
    let cores = runtime::available_cores();
    let count = config.workers.map_or(cores.len().max(1), |n| n.get() as usize);
    let descriptors = runtime::raise_descriptor_limit();
    let mut sockets = Sockets::new(count);
    let closed = |name: &str| wanted.overlay.closed.contains(name);
    sockets.commit(sockets.plan(&config.listeners, closed, inherited)?);
    let now = runtime::now();
    let mut logs = AccessLogs::default();
    logs.commit(logs.prepare(&config)?, now, now);
    let mut ledger = Ledger::new(count);
    let resolved = plane::resolved(&addresses, &keyring, &services);
    let publication = ledger.publish(Snapshot::compile(&config, &resolved));
    carried::take_over(&publication, &known, now);
    let shared = Shared::new(count, descriptors, seed);
    let counters: Arc<[Arc<WorkerCounters>]> = (0..count).map(|_| Arc::default()).collect();
    let (workers, inboxes): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mailbox::channel(COMMANDS_MAX)).unzip();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let setup = Setup {
            index,
            // Pinning helps only when each core has a worker to itself.
            core: if count == cores.len() { cores.get(index).copied() } else { None },
            seed: seed.wrapping_add(index as u64),
            publication: publication.clone(),
            openings: Vec::new(),
            shared: shared.clone(),
            counters: counters.get(index).cloned().unwrap_or_default(),
            inbox,
            peers: workers.clone(),
            logs: logs.sinks(),
        };
        spawn(setup, events.clone())?;
    }
    let at = runtime::wall_clock();
    wanted.note("start", Vec::new(), at);
    let config = Arc::new(config);
    let (stand, follow) = latest::channel(Arc::new(Stand {
        version: wanted.version,
        changed: at,
        started: now,
        config: config.clone(),
        overlay: Arc::default(),
        publication: publication.clone(),
        shared: shared.clone(),
        workers: counters.clone(),
        addresses: Arc::default(),
        drains: Arc::default(),
        history: Arc::default(),
        inert: Arc::default(),
        refused: None,
        unkept: None,
        draining: false,
        checks: lookout.checks(),
    }));
    if let Some(complaint) = complaint {
        tracing::error!("{complaint}");
    }
    let (handle, inbox) = Handle::new(follow);
    let held = sockets.held().iter().flat_map(|held| &held.sockets).map(Vec::len).sum();
    let plane = Plane {
        workers: workers.clone(),
        shared: shared.clone(),
        ledger,
        publication,
        config,
        sockets,
        logs,
        addresses,
        keyring,
        services,
    };
    let actor = Actor {
        origin,
        wanted,
        pinned,
        plane,
        stand,
        events,
        handle: handle.clone(),
        drains: Drains::default(),
        wishes: Default::default(),
        leases: Default::default(),
        held: None,
        watching: None,
        keys: Default::default(),
        upgrading: Upgrading::new(Launch::of_this_process()),
        upgrade_reply: None,
    };
    let asked = (wanted_documents, shared_takes);
    let control = run_control(control, actor, inbox, lookout, asked)?;
    Ok(Running { workers, counters, shared, handle, control, sockets: held, since: now })
}

/// Starts the control plane's thread: the actor, and whatever else asks or tells it something.
fn run_control(
    runtime: tokio::runtime::Runtime,
    mut actor: Actor,
    inbox: tokio::sync::mpsc::Receiver<Message>,
    lookout: Lookout,
    (wanted_documents, shared_takes): (mailbox::Receiver<String>, mailbox::Receiver<SharedTake>),
) -> Result<Receiver<()>, Failure> {
    let (done, ended) = sync_channel(0);
    let (tell, told) = sync_channel::<()>(0);
    let body = move || {
        let _done: SyncSender<()> = done;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            actor.begin();
            drop(tell);
            tokio::task::spawn_local(lookout.run(actor.handle.clone()));
            tokio::task::spawn_local(documents::follow(actor.handle.clone(), wanted_documents));
            tokio::task::spawn_local(limits::run(shared_takes));
            #[cfg(feature = "acme")]
            tokio::task::spawn_local(certs::acme::run(actor.handle.clone()));
            actor.run(inbox).await;
        });
        runtime.shutdown_timeout(END_GRACE);
    };
    let thread = std::thread::Builder::new().name("control".into()).spawn(body);
    thread.map_err(|e| cannot_control(&e))?;
    let _ = told.recv(); // it shows what there is
    Ok(ended)
}

fn cannot_control(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Runtime, format!("cannot start the control plane: {error}"))
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
    /// Where it listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.handle.stand().addresses.iter().map(|(_, _, address)| *address).collect()
    }

    /// Tells systemd that the process lives for as long as all workers do.
    pub(crate) fn keep_alive(&self) {
        let counters = self.counters.clone();
        systemd::keep_alive(move || counters.iter().map(|c| c.heartbeats.value()).collect());
    }

    /// Asks the control plane.
    #[cfg(test)]
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How many sockets were bound at the start.
    pub(crate) fn socket_count(&self) -> usize {
        self.sockets
    }

    /// Lets the workers accept connections.
    pub(crate) fn accept(&self) -> Result<(), Failure> {
        let (reply, answer) = sync_channel(1);
        self.ask(Message::Listen(reply));
        let answer = answer.recv().unwrap_or_else(|_| Err("the control plane has ended".into()));
        answer.map_err(|why| Failure::new(Exit::Runtime, format!("cannot listen: {why}")))?;
        self.tell_start();
        Ok(())
    }

    /// Lets operators look at it and change it. A socket of a living process is replaced only if that
    /// is the one this process succeeds.
    pub(crate) fn open_admin(&self, living: Living) {
        self.ask(Message::OpenAdmin(living));
    }

    fn tell_start(&self) {
        let stand = self.handle.stand();
        for (listener, _, address) in stand.addresses.iter() {
            let settings = stand.config.listeners.iter().find(|known| known.name == *listener);
            let scheme = settings.map_or("http", |known| known.scheme());
            tracing::info!(%listener, "listening on {scheme}://{address}");
        }
        let (routes, pools) = (stand.config.routes.len(), stand.config.pools.len());
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(workers = self.workers.len(), routes, pools, %version, "serving");
    }

    /// For `systemctl status`.
    pub(crate) fn status(&self) -> String {
        let (addresses, workers) = (self.addresses().len(), self.workers.len());
        format!("serving on {addresses} addresses with {workers} workers")
    }

    /// What has been counted so far about every server, in the order of the configuration.
    pub(crate) fn servers(&self) -> Vec<ServerReading> {
        readings::servers(&self.handle.stand().publication)
    }

    /// Serves until the outside world asks for the end, or a worker fails.
    /// With a `tether` another process serves too, until it leaves all to this one.
    pub(crate) fn watch(
        self,
        inbox: &Receiver<Event>,
        mut tether: Option<Tether>,
    ) -> Result<(), Failure> {
        if tether.is_some() {
            let why = "this process has not yet taken over from the old one";
            self.ask(Message::Hold(Some(why.into())));
        }
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
                        leave(tether.as_ref());
                        give_up = Some(self.drain(&self.shutdown(None)));
                    }
                    Some(_) if is_successor_there => {
                        is_successor_there = false;
                        tracing::info!("draining already, since a new process has taken over");
                    }
                    Some(_) => give_up = Some(self.stop("second signal: ending at once")),
                },
                Some(Event::Request(Request::EndBy(drain))) => match give_up {
                    None => {
                        leave(tether.as_ref());
                        give_up = Some(self.drain(&self.shutdown(drain)));
                    }
                    Some(_) if drain == Some(Duration::ZERO) => {
                        give_up = Some(self.stop("asked to end at once"));
                    }
                    Some(_) => {}
                },
                Some(Event::Request(Request::Reload)) => {
                    self.ask(Message::Reload { author: "SIGHUP".into(), reply: None });
                }
                Some(Event::Request(Request::Reopen)) => self.ask(Message::Reopen),
                Some(Event::Request(Request::Upgrade)) => {
                    self.ask(Message::Upgrade { order: Order::default(), reply: None });
                }
                Some(Event::HandedOver(upgraded)) => {
                    if give_up.is_none() {
                        systemd::hand_over(upgraded.pid);
                        is_successor_there = true;
                        give_up = Some(self.drain(&self.shutdown(None)));
                    }
                }
                Some(Event::InCharge) => {
                    tether = None;
                    tracing::info!("in charge: the old process accepts no more");
                    if give_up.is_none() {
                        self.ask(Message::TakeCharge);
                        self.open_admin(Living::Yields);
                    }
                    systemd::take_charge(&self.status());
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
        self.end_control();
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
        self.end_control();
        Ok(())
    }

    fn shutdown(&self, drain: Option<Duration>) -> Shutdown {
        match drain {
            Some(drain) => Shutdown { drain, drain_tunnels: drain },
            None => self.handle.stand().config.shutdown.clone(),
        }
    }

    fn ask(&self, message: Message) {
        if !self.handle.tell(message) {
            tracing::error!("too many changes wait: this one is dropped");
        }
    }

    fn end_control(&self) {
        self.ask(Message::End);
        let _ = self.control.recv_timeout(END_GRACE * 2);
    }

    /// Tells the workers to finish; returns the moment by which they must have.
    fn drain(&self, shutdown: &Shutdown) -> Instant {
        // First our duplicates, or the kernel would go on queueing clients that nobody accepts.
        let (done, closed) = sync_channel(1);
        self.ask(Message::Close(done));
        let _ = closed.recv_timeout(Duration::from_secs(1));
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

/// Says that this process ends: to the one that would be in charge again, or to systemd.
fn leave(tether: Option<&Tether>) {
    match tether {
        Some(tether) => tether.leave(),
        None => systemd::stopping("draining"),
    }
}

/// The next event; `None` when it is time to look around.
fn next(inbox: &Receiver<Event>, draining: bool) -> Option<Event> {
    inbox.recv_timeout(if draining { LOOK_DRAINING } else { LOOK }).ok()
}
