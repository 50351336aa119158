//! Connections kept for the next request, by server. Bookkeeping only: `C` may be a socket or a
//! number in a test; whether one is still alive is the caller's question.

use std::collections::VecDeque;

use evenkeel_balancer::ServerId;
use evenkeel_codec::plant::{self, Bug};

/// Idle connections of one pool and one worker.
pub(crate) struct ConnPool<C> {
    slots: Vec<Slot<C>>,
    idle_max: usize,
}

struct Slot<C> {
    generation: u32,
    idle: VecDeque<C>,
}

impl<C> ConnPool<C> {
    /// Keeps at most `idle_max` connections for each server.
    pub(crate) fn new(idle_max: usize) -> Self {
        Self { slots: Vec::new(), idle_max }
    }

    /// The most recently used connection that is `alive`: the one least likely to be closed by the
    /// server. Dead ones found on the way are dropped.
    pub(crate) fn take(&mut self, server: ServerId, alive: impl Fn(&C) -> bool) -> Option<C> {
        let slot = self.slots.get_mut(server.slot as usize)?;
        if slot.generation != server.generation && !plant::is(Bug::ReuseOfAnotherServer) {
            slot.idle.clear(); // connections of a server that had this slot before
            return None;
        }
        while let Some(connection) = slot.idle.pop_back() {
            if alive(&connection) {
                return Some(connection);
            }
        }
        None
    }

    /// The connection that [`Self::take`] would look at first.
    pub(crate) fn newest(&self, server: ServerId) -> Option<&C> {
        let slot = self.slots.get(server.slot as usize)?;
        slot.idle.back().filter(|_| slot.generation == server.generation)
    }

    /// Keeps a connection; when there is no room, the one that was unused longest makes place.
    pub(crate) fn put(&mut self, server: ServerId, connection: C) {
        if self.idle_max == 0 {
            return;
        }
        let at = server.slot as usize;
        while self.slots.len() <= at {
            self.slots.push(Slot { generation: 0, idle: VecDeque::new() });
        }
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.generation != server.generation && !plant::is(Bug::ReuseOfAnotherServer) {
            slot.idle.clear();
            slot.generation = server.generation;
        }
        if slot.idle.len() >= self.idle_max {
            slot.idle.pop_front();
        }
        slot.idle.push_back(connection);
    }

    /// Keeps at most so many for each server from now on.
    pub(crate) fn keep_most(&mut self, idle_max: usize) {
        self.idle_max = idle_max;
        for slot in &mut self.slots {
            let over = slot.idle.len().saturating_sub(idle_max);
            slot.idle.drain(..over); // those unused longest
        }
    }

    /// Drops the connections of all other servers.
    pub(crate) fn keep_of(&mut self, stays: impl Fn(ServerId) -> bool) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let id = ServerId { slot: at as u32, generation: slot.generation };
            if !stays(id) {
                slot.idle.clear();
            }
        }
    }

    /// Drops every connection that is not `alive` any more.
    pub(crate) fn sweep(&mut self, alive: impl Fn(&C) -> bool) {
        for slot in &mut self.slots {
            slot.idle.retain(&alive);
        }
    }

    /// How many are kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.idle.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerId = ServerId { slot: 0, generation: 0 };
    const B: ServerId = ServerId { slot: 3, generation: 0 };

    #[test]
    fn the_most_recently_used_is_taken_first_and_the_oldest_makes_room() {
        let mut pool = ConnPool::new(2);
        for connection in 1..=3 {
            pool.put(A, connection);
        }
        pool.put(B, 9);
        assert_eq!(pool.take(A, |_| true), Some(3));
        assert_eq!(pool.take(A, |_| true), Some(2));
        assert_eq!(pool.take(A, |_| true), None);
        assert_eq!(pool.take(B, |_| true), Some(9));
    }

    #[test]
    fn connections_of_servers_that_left_are_dropped_and_a_lower_limit_holds_at_once() {
        let mut pool = ConnPool::new(8);
        for connection in 1..=3 {
            pool.put(A, connection);
            pool.put(B, connection);
        }
        pool.keep_most(2);
        assert_eq!(pool.len(), 4);
        pool.keep_of(|server| server == B);
        assert_eq!(pool.len(), 2);
        assert_eq!(pool.take(A, |_| true), None);
        assert_eq!(pool.take(B, |_| true), Some(3));
    }

    #[test]
    fn dead_connections_are_skipped_and_dropped() {
        let mut pool = ConnPool::new(8);
        for connection in 1..=4 {
            pool.put(A, connection);
        }
        assert_eq!(pool.take(A, |c| c % 2 == 1), Some(3));
        pool.sweep(|c| *c != 1);
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn a_server_that_took_over_a_slot_never_gets_its_predecessors_connections() {
        let mut pool = ConnPool::new(8);
        pool.put(A, 1);
        let successor = ServerId { slot: 0, generation: 1 };
        assert_eq!(pool.take(successor, |_| true), None);
        pool.put(successor, 2);
        assert_eq!(pool.take(A, |_| true), None);
    }
}
