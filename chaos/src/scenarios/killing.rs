//! Servers that die, and connections that die while idle.

use std::time::Duration;

use evenkeel_tools::load::{Load, Outcome, Running};

use crate::Fault;
use crate::backend::Backend;
use crate::balancer::{Balancer, Kind};
use crate::journal::executed;
use crate::network::attempts_end;
use crate::row::Row;
use crate::stage::{Stage, pause, within};

/// How much longer 99 % of the requests may take while servers die.
const ADDED_P99: Duration = Duration::from_millis(5);

/// One of three is killed and started again every five seconds: GETs, then POSTs.
pub(crate) fn f1(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut backends = stage.backends(3)?;
    let balancer = stage.balancer(kind, &backends)?;
    let rate = stage.rate(2_000.0, 10_000.0);
    let load = Load { rate, ..balancer.load() };
    let quiet = stage.load_for(Duration::from_secs(stage.either(2, 10)), load.clone());
    let running = stage.load(Load { tag: "get-".into(), ..load.clone() });
    let kills = stage.either(1, 20);
    let mut killed = Killed::default();
    for _ in 0..kills {
        killed.once(&mut backends[0], &running)?;
    }
    let mut row = Row::of(stage.stop(running));
    row.must_lose_nothing();
    let (before, during) = (quiet.latency.at(0.99), row.outcome.latency.at(0.99));
    row.note(format!("quiet p99 {:.1} ms", before.as_secs_f64() * 1e3));
    row.must(during <= stage.latency(before + ADDED_P99), || {
        format!("p99 {before:?} became {during:?}")
    });
    (row.eject, row.recover) = (killed.eject, killed.recover);
    if let Some(eject) = killed.eject {
        row.must(eject <= stage.allowed(Duration::from_millis(100)), || {
            format!("tried for {eject:?}")
        });
    }
    let recovered = killed.recover.is_some();
    row.must(recovered, || "the server that came back was not used again".into());
    posts(stage, &balancer, &mut backends, kills, &mut row)?;
    row.must_repeat_no_post(executed(&backends).repeated_posts);
    Ok(row)
}

/// POSTs that take 5 ms each: what is at the server when it dies is lost, nothing else.
fn posts(
    stage: &Stage,
    balancer: &Balancer,
    backends: &mut [Backend],
    kills: u32,
    row: &mut Row,
) -> Result<(), Fault> {
    let running = stage.load(Load {
        method: "POST".into(),
        target: "/delay/5/echo".into(),
        body: 512,
        rate: stage.rate(1_000.0, 5_000.0),
        tag: "post-".into(),
        ..balancer.load()
    });
    let mut killed = Killed::default();
    for _ in 0..kills {
        killed.once(&mut backends[0], &running)?;
    }
    let outcome = stage.stop(running);
    let (failed, in_flight) = (outcome.failed(), killed.in_flight);
    row.note(format!(
        "{} POSTs, {failed} failed of {in_flight} in flight at {kills} kills",
        outcome.sent()
    ));
    row.must(failed <= in_flight, || format!("{failed} POSTs failed: {:?}", outcome.classes));
    Ok(())
}

/// What was seen of kills.
#[derive(Default)]
struct Killed {
    /// The longest.
    eject: Option<Duration>,
    /// The longest.
    recover: Option<Duration>,
    /// Requests in flight at some moment of the kills, at whichever server.
    in_flight: u64,
}

impl Killed {
    /// Kills, waits two seconds, starts again and waits until it is used again.
    fn once(&mut self, backend: &mut Backend, running: &Running) -> Result<(), Fault> {
        let ended = running.ended();
        backend.kill();
        self.in_flight += running.begun() - ended;
        let eject = attempts_end(Duration::from_secs(2), Duration::from_millis(300));
        self.eject = self.eject.max(eject);
        backend.start_again()?;
        let before = backend.journal_bytes();
        let used = || backend.journal_bytes() > before;
        let recover = within(Duration::from_secs(30), used);
        self.recover = self.recover.max(recover);
        std::thread::sleep(Duration::from_secs(3).saturating_sub(recover.unwrap_or_default()));
        Ok(())
    }
}

/// Servers close connections that were idle for 3 to 8 s, without a word, as many servers do after 5;
/// load comes in bursts, so that connections are idle that long and then wanted all at once.
pub(crate) fn f3(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let (backends, balancer) = closing(stage, kind, "3000000..8000000")?;
    let bursts = stage.either(3, 100);
    let mut row = Row::default();
    let mut posts = Outcome::default();
    for turn in 0..bursts {
        for (method, all) in [("GET", &mut row.outcome), ("POST", &mut posts)] {
            let burst = Load {
                target: "/delay/10/echo".into(),
                method: method.into(),
                body: if method == "POST" { 100 } else { 0 },
                requests: stage.either(2_000, 10_000),
                rate: stage.rate(2_000.0, 5_000.0),
                tag: format!("{method}-{turn}-"),
                ..balancer.load()
            };
            all.merge(&stage.finish(stage.load(burst)));
        }
        pause(2_000 + turn as u64 * 1_700 % 5_000);
    }
    row.must_lose_nothing();
    let failed = posts.failed();
    row.note(format!("{} POSTs, {failed} failed {:?}", posts.sent(), posts.classes));
    row.must(failed as f64 <= posts.sent() as f64 * 1e-5, || format!("{failed} POSTs failed"));
    row.must_repeat_no_post(executed(&backends).repeated_posts);
    Ok(row)
}

/// Servers close each connection 3 to 8 ms after a response: no guess helps a request that may not be
/// sent twice, but no other is lost.
pub(crate) fn f3_short_lived(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let (backends, balancer) = closing(stage, kind, "3000..8000")?;
    let requests = stage.either(8_000, 1_000_000);
    let load = Load { requests, rate: stage.rate(2_000.0, 8_000.0), ..balancer.load() };
    let mut row = Row::of(stage.finish(stage.load(load.clone())));
    row.must_lose_nothing();
    let method = "POST".into();
    let posts = Load { method, body: 100, tag: "post-".into(), ..load };
    let posts = stage.finish(stage.load(posts));
    row.note(format!("{} POSTs, {} failed {:?}", posts.sent(), posts.failed(), posts.classes));
    row.must_repeat_no_post(executed(&backends).repeated_posts);
    Ok(row)
}

/// Three servers that close idle connections, and a balancer in front of them.
fn closing(stage: &Stage, kind: Kind, after: &str) -> Result<(Vec<Backend>, Balancer), Fault> {
    let start = |name| Backend::start(stage, name, &["--idle-close", after]);
    let backends = ["s1", "s2", "s3"].map(start).into_iter().collect::<Result<Vec<_>, _>>()?;
    let balancer = stage.balancer(kind, &backends)?;
    Ok((backends, balancer))
}
