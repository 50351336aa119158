//! By what a listener's new sessions go: its own settings, and the pool of the same generation.

use std::net::SocketAddr;
use std::rc::Rc;

use evenkeel_balancer::SessionLimits;
use evenkeel_config::model::{ListenerId, ListenerKind, Udp};

use crate::balance;
use crate::generation::{Generation, PoolState};
use crate::shared::Shared;
use crate::snapshot::ListenerSettings;

/// See the module's head.
pub(super) struct Settings {
    generation: Rc<Generation>,
    id: ListenerId,
    pub(super) udp: Udp,
    pub(super) pool: Rc<PoolState>,
}

impl Settings {
    /// `None` if the listener is none of this kind.
    pub(super) fn of(generation: Rc<Generation>, id: ListenerId) -> Option<Self> {
        let ListenerKind::Udp(udp) = &generation.snapshot.listener(id)?.config.kind else {
            return None;
        };
        let (udp, pool) = (udp.clone(), generation.pool(udp.to)?.clone());
        Some(Self { generation, id, udp, pool })
    }

    /// Everything about the listener.
    pub(super) fn listener(&self) -> Option<&ListenerSettings> {
        self.generation.snapshot.listener(self.id)
    }

    /// Whether it is of this generation.
    pub(super) fn is_of(&self, generation: &Rc<Generation>) -> bool {
        Rc::ptr_eq(&self.generation, generation)
    }

    /// One worker's share. A session needs one descriptor: all of them leave two fifths to others.
    pub(super) fn limits(&self, shared: &Shared) -> SessionLimits {
        let workers = u32::try_from(shared.workers.len()).unwrap_or(u32::MAX).max(1);
        let descriptors = shared.connections_max.saturating_mul(3) / 2;
        let most = self.udp.sessions.min(descriptors);
        SessionLimits { most: most.div_ceil(workers), idle: self.udp.idle_timeout }
    }

    /// How often another server is asked after the first.
    pub(super) fn retries(&self) -> usize {
        let pool = self.generation.snapshot.pool(self.udp.to);
        pool.map_or(0, |pool| pool.config.retry.attempts as usize)
    }

    /// The hashes of what the pool goes by.
    pub(super) fn keys(&self, client: SocketAddr, local: SocketAddr) -> (Option<u64>, Option<u64>) {
        let Some(pool) = self.generation.snapshot.pool(self.udp.to) else { return (None, None) };
        let key = balance::connection_key(&pool.config.balance, client, local);
        (key, balance::connection_affinity(pool.config.sticky.as_ref(), client, local))
    }
}
