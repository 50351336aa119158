//! Servers that are slow, fail fast, flap, stop, or are all gone; and a balancer that was stopped.

use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::load::{Load, SLOT, Slot};

use crate::Fault;
use crate::backend::Backend;
use crate::balancer::{Balancer, Kind, Wanted};
use crate::journal::now;
use crate::row::Row;
use crate::stage::{Stage, pause};

/// The share of all requests that reached the first server between two moments.
fn share(backends: &[Backend], from: Duration, until: Duration) -> f64 {
    let counts: Vec<usize> = backends.iter().map(|b| b.journal().between(from, until)).collect();
    counts[0] as f64 / counts.iter().sum::<usize>().max(1) as f64
}

/// One of ten is ten times slower.
pub(crate) fn f5(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut backends = stage.backends(10)?;
    backends.iter_mut().for_each(|backend| backend.behave("delay/2"));
    let balancer = stage.balancer(kind, &backends)?;
    let load = Load { rate: stage.rate(1_000.0, 4_000.0), ..balancer.load() };
    let time = Duration::from_secs(stage.either(4, 30));
    let healthy = stage.load_for(time, load.clone());
    backends[0].behave("delay/20");
    // What it was good for has to be unlearned first.
    stage.load_for(Duration::from_secs(2), Load { tag: "learn-".into(), ..load.clone() });
    let from = now();
    let mut row = Row::of(stage.load_for(time, Load { tag: "slow-".into(), ..load }));
    row.must_lose_nothing();
    let (before, after) = (healthy.latency.at(0.99), row.outcome.latency.at(0.99));
    row.note(format!("healthy p99 {before:.1?}"));
    let part = share(&backends, from, Duration::MAX);
    row.note(format!("the slow one got {:.2} %", part * 100.0));
    row.must(after <= stage.latency(before.max(JITTER) * 2), || {
        format!("p99 {before:.1?} became {after:.1?}")
    });
    Ok(row)
}

/// One of three answers 500 at once.
pub(crate) fn f6(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut backends = stage.backends(3)?;
    let balancer = stage.balancer(kind, &backends)?;
    let running = stage.load(Load { rate: stage.rate(1_000.0, 5_000.0), ..balancer.load() });
    pause(2000);
    backends[0].behave("status/500");
    let from = now();
    pause(3000);
    let mut row = Row::of(stage.stop(running));
    let half = Duration::from_millis(500);
    let (first, then) =
        (share(&backends, from, from + half), share(&backends, from + half, from + 6 * half));
    row.note(format!("share {:.1} %, after 500 ms {:.1} %", first * 100.0, then * 100.0));
    row.must(then <= 0.05, || format!("after 500 ms it still gets {:.1} %", then * 100.0));
    row.must(row.outcome.ok() > 0, || "nothing was answered".into());
    Ok(row)
}

/// One of three dies and comes back every second.
pub(crate) fn f7(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut backends = stage.backends(3)?;
    let balancer = stage.balancer(kind, &backends)?;
    let running = stage.load(Load { rate: stage.rate(1_000.0, 5_000.0), ..balancer.load() });
    pause(1000);
    let from = now();
    let turns = stage.either(6, 150);
    for _ in 0..turns {
        backends[0].kill();
        pause(1000);
        backends[0].start_again()?;
        pause(1000);
    }
    let mut row = Row::of(stage.stop(running));
    row.must_lose_nothing();
    // A transition: a half second with a share of traffic, after one without.
    let journal = backends[0].journal();
    let step = Duration::from_millis(500);
    let fair = stage.rate(1_000.0, 5_000.0) / 3.0 * step.as_secs_f64();
    let busy: Vec<bool> = (0..turns as u32 * 4)
        .map(|n| journal.between(from + step * n, from + step * (n + 1)) as f64 > fair / 4.0)
        .collect();
    let transitions = busy.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let minutes = turns as f64 / 30.0;
    row.note(format!("{transitions} transitions in {minutes:.1} min"));
    let allowed = (6.0 * minutes).max(4.0);
    row.must(transitions as f64 <= allowed, || format!("more than {allowed:.0} transitions"));
    Ok(row)
}

/// All die, and come back five seconds later.
pub(crate) fn f8(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut backends = stage.backends(3)?;
    let balancer = stage.balancer(kind, &backends)?;
    let rate = stage.rate(1_000.0, 5_000.0);
    let running = stage.load(Load { rate, ..balancer.load() });
    pause(2000);
    let died = running.elapsed();
    backends.iter_mut().for_each(Backend::kill);
    pause(stage.either(3000, 30_000));
    let (healed, healed_at) = (running.elapsed(), now());
    for backend in &mut backends {
        backend.start_again()?;
    }
    pause(4000);
    let outcome = stage.stop(running);
    let expected = rate * SLOT.as_secs_f64() * 0.9;
    let slot = |time: Duration| (time.as_millis() / SLOT.as_millis()) as usize;
    let normal = |slot: &Slot| slot.failed == 0 && slot.ok as f64 >= expected;
    let tail = &outcome.slots[slot(healed).min(outcome.slots.len())..];
    let back = tail.iter().position(normal).map(|n| SLOT * n as u32);
    let early = outcome.slots[..slot(died)].iter().map(|slot| slot.failed).sum::<u64>();
    let again = back.map_or(0, |back| {
        let rest = tail.iter().skip(slot(back));
        rest.map(|slot| slot.failed).sum::<u64>()
    });
    let mut row = Row::of(outcome);
    row.recover = back;
    row.must(early == 0, || format!("{early} failed before anything was wrong"));
    row.must(again == 0, || format!("{again} failed after it was well again"));
    let second = Duration::from_secs(1);
    row.must(back.is_some_and(|time| time <= stage.allowed(second)), || {
        format!("normal after {back:?}")
    });
    let most = (0..30).map(|n| {
        let from = healed_at + Duration::from_millis(100) * n;
        backends.iter().map(|b| b.journal().between(from, from + second)).sum::<usize>()
    });
    let surge = most.max().unwrap_or(0) as f64 / rate;
    row.note(format!("at most {surge:.2} times the usual rate afterwards"));
    row.must(surge <= 1.2, || "a surge".into());
    Ok(row)
}

/// One of three is stopped for five seconds and goes on.
pub(crate) fn f12(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(3)?;
    let balancer = stage.balancer(kind, &backends)?;
    let running = stage.load(Load {
        rate: stage.rate(1_000.0, 3_000.0),
        connections: 400,
        ..balancer.load()
    });
    pause(2000);
    let mut row = Row::default();
    let mut shares = Vec::new();
    for _ in 0..stage.either(1, 20) {
        backends[0].signal("STOP");
        pause(5000);
        backends[0].signal("CONT");
        let on = now();
        pause(5000);
        let second = Duration::from_secs(1);
        shares.push(share(&backends, on + second, on + 5 * second));
    }
    row.outcome = stage.stop(running);
    row.must_lose_nothing();
    let least = shares.iter().copied().fold(1.0, f64::min);
    row.note(format!("share one to five seconds after, at least {:.1} %", least * 100.0));
    row.must(least > 0.05, || "the server that goes on is left alone".into());
    let log = balancer.log();
    let ejections = log.lines().filter(|line| line.contains("ejected")).count();
    row.must(ejections == 0, || format!("{ejections} ejections"));
    Ok(row)
}

/// Latencies of a quiet machine below this tell nothing.
const JITTER: Duration = Duration::from_millis(5);

/// The access log goes to a pipe that nobody reads.
pub(crate) fn l13(stage: &Stage, _: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(2)?;
    let load = Load { rate: stage.rate(1_000.0, 5_000.0), ..Load::default() };
    let time = Duration::from_secs(stage.either(3, 60));
    let program = stage.binaries.join("evenkeel");
    let start = |stuck: bool| {
        Balancer::start_program(stage, &program, Wanted::of(&backends), |command| {
            if stuck {
                command.arg("--access-log=json").stdout(Stdio::piped());
            }
        })
    };
    let quiet = start(false)?;
    let quiet = stage.load_for(time, Load { address: quiet.address(), ..load.clone() });
    let balancer = start(true)?;
    let (load, tag) = (Load { address: balancer.address(), ..load }, "stuck-".into());
    let mut row = Row::of(stage.load_for(time, Load { tag, ..load }));
    row.must_lose_nothing();
    let (before, after) = (quiet.latency.at(0.99), row.outcome.latency.at(0.99));
    row.must(after <= stage.latency(before.max(JITTER) * 2), || {
        format!("p99 {before:.1?} became {after:.1?}")
    });
    let told = balancer.log().contains("lines are lost");
    row.must(stage.short || told, || "it does not tell that lines are lost".into());
    Ok(row)
}

/// The balancer itself is stopped for five seconds and goes on.
pub(crate) fn l16(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(3)?;
    let balancer = stage.balancer(kind, &backends)?;
    let running = stage.load(Load { rate: stage.rate(1_000.0, 3_000.0), ..balancer.load() });
    pause(1000);
    for _ in 0..stage.either(1, 10) {
        balancer.peer.signal("STOP");
        pause(5000);
        balancer.peer.signal("CONT");
        pause(2000);
    }
    let mut row = Row::of(stage.stop(running));
    row.must_lose_nothing();
    let least = backends.iter().map(|b| b.journal().entries.len()).min().unwrap_or(0);
    row.must(least > 0, || "a server got nothing".into());
    let ejections = balancer.log().lines().filter(|line| line.contains("ejected")).count();
    row.must(ejections == 0, || format!("{ejections} ejections"));
    Ok(row)
}
