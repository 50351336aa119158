//! Ends that clients do not notice.

use std::time::{Duration, Instant};

use evenkeel_tools::load::Load;

use crate::Fault;
use crate::balancer::Kind;
use crate::row::Row;
use crate::stage::{Stage, within};

/// What a listener takes from one address by default.
const IN_FLIGHT: u64 = 1_000;

/// SIGTERM while 1,000 requests are in flight, again and again; and once when nothing is.
pub(crate) fn r11(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut row = Row::default();
    for _ in 0..stage.either(3, 100) {
        let backends = stage.backends(2)?;
        let mut balancer = stage.balancer(kind, &backends)?;
        let running = stage.load(Load {
            connections: IN_FLIGHT as usize,
            requests: IN_FLIGHT,
            target: "/delay/1000/echo".into(),
            ..balancer.load()
        });
        let before: u64 = backends.iter().map(|b| b.journal().entries.len() as u64).sum();
        let arrived = || backends.iter().map(|b| b.journal().entries.len() as u64).sum::<u64>();
        let all = within(Duration::from_secs(5), || {
            arrived() >= before + IN_FLIGHT || running.ended() > 0
        });
        let in_flight = running.in_flight();
        balancer.peer.signal("TERM");
        row.must(all.is_some() && in_flight > IN_FLIGHT / 2, || {
            format!("only {in_flight} in flight at SIGTERM")
        });
        row.outcome.merge(&stage.finish(running));
        let status = balancer.peer.wait(Duration::from_secs(10));
        row.must(status.is_some_and(|status| status.success()), || format!("ended {status:?}"));
    }
    row.must_lose_nothing();
    let mut balancer = stage.balancer(kind, &stage.backends(1)?)?;
    let begun = Instant::now();
    balancer.peer.signal("TERM");
    balancer.peer.wait(Duration::from_secs(10));
    let took = begun.elapsed();
    row.must(took < Duration::from_millis(200), || format!("idle, it took {took:?} to end"));
    row.note(format!("ends in {:.0} ms when idle", took.as_secs_f64() * 1e3));
    Ok(row)
}
