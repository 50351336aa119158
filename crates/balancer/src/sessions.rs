//! Sessions of a transport that has no connections (UDP): found by who speaks, ended by silence, and
//! bounded so that a flood of invented sources cannot push out those who are really there. Owns the
//! places and their order; what a session holds and what is sent are the caller's.
//!
//! A session is on probation until its client has sent a second time, which a flood of sources that
//! send once never does. Where there is no place left, the quietest on probation makes room: never
//! one that has proven itself, and a reserve of the places stays with newcomers.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Nobody's place.
const NONE: u32 = u32::MAX;
/// Of all places, at least one in so many is for sessions on probation.
const RESERVE: u32 = 8;

/// A session of a [`Sessions`]; of no other once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId {
    slot: u32,
    turn: u32,
}

impl SessionId {
    /// As a number, to be given to the kernel.
    pub fn to_u64(self) -> u64 {
        u64::from(self.turn) << 32 | u64::from(self.slot)
    }

    /// What it was before.
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    pub fn from_u64(number: u64) -> Self {
        Self { slot: number as u32, turn: (number >> 32) as u32 }
    }
}

/// How many sessions there may be, and how long they may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Sessions at a time; at least 1.
    pub most: u32,
    /// Silence, both ways, after which one has ended.
    pub idle: Duration,
}

impl SessionLimits {
    /// Of `most`, those that may have proven themselves.
    fn established(self) -> u32 {
        let most = self.most.max(1);
        most.saturating_sub((most / RESERVE).max(1))
    }
}

/// How far a client has been heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Probation,
    Established,
}

struct Session<K, V> {
    key: K,
    value: V,
    standing: Standing,
    /// When something was sent, either way.
    touched: Instant,
    /// Towards those that have been silent for longer, and for less long.
    older: u32,
    younger: u32,
}

struct Slot<K, V> {
    /// Counts up with each session that ends here.
    turn: u32,
    session: Option<Session<K, V>>,
}

/// Sessions in the order in which they were last touched.
#[derive(Clone, Copy, Debug)]
struct Row {
    oldest: u32,
    youngest: u32,
    count: u32,
}

impl Default for Row {
    fn default() -> Self {
        Self { oldest: NONE, youngest: NONE, count: 0 }
    }
}

/// See the module's head.
pub struct Sessions<K, V> {
    limits: SessionLimits,
    by_key: HashMap<K, u32>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    probation: Row,
    established: Row,
}

impl<K: Copy + Eq + Hash, V> Sessions<K, V> {
    /// None yet. Memory is taken as sessions come, and kept.
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            probation: Row::default(),
            established: Row::default(),
        }
    }

    /// Other limits from now on. Those that are too many now end by silence or make room.
    pub fn set_limits(&mut self, limits: SessionLimits) {
        self.limits = limits;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// How many have proven themselves.
    pub fn established(&self) -> usize {
        self.established.count as usize
    }

    /// The session of `key`, whose client has just sent: from now on it is proven, if there is room
    /// among those that are.
    pub fn heard(&mut self, key: &K, now: Instant) -> Option<SessionId> {
        let slot = *self.by_key.get(key)?;
        let standing = self.session(slot)?.standing;
        let room = self.established.count < self.limits.established();
        let standing = if room { Standing::Established } else { standing };
        self.move_to_youngest(slot, standing, now);
        self.id(slot)
    }

    /// Its server has just sent.
    pub fn answered(&mut self, id: SessionId, now: Instant) {
        if let Some(session) = self.of(id) {
            let standing = session.standing;
            self.move_to_youngest(id.slot, standing, now);
        }
    }

    /// Whether one more has a place, and who has to go for it. `Err`: all have proven themselves, or
    /// there is one of `key` already.
    ///
    /// # Errors
    /// Gives `value` back when there is no place.
    pub fn open(&mut self, key: K, value: V, now: Instant) -> Result<Opened<K, V>, V> {
        if self.by_key.contains_key(&key) {
            return Err(value);
        }
        let is_full = self.len() >= self.limits.most.max(1) as usize;
        let evicted = if is_full { self.end_slot(self.probation.oldest) } else { None };
        if is_full && evicted.is_none() {
            return Err(value);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => match u32::try_from(self.slots.len()) {
                Ok(slot) if slot != NONE => {
                    self.slots.push(Slot { turn: 0, session: None });
                    slot
                }
                _ => return Err(value),
            },
        };
        let Some(place) = self.slots.get_mut(slot as usize) else { return Err(value) };
        let standing = Standing::Probation;
        place.session =
            Some(Session { key, value, standing, touched: now, older: NONE, younger: NONE });
        let id = SessionId { slot, turn: place.turn };
        self.by_key.insert(key, slot);
        self.append(slot);
        Ok(Opened { id, evicted })
    }

    /// What a session holds, if it goes on.
    pub fn value_mut(&mut self, id: SessionId) -> Option<(&K, &mut V)> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.turn == id.turn)?;
        slot.session.as_mut().map(|session| (&session.key, &mut session.value))
    }

    /// Ends a session.
    pub fn end(&mut self, id: SessionId) -> Option<(K, V)> {
        self.of(id)?;
        self.end_slot(id.slot)
    }

    /// Ends one that has been silent for too long; to be called until there is none.
    pub fn expire(&mut self, now: Instant) -> Option<(K, V)> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let rows = [self.probation, self.established];
        let due = rows.into_iter().find(|row| is_due(self.expiry_of(*row)))?;
        self.end_slot(due.oldest)
    }

    /// When the next one will have been silent for too long.
    pub fn next_expiry(&self) -> Option<Instant> {
        let rows = [self.probation, self.established];
        rows.into_iter().filter_map(|row| self.expiry_of(row)).min()
    }

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = (SessionId, &V)> {
        (0_u32..).zip(&self.slots).filter_map(|(slot, place)| {
            let session = place.session.as_ref()?;
            Some((SessionId { slot, turn: place.turn }, &session.value))
        })
    }

    fn expiry_of(&self, row: Row) -> Option<Instant> {
        self.session(row.oldest).map(|session| session.touched + self.limits.idle)
    }

    fn id(&self, slot: u32) -> Option<SessionId> {
        self.slots.get(slot as usize).map(|place| SessionId { slot, turn: place.turn })
    }

    fn of(&self, id: SessionId) -> Option<&Session<K, V>> {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.turn == id.turn)?;
        slot.session.as_ref()
    }

    fn session(&self, slot: u32) -> Option<&Session<K, V>> {
        self.slots.get(slot as usize)?.session.as_ref()
    }

    fn session_mut(&mut self, slot: u32) -> Option<&mut Session<K, V>> {
        self.slots.get_mut(slot as usize)?.session.as_mut()
    }

    fn row(&mut self, standing: Standing) -> &mut Row {
        match standing {
            Standing::Probation => &mut self.probation,
            Standing::Established => &mut self.established,
        }
    }

    fn move_to_youngest(&mut self, slot: u32, standing: Standing, now: Instant) {
        self.unlink(slot);
        if let Some(session) = self.session_mut(slot) {
            session.standing = standing;
            session.touched = session.touched.max(now); // rows stay in order
        }
        self.append(slot);
    }

    fn end_slot(&mut self, slot: u32) -> Option<(K, V)> {
        self.session(slot)?;
        self.unlink(slot);
        let place = self.slots.get_mut(slot as usize)?;
        place.turn = place.turn.wrapping_add(1);
        let session = place.session.take()?;
        self.by_key.remove(&session.key);
        self.free.push(slot);
        Some((session.key, session.value))
    }

    /// Puts a session at the end of its row.
    fn append(&mut self, slot: u32) {
        let Some(standing) = self.session(slot).map(|session| session.standing) else { return };
        let row = self.row(standing);
        let before = std::mem::replace(&mut row.youngest, slot);
        row.count = row.count.saturating_add(1);
        if before == NONE {
            row.oldest = slot;
        }
        if let Some(session) = self.session_mut(before) {
            session.younger = slot;
        }
        if let Some(session) = self.session_mut(slot) {
            (session.older, session.younger) = (before, NONE);
        }
    }

    /// Takes a session out of its row.
    fn unlink(&mut self, slot: u32) {
        let Some(session) = self.session(slot) else { return };
        let (older, younger, standing) = (session.older, session.younger, session.standing);
        if let Some(session) = self.session_mut(older) {
            session.younger = younger;
        }
        if let Some(session) = self.session_mut(younger) {
            session.older = older;
        }
        let row = self.row(standing);
        row.count = row.count.saturating_sub(1);
        if older == NONE {
            row.oldest = younger;
        }
        if younger == NONE {
            row.youngest = older;
        }
    }
}

/// A new session.
pub struct Opened<K, V> {
    /// What it is known by.
    pub id: SessionId,
    /// Who had to make room for it.
    pub evicted: Option<(K, V)>,
}

#[cfg(test)]
mod tests;
