//! What there is to see of the running process. Owns the shape; every number is read where it is
//! written, at the moment somebody looks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evenkeel_config::Config;
use evenkeel_config::model::Server;
use evenkeel_proxy::counters::{ListenerCounters, WorkerCounters};
use evenkeel_proxy::shared::{Publication, ServerShared, Shared};
use evenkeel_runtime as runtime;

use super::drains::{Draining, What};
use super::intent::Inert;
use super::overlay::{Overlay, Wish};
use super::readings::{self, ServerReading};
use crate::health::Reader;

/// What serves at the moment. Replaced whole with every change; everything in it is shared.
#[derive(Clone)]
pub(crate) struct Stand {
    /// Of the configuration; counts up with each change.
    pub(crate) version: u64,
    /// When that was.
    pub(crate) changed: SystemTime,
    pub(crate) started: Instant,
    /// With everything that was changed at runtime.
    pub(crate) config: Arc<Config>,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) publication: Publication,
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Arc<[Arc<WorkerCounters>]>,
    /// Listener, address as written, address as bound.
    pub(crate) addresses: Arc<[(String, SocketAddr, SocketAddr)]>,
    pub(crate) drains: Arc<[Draining]>,
    pub(crate) history: Arc<[Past]>,
    /// What was changed at runtime and does not apply.
    pub(crate) inert: Arc<[Inert]>,
    /// The last change that was refused, unless one was accepted since.
    pub(crate) refused: Option<Arc<Refusal>>,
    /// Changes at runtime are kept in a file, but the last could not be written: why.
    pub(crate) unkept: Option<Arc<str>>,
    /// The process takes no new connection.
    pub(crate) draining: bool,
    /// What the last checks of servers came to.
    pub(crate) checks: Reader,
}

/// A version that was in force.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) version: u64,
    pub(crate) at: SystemTime,
    pub(crate) author: String,
    pub(crate) changes: Vec<String>,
}

/// A change that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) at: SystemTime,
    pub(crate) author: String,
    pub(crate) why: String,
}

/// See the module's head.
pub(crate) struct View {
    pub(crate) stand: Stand,
    /// In the order of the configuration.
    pub(crate) listeners: Vec<ListenerView>,
    /// In the order of the configuration.
    pub(crate) pools: Vec<PoolView>,
    pub(crate) drains: Vec<DrainView>,
    /// Open client connections, by worker.
    pub(crate) connections: Vec<u32>,
}

/// A listener.
pub(crate) struct ListenerView {
    pub(crate) name: String,
    /// Where it listens; nowhere while it is drained.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Accepts nothing, because it was asked so.
    pub(crate) closed: bool,
    /// Open client connections, or sessions.
    pub(crate) connections: u32,
    /// By worker, if it takes datagrams.
    pub(crate) counters: Option<Arc<[Arc<ListenerCounters>]>>,
}

/// A pool.
pub(crate) struct PoolView {
    pub(crate) name: String,
    /// Its place in the configuration and in the publication.
    pub(crate) index: usize,
    pub(crate) servers: Vec<ServerView>,
}

/// A server.
pub(crate) struct ServerView {
    pub(crate) key: String,
    /// As configured, with what was changed at runtime.
    pub(crate) config: Server,
    /// Where it is reached.
    pub(crate) addresses: Arc<[SocketAddr]>,
    /// What an operator wants.
    pub(crate) wish: Option<Wish>,
    /// Counted since the start, by all workers.
    pub(crate) reading: ServerReading,
    /// Everything else that is shared about it.
    pub(crate) shared: ServerShared,
}

/// A drain in progress.
#[derive(Clone, Debug)]
pub(crate) struct DrainView {
    pub(crate) what: What,
    /// How long it has been going on.
    pub(crate) elapsed: Duration,
    /// Requests, or connections of a listener, that are not finished.
    pub(crate) left: u32,
    /// Until requests are cut.
    pub(crate) requests_in: Option<Duration>,
    /// Until tunnels are cut.
    pub(crate) tunnels_in: Option<Duration>,
}

impl View {
    pub(crate) fn of(stand: &Stand) -> Self {
        let publication = &stand.publication;
        let listeners = publication.snapshot.listeners.iter().zip(publication.listeners.iter());
        let listeners = listeners.map(|(settings, shared)| {
            let name = &settings.config.name;
            let of = stand.addresses.iter().filter(|(listener, ..)| listener == name);
            ListenerView {
                name: name.clone(),
                addresses: of.map(|(_, _, address)| *address).collect(),
                closed: stand.overlay.closed.contains(name),
                connections: shared.connections.value(),
                counters: settings.config.kind.is_udp().then(|| shared.counters.clone()),
            }
        });
        let now = runtime::now();
        Self {
            listeners: listeners.collect(),
            pools: pools(stand),
            drains: stand.drains.iter().map(|draining| drain(draining, now)).collect(),
            connections: stand.shared.workers.iter().map(|gauge| gauge.value()).collect(),
            stand: stand.clone(),
        }
    }
}

fn pools(stand: &Stand) -> Vec<PoolView> {
    let publication = &stand.publication;
    let pools = publication.snapshot.pools.iter().zip(publication.servers.iter()).enumerate();
    let pools = pools.map(|(index, (pool, shared))| {
        let servers = pool.config.servers.iter().zip(&pool.targets).zip(shared);
        let name = &pool.config.name;
        let servers = servers.map(|((config, target), shared)| ServerView {
            key: target.key.to_string(),
            config: config.clone(),
            addresses: target.addresses.clone(),
            wish: stand.overlay.wish_for(name, &target.key),
            reading: readings::read(shared),
            shared: shared.clone(),
        });
        PoolView { name: name.clone(), index, servers: servers.collect() }
    });
    pools.collect()
}

fn drain(draining: &Draining, now: Instant) -> DrainView {
    let wait = |until: Option<Instant>| until.map(|until| until.saturating_duration_since(now));
    DrainView {
        what: draining.what.clone(),
        elapsed: now.saturating_duration_since(draining.since),
        left: draining.left(),
        requests_in: wait(draining.requests_until),
        tunnels_in: wait(draining.tunnels_until),
    }
}
