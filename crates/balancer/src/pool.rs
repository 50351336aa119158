//! A pool as one worker sees it: its servers, its algorithm, and the accounting of every request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Algorithm, Health, Rng, Server, ServerId, ServerSpec, Servers, SharedLoad};

/// How often the algorithm is asked again when it answers with a server that was tried already.
const ASK_AGAIN: usize = 4;

/// See the module's head.
pub struct Pool {
    servers: Servers,
    algorithm: Box<dyn Algorithm>,
    rng: Rng,
}

/// What the request tells the pool.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'t> {
    /// Hash of what the pool balances by, if it does and the request has it.
    pub key: Option<u64>,
    /// Servers it was sent to already; none of them is picked again.
    pub tried: &'t [ServerId],
    /// The time.
    pub now: Instant,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A usable response; its head came after `latency`.
    Success {
        /// From the first byte out to the response head.
        latency: Duration,
    },
    /// The server's fault: connect failure, reset, timeout, 5xx.
    Failure {
        /// Until it was clear.
        latency: Duration,
    },
    /// The client went away; says nothing about the server.
    Abandoned,
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The pool is empty.
    NoServers,
    /// None may take requests.
    NoneHealthy,
    /// All that may were tried.
    AllTried,
}

/// The right to send one request. Counts as the server's load until it is finished or dropped.
#[must_use = "a lease counts as load until it is finished"]
#[derive(Debug)]
pub struct Lease {
    /// Whom to send it to.
    pub server: ServerId,
    load: Arc<SharedLoad>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.load.leave();
    }
}

impl Pool {
    /// A pool that makes its random choices from `seed`.
    pub fn new(servers: Servers, mut algorithm: Box<dyn Algorithm>, seed: u64) -> Self {
        algorithm.rebuild(&servers);
        Self { servers, algorithm, rng: Rng::from_seed(seed) }
    }

    /// Chooses a server and counts the request as its load.
    ///
    /// # Errors
    /// When there is nobody left to choose.
    pub fn pick(&mut self, pick: Pick<'_>) -> Result<Lease, Unavailable> {
        if self.servers.eligible().is_empty() {
            return Err(match self.servers.is_empty() {
                true => Unavailable::NoServers,
                false => Unavailable::NoneHealthy,
            });
        }
        for _ in 0..ASK_AGAIN {
            match self.algorithm.pick(&self.servers, &pick, &mut self.rng) {
                Some(id) if !pick.tried.contains(&id) => return self.lease(id),
                _ => {}
            }
        }
        // Any that was not tried, beginning anywhere.
        let eligible = self.servers.eligible();
        let begin = self.rng.below(u32::try_from(eligible.len()).unwrap_or(u32::MAX)) as usize;
        let (before, after) = eligible.split_at(begin.min(eligible.len()));
        let untried = after.iter().chain(before).find(|id| !pick.tried.contains(id));
        match untried.copied() {
            Some(id) => self.lease(id),
            None => Err(Unavailable::AllTried),
        }
    }

    fn lease(&self, id: ServerId) -> Result<Lease, Unavailable> {
        let server = self.servers.server(id).ok_or(Unavailable::NoneHealthy)?;
        server.shared.enter();
        Ok(Lease { server: id, load: server.shared.clone() })
    }

    /// Learns how a request went. A server that was removed meanwhile learns nothing.
    pub fn finish(&mut self, lease: Lease, outcome: Outcome, now: Instant) {
        if outcome != Outcome::Abandoned
            && let Some(server) = self.servers.server_mut(lease.server)
        {
            self.algorithm.observe(server, outcome, now);
        }
    }

    /// Makes these the servers; those that stay keep their state.
    pub fn set_servers(&mut self, specs: impl IntoIterator<Item = ServerSpec>) {
        self.servers.replace(specs);
        self.algorithm.rebuild(&self.servers);
    }

    /// Says whether a server may take new requests.
    pub fn set_health(&mut self, id: ServerId, health: Health) {
        if let Some(server) = self.servers.server_mut(id) {
            server.health = health;
            self.servers.refresh();
            self.algorithm.rebuild(&self.servers);
        }
    }

    /// All servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// A server, unless it was removed.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.server(id)
    }
}
