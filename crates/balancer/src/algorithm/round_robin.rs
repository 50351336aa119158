//! Each eligible server in turn; weights do not matter.

use super::Algorithm;
use crate::{Pick, Rng, ServerId, Servers};

/// See the module's head. Begins at a random server, so that workers do not go in step.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: Option<u32>,
}

impl Algorithm for RoundRobin {
    fn pick(&mut self, servers: &Servers, _: &Pick<'_>, rng: &mut Rng) -> Option<ServerId> {
        let eligible = servers.eligible();
        let count = u32::try_from(eligible.len()).ok().filter(|count| *count > 0)?;
        let at = self.next.unwrap_or_else(|| rng.below(count)) % count;
        self.next = Some(at + 1);
        eligible.get(at as usize).copied()
    }
}
