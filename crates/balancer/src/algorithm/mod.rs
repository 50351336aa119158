//! One file for each algorithm; this one lists them and says what they have in common.

use std::time::Instant;

use crate::{Outcome, Pick, Rng, Server, ServerId, Servers};

mod hash;
mod least_connections;
mod maglev;
mod peak_ewma;
mod power_of_two;
mod random;
mod ring;
mod round_robin;
mod weighted;

pub use least_connections::LeastConnections;
pub use maglev::Maglev;
pub use peak_ewma::PeakEwma;
pub use power_of_two::PowerOfTwo;
pub use random::Random;
pub use ring::RingHash;
pub use round_robin::RoundRobin;
pub use weighted::WeightedRoundRobin;

/// Chooses among the eligible servers. It sees numbers, never sockets, and allocates nothing.
pub trait Algorithm {
    /// A server; `None` only if nobody is eligible. It may answer with one that was tried.
    fn pick(&mut self, servers: &Servers, pick: &Pick<'_>, rng: &mut Rng) -> Option<ServerId>;

    /// Servers, weights or health changed: tables are built here, not in `pick`.
    fn rebuild(&mut self, servers: &Servers) {
        let _ = servers;
    }

    /// A request to `server` ended with `outcome`, which is never [`Outcome::Abandoned`].
    fn observe(&mut self, server: &mut Server, outcome: Outcome, now: Instant) {
        let _ = (server, outcome, now);
    }
}

/// Two different eligible servers drawn at random; the same one twice if there is only one.
fn draw_two(servers: &Servers, rng: &mut Rng) -> Option<(ServerId, ServerId)> {
    let eligible = servers.eligible();
    let count = u32::try_from(eligible.len()).ok()?;
    if count <= 1 {
        return eligible.first().map(|only| (*only, *only));
    }
    let first = rng.below(count);
    let mut second = rng.below(count - 1);
    if second >= first {
        second += 1;
    }
    Some((*eligible.get(first as usize)?, *eligible.get(second as usize)?))
}

#[cfg(test)]
mod tests;
