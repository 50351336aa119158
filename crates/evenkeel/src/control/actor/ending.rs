//! How the actor lets things come to their end: what a change takes away drains, what was asked to
//! drain does, registrations expire. Owns the deadlines that are the control plane's.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_config::Config;
use evenkeel_proxy::shared::{Gauge, Publication, ServerShared};
use evenkeel_proxy::worker::{Cut, Drain, Running};
use evenkeel_runtime as runtime;

use super::{Actor, Order};
use crate::control::diff::Difference;
use crate::control::drains::{Count, Draining, What};
use crate::control::op::{Mode, Target};
use crate::control::overlay::{self, Wish};
use crate::control::{plane, sockets, standing};

/// A drain that was asked for.
pub(super) type Asked = (Target, Mode, Option<Duration>);

impl Actor {
    /// Publishes, and drains what it takes away.
    pub(super) async fn publish(
        &mut self,
        config: Arc<Config>,
        prepared: plane::Prepared,
        difference: &Difference,
        asked: Vec<Asked>,
    ) {
        let now = runtime::now();
        let before = self.plane.publication.clone();
        let shutdown = config.shutdown.clone();
        let (mut requests, mut tunnels) = (shutdown.drain, shutdown.drain_tunnels);
        for (target, mode, deadline) in &asked {
            if let Target::Listener(_) = target {
                (requests, tunnels) = match (mode, deadline) {
                    (Mode::Forced, _) => (Duration::ZERO, Duration::ZERO),
                    (Mode::Immediate, _) => (YEAR, YEAR),
                    (Mode::Graceful, Some(deadline)) => (*deadline, *deadline),
                    (Mode::Graceful, None) => (requests, tunnels),
                };
            }
        }
        let drain = plane::drain(now, requests, tunnels);
        self.plane.publish(config, prepared, drain).await;
        let present: HashSet<(String, Box<str>)> =
            servers(&self.plane.publication).map(|(pool, server, _)| (pool, server)).collect();
        // One that is back is drained no more: what would be cut by its name is new.
        self.drains.keep(|what| match what {
            What::Server { pool, server, removed: true } => {
                !present.contains(&(pool.clone(), server.clone()))
            }
            _ => true,
        });
        for (pool, server, shared) in servers(&before) {
            let is_gone = !present.contains(&(pool.clone(), server.clone()));
            if is_gone && shared.standing.in_flight() > 0 {
                self.drains.begin(Draining {
                    what: What::Server { pool, server, removed: true },
                    since: now,
                    requests_until: Some(now + shutdown.drain),
                    tunnels_until: Some(now + shutdown.drain.max(shutdown.drain_tunnels)),
                    count: Count::Requests(shared),
                });
            }
        }
        for name in &difference.listeners.removed {
            if let Some(gauge) = connections(&before, name) {
                let what = What::Listener { name: name.clone(), removed: true };
                self.begin_listener(what, drain, gauge, now);
            }
        }
        for (target, mode, deadline) in asked {
            self.begin_drain(&target, mode, deadline, drain, now).await;
        }
    }

    fn begin_listener(&mut self, what: What, drain: Drain, gauge: Arc<Gauge>, now: Instant) {
        self.drains.begin(Draining {
            what,
            since: now,
            requests_until: Some(drain.requests_until),
            tunnels_until: Some(drain.tunnels_until),
            count: Count::Connections(gauge),
        });
    }

    /// Follows a drain that was asked for.
    async fn begin_drain(
        &mut self,
        target: &Target,
        mode: Mode,
        deadline: Option<Duration>,
        drain: Drain,
        now: Instant,
    ) {
        let of: Vec<_> = match target {
            Target::Listener(name) => {
                if let Some(gauge) = connections(&self.plane.publication, name) {
                    let what = What::Listener { name: name.clone(), removed: false };
                    self.begin_listener(what, drain, gauge, now);
                }
                return;
            }
            Target::Process => return,
            Target::Pool(name) => {
                servers(&self.plane.publication).filter(|(pool, ..)| pool == name).collect()
            }
            Target::Server { pool, server } => servers(&self.plane.publication)
                .filter(|(of, key, _)| of == pool && **key == **server)
                .collect(),
        };
        let shutdown = self.plane.config.shutdown.clone();
        let tunnels = shutdown.drain.max(shutdown.drain_tunnels);
        let (requests, tunnels) = match mode {
            Mode::Graceful => (
                Some(now + deadline.unwrap_or(shutdown.drain)),
                Some(now + deadline.unwrap_or(tunnels)),
            ),
            Mode::Immediate => (None, None),
            Mode::Forced => (Some(now), Some(now)),
        };
        for (pool, server, shared) in of {
            if mode == Mode::Forced {
                let cut = Cut { pool: pool.clone(), server: server.clone(), what: Running::All };
                self.plane.cut(&cut).await;
            }
            self.drains.begin(Draining {
                what: What::Server { pool, server, removed: false },
                since: now,
                requests_until: requests,
                tunnels_until: tunnels,
                count: Count::Requests(shared),
            });
        }
    }

    /// Nothing is drained any more, and failures are forgotten.
    pub(super) fn enabled(&mut self, target: &Target, now: Instant) {
        let publication = self.plane.publication.clone();
        for (pool, server, shared) in servers(&publication) {
            let is = match target {
                Target::Server { pool: of, server: key } => *of == pool && **key == *server,
                Target::Pool(of) => *of == pool,
                Target::Listener(_) | Target::Process => false,
            };
            if is {
                self.drains.end(&What::Server { pool, server, removed: false });
                standing::clear(&shared, now);
            }
        }
        if let Target::Listener(name) = target {
            self.drains.end(&What::Listener { name: name.clone(), removed: false });
        }
        self.show(|_| {});
    }

    /// What is due by itself.
    pub(super) async fn tick(&mut self) {
        let now = runtime::now();
        let due = self.drains.due(now);
        for cut in &due.cuts {
            self.plane.cut(cut).await;
            if let Some(shared) = find(&self.plane.publication, &cut.pool, &cut.server) {
                standing::set(&shared, Some(Wish::Disabled), now); // bound clients go elsewhere
            }
        }
        for drained in &due.finished {
            let what = match &drained.what {
                What::Server { pool, server, .. } => format!("server `{server}` of pool `{pool}`"),
                What::Listener { name, .. } => format!("listener `{name}`"),
            };
            let after = now.saturating_duration_since(drained.since);
            tracing::info!(?after, "drained: nothing is left of {what}");
        }
        if !due.finished.is_empty() {
            self.show(|_| {});
        }
        let over: Vec<_> = self.leases.iter().filter(|(_, until)| **until <= now).collect();
        let over: Vec<_> = over.into_iter().map(|(lease, _)| lease.clone()).collect();
        if !over.is_empty() && self.held.is_none() {
            self.expire(over).await;
        }
    }

    async fn expire(&mut self, over: Vec<(String, String)>) {
        let mut overlay = self.wanted.overlay.clone();
        let is_over = |lease: &overlay::Lease| {
            over.iter().any(|(pool, key)| *pool == lease.pool && *key == lease.key)
        };
        overlay.leases.retain(|lease| !is_over(lease));
        for lease in &over {
            self.leases.remove(lease);
        }
        if overlay == self.wanted.overlay {
            return;
        }
        let draft = self.wanted.draft(self.wanted.file.clone(), overlay);
        let mut order = Order::of("a registration that was not renewed");
        order.pinned = self.pinned.clone();
        if let Err(refused) = self.adopt(draft, order).await {
            self.tell_refused("expiry", "registrations stay", &refused);
        }
    }
}

/// Longer than any process is drained.
const YEAR: Duration = Duration::from_secs(31_536_000);

/// Every server of a publication, with its pool and its key.
pub(in crate::control) fn servers(
    of: &Publication,
) -> impl Iterator<Item = (String, Box<str>, ServerShared)> + '_ {
    of.snapshot.pools.iter().zip(of.servers.iter()).flat_map(|(pool, shared)| {
        let name = &pool.config.name;
        pool.targets
            .iter()
            .zip(shared)
            .map(move |(target, shared)| (name.clone(), target.key.clone(), shared.clone()))
    })
}

pub(super) fn find(of: &Publication, pool: &str, server: &str) -> Option<ServerShared> {
    let at = of.snapshot.pools.iter().position(|known| known.config.name == pool)?;
    let targets = &of.snapshot.pools.get(at)?.targets;
    let server = targets.iter().position(|target| *target.key == *server)?;
    of.servers.get(at)?.get(server).cloned()
}

fn connections(of: &Publication, listener: &str) -> Option<Arc<Gauge>> {
    let key = sockets::key_of(of, listener)?;
    of.listeners.iter().find(|shared| shared.key == key).map(|shared| shared.connections.clone())
}
