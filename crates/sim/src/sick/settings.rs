//! How the pool of a world with sick servers is configured: drawn from its seed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::chance::Chance;

/// What a client stays with its server by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    Nothing,
    Cookie,
    Header,
    Source,
}

/// See the module's head. Times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    balance: &'static str,
    pub(crate) attempts: u64,
    pub(crate) retries_503: bool,
    pub(crate) try_timeout: Option<u64>,
    /// Of the budget, in percent.
    pub(crate) ratio: u64,
    pub(crate) min: u64,
    /// `Some(0)`: after the p95.
    pub(crate) hedge: Option<u64>,
    pub(crate) server_limit: Option<u64>,
    pub(crate) pool_limit: Option<u64>,
    pub(crate) connections_limit: Option<u64>,
    pub(crate) queue_max: u64,
    pub(crate) queue_timeout: u64,
    pub(crate) affinity: Affinity,
    /// Most servers ejected, in percent; `None`: none is.
    pub(crate) ejected_max: Option<u64>,
    consecutive: u64,
    eject: u64,
    mark_down: bool,
    pub(crate) breaker: bool,
    pub(crate) checks: bool,
    pub(crate) slow_start: u64,
    /// In percent.
    pub(crate) panic: u64,
    pub(crate) backup: bool,
    idle_max: u64,
}

/// What a server may take for its head, and the longest it is waited for.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(2);
/// Until a connection stands.
pub(crate) const CONNECT: Duration = Duration::from_millis(500);
/// A key for cookies: a random one would make each world another.
pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

impl Settings {
    pub(crate) fn draw(servers: usize, chance: &mut Chance) -> Self {
        let limited = chance.percent(35);
        let limit = |chance: &mut Chance, percent, most| {
            (limited && chance.percent(percent)).then(|| chance.within(1..most))
        };
        Self {
            balance: chance.one_of::<&'static str>(&[
                "p2c_ewma",
                "p2c",
                "round_robin",
                "weighted_round_robin",
                "least_connections",
                "random",
            ]),
            attempts: chance.within(0..4),
            retries_503: chance.percent(60),
            try_timeout: chance.percent(30).then(|| chance.within(150..900)),
            ratio: *chance.one_of(&[0, 20, 20, 100]),
            min: *chance.one_of(&[0, 0, 3, 1000]),
            hedge: chance.percent(30).then(|| *chance.one_of(&[0, 10, 30, 100])),
            server_limit: limit(chance, 80, 4),
            pool_limit: limit(chance, 30, 8),
            connections_limit: limit(chance, 20, 4),
            queue_max: *chance.one_of(&[1, 3, 1000, 1000]),
            queue_timeout: *chance.one_of(&[50, 300, 1500]),
            affinity: *chance.one_of(&[
                Affinity::Nothing,
                Affinity::Cookie,
                Affinity::Cookie,
                Affinity::Header,
                Affinity::Source,
            ]),
            ejected_max: chance.percent(75).then(|| *chance.one_of(&[34, 50, 100])),
            consecutive: chance.within(1..6),
            eject: chance.within(50..300),
            mark_down: chance.percent(20),
            breaker: chance.percent(25),
            checks: chance.percent(50),
            slow_start: *chance.one_of(&[0, 0, 500]),
            panic: *chance.one_of(&[0, 10, 50]),
            backup: servers > 1 && chance.percent(20),
            idle_max: *chance.one_of(&[0, 1, 64, 64]),
        }
    }

    /// Something may be full.
    pub(crate) fn is_limited(&self) -> bool {
        self.server_limit.is_some() || self.pool_limit.is_some() || self.connections_limit.is_some()
    }

    /// A try may be given up, or made, though no server has failed.
    pub(crate) fn is_impatient(&self) -> bool {
        self.hedge.is_some() || self.try_timeout.is_some()
    }

    /// Whoever fails can be stood in for by any other, always.
    pub(crate) fn is_generous(&self, servers: usize) -> bool {
        self.min == 1000 && self.attempts + 1 >= servers as u64 && self.retries_503
    }

    /// Least time after which a try may be given up for being slow.
    pub(crate) fn patience(&self) -> Duration {
        let tries = [self.try_timeout, self.hedge].into_iter().flatten();
        tries.map(Duration::from_millis).min().unwrap_or(FIRST_BYTE)
    }

    /// More than all the time a request may take.
    pub(crate) fn longest(&self) -> Duration {
        let queue = Duration::from_millis(self.queue_timeout);
        let each = CONNECT * 2 + FIRST_BYTE * 2 + queue + Duration::from_millis(300);
        each * (self.attempts as u32 + 1) + Duration::from_secs(5)
    }

    /// The pool's servers and settings, as in the file.
    pub(crate) fn yaml(&self, servers: &[SocketAddr]) -> String {
        let mut out = String::from("    servers:\n");
        for (at, address) in servers.iter().enumerate() {
            let backup = self.backup && at + 1 == servers.len() && at > 0;
            let _ = writeln!(out, "      - {{ address: \"{address}\", backup: {backup} }}");
        }
        let mut line = |text: String| {
            let _ = writeln!(out, "    {text}");
        };
        line(format!("balance: {}", self.balance));
        line("timeouts: { connect: 500ms, first_byte: 2s, idle: 2s, tunnel: 9s }".into());
        line(format!("keep_alive: {{ idle_max: {} }}", self.idle_max));
        let mut on = vec!["connect", "reset", "timeout"];
        if self.retries_503 {
            on.push("503");
        }
        let time = self.try_timeout.map(|ms| format!(", try_timeout: {ms}ms")).unwrap_or_default();
        line(format!(
            "retry: {{ attempts: {}, on: [{}]{time}, backoff: 5ms, backoff_max: 40ms, budget: {{ ratio: {}%, min: {} }} }}",
            self.attempts,
            on.join(", "),
            self.ratio,
            self.min
        ));
        match self.hedge {
            Some(0) => line("hedge: true".into()),
            Some(delay) => line(format!("hedge: {{ delay: {delay}ms }}")),
            None => {}
        }
        match self.ejected_max {
            Some(most) => {
                let mark_down = if self.mark_down { ", mark_down: 300ms" } else { "" };
                line(format!(
                    "outlier: {{ consecutive: {}, eject: {}ms, eject_max: 1s, ejected_max: {most}%{mark_down} }}",
                    self.consecutive, self.eject
                ));
            }
            None => line("outlier: false".into()),
        }
        let mut breaker = Vec::new();
        breaker.extend(self.server_limit.map(|n| format!("server_in_flight: {n}")));
        breaker.extend(self.pool_limit.map(|n| format!("in_flight: {n}")));
        breaker.extend(self.connections_limit.map(|n| format!("server_connections: {n}")));
        if self.breaker {
            breaker.push(
                "server_errors: { requests_min: 5, window: 1s, open: 100ms, probes: 2 }".into(),
            );
        }
        if !breaker.is_empty() {
            line(format!("breaker: {{ {} }}", breaker.join(", ")));
        }
        line(format!("queue: {{ max: {}, timeout: {}ms }}", self.queue_max, self.queue_timeout));
        line(format!("slow_start: {}ms", self.slow_start));
        line(format!("panic_threshold: {}%", self.panic));
        match self.affinity {
            Affinity::Nothing => {}
            Affinity::Cookie => {
                line(format!("sticky: {{ cookie: {{ name: evenkeel, keys: \"{KEY}\" }} }}"))
            }
            Affinity::Header => line("sticky: { header: x-user }".into()),
            Affinity::Source => line("sticky: source".into()),
        }
        out
    }
}
