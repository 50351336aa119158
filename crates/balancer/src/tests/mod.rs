//! Scenarios and properties on virtual time, one file for each rule; here is what they share.

mod breaker;
mod budget;
mod checks;
mod eligible;
mod gradient;
mod outlier;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::algorithm::RoundRobin;
use crate::{
    Algorithm, FailureKind, Lease, Outcome, Pick, Pool, Rules, ServerId, ServerSpec, SharedPool,
    SharedServer, Unavailable,
};

/// Some moment; only differences matter.
#[allow(clippy::disallowed_methods)] // the one epoch of a simulation
pub(crate) fn epoch() -> Instant {
    use std::sync::OnceLock;
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Servers of a new pool with these weights.
pub(crate) fn specs(pool: &Arc<SharedPool>, weights: &[u32]) -> Vec<ServerSpec> {
    let spec = |(n, weight): (usize, &u32)| ServerSpec {
        key: format!("10.0.0.{n}:80").into(),
        weight: *weight,
        priority: 0,
        shared: SharedServer::new(pool),
    };
    weights.iter().enumerate().map(spec).collect()
}

/// A pool's workers, its shared state, and a clock that goes when it is told to.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) shared: Arc<SharedPool>,
    pub(crate) servers: Vec<Arc<SharedServer>>,
    pub(crate) workers: Vec<Pool>,
}

impl World {
    pub(crate) fn new(workers: usize, servers: usize, rules: Rules) -> Self {
        Self::with(workers, &vec![0; servers], rules, || Box::new(RoundRobin::default()))
    }

    /// Servers by their priorities.
    pub(crate) fn with(
        workers: usize,
        priorities: &[u32],
        rules: Rules,
        algorithm: impl Fn() -> Box<dyn Algorithm>,
    ) -> Self {
        let now = epoch() + secs(1000);
        let shared = SharedPool::new(epoch());
        let mut specs = specs(&shared, &vec![1; priorities.len()]);
        for (spec, priority) in specs.iter_mut().zip(priorities) {
            spec.priority = *priority;
        }
        let worker = |seed| {
            let mut pool = Pool::new(shared.clone(), algorithm(), seed);
            pool.set_servers(specs.clone(), now);
            pool.set_rules(rules.clone(), now);
            pool
        };
        let workers = (0..workers as u64).map(worker).collect();
        let servers = specs.iter().map(|spec| spec.shared.clone()).collect();
        Self { now, shared, servers, workers }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn pick(&mut self, worker: usize) -> Result<Lease, Unavailable> {
        self.workers[worker].pick(Pick::new(self.now))
    }

    /// One request that takes no time: where it went, and how.
    pub(crate) fn request(
        &mut self,
        worker: usize,
        outcome: impl FnOnce(usize) -> Outcome,
    ) -> Result<usize, Unavailable> {
        let lease = self.pick(worker)?;
        let slot = lease.server.slot as usize;
        self.workers[worker].finish(lease, outcome(slot), self.now);
        Ok(slot)
    }

    /// The server at this place.
    pub(crate) fn id(&self, slot: u32) -> ServerId {
        ServerId { slot, generation: 0 }
    }

    /// How many of so many requests go to each server, if all succeed.
    pub(crate) fn shares(&mut self, requests: usize) -> Vec<usize> {
        let mut counts = vec![0; self.servers.len()];
        for _ in 0..requests {
            if let Ok(slot) = self.request(0, |_| good()) {
                counts[slot] += 1;
            }
        }
        counts
    }
}

pub(crate) fn good() -> Outcome {
    Outcome::Success { latency: ms(5) }
}

pub(crate) fn bad(kind: FailureKind) -> Outcome {
    Outcome::Failure { latency: ms(1), kind }
}
