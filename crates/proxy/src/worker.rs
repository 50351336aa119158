//! One thread of the data plane: its listeners, its connections, and everything they touch, so
//! that nothing here is locked. Owns the life of a worker from its start to the end of its drain.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_balancer::Rng;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_runtime::{self as runtime, Bound, Detached, TcpListener, Timer, UdpBound, mailbox};

use crate::access_log::{LogBuffers, LogSinks};
use crate::buffer::Stock;
pub use crate::connection::Running;
use crate::connection::{ConnectionState, Registry};
use crate::counters::WorkerCounters;
use crate::generation::Generation;
use crate::http::downstream::Told;
use crate::http::heads::HeadStock;
use crate::layer4;
use crate::listener::{self, Entrance, Transport};
use crate::shared::{Gauge, ListenerKey, Publication, Shared};

/// How often a worker looks after idle connections and unsent log lines.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// How often it looks how far a drain is.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

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
    /// Where it accepts connections.
    pub openings: Vec<Opening>,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Its own counts.
    pub counters: Arc<WorkerCounters>,
    /// Orders, and connections handed over by others.
    pub inbox: mailbox::Receiver<Command>,
    /// The inboxes of all workers, by index.
    pub peers: Vec<mailbox::Sender<Command>>,
    /// Where access log lines go.
    pub logs: LogSinks,
}

/// A listening socket for one worker.
pub struct Opening {
    /// Whose it is; of the publication that comes with it.
    pub listener: ListenerKey,
    /// Bound, and this worker's alone to accept from.
    pub socket: Bound,
}

/// A socket for datagrams or QUIC, read by one worker alone.
pub struct UdpOpening {
    /// Whose it is; of the publication that comes with it.
    pub listener: ListenerKey,
    /// Bound; others are bound to the same address.
    pub socket: UdpBound,
    /// Its place among those, which connection IDs made here begin with; `None` if the kernel does not
    /// bring datagrams to the right one: then it is the only one, and read until it is left.
    pub place: Option<u8>,
}

/// What a worker can be told.
pub enum Command {
    /// Serve by this from the next request on.
    Adopt(Box<Adoption>),
    /// Stop accepting and finish what is running.
    Drain(Drain),
    /// End what runs at a server.
    Cut(Box<Cut>),
    /// End now, whatever is running.
    Stop,
    /// Serve this connection, accepted by another worker; already counted as this one's.
    Take(Handover),
}

/// Other settings, and what changes about listening with them. Happens at once: no request sees a
/// part of it.
pub struct Adoption {
    /// What is served by from the next request on.
    pub publication: Publication,
    /// Sockets to accept from, too.
    pub open: Vec<Opening>,
    /// Sockets to take datagrams from, too.
    pub open_udp: Vec<UdpOpening>,
    /// Addresses to leave: what is in their queues is taken, their sockets are closed, and their
    /// connections end after the request in progress, at the latest when the drain says.
    pub leave: Vec<(ListenerKey, SocketAddr)>,
    /// Addresses where UDP alone is to be left.
    pub leave_udp: Vec<(ListenerKey, SocketAddr)>,
    /// For those that are left.
    pub drain: Option<Drain>,
    /// Where access log lines go, if elsewhere.
    pub logs: Option<LogSinks>,
}

impl Adoption {
    /// Listening stays as it is.
    pub fn of(publication: Publication) -> Box<Self> {
        Box::new(Self {
            publication,
            open: Vec::new(),
            open_udp: Vec::new(),
            leave: Vec::new(),
            leave_udp: Vec::new(),
            drain: None,
            logs: None,
        })
    }
}

/// What is to end, however far it is.
#[derive(Clone, Debug)]
pub struct Cut {
    /// What runs at a server of this pool …
    pub pool: String,
    /// … of this key.
    pub server: Box<str>,
    /// Of that.
    pub what: Running,
}

/// A connection on its way from one worker to another.
pub struct Handover {
    /// The socket.
    pub stream: Detached,
    /// Where it was accepted.
    pub listener: ListenerKey,
    /// The listener's address, as bound.
    pub address: SocketAddr,
    /// The listener's count, which it is in.
    pub connections: Arc<Gauge>,
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

impl Drain {
    /// A connection that has to end for what it is, not for when, may be idle for so long.
    const GRACE: Duration = Duration::from_millis(100);

    /// Of a connection that ends after the exchange in progress, which nothing cuts.
    pub(crate) fn at_once(now: Instant) -> Self {
        Self { requests_until: now, tunnels_until: now, idle_grace: Self::GRACE }
    }
}

/// What a worker's tasks share; never leaves its thread.
pub(crate) struct Worker {
    pub(crate) index: usize,
    generation: RefCell<Rc<Generation>>,
    entrances: RefCell<Vec<Rc<Entrance>>>,
    seed: u64,
    pub(crate) rng: RefCell<Rng>,
    pub(crate) stock: Stock,
    /// Where QUIC connections to servers start.
    #[cfg(feature = "http3")]
    pub(crate) dialer: crate::http::upstream::links::Dialer,
    pub(crate) heads: HeadStock,
    pub(crate) registry: Registry,
    pub(crate) drain: Cell<Option<Drain>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) peers: Vec<mailbox::Sender<Command>>,
    pub(crate) logs: LogBuffers,
    pub(crate) handshakes_told: Told,
    /// The same of clients of HTTP/2 that sent too much.
    pub(crate) floods_told: Told,
}

impl Worker {
    /// What is served by now.
    pub(crate) fn generation(&self) -> Rc<Generation> {
        self.generation.borrow().clone()
    }

    /// New exchanges are served by the publication; pools of the same name keep their state.
    fn adopt(self: &Rc<Self>, adoption: Adoption) {
        let Adoption { publication, open, open_udp, leave, leave_udp, drain, logs } = adoption;
        if let Some(logs) = logs {
            self.logs.replace(logs);
        }
        let old = self.generation();
        let next = Generation::after(Some(&old), &publication, self.index, self.seed);
        for entrance in self.entrances.borrow().iter() {
            entrance.outlive(&old, &next);
            if entrance.renew_rules(&old, &next) {
                // The first look at the clock is theirs: then they see that they are outdated.
                self.registry.hurry_idle(runtime::now() + Drain::GRACE, |state| {
                    Rc::ptr_eq(&state.entrance, entrance)
                });
            }
        }
        self.generation.replace(Rc::new(next));
        // Before the new ones are opened, which may be at the same addresses.
        if let Some(drain) = drain {
            for (key, address) in leave {
                self.leave(drain, |entrance| entrance.is_at(key, address));
            }
            for (key, address) in leave_udp {
                let is_udp = |entrance: &Entrance| entrance.transport != Transport::Tcp;
                self.leave(drain, |entrance| is_udp(entrance) && entrance.is_at(key, address));
            }
        }
        self.open(&publication, open);
        self.open_udp(&publication, open_udp);
        self.shared.adopt(self.index, publication.number);
    }

    /// Accepts from these sockets, unless everything is draining.
    fn open(self: &Rc<Self>, publication: &Publication, openings: Vec<Opening>) {
        for Opening { listener, socket } in openings {
            let shared = publication.listeners.iter().find(|shared| shared.key == listener);
            let Some(shared) = shared.filter(|_| !self.is_draining()) else { continue };
            let address = socket.local_addr();
            match TcpListener::adopt(socket) {
                Ok(socket) => {
                    let connections = shared.connections.clone();
                    let entrance = Entrance::new(listener, address, Transport::Tcp, connections);
                    self.entrances.borrow_mut().push(entrance.clone());
                    listener::spawn(self, entrance, socket);
                }
                Err(error) => tracing::error!(%address, %error, "cannot accept connections"),
            }
        }
    }

    /// Takes datagrams from these sockets, unless everything is draining.
    fn open_udp(self: &Rc<Self>, publication: &Publication, openings: Vec<UdpOpening>) {
        for UdpOpening { listener, socket, place } in openings {
            let at = publication.listeners.iter().position(|shared| shared.key == listener);
            let Some((at, shared)) = at.and_then(|at| Some((at, publication.listeners.get(at)?)))
            else {
                continue;
            };
            if self.is_draining() {
                continue;
            }
            let settings = publication.snapshot.listeners.get(at);
            let is_udp = settings.is_some_and(|listener| listener.config.kind.is_udp());
            let transport = if is_udp { Transport::Udp } else { Transport::Quic };
            let (address, connections) = (socket.local_addr(), shared.connections.clone());
            let entrance = Entrance::new(listener, address, transport, connections);
            self.entrances.borrow_mut().push(entrance.clone());
            if is_udp {
                let counters = shared.counters.get(self.index).cloned().unwrap_or_default();
                layer4::udp::spawn(self, entrance, socket, counters);
            } else {
                self.open_quic(entrance, socket, place);
            }
        }
    }

    #[cfg(feature = "http3")]
    fn open_quic(self: &Rc<Self>, entrance: Rc<Entrance>, socket: UdpBound, place: Option<u8>) {
        listener::quic::spawn(self, entrance, socket, place);
    }

    #[cfg(not(feature = "http3"))]
    fn open_quic(self: &Rc<Self>, _: Rc<Entrance>, _: UdpBound, _: Option<u8>) {
        tracing::error!("built without HTTP/3: QUIC sockets are not read");
    }

    fn leave(self: &Rc<Self>, drain: Drain, is: impl Fn(&Entrance) -> bool) {
        // Several, if there are more sockets of an address than workers.
        let entrances = self.entrances.borrow();
        let of: Vec<_> = entrances.iter().filter(|entrance| is(entrance)).cloned().collect();
        drop(entrances);
        for entrance in of.into_iter().filter(|entrance| entrance.drain().is_none()) {
            entrance.leave(drain);
            self.registry.hurry_idle(runtime::now() + drain.idle_grace, |state| {
                Rc::ptr_eq(&state.entrance, &entrance)
            });
            runtime::spawn(watch_entrance(self.clone(), entrance, drain));
        }
    }

    /// Where a connection of another worker came in: the latest entrance of its listener at its
    /// address, or one without a socket, since workers open theirs one after the other. `None` if
    /// the listener is not known, or not any more.
    pub(crate) fn entrance_of(&self, handover: &Handover) -> Option<Rc<Entrance>> {
        let Handover { listener: key, address, connections, .. } = handover;
        let mut entrances = self.entrances.borrow_mut();
        let is = |entrance: &&Rc<Entrance>| {
            entrance.transport == Transport::Tcp && entrance.is_at(*key, *address)
        };
        if let Some(entrance) = entrances.iter().rev().find(is) {
            return Some(entrance.clone());
        }
        self.generation().listener(*key)?;
        let entrance = Entrance::new(*key, *address, Transport::Tcp, connections.clone());
        entrances.push(entrance.clone());
        Some(entrance)
    }

    /// No new exchange may begin on a connection after the one in progress.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    /// A drain has come to its end: nothing is accepted any more and nothing is open, or its time
    /// is over.
    fn is_over(&self, drain: Drain, now: Instant) -> bool {
        let accepts = || self.entrances.borrow().iter().any(|entrance| entrance.accepts.get());
        now >= drain.tunnels_until || self.registry.is_empty() && !accepts()
    }

    /// Tells the pools that this worker does not stand still.
    fn beat(&self) {
        let now = runtime::now();
        for pool in self.generation().pools() {
            pool.beat(now, HOUSEKEEPING);
        }
    }

    /// Drops kept connections to servers that are dead or too old; all of them when `all`.
    pub(crate) fn sweep_idle(&self, all: bool) {
        let now = runtime::now();
        for pool in self.generation().pools() {
            pool.idle.borrow_mut().sweep(|connection| !all && connection.is_usable(now));
            pool.links.sweep(now, all);
        }
    }
}

/// Runs a worker on the calling thread until it has drained.
///
/// # Errors
/// When the thread's event loop cannot be made.
pub fn run(setup: Setup) -> io::Result<()> {
    runtime::run(setup.core, serve(setup))
}

/// A worker's life, on whatever runtime the calling task is.
pub async fn serve(setup: Setup) {
    let Setup { index, seed, publication, openings, shared, counters, .. } = setup;
    let Setup { mut inbox, peers, logs, .. } = setup;
    let generation = Generation::after(None, &publication, index, seed);
    let worker = Rc::new(Worker {
        index,
        generation: RefCell::new(Rc::new(generation)),
        entrances: RefCell::default(),
        seed,
        rng: RefCell::new(Rng::from_seed(seed)),
        stock: Stock::default(),
        #[cfg(feature = "http3")]
        dialer: crate::http::upstream::links::Dialer::default(),
        heads: HeadStock::default(),
        registry: Registry::default(),
        drain: Cell::new(None),
        shared,
        counters: counters.clone(),
        peers,
        logs: LogBuffers::new(logs, counters),
        handshakes_told: Told::default(),
        floods_told: Told::default(),
    });
    worker.open(&publication, openings);
    worker.shared.adopt(index, publication.number);
    drop(publication);
    runtime::spawn(keep_house(Rc::downgrade(&worker)));
    while let Some(command) = next(&worker, &mut inbox).await {
        match command {
            Command::Adopt(adoption) => worker.adopt(*adoption),
            Command::Take(handover) => listener::take_over(&worker, handover),
            Command::Cut(_) if plant::is(Bug::CutForgotten) => {}
            Command::Cut(cut) => {
                worker.entrances.borrow().iter().for_each(|entrance| entrance.cut(&cut));
                let is = |state: &ConnectionState| state.is_at(&cut.pool, &cut.server);
                worker.registry.cut(runtime::now(), cut.what, is);
            }
            Command::Drain(drain) => {
                worker.drain.set(Some(drain));
                worker.entrances.borrow().iter().for_each(|entrance| entrance.leave(drain));
                worker.registry.hurry_idle(runtime::now() + drain.idle_grace, |_| true);
            }
            Command::Stop => break,
        }
    }
    worker.logs.flush();
}

/// The next order. While draining, what outlives the deadlines is cut, and `None` once nothing is
/// left and nobody can hand over a connection any more: whoever still wants to serves it himself.
async fn next(worker: &Worker, inbox: &mut mailbox::Receiver<Command>) -> Option<Command> {
    let (look, mut is_closed) = (Timer::new(), false);
    poll_fn(|cx| {
        loop {
            let order = inbox.poll_recv(cx);
            let Some(drain) = worker.drain.get() else { return order };
            let now = runtime::now();
            match order {
                Poll::Ready(Some(command)) => return Poll::Ready(Some(command)),
                Poll::Ready(None) if worker.is_over(drain, now) => return Poll::Ready(None),
                // Once more: what came before it was closed is served.
                Poll::Pending if !is_closed && worker.is_over(drain, now) => {
                    inbox.close();
                    is_closed = true;
                }
                _ if look.deadline().is_some() && look.poll_expired(cx).is_pending() => {
                    return Poll::Pending;
                }
                _ => {
                    if now >= drain.requests_until {
                        worker.registry.cut(now, Running::Requests, |_| true);
                    }
                    look.set(now + DRAIN_LOOK);
                }
            }
        }
    })
    .await
}

/// Cuts what outlives the drain of one entrance, and forgets it when nothing is left.
async fn watch_entrance(worker: Rc<Worker>, entrance: Rc<Entrance>, drain: Drain) {
    let of = |state: &ConnectionState| Rc::ptr_eq(&state.entrance, &entrance);
    // At least the grace: a connection may still be on its way from another worker.
    runtime::sleep(drain.idle_grace).await;
    while entrance.accepts.get() || entrance.open.get() > 0 {
        let now = runtime::now();
        if now >= drain.tunnels_until {
            worker.registry.cut(now, Running::All, of);
            break;
        }
        if now >= drain.requests_until {
            worker.registry.cut(now, Running::Requests, of);
        }
        runtime::sleep(DRAIN_LOOK).await;
    }
    worker.entrances.borrow_mut().retain(|other| !Rc::ptr_eq(other, &entrance));
}

async fn keep_house(worker: std::rc::Weak<Worker>) {
    loop {
        runtime::sleep(HOUSEKEEPING).await;
        let Some(worker) = worker.upgrade() else { return };
        worker.counters.heartbeats.add(1);
        worker.beat();
        worker.sweep_idle(false);
        worker.logs.flush();
    }
}
