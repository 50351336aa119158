//! What kind of world a seed makes: its network, its servers, its clients, and the proxy's
//! configuration. The kind says which promises can be asked for without exception.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use evenkeel_runtime::sim::{Chance as Odds, Plan};

use crate::chance::Chance;
use crate::sick::Settings;

/// What goes wrong in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but servers that close idle connections: every request is answered.
    Calm,
    /// The network: resets, stalls, refusals, lost connection attempts, no descriptors.
    Rough,
    /// People: attackers, and servers that break every rule. The network is sound.
    Hostile,
    /// The configuration, again and again, and a drain: every request is answered.
    Change,
    /// Everything at once.
    Storm,
    /// Servers, again and again, with checks, ejection, limits, affinity and an operator; then all
    /// recover. The network is sound.
    Sick,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Calm, Self::Rough, Self::Hostile, Self::Change, Self::Storm, Self::Sick];

    /// The one of this name: `calm`, `rough` and so on.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name))
    }

    /// Whether an honest request that no server spoilt must be answered by a server.
    pub(crate) fn promises_answers(self) -> bool {
        matches!(self, Self::Calm | Self::Change)
    }

    fn network_fails(self) -> bool {
        matches!(self, Self::Rough | Self::Storm)
    }

    pub(crate) fn has_attackers(self) -> bool {
        matches!(self, Self::Hostile | Self::Storm)
    }
}

const BALANCES: &[&str] = &["p2c_ewma", "round_robin", "least_connections", "random"];

/// One world, before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) kind: Kind,
    pub(crate) plan: Plan,
    pub(crate) workers: usize,
    pub(crate) servers: Vec<Nature>,
    pub(crate) clients: u64,
    pub(crate) requests: u64,
    pub(crate) attackers: u64,
    pub(crate) changes: u64,
    pub(crate) clients_abort: bool,
    balance: &'static str,
    attempts: u64,
    idle_max: u64,
    requests_per_connection: u64,
    /// Further settings of the pool, a line each.
    more: String,
    /// The pool of servers that are ill.
    pub(crate) sick: Option<Settings>,
    pub(crate) chance: Chance,
}

/// What a server is like.
#[derive(Clone, Debug)]
pub(crate) struct Nature {
    pub(crate) address: SocketAddr,
    /// Milliseconds after which it closes an idle connection; `None`: it waits for long.
    pub(crate) idle_close: Option<Range<u64>>,
    /// Milliseconds an answer takes.
    pub(crate) think: Range<u64>,
    /// Requests in a hundred at which it breaks a rule.
    pub(crate) spoils: u64,
    /// Within this time what it sends has arrived and what crossed it has come.
    pub(crate) round_trip: Duration,
}

/// Where the proxy listens.
pub(crate) fn front() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 80))
}

impl Scenario {
    /// The world of `seed`; its kind too, unless `kind` says otherwise.
    pub(crate) fn of(seed: u64, kind: Option<Kind>) -> Self {
        let mut chance = Chance::from_seed(seed);
        let drawn = *chance.one_of(&Kind::ALL);
        let kind = kind.unwrap_or(drawn);
        let plan = plan(seed, kind, &mut chance);
        let count = chance.within(1..5);
        let mut servers: Vec<Nature> =
            (0..count).map(|n| Nature::draw(n, kind, &mut chance)).collect();
        for server in &mut servers {
            let slack = Duration::from_millis(5) + plan.stall_max * 2;
            server.round_trip = plan.latency.end * 2 + slack;
        }
        let hostile = kind.has_attackers();
        let more = more(kind, &mut chance);
        let sick = (kind == Kind::Sick).then(|| Settings::draw(servers.len(), &mut chance));
        Self {
            kind,
            plan,
            workers: chance.within(1..4) as usize,
            servers,
            clients: chance.within(2..9),
            requests: chance.within(3..14),
            attackers: if hostile { chance.within(2..7) } else { 0 },
            changes: if matches!(kind, Kind::Change | Kind::Storm) {
                chance.within(1..6)
            } else {
                0
            },
            clients_abort: !kind.promises_answers(),
            balance: chance.one_of::<&'static str>(BALANCES),
            attempts: chance.within(1..4),
            idle_max: *chance.one_of(&[0, 1, 2, 64]),
            requests_per_connection: *chance.one_of(&[2, 5, 1000, 1000]),
            more,
            sick,
            chance,
        }
    }

    /// The proxy's configuration with only `servers` in the pool.
    pub(crate) fn config(&self, servers: &[usize]) -> String {
        let addresses: Vec<SocketAddr> = servers
            .iter()
            .filter_map(|n| self.servers.get(*n))
            .map(|nature| nature.address)
            .collect();
        let pool = match &self.sick {
            Some(settings) => settings.yaml(&addresses),
            None => self.pool(&addresses),
        };
        format!(
            "listeners:
  web:
    bind: \"{}\"
    limits: {{ body: 1MiB, requests_per_connection: {} }}
    timeouts: {{ head: 5s, body_idle: 5s, send_idle: 8s, idle: 600s }}
workers: {}
shutdown: {{ drain: 20s, drain_tunnels: 20s }}
routes:
  - {{ match: {{ path: /admin }}, respond: {{ status: 403, body: no }} }}
  - {{ to: app }}
pools:
  app:
{pool}",
            front(),
            self.requests_per_connection,
            self.workers,
        )
    }

    fn pool(&self, servers: &[SocketAddr]) -> String {
        let addresses: Vec<String> = servers.iter().map(|a| format!("\"{a}\"")).collect();
        format!(
            "    servers: [{}]
    balance: {}
    timeouts: {{ connect: 2s, first_byte: 6s, idle: 6s, tunnel: 9s }}
    keep_alive: {{ idle_max: {} }}
    retry: {{ attempts: {} }}
{}",
            addresses.join(", "),
            self.balance,
            self.idle_max,
            self.attempts,
            self.more,
        )
    }
}

impl Nature {
    fn draw(n: u64, kind: Kind, chance: &mut Chance) -> Self {
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 1, n as u8 + 1), 8080));
        // Where requests that may not be repeated must be answered too, nobody may close just then.
        let idle_close = match kind {
            Kind::Change | Kind::Sick => None,
            _ => chance.percent(60).then(|| {
                let most = chance.within(2..40);
                0..most
            }),
        };
        let slowest = *chance.one_of(&[1, 5, 30]);
        let spoils = match kind {
            Kind::Hostile | Kind::Storm => *chance.one_of(&[0, 10, 40]),
            _ => 0,
        };
        Self { address, idle_close, think: 0..slowest, spoils, round_trip: Duration::ZERO }
    }
}

/// What must not matter to what this kind of world promises.
fn more(kind: Kind, chance: &mut Chance) -> String {
    let mut out = String::new();
    if !matches!(kind, Kind::Calm | Kind::Change | Kind::Rough | Kind::Storm) {
        return out;
    }
    if chance.percent(40) {
        let limit = chance.within(1..4);
        // Where all must be answered, nobody may wait in vain; where not, for ever.
        let time = if kind.promises_answers() { "200s" } else { "2s" };
        out += &format!("    breaker: {{ server_in_flight: {limit} }}\n");
        out += &format!("    queue: {{ timeout: {time} }}\n");
    }
    if chance.percent(30) {
        let delay = chance.within(5..100);
        out += &format!("    hedge: {{ delay: {delay}ms }}\n");
    }
    match chance.within(0..6) {
        0 => out += &format!("    sticky: {{ cookie: {{ keys: \"{}\" }} }}\n", crate::sick::KEY),
        1 => out += "    sticky: source\n",
        2 => out += "    slow_start: 1s\n",
        _ => {}
    }
    out
}

fn plan(seed: u64, kind: Kind, chance: &mut Chance) -> Plan {
    let slow = *chance.one_of(&[100, 1_000, 20_000]);
    let calm = Plan {
        latency: Duration::from_micros(10)..Duration::from_micros(slow),
        window: match chance.percent(50) {
            true => 512..4096,
            false => 4096..100_000,
        },
        short: Odds::in_thousand(*chance.one_of(&[0, 100, 400])),
        spurious: Odds::in_thousand(*chance.one_of(&[0, 50])),
        faults_until: Duration::from_secs(3600),
        time_max: Duration::from_secs(1800),
        // Half a second before 2^31 or 2^32 milliseconds have passed, or at any time.
        uptime: Duration::from_millis(*chance.one_of(&[0, (1 << 31) - 500, (1 << 32) - 500])),
        date_jumps: chance.percent(30),
        ..Plan::calm(seed)
    };
    if kind == Kind::Sick {
        // Times are judged here: the network is fast and takes all there is.
        let latency = Duration::from_micros(10)..Duration::from_micros(slow.min(3_000));
        return Plan { latency, window: 100_000..200_000, ..calm };
    }
    if !kind.network_fails() {
        return calm;
    }
    Plan {
        reset: Odds(*chance.one_of(&[0, 2_000, 20_000])),
        reset_discards: Odds::in_thousand(500),
        stall: Odds(*chance.one_of(&[0, 3_000, 30_000])),
        stall_max: chance.millis(100..12_000),
        refuse: Odds::in_thousand(*chance.one_of(&[0, 20, 200])),
        swallow: Odds::in_thousand(*chance.one_of(&[0, 10, 50])),
        descriptors: Odds::in_thousand(*chance.one_of(&[0, 10, 100])),
        ..calm
    }
}
