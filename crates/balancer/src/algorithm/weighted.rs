//! Weighted round robin, smooth: over a cycle (the sum of the weights) every server gets exactly
//! its weight, spread as evenly as can be. Each server has a next turn on a common time line, at
//! steps of 1 / weight; the earliest is picked. O(log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Algorithm;
use crate::{Pick, Rng, ServerId, Servers};

/// See the module's head.
#[derive(Debug, Default)]
pub struct WeightedRoundRobin {
    turns: BinaryHeap<Reverse<Turn>>,
}

/// A turn is `count / weight` on the time line; compared exactly, as fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    /// Twice the turns taken, plus one: a server's first turn is in the middle of its step.
    halves: u64,
    weight: u32,
    slot: u32,
    generation: u32,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let this = u128::from(self.halves) * u128::from(other.weight);
        let that = u128::from(other.halves) * u128::from(self.weight);
        // At the same moment the heavier goes first, so that light ones spread out.
        this.cmp(&that).then(other.weight.cmp(&self.weight)).then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Algorithm for WeightedRoundRobin {
    fn pick(&mut self, _: &Servers, _: &Pick<'_>, _: &mut Rng) -> Option<ServerId> {
        let mut first = self.turns.peek_mut()?;
        let Reverse(turn) = &mut *first;
        let id = ServerId { slot: turn.slot, generation: turn.generation };
        turn.halves += 2;
        // A finished cycle: everyone is at the same point, so all may begin again from zero.
        drop(first);
        Some(id)
    }

    fn rebuild(&mut self, servers: &Servers) {
        let turn = |id: &ServerId| {
            let weight = servers.server(*id)?.effective;
            Some(Reverse(Turn { halves: 1, weight, slot: id.slot, generation: id.generation }))
        };
        self.turns = servers.eligible().iter().filter_map(turn).collect();
    }
}
