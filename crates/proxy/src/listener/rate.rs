//! How many new connections one address may make in so much time: decided before the first byte, so
//! that who makes too many costs no handshake. Counted by all workers together; a listener of the same
//! name goes on counting after a change.

use std::net::IpAddr;

use evenkeel_balancer::limit::{Kind, Limiter, Meter, Rate};
use evenkeel_config::model::{Prefix, RequestRate};
use evenkeel_runtime as runtime;

use crate::policy::{put_network, seed};

/// 245,000 addresses that have made a connection within the rate's time.
const MEMORY: u64 = 4 << 20;
/// One host may have all addresses of a /64.
const ADDRESS: Prefix = Prefix { ipv4: 32, ipv6: 64 };

/// See the module's head.
pub(crate) struct ConnectionRate(Limiter);

impl ConnectionRate {
    /// Goes on with what the one `before` has counted.
    pub(crate) fn compile(rate: RequestRate, before: Option<&Self>) -> Self {
        let kind = Kind::TokenBucket { burst: rate.count };
        let meter = Meter::new(kind, Rate { count: rate.count, period: rate.period });
        let mut limiter = Limiter::new(meter, MEMORY, seed(), runtime::now());
        if let Some(before) = before {
            limiter.inherit(&before.0);
        }
        Self(limiter)
    }

    /// Counts a new connection; whether it may be made.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        let mut key = Vec::with_capacity(24);
        put_network(&mut key, peer, ADDRESS);
        self.0.take(&key, runtime::now()).allowed
    }
}
