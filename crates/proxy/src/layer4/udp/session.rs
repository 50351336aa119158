//! One session: the server it goes to by a socket of its own, what came of that, and how it goes on
//! with another. Owns no order among sessions and no socket that clients see.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use evenkeel_balancer::{FailureKind, Outcome, Pick, ServerId};
use evenkeel_config::model::Reply;
use evenkeel_runtime::{Arrived, Flow};

use super::settings::Settings;
use crate::generation::{KnownServer, Leased, PoolState};

/// Servers that one session goes to at most, as long as none answers.
const SERVERS_MAX: usize = 8;
/// The longest datagram that is kept until there is an answer, to be sent to another server.
const KEPT_MAX: usize = 4096;
/// From so many datagrams on, a server's are joined into runs.
const BUSY: u64 = 32;

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing was sent for too long.
    Silent,
    /// With the one answer that it was for.
    Answered,
    /// It made room for another.
    Evicted,
    /// No server could be reached.
    Failed,
    /// By order.
    Drained,
}

impl Ended {
    /// A stable word for scripts; `docs/udp.md` lists them.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Silent => "idle_timeout",
            Self::Answered => "answered",
            Self::Evicted => "evicted",
            Self::Failed => "no_server",
            Self::Drained => "cut",
        }
    }
}

/// What a session has moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// From the client.
    pub(super) datagrams_in: u64,
    /// From its servers.
    pub(super) datagrams_out: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// See the module's head.
pub(super) struct Session {
    flow: Flow,
    leased: Leased,
    reply: Reply,
    begun: Instant,
    /// When its server was first sent what it has not answered yet.
    asked: Option<Instant>,
    /// Whether this server has answered anything.
    answered: bool,
    moved: Moved,
    /// What the server has not answered, for another one.
    kept: Option<Box<[u8]>>,
    /// The hashes that servers are chosen by.
    keys: (Option<u64>, Option<u64>),
    /// Servers that were not there, since one answered.
    tried: Vec<ServerId>,
    retries: u8,
}

/// A server that can be sent to.
fn reach(pool: &Rc<PoolState>, pick: Pick<'_>, retries: usize) -> Option<(Leased, Flow)> {
    let (mut tried, now) = (pick.tried.to_vec(), pick.now);
    loop {
        let leased = pool.lease(pick.tried(&tried)).ok()?;
        let known = leased.known().clone();
        let flow = match known.target.addresses.first() {
            Some(address) => Flow::connect(*address),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        known.counters.requests.add(1);
        match flow {
            Ok(flow) => {
                known.counters.connections.add(1);
                return Some((leased, flow));
            }
            Err(error) => {
                tried.push(leased.server);
                give_up(&known, &error, now);
                match super::is_verdict(&error) {
                    true => leased.finish(refused(), now),
                    // No descriptor or no port is left here: that is not the server's fault.
                    false => drop(leased),
                }
                if tried.len() > retries.min(SERVERS_MAX) || !pool.withdraw(now) {
                    return None;
                }
            }
        }
    }
}

fn refused() -> Outcome {
    Outcome::Failure { latency: std::time::Duration::ZERO, kind: FailureKind::Refused }
}

fn give_up(known: &KnownServer, error: &io::Error, now: Instant) {
    known.counters.failures.add(1);
    if let Some(untold) = known.tells(now) {
        let untold = (untold > 0).then_some(untold);
        tracing::warn!(pool = %known.pool, server = %known.target.key, untold, %error, "no way there for datagrams");
    }
}

impl Session {
    /// A session with what its client has sent first; `None` if no server can be reached.
    pub(super) fn begin(
        settings: &Settings,
        (client, local): (SocketAddr, SocketAddr),
        bound: Option<ServerId>,
        arrived: &Arrived<'_>,
        now: Instant,
    ) -> Option<Self> {
        let keys = settings.keys(client, local);
        let pick = Pick { key: keys.0, affinity: keys.1, bound, ..Pick::new(now) };
        let (leased, flow) = reach(&settings.pool, pick, settings.retries())?;
        let mut session = Self {
            flow,
            leased,
            reply: settings.udp.reply,
            begun: now,
            asked: None,
            answered: false,
            moved: Moved::default(),
            kept: None,
            keys,
            tried: Vec::new(),
            retries: u8::try_from(settings.retries()).unwrap_or(u8::MAX),
        };
        match session.send(arrived.bytes, arrived.segment, now) {
            Err(error) if super::is_verdict(&error) => {
                session.move_on(Some(&error), now).then_some(session)
            }
            _ => Some(session), // lost at most, as datagrams are
        }
    }

    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    pub(super) fn server(&self) -> ServerId {
        self.leased.server
    }

    pub(super) fn known(&self) -> &KnownServer {
        self.leased.known()
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) fn moved(&self) -> Moved {
        self.moved
    }

    pub(super) fn reply(&self) -> Reply {
        self.reply
    }

    /// Whether its server is one of this pool, of this key.
    pub(super) fn is_at(&self, pool: &str, server: &str) -> bool {
        let known = self.leased.known();
        *known.pool == *pool && *known.target.key == *server
    }

    /// Whether its server still takes what is bound to it.
    pub(super) fn is_welcome(&self) -> bool {
        self.leased.pool().may_serve_bound(self.leased.server)
    }

    /// Sends what the client has sent.
    ///
    /// # Errors
    /// What the network says, maybe about what was sent before.
    pub(super) fn send(&mut self, bytes: &[u8], segment: usize, now: Instant) -> io::Result<()> {
        self.keep(bytes, segment, now);
        self.flow.send(bytes, segment)
    }

    /// Keeps it for another server, as long as this one has not answered.
    pub(super) fn keep(&mut self, bytes: &[u8], segment: usize, now: Instant) {
        self.asked.get_or_insert(now);
        let sent = super::datagrams(bytes.len(), segment);
        self.moved.datagrams_in = self.moved.datagrams_in.saturating_add(sent);
        self.moved.bytes_in = self.moved.bytes_in.saturating_add(bytes.len() as u64);
        if !self.answered && bytes.len() <= segment && bytes.len() <= KEPT_MAX {
            self.kept = Some(bytes.into());
        }
    }

    /// Its server has sent this much; whether it sends a lot.
    pub(super) fn answered(&mut self, length: usize, segment: usize, now: Instant) -> bool {
        if let Some(asked) = self.asked.take() {
            let latency = now.saturating_duration_since(asked);
            self.leased.known().counters.latency.record(latency);
            if !self.answered {
                self.leased.judge(Outcome::Success { latency }, now);
            }
        }
        if !self.answered {
            self.answered = true;
            self.kept = None;
            self.tried = Vec::new();
        }
        let before = self.moved.datagrams_out;
        let after = before.saturating_add(super::datagrams(length, segment));
        self.moved.datagrams_out = after;
        self.moved.bytes_out = self.moved.bytes_out.saturating_add(length as u64);
        if before < BUSY && after >= BUSY {
            self.flow.join_runs();
        }
        after >= BUSY
    }

    /// From now on it goes to another server, which gets what was not answered: with an error because
    /// its own is not there, without one because that takes no more. `false`: there is no other.
    pub(super) fn move_on(&mut self, error: Option<&io::Error>, now: Instant) -> bool {
        let pool = self.leased.pool_state().clone();
        let mut left = usize::from(self.retries).min(SERVERS_MAX);
        if let Some(error) = error {
            give_up(self.leased.known(), error, now);
            self.leased.judge(refused(), now);
            left = left.saturating_sub(self.tried.len());
            self.tried.push(self.leased.server);
            if left == 0 || !pool.withdraw(now) {
                return false;
            }
        }
        let pick = Pick { key: self.keys.0, affinity: self.keys.1, ..Pick::new(now) };
        let Some((leased, flow)) = reach(&pool, pick.tried(&self.tried), left) else {
            return false;
        };
        let before = std::mem::replace(&mut self.leased, leased);
        before.finish(if error.is_some() { refused() } else { self.outcome(now) }, now);
        self.flow = flow;
        self.answered = false;
        if let Some(kept) = &self.kept {
            self.asked = Some(now);
            let _ = self.flow.send(kept, kept.len()); // lost at most; an error comes again
        }
        true
    }

    fn outcome(&self, now: Instant) -> Outcome {
        let latency = now.saturating_duration_since(self.asked.unwrap_or(self.begun));
        if self.answered { Outcome::Success { latency } } else { Outcome::Abandoned }
    }

    /// Tells the pool how it went.
    pub(super) fn finish(self, why: Ended, now: Instant) {
        let latency = now.saturating_duration_since(self.asked.unwrap_or(self.begun));
        let outcome = match why {
            Ended::Failed => refused(),
            // A question without an answer; elsewhere, nobody needs to answer.
            Ended::Silent if self.reply == Reply::Once && !self.answered => {
                self.leased.known().counters.failures.add(1);
                Outcome::Failure { latency, kind: FailureKind::Timeout }
            }
            _ => self.outcome(now),
        };
        self.leased.finish(outcome, now);
    }
}
