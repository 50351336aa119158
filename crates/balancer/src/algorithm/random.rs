//! At random by weight: one draw on the sums of the weights, O(log n).

use super::Algorithm;
use crate::{Pick, Rng, ServerId, Servers};

/// See the module's head.
#[derive(Debug, Default)]
pub struct Random {
    /// Sum of the weights up to and including each eligible server.
    sums: Vec<u32>,
}

impl Algorithm for Random {
    fn pick(&mut self, servers: &Servers, _: &Pick<'_>, rng: &mut Rng) -> Option<ServerId> {
        let at = rng.below(*self.sums.last()?);
        let index = self.sums.partition_point(|sum| *sum <= at);
        servers.eligible().get(index).copied()
    }

    fn rebuild(&mut self, servers: &Servers) {
        self.sums.clear();
        let mut sum = 0_u32;
        for id in servers.eligible() {
            sum = sum.saturating_add(servers.tenths(*id));
            self.sums.push(sum);
        }
    }
}
