//! Servers behind wires that lose packets, all of them or some.

use std::time::{Duration, Instant};

use evenkeel_tools::load::Load;

use crate::Fault;
use crate::backend::Backend;
use crate::balancer::{Balancer, Kind, Wanted};
use crate::journal::{executed, now};
use crate::network::{is_apart, may_lose, set_loss};
use crate::row::Row;
use crate::stage::{Stage, pause, within};

const NO_NETWORKS: &str = "needs network namespaces";

/// What a pool that must not wait for a silent server is told: how long a try may take, and that
/// another follows.
const IMPATIENT: &str = "timeouts: { connect: 250ms }
retry: { try_timeout: 250ms }
";

/// Three servers behind wires, and a balancer that is impatient with them.
fn behind_wires(stage: &Stage, kind: Kind) -> Result<(Vec<Backend>, Balancer), Fault> {
    let start = |number| Backend::start_behind(stage, number);
    let backends = (1..=3).map(start).collect::<Result<Vec<_>, _>>()?;
    let wanted = Wanted { pool: IMPATIENT.into(), ..Wanted::of(&backends) };
    let balancer = Balancer::start(stage, kind, wanted)?;
    Ok((backends, balancer))
}

/// Packets to one of three vanish for five seconds of every ten.
pub(crate) fn f2(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    if !is_apart() {
        return Ok(Row::skipped(NO_NETWORKS));
    }
    let (backends, balancer) = behind_wires(stage, kind)?;
    let running = stage.load(Load { rate: stage.rate(1_000.0, 5_000.0), ..balancer.load() });
    pause(2000);
    let mut row = Row::default();
    for _ in 0..stage.either(1, 10) {
        let from = now();
        backends[0].link()?.set_blackhole(true)?;
        pause(5000);
        backends[0].link()?.set_blackhole(false)?;
        let healed = Instant::now();
        let before = backends[0].journal_bytes();
        let eject = backends[0].journal().last_between(from, now()).unwrap_or_default();
        row.eject = row.eject.max(Some(eject));
        let back = within(Duration::from_secs(20), || backends[0].journal_bytes() > before);
        row.recover = row.recover.max(back);
        row.must(back.is_some(), || "the server was not used again".into());
        std::thread::sleep(Duration::from_secs(5).saturating_sub(healed.elapsed()));
    }
    row.outcome = stage.stop(running);
    row.must_lose_nothing();
    let (p999, goal) = (row.outcome.latency.at(0.999), Duration::from_millis(300));
    row.must(p999 <= stage.latency(goal), || format!("p99.9 is {p999:.0?}"));
    Ok(row)
}

/// Five of a hundred packets are lost, each way.
pub(crate) fn f10(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    if !is_apart() || !may_lose() {
        return Ok(Row::skipped("needs network namespaces and nft"));
    }
    let start = |number| Backend::start_behind(stage, number);
    let backends = (1..=3).map(start).collect::<Result<Vec<_>, _>>()?;
    let balancer = stage.balancer(kind, &backends)?;
    set_loss(5)?;
    let load = Load {
        requests: stage.either(2_000, 100_000),
        rate: stage.rate(500.0, 1_000.0),
        ..balancer.load()
    };
    let mut row = Row::of(stage.finish(stage.load(load)));
    set_loss(0)?;
    row.must_lose_nothing();
    row.must_repeat_no_post(executed(&backends).repeated_posts);
    Ok(row)
}

/// The wire to one of three is cut for five seconds.
pub(crate) fn f11(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    if !is_apart() {
        return Ok(Row::skipped(NO_NETWORKS));
    }
    let (backends, balancer) = behind_wires(stage, kind)?;
    let rate = stage.rate(1_000.0, 5_000.0);
    let running = stage.load(Load { rate, ..balancer.load() });
    pause(2000);
    backends[0].link()?.set_cut(true)?;
    pause(5000);
    backends[0].link()?.set_cut(false)?;
    let healed = now();
    let before = backends[0].journal_bytes();
    let back = within(Duration::from_secs(20), || backends[0].journal_bytes() > before);
    // Slow start takes ten seconds; then it must have a share like the others.
    pause(stage.either(4_000, 14_000));
    let mut row = Row::of(stage.stop(running));
    row.recover = back;
    row.must_lose_nothing();
    row.must(back.is_some_and(|time| time <= Duration::from_secs(6)), || {
        format!("used again after {back:?}")
    });
    let hung = row.outcome.classes.get("timeout").copied().unwrap_or(0);
    row.must(hung == 0, || format!("{hung} requests hung"));
    let counts: Vec<usize> =
        backends.iter().map(|b| b.journal().between(healed, Duration::MAX)).collect();
    row.note(format!("requests after it healed: {counts:?}"));
    Ok(row)
}
