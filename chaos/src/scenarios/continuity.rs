//! Reloads while clients are at work.

use std::time::{Duration, Instant};

use evenkeel_tools::load::{Load, Running};

use crate::Fault;
use crate::balancer::{Balancer, Kind, Wanted};
use crate::journal::executed;
use crate::row::Row;
use crate::stage::Stage;

/// Reloads `count` times, `apart` from each other; the longest time until a change showed.
fn reload_often(
    balancer: &Balancer,
    wanted: &Wanted,
    count: u32,
    apart: Duration,
) -> Result<Duration, Fault> {
    let mut longest = Duration::ZERO;
    for turn in 1..=count {
        let begun = Instant::now();
        longest = longest.max(balancer.reload(&wanted.version(format!("v{turn}")))?);
        std::thread::sleep(apart.saturating_sub(begun.elapsed()));
    }
    Ok(longest)
}

/// 100 reloads in 200 s at 15,000 requests a second; 20 in 5 s in the short form.
fn reloads_under(
    stage: &Stage,
    kind: Kind,
    load: Load,
    beside: impl FnOnce(&Stage, &Balancer) -> Option<evenkeel_tools::websocket::Sessions>,
) -> Result<Row, Fault> {
    let backends = stage.backends(2)?;
    let wanted = Wanted::of(&backends);
    let balancer = Balancer::start(stage, kind, wanted.clone())?;
    let sessions = beside(stage, &balancer);
    let memory = balancer.memory();
    let running: Running = stage.load(Load { address: balancer.address(), ..load });
    let (count, apart) = stage.either((20, 250), (100, 2000));
    let longest = reload_often(&balancer, &wanted, count, Duration::from_millis(apart));
    let mut row = Row::of(stage.stop(running));
    row.memory = Some((memory, balancer.memory()));
    row.must_lose_nothing();
    row.must_repeat_no_post(executed(&backends).repeated_posts);
    let longest = longest?;
    row.note(format!("{count} reloads, seen within {:.1} ms", longest.as_secs_f64() * 1e3));
    if let Some(sessions) = sessions {
        let lived = stage.close(sessions);
        row.note(format!("{} WebSockets, {} echoes", lived.opened, lived.echoes));
        let lost = lived.refused + lived.dropped;
        row.must(lost == 0, || format!("{lost} WebSockets dropped"));
    }
    Ok(row)
}

pub(crate) fn r1(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let rate = stage.rate(2_000.0, 15_000.0);
    let load = Load { connections: 200, rate, ..Load::default() };
    let mut row = reloads_under(stage, kind, load, |_, _| None)?;
    let closed = row.outcome.closed_while_idle;
    row.must(closed == 0, || format!("{closed} connections closed while idle"));
    Ok(row)
}

pub(crate) fn r2(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let rate = stage.rate(800.0, 5_000.0);
    let load = Load { connections: 100, rate, close: true, ..Load::default() };
    reloads_under(stage, kind, load, |_, _| None)
}

pub(crate) fn r3(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let rate = stage.rate(200.0, 1_000.0);
    let method = "POST".into();
    let load = Load { connections: 50, rate, method, body: 64 * 1024, ..Load::default() };
    reloads_under(stage, kind, load, |stage, balancer| Some(stage.sessions(balancer, 200)))
}
