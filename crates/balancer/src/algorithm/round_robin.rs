//! Each eligible server in turn; weights do not matter, but a server in slow start is passed over in
//! as many of its turns as its weight is reduced.

use super::Algorithm;
use crate::slow_start::STEPS;
use crate::{Pick, Rng, Server, ServerId, Servers};

/// Turns passed over at most; beyond that a server in slow start gets more than its share.
const TURNS_MAX: u32 = 64;

/// See the module's head. Begins at a random server, so that workers do not go in step.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: Option<u32>,
}

impl Algorithm for RoundRobin {
    fn pick(&mut self, servers: &Servers, _: &Pick<'_>, rng: &mut Rng) -> Option<ServerId> {
        let eligible = servers.eligible();
        let count = u32::try_from(eligible.len()).ok().filter(|count| *count > 0)?;
        let begin = self.next.unwrap_or_else(|| rng.below(count));
        for turn in 0..count.min(TURNS_MAX) {
            let at = (begin % count + turn) % count;
            self.next = Some(at + 1);
            let id = eligible.get(at as usize).copied()?;
            if servers.server(id).is_some_and(|server| takes_its_turn(server, rng)) {
                return Some(id);
            }
        }
        eligible.get((begin % count) as usize).copied()
    }
}

fn takes_its_turn(server: &Server, rng: &mut Rng) -> bool {
    let full = server.weight.saturating_mul(STEPS);
    server.effective >= full || rng.below(full) < server.effective
}
