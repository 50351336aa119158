//! How long a connection of HTTP/2 lives, and what is done when its time is up. Pure: takes the time.

use std::time::{Duration, Instant};

/// After this much silence while streams are open, the client is asked whether it is still there:
/// no stream's own deadline would notice a tunnel to nobody.
const PING_AFTER: Duration = Duration::from_secs(30);
/// It answers within this time.
const PONG_WITHIN: Duration = Duration::from_secs(15);
/// From the first GOAWAY on a client has this long to acknowledge it, once no stream is left and it
/// has taken the last bytes.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// A cut connection's streams have this long to tell their clients.
const CUT_WITHIN: Duration = Duration::from_millis(200);

/// What is known when the timer has gone off, or something has changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) now: Instant,
    /// Streams being served.
    pub(super) live: usize,
    /// Bytes that the client has taken so far.
    pub(super) taken: u64,
    /// More of them wait for it to take them.
    pub(super) stuck: bool,
    /// Something came in since the last look.
    pub(super) heard: bool,
    /// No new request may begin: a drain, or enough of them have been served.
    pub(super) done: bool,
    /// It has to end now.
    pub(super) cut: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// Ask whether the client is there.
    Ping,
    /// Tell the client that no new request is served (RFC 9113 §6.8).
    Leave,
    /// Close it: nothing waits to be sent any more, or it has waited for too long.
    End,
    /// Reset it: what runs must not go on.
    Abort,
}

/// See the module's head.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// It is old then.
    age_until: Instant,
    idle: Duration,
    /// How long the client may take nothing of what waits for it.
    send_idle: Duration,
    /// Without streams since, and until when that may be.
    idle_until: Option<Instant>,
    /// When something came in last, as far as was looked.
    heard: Instant,
    /// How much the client had taken then, and since when that is so and no stream is there.
    taken: u64,
    quiet: Instant,
    pinged: Option<Instant>,
    leaving: Option<Instant>,
    cut: Option<Instant>,
}

impl Life {
    /// Begins without streams; the first request comes until `first`.
    pub(super) fn new(
        now: Instant,
        first: Instant,
        idle: Duration,
        send_idle: Duration,
        age_until: Instant,
    ) -> Self {
        Self {
            age_until,
            idle,
            send_idle,
            idle_until: Some(first),
            heard: now,
            taken: 0,
            quiet: now,
            pinged: None,
            leaving: None,
            cut: None,
        }
    }

    /// An answer to a ping came.
    pub(super) fn ponged(&mut self, now: Instant) {
        self.pinged = None;
        self.heard = now;
    }

    /// What is to be done now, and when to look again.
    pub(super) fn look(&mut self, look: Look) -> (Act, Instant) {
        let Look { now, live, .. } = look;
        if look.heard {
            self.heard = now;
        }
        let moved = look.taken != self.taken;
        self.taken = look.taken;
        if moved || live > 0 {
            self.quiet = now;
        }
        if moved && self.pinged.is_some() {
            self.pinged = Some(now); // it stands behind what is on its way
        }
        match live {
            0 => self.idle_until = Some(self.idle_until.unwrap_or(now + self.idle)),
            _ => self.idle_until = None,
        }
        let act = self.act(look);
        match act {
            Act::Leave => {
                self.leaving = Some(now);
                self.quiet = now;
            }
            Act::Ping => self.pinged = Some(now),
            Act::Nothing | Act::End | Act::Abort => {}
        }
        if look.cut {
            self.cut.get_or_insert(now + CUT_WITHIN);
        }
        (act, self.again(look))
    }

    /// When it ends if it goes on like this, asked to leave and without streams.
    fn gone(&self, look: Look) -> Instant {
        self.quiet + if look.stuck { self.send_idle.max(LEAVE_WITHIN) } else { LEAVE_WITHIN }
    }

    fn act(&self, look: Look) -> Act {
        let Look { now, live, .. } = look;
        let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_past(self.cut) {
            return Act::Abort;
        }
        if look.cut && live == 0 && !look.stuck {
            return Act::End;
        }
        if is_past(self.pinged.map(|at| at + PONG_WITHIN)) {
            return Act::End;
        }
        match self.leaving {
            None if look.done || look.cut || now >= self.age_until || is_past(self.idle_until) => {
                Act::Leave
            }
            Some(_) if live == 0 && self.gone(look) <= now => Act::End,
            _ if live > 0 && self.pinged.is_none() && self.heard + PING_AFTER <= now => Act::Ping,
            _ => Act::Nothing,
        }
    }

    /// When something is to be done at the latest.
    fn again(&self, look: Look) -> Instant {
        let now = look.now;
        let silence = match (self.pinged, self.idle_until) {
            (Some(at), _) => Some(at + PONG_WITHIN),
            (None, None) => Some(self.heard + PING_AFTER),
            (None, Some(_)) => None,
        };
        let ends = match self.leaving {
            Some(_) if self.idle_until.is_some() => Some(self.gone(look)),
            Some(_) => None,
            None => Some(self.idle_until.map_or(self.age_until, |at| at.min(self.age_until))),
        };
        let next = [silence, ends, self.cut].into_iter().flatten().min();
        // Never at once: what is due has been done, and a peer may be slow.
        next.unwrap_or(now + PING_AFTER).max(now + Duration::from_millis(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[allow(clippy::disallowed_methods)] // some moment; only differences matter
    fn life() -> (Life, Instant) {
        let now = Instant::now();
        (Life::new(now, now + 10 * S, 60 * S, 30 * S, now + 3600 * S), now)
    }

    fn at(now: Instant, live: usize) -> Look {
        Look { now, live, taken: 0, stuck: false, heard: false, done: false, cut: false }
    }

    #[test]
    fn a_connection_without_streams_is_left_when_it_was_idle_for_too_long() {
        let (mut life, start) = life();
        assert_eq!(life.look(at(start, 0)), (Act::Nothing, start + 10 * S));
        assert_eq!(life.look(at(start + S, 1)).0, Act::Nothing);
        assert_eq!(life.look(at(start + 2 * S, 0)), (Act::Nothing, start + 62 * S));
        assert_eq!(life.look(at(start + 62 * S, 0)), (Act::Leave, start + 67 * S));
        assert_eq!(life.look(at(start + 66 * S, 0)).0, Act::Nothing);
        assert_eq!(life.look(at(start + 67 * S, 0)).0, Act::End);
    }

    #[test]
    fn a_silent_client_with_streams_is_asked_and_has_to_answer() {
        let (mut life, start) = life();
        assert_eq!(life.look(at(start, 1)), (Act::Nothing, start + 30 * S));
        assert_eq!(life.look(at(start + 30 * S, 1)), (Act::Ping, start + 45 * S));
        life.ponged(start + 31 * S);
        assert_eq!(life.look(at(start + 60 * S, 1)).0, Act::Nothing);
        assert_eq!(life.look(at(start + 61 * S, 1)).0, Act::Ping);
        assert_eq!(life.look(at(start + 76 * S, 1)).0, Act::End);
    }

    #[test]
    fn who_speaks_is_not_asked() {
        let (mut life, start) = life();
        for second in 0..100 {
            let look = Look { heard: true, ..at(start + second * S, 1) };
            assert_eq!(life.look(look).0, Act::Nothing);
        }
    }

    #[test]
    fn age_drains_and_enough_requests_leave_streams_their_time() {
        let (mut life, start) = life();
        let old = start + 3600 * S;
        assert_eq!(life.look(Look { heard: true, ..at(old, 3) }).0, Act::Leave);
        for second in 1..1000 {
            let look = Look { heard: true, ..at(old + second * S, 3) };
            assert_eq!(life.look(look).0, Act::Nothing, "streams have deadlines of their own");
        }
        let (mut life, start) = self::life();
        assert_eq!(life.look(Look { done: true, ..at(start, 3) }).0, Act::Leave);
    }

    #[test]
    fn a_cut_ends_it_as_soon_as_its_streams_have_ended() {
        let (mut life, start) = life();
        let cut = |now, live| Look { cut: true, ..at(now, live) };
        assert_eq!(life.look(cut(start, 2)).0, Act::Leave);
        assert_eq!(life.look(cut(start + S / 10, 2)).0, Act::Nothing);
        assert_eq!(life.look(cut(start + S / 5, 2)).0, Act::Abort);
        let (mut life, start) = self::life();
        assert_eq!(life.look(cut(start, 0)).0, Act::End);
    }

    #[test]
    fn a_cut_leaves_what_streams_were_told_its_time() {
        let (mut life, start) = life();
        let cut = |now, live, stuck| Look { cut: true, stuck, ..at(now, live) };
        assert_eq!(life.look(cut(start, 2, false)).0, Act::Leave);
        assert_eq!(life.look(cut(start + S / 10, 0, true)).0, Act::Nothing);
        let mut taken = life.clone();
        assert_eq!(taken.look(cut(start + S / 8, 0, false)).0, Act::End);
        assert_eq!(life.look(cut(start + S / 5, 0, true)).0, Act::Abort);
    }

    #[test]
    fn who_was_asked_to_leave_has_what_was_sent_last() {
        let (mut life, start) = life();
        assert_eq!(life.look(Look { done: true, ..at(start, 1) }).0, Act::Leave);
        assert_eq!(life.look(at(start + 20 * S, 1)).0, Act::Nothing);
        // The last stream has handed over its last bytes.
        for second in 21..90 {
            let taken = if second % 20 == 0 { second } else { second - second % 20 };
            let look = Look { taken, stuck: true, ..at(start + second as u32 * S, 0) };
            assert_eq!(life.look(look).0, Act::Nothing, "it takes some from time to time");
        }
        let last = start + 90 * S;
        assert_eq!(life.look(Look { taken: 100, ..at(last, 0) }), (Act::Nothing, last + 5 * S));
        let mut deaf = life.clone();
        assert_eq!(life.look(Look { taken: 100, ..at(last + 5 * S, 0) }).0, Act::End);
        let deaf_at = |second| Look { taken: 100, stuck: true, ..at(last + second * S, 0) };
        assert_eq!(deaf.look(deaf_at(29)).0, Act::Nothing);
        assert_eq!(deaf.look(deaf_at(30)).0, Act::End);
    }

    #[test]
    fn a_ping_behind_a_long_answer_is_not_missed() {
        let (mut life, start) = life();
        assert_eq!(life.look(at(start, 1)).0, Act::Nothing);
        assert_eq!(life.look(at(start + 30 * S, 1)).0, Act::Ping);
        for taken in 1..100 {
            let look = Look { taken, ..at(start + (30 + 10 * taken as u32) * S, 1) };
            assert_eq!(life.look(look).0, Act::Nothing);
        }
    }
}
