//! Ends that clients do not notice: of the process, and of a server.

use std::time::{Duration, Instant};

use evenkeel_tools::load::{Load, Outcome};

use crate::Fault;
use crate::balancer::Kind;
use crate::journal::now;
use crate::row::Row;
use crate::stage::{Stage, pause, within};

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
    row.must(took < stage.allowed(Duration::from_millis(200)), || {
        format!("idle, it took {took:?} to end")
    });
    row.note(format!("ends in {:.0} ms when idle", took.as_secs_f64() * 1e3));
    Ok(row)
}

/// A download over 20 s (4 s in the short form) from a server that is drained meanwhile.
pub(crate) fn download(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let seconds = stage.either(4, 20);
    let mut row = Row::default();
    let longer = format!("{}s", seconds + 10);
    let (whole, stray, _) = match drained(stage, kind, seconds, &longer) {
        Err(fault) if fault.to_string().contains("unrecognized subcommand") => {
            return Ok(Row::skipped("this build has no verb `drain`"));
        }
        other => other?,
    };
    row.must(whole.failed() == 0, || format!("within the deadline: {:?}", whole.classes));
    row.must(stray == 0, || format!("{stray} new requests reached the drained server"));
    row.outcome = whole;
    let (cut, stray, took) = drained(stage, kind, seconds, "1s")?;
    row.must(cut.ok() == 0, || "beyond the deadline it went on".into());
    row.must(stray == 0, || format!("{stray} new requests reached the drained server"));
    row.must(took < Duration::from_secs(3), || format!("cut only after {took:?}"));
    row.note(format!("whole before the deadline, cut {took:.1?} after the drain began"));
    Ok(row)
}

/// Downloads from the first of two servers, drains it with this deadline: what became of the download,
/// requests that reached the server later than 100 ms, and when the download ended.
fn drained(
    stage: &Stage,
    kind: Kind,
    seconds: u64,
    deadline: &str,
) -> Result<(Outcome, usize, Duration), Fault> {
    let mut backends = stage.backends(2)?;
    let balancer = stage.balancer(kind, &backends)?;
    // Only the first answers, so that the download is its.
    backends[1].kill();
    let target = format!("/drip/1000/100/{}", seconds * 10);
    let download = stage.load(Load { target, requests: 1, connections: 1, ..balancer.load() });
    pause(500);
    backends[1].start_again()?;
    let others =
        Load { rate: stage.rate(500.0, 2_000.0), tag: "others-".into(), ..balancer.load() };
    let others = stage.load(others);
    pause(500);
    let server = format!("app/{}", backends[0].address);
    balancer.verb(stage, &["drain", &server, "--deadline", deadline])?;
    let begun = (Instant::now(), now());
    let outcome = stage.finish(download);
    let took = begun.0.elapsed();
    pause(500);
    let stray = backends[0].journal().between(begun.1 + Duration::from_millis(100), Duration::MAX);
    let others = stage.stop(others);
    if others.failed() > 0 {
        return Err(format!("other requests failed: {:?}", others.classes).into());
    }
    Ok((outcome, stray, took))
}
