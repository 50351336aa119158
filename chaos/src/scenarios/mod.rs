//! The scenarios: a name, a goal, and what is done. Goals are those of `docs/reliability.md`.

mod continuity;
mod drains;
mod failing;
mod killing;
mod names;
mod partition;
mod reloads;
mod suffering;
mod upgrades;

use crate::Fault;
use crate::balancer::Kind;
use crate::row::Row;
use crate::stage::Stage;

/// Something that is done to processes under load.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What must hold.
    pub(crate) goal: &'static str,
    /// Whether nginx and HAProxy can be put through the same.
    pub(crate) peers: bool,
    pub(crate) run: fn(&Stage, Kind) -> Result<Row, Fault>,
}

const fn scenario(
    name: &'static str,
    goal: &'static str,
    run: fn(&Stage, Kind) -> Result<Row, Fault>,
) -> Scenario {
    Scenario { name, goal, peers: false, run }
}

const fn compared(
    name: &'static str,
    goal: &'static str,
    run: fn(&Stage, Kind) -> Result<Row, Fault>,
) -> Scenario {
    Scenario { name, goal, peers: true, run }
}

/// All of them.
pub(crate) static ALL: &[Scenario] = &[
    compared("R1", "100 reloads, kept connections: 0 failed, 0 closed idle", continuity::r1),
    compared("R2", "100 reloads, a new connection for each request: 0 failed", continuity::r2),
    compared(
        "R3",
        "100 reloads, POSTs of 64 KiB and 200 WebSockets: 0 failed, 0 dropped",
        continuity::r3,
    ),
    scenario("R4", "10,000 routes: a reload in 100 ms, p99.9 at most doubled", reloads::r4),
    scenario("R5", "a removed or failed server gets nothing after 100 ms, 0 failed", reloads::r5),
    scenario("R6", "100 SIGHUPs in 10 s: 0 failed, one process, memory + 10 %", reloads::r6),
    scenario("R7", "100,000 mutilated configurations: 0 failed, 0 panics", reloads::r7),
    scenario("R8", "50 binary upgrades, two workers and one: 0 of 1,000,000 failed", upgrades::r8),
    scenario(
        "R9",
        "the new process fails at 13 points: 0 failed, the old one serves",
        upgrades::r9,
    ),
    scenario("R11", "SIGTERM with 1,000 in flight: 0 lost; exit in 200 ms if idle", drains::r11),
    scenario(
        "drain",
        "a download of a drained server ends whole, or at the deadline",
        drains::download,
    ),
    scenario("R13", "1,000 panics fail their own requests, no other", upgrades::r13),
    compared(
        "F1",
        "kill -9 of one of three: 0 GETs failed, no POST twice, ejected in 100 ms, p99 + 5 ms",
        killing::f1,
    ),
    scenario("F2", "packets to one of three vanish: 0 failed, p99.9 in 300 ms", partition::f2),
    compared(
        "F3",
        "servers close connections idle for 3 to 8 s: 0 GETs failed, 1e-5 of POSTs, none twice",
        killing::f3,
    ),
    compared(
        "F3ms",
        "servers close connections idle for 3 to 8 ms: 0 GETs failed, no POST twice",
        killing::f3_short_lived,
    ),
    compared("F4", "all answer 503, with retries: at most 1.1 tries for a request", failing::f4),
    scenario("F5", "one of ten is ten times slower: p99 at most doubled", suffering::f5),
    scenario("F6", "one of three fails fast: at most 5 % of requests after 500 ms", suffering::f6),
    scenario("F7", "one of three flaps: 0 failed, at most 6 transitions a minute", suffering::f7),
    scenario("F8", "all die and come back: normal within 1 s, no surge beyond 1.2", suffering::f8),
    scenario("F9", "10,000 cut responses: none looks whole", failing::f9),
    scenario("F10", "5 % of packets are lost each way: 0 failed", partition::f10),
    scenario("F11", "a partition of 5 s: 0 failed, 0 hung, used again within 6 s", partition::f11),
    scenario(
        "F12",
        "one of three is stopped for 5 s: 0 failed, not ejected afterwards",
        suffering::f12,
    ),
    scenario("F13", "a name changes within TTL + 1 s; its resolver fails: 0 failed", names::f13),
    scenario("F14", "413 during an upload of 10 MiB: 99.99 % of clients read it", failing::f14),
    scenario("L13", "nobody reads the access log: 0 failed, p99 at most doubled", suffering::l13),
    scenario("L16", "the balancer is stopped for 5 s: 0 failed, nobody ejected", suffering::l16),
];
