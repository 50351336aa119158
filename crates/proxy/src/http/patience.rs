//! How long an exchange waits for whom. One timer serves all waits of a connection; this file
//! sets it to what is being waited for, and says afterwards who was late. Setting it later costs
//! a store, so progress costs no system call.

use std::time::{Duration, Instant};

use evenkeel_codec::plant::{self, Bug};
use evenkeel_config::model::{ListenerTimeouts, PoolTimeouts};
use evenkeel_runtime as runtime;

use crate::connection::Protocol;
use crate::http::body::{Pump, Waiting};
use crate::http::downstream::h1::slowest;
use crate::http::exchange::Exchange;

/// How long a body may be slower than its minimum rate.
const BODY_GRACE: Duration = Duration::from_secs(10);

/// The waits of one message in one direction.
pub(crate) struct Patience {
    last: Instant,
    seen: (u64, u64),
    body_idle: Duration,
    body_rate_min: u64,
    send_idle: Duration,
    send_rate_min: u64,
    first_byte: Duration,
    server_idle: Duration,
    /// Since when the response is waited for.
    pub(crate) sent_at: Option<Instant>,
    /// When somebody else may be asked, if the response is still waited for.
    alarm: Option<Instant>,
    /// The client holds its body back until the server says 100 (RFC 9110 §10.1.1).
    awaits_continue: bool,
    client: ClientClock,
}

/// The time a client has kept us waiting. Only this counts against its minimum rate: what the server
/// takes is not the client's fault.
#[derive(Debug, Default)]
struct ClientClock {
    spent: Duration,
    since: Option<Instant>,
}

impl ClientClock {
    /// From `now` on the client is waited for, if it was not before.
    fn runs(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// From `now` on it is not.
    fn stops(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.spent += now.saturating_duration_since(since);
        }
    }

    /// When the client, if it goes on like this, has become slower than `rate` bytes a second on
    /// average; never if the rate is 0.
    fn deadline(&self, bytes: u64, rate: u64) -> Option<Instant> {
        let allowed = BODY_GRACE + slowest(bytes, rate)?;
        Some(self.since? + allowed.saturating_sub(self.spent))
    }
}

impl Patience {
    pub(crate) fn new(exchange: &Exchange<'_>, pool: &PoolTimeouts) -> Self {
        let client: Option<&ListenerTimeouts> =
            exchange.listener().map(|listener| &listener.config.timeouts);
        // Either side of a call's stream may be silent for as long as both sides of a tunnel. Over
        // HTTP/1 no client streams a call: there, a field must not buy a slow one anything.
        let silence = exchange.call.map(|_| pool.tunnel);
        let is_stream = exchange.connection.protocol.get() != Protocol::H1;
        let streamed = silence.filter(|_| is_stream);
        Self {
            last: runtime::now(),
            seen: (0, 0),
            body_idle: streamed.or(client.map(|c| c.body_idle)).unwrap_or_default(),
            body_rate_min: client.filter(|_| streamed.is_none()).map_or(0, |c| c.body_rate_min),
            send_idle: client.map_or(Duration::ZERO, |c| c.send_idle),
            send_rate_min: client.map_or(0, |c| c.send_rate_min),
            first_byte: pool.first_byte,
            server_idle: silence.unwrap_or(pool.idle),
            sent_at: None,
            alarm: None,
            awaits_continue: exchange.head.expects_continue,
            client: ClientClock::default(),
        }
    }

    /// While the response is waited for, the timer goes off at `alarm` at the latest.
    pub(crate) fn with_alarm(mut self, alarm: Option<Instant>, sent_at: Option<Instant>) -> Self {
        (self.alarm, self.sent_at) = (alarm, sent_at);
        self
    }

    /// Whether it is the alarm that went off.
    pub(crate) fn is_alarmed(&self, sent: bool) -> bool {
        sent && self.alarm.is_some_and(|alarm| alarm <= runtime::now())
    }

    /// The server has asked for the body.
    pub(crate) fn server_continues(&mut self) {
        self.awaits_continue = false;
        self.last = runtime::now();
    }

    /// Sets the timer for what a request on its way to the server waits for.
    pub(crate) fn watch(&mut self, exchange: &Exchange<'_>, pump: &Pump, sent: bool) {
        self.note_progress(pump);
        if plant::is(Bug::SilenceForEver) {
            return exchange.connection.state.allow_until(runtime::now() + self.first_byte);
        }
        let deadline = if let Some(turn) = self.awaits_turn(pump) {
            turn
        } else if sent {
            let patient = *self.sent_at.get_or_insert(self.last) + self.first_byte;
            self.alarm.map_or(patient, |alarm| alarm.min(patient))
        } else if self.blames_client(pump, sent) {
            self.client.runs(self.last);
            let idle = self.last + self.body_idle;
            self.client
                .deadline(pump.body_bytes, self.body_rate_min)
                .map_or(idle, |at| at.min(idle))
        } else {
            self.client.stops(self.last);
            self.last + if self.awaits_continue { self.first_byte } else { self.server_idle }
        };
        exchange.connection.state.allow_until(deadline);
    }

    /// Sets the timer for what a response on its way to the client waits for.
    pub(crate) fn watch_response(&mut self, exchange: &Exchange<'_>, pump: &Pump) {
        self.note_progress(pump);
        let deadline = match pump.waiting {
            Waiting::Source | Waiting::Turn => {
                self.client.stops(self.last);
                self.awaits_turn(pump).unwrap_or(self.last + self.server_idle)
            }
            Waiting::Sink => {
                self.client.runs(self.last);
                let idle = self.last + self.send_idle;
                self.client.deadline(pump.sent, self.send_rate_min).map_or(idle, |at| at.min(idle))
            }
        };
        exchange.connection.state.allow_until(deadline);
    }

    /// What a limit on bandwidth makes wait is nobody's fault: the waits begin when it may go on.
    fn awaits_turn(&mut self, pump: &Pump) -> Option<Instant> {
        let turn = pump.turn()?;
        self.client.stops(self.last);
        self.last = self.last.max(turn);
        Some(turn + self.server_idle)
    }

    /// Whether it is the client's body that is waited for.
    pub(crate) fn blames_client(&self, pump: &Pump, sent: bool) -> bool {
        !sent && pump.waiting == Waiting::Source && !self.awaits_continue
    }

    /// Progress moves the waits on; the clock is read only then.
    fn note_progress(&mut self, pump: &Pump) {
        let seen = (pump.body_bytes, pump.sent);
        if seen == self.seen {
            return;
        }
        // The first bytes leave in the same turn in which the wait began: that costs no clock.
        if self.seen != (0, 0) {
            self.last = runtime::now();
        }
        if pump.body_bytes > 0 && self.seen.0 == 0 {
            self.awaits_continue = false; // it did not wait
        }
        self.seen = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // some moment; only differences matter
    fn only_the_time_a_client_is_waited_for_counts_against_it() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut clock = ClientClock::default();
        assert_eq!(clock.deadline(0, 1024), None, "nobody waits for it");
        clock.runs(start);
        assert_eq!(clock.deadline(0, 1024), Some(start + BODY_GRACE));
        assert_eq!(clock.deadline(4096, 1024), Some(start + BODY_GRACE + 4 * second));
        assert_eq!(clock.deadline(4096, 0), None, "no rate is asked for");
        clock.stops(start + 3 * second);
        // An hour in which the server took nothing is forgotten.
        let later = start + 3600 * second;
        clock.runs(later);
        clock.runs(later + second);
        assert_eq!(clock.deadline(0, 1024), Some(later + BODY_GRACE - 3 * second));
    }
}
