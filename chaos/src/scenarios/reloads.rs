//! Reloads that are large, many, or wrong.

use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use evenkeel_tools::load::Load;

use crate::Fault;
use crate::balancer::{Balancer, Kind, Wanted};
use crate::journal::now;
use crate::row::Row;
use crate::stage::{Stage, pause, within};

/// How much longer 99.9 % of requests may take while 10,000 routes are read again.
const SPIKE: u32 = 2;
/// Latencies of a quiet machine below this tell nothing.
const JITTER: Duration = Duration::from_millis(5);

/// Ten thousand routes, read again and again.
pub(crate) fn r4(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(2)?;
    let routes = (0..10_000).fold(String::new(), |mut all, n| {
        let (host, path) = (n / 10, n % 10);
        let _ = writeln!(
            all,
            "  - {{ match: {{ host: tenant-{host:04}.example.com, path: /service/s{path} }}, to: app }}"
        );
        all
    });
    let wanted = Wanted { routes, ..Wanted::of(&backends) };
    let balancer = Balancer::start(stage, kind, wanted.clone())?;
    let load = Load { rate: stage.rate(1_000.0, 5_000.0), ..balancer.load() };
    let quiet = stage.load_for(Duration::from_secs(stage.either(3, 20)), load.clone());
    let memory = balancer.memory();
    let running = stage.load(Load { tag: "busy-".into(), ..load });
    let mut times = Vec::new();
    for turn in 1..=stage.either(8, 20) {
        times.push(balancer.reload(&wanted.version(format!("v{turn}")))?);
        pause(stage.either(300, 1000));
    }
    let mut row = Row::of(stage.stop(running));
    row.memory = Some((memory, balancer.memory()));
    row.must_lose_nothing();
    times.sort();
    let (middle, longest) = (times[times.len() / 2], times[times.len() - 1]);
    row.must(middle < stage.latency(Duration::from_millis(100)), || {
        format!("a reload took {middle:?}")
    });
    row.note(format!("reloads {middle:.0?}, the longest {longest:.0?}"));
    let (before, during) = (quiet.latency.at(0.999), row.outcome.latency.at(0.999));
    row.note(format!("quiet p99.9 {before:.1?}"));
    let allowed = stage.latency(before.max(JITTER) * SPIKE);
    row.must(during <= allowed, || format!("p99.9 {before:.1?} became {during:.1?}"));
    Ok(row)
}

/// A server is removed, and one begins to fail; long-lived connections go on.
pub(crate) fn r5(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut backends = stage.backends(4)?;
    let wanted = Wanted::of(&backends);
    let balancer = Balancer::start(stage, kind, wanted.clone())?;
    let running = stage.load(Load { rate: stage.rate(1_000.0, 5_000.0), ..balancer.load() });
    pause(1000);
    let mut row = Row::default();
    let mut without = wanted.version("without");
    without.servers.pop();
    balancer.reload(&without)?;
    let removed = now();
    pause(2000);
    backends[3].kill();
    let stale = backends[3].journal().between(removed + stage.allowed(GRACE), Duration::MAX);
    row.must(stale == 0, || format!("{stale} requests reached the removed server"));
    // A server that is gone: nothing is lost, and nothing is tried once it is known.
    backends[2].kill();
    let tried = crate::network::attempts_end(Duration::from_secs(2), Duration::from_millis(300));
    row.eject = tried;
    row.must(tried.is_none_or(|time| time <= stage.allowed(GRACE)), || {
        format!("tried for {tried:?}")
    });
    row.outcome = stage.stop(running);
    row.must_lose_nothing();
    Ok(row)
}

/// After it, nothing more may reach a server that was removed or failed.
const GRACE: Duration = Duration::from_millis(100);

/// 100 SIGHUPs in ten seconds, with a WebSocket open.
pub(crate) fn r6(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(2)?;
    let wanted = Wanted::of(&backends);
    let balancer = Balancer::start(stage, kind, wanted.clone())?;
    let sessions = stage.sessions(&balancer, 1);
    let load = Load { rate: stage.rate(1_000.0, 5_000.0), ..balancer.load() };
    let running = stage.load(load);
    for turn in 1..=5 {
        balancer.reload(&wanted.version(format!("warm{turn}")))?;
    }
    pause(500);
    let before = balancer.memory();
    let count = stage.either(50, 100);
    for turn in 1..=count {
        balancer.write(&wanted.version(format!("v{turn}")))?;
        balancer.tell_reload();
        pause(100);
    }
    let last = format!("v{count}");
    let shown = within(Duration::from_secs(5), || balancer.version().as_ref() == Some(&last));
    pause(1000);
    let mut row = Row::of(stage.stop(running));
    row.must(shown.is_some(), || format!("{last} does not show"));
    row.must_lose_nothing();
    let after = balancer.memory();
    row.memory = Some((before, after));
    row.must(after <= before + before / 10, || "memory grew by more than 10 %".into());
    let processes = balancer.peer.processes().len();
    row.must(processes == 1, || format!("{processes} processes are left"));
    let lived = stage.close(sessions);
    row.must(lived.dropped + lived.refused == 0, || "the WebSocket was dropped".into());
    Ok(row)
}

/// A configuration, changed somewhere at random, as fast as it is answered.
pub(crate) fn r7(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(2)?;
    // What the load needs comes first; what follows may be mutilated.
    let wanted = Wanted { routes: DECOYS.into(), ..Wanted::of(&backends) };
    let mut balancer = Balancer::start(stage, kind, wanted.clone())?;
    let load = Load { rate: stage.rate(500.0, 2_000.0), ..balancer.load() };
    let memory = balancer.memory();
    let running = stage.load(load);
    let mut chance = 0x9e37_79b9_7f4a_7c15;
    let mut replies = Replies::of(&balancer)?;
    let (mut silent, begun) = (0_u64, Instant::now());
    let total = stage.either(400, 100_000);
    for turn in 1..=total {
        let whole = balancer.text(&wanted.version(format!("v{turn}")));
        balancer.write_text(&mutilate(&whole, &mut chance))?;
        let before = replies.count();
        balancer.tell_reload();
        let patience = Duration::from_secs(5);
        if within(patience, || replies.read() && replies.count() > before).is_none() {
            silent += 1;
        }
        if balancer.peer.ended().is_some() {
            break;
        }
        // Now and then a good one: it must be followed whatever came before.
        if turn % 50 == 0 {
            balancer.reload(&wanted.version(format!("good{turn}")))?;
            replies.read();
        }
    }
    let mut row = Row::of(stage.stop(running));
    row.memory = Some((memory, balancer.memory()));
    row.must_lose_nothing();
    let took = begun.elapsed().as_secs_f64();
    let (refused, followed) = (replies.refused, replies.followed);
    row.note(format!("{total} files in {took:.0} s: {refused} refused, {followed} followed"));
    row.must(silent == 0, || format!("{silent} reloads were not answered"));
    row.must(refused > total / 10, || "hardly any was refused".into());
    let ended = balancer.peer.ended();
    row.must(ended.is_none(), || format!("it ended: {ended:?}"));
    let panics = replies.panics;
    row.must(panics == 0, || format!("{panics} panics"));
    Ok(row)
}

/// What the process says to reloads, read from its log as it grows.
struct Replies {
    log: BufReader<File>,
    line: String,
    refused: u64,
    followed: u64,
    panics: u64,
}

impl Replies {
    fn of(balancer: &Balancer) -> Result<Self, Fault> {
        let log = BufReader::new(File::open(balancer.log_path())?);
        Ok(Self { log, line: String::new(), refused: 0, followed: 0, panics: 0 })
    }

    fn count(&self) -> u64 {
        self.refused + self.followed
    }

    /// Takes in what was written since; always true.
    fn read(&mut self) -> bool {
        while self.log.read_line(&mut self.line).is_ok_and(|read| read > 0) {
            if !self.line.ends_with('\n') {
                break; // its end is yet to come
            }
            self.refused += u64::from(self.line.contains("refused: "));
            let is_followed =
                self.line.contains("changed: ") || self.line.contains("nothing changed");
            self.followed += u64::from(is_followed);
            self.panics += u64::from(self.line.contains("panicked"));
            self.line.clear();
        }
        true
    }
}

/// Routes, pools and policies that no request of the load meets.
const DECOYS: &str = "  - { name: api, match: { host: api.test, path: /api }, to: app }
  - { match: { host: old.test, path: /old, method: [GET, HEAD] }, redirect: { to: \"https://new.test/\", status: 308 } }
  - { match: { all: [ { host: a.test }, { path: { regex: \"^/v[0-9]+/\" } }, { not: { client: [192.0.2.0/24] } } ] }, to: app }
";

/// One change: a token deleted, doubled or swapped, or the end cut off, behind the first routes.
fn mutilate(text: &str, chance: &mut u64) -> String {
    let draw = |chance: &mut u64, below: usize| {
        *chance ^= *chance << 13;
        *chance ^= *chance >> 7;
        *chance ^= *chance << 17;
        (*chance % below.max(1) as u64) as usize
    };
    let from = text.find("  - { name: api").unwrap_or(0);
    let (kept, rest) = text.split_at(from);
    let mut tokens: Vec<&str> = rest.split_inclusive([' ', ':', ',', '}', ']', '\n']).collect();
    for _ in 0..=draw(chance, 3) {
        let at = draw(chance, tokens.len());
        match draw(chance, 4) {
            0 => drop(tokens.remove(at)),
            1 => tokens.insert(at, tokens[at]),
            2 => {
                let other = draw(chance, tokens.len());
                tokens.swap(at, other);
            }
            _ => tokens.truncate(at.max(1)),
        }
        if tokens.is_empty() {
            break;
        }
    }
    format!("{kept}{}", tokens.concat())
}
