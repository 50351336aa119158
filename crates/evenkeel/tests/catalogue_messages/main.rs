//! The catalogue of past attacks, groups A to E: what one client sends in a request. One test for
//! each row, by its name there; every input is sent whole, at every split and byte by byte through
//! the canary oracle, and each test ends with a look at the process itself: it is alive, it has not
//! grown, and its log gives each refusal's reason as often as it refused.
//!
//! Rows without a test here: `docs/reliability.md` says for each why.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "../support/mod.rs"]
mod support;

mod chunked;
mod framing;
mod lines;
mod path;
mod request_line;
mod target;

use std::collections::HashMap;
use std::process::{Command, Stdio};

use evenkeel_tools::faultd::{Faultd, Options};
use evenkeel_tools::oracle::{Lanes, Oracle};
use evenkeel_tools::row::Row;
use support::{Directory, Proxy};

/// Listeners of the proxy, each with a backend of its own.
const LANES: usize = 8;
/// What the process may grow by while it judges the rows of one test.
const GROWTH_MAX_KIB: u64 = 32 * 1024;

/// What the tests' proxies do beside forwarding everything.
#[derive(Default)]
struct Setting {
    /// More lines for each listener, in the form `, key: value`.
    listener: &'static str,
    /// Routes before the one that forwards everything, as a block.
    routes: String,
    /// What else the route that forwards everything must match, in the form `, key: value`.
    matching: &'static str,
    /// More lines at the end.
    rest: &'static str,
}

/// Judges rows with default settings.
async fn judge(rows: impl IntoIterator<Item = Row>) {
    judge_with(&Setting::default(), rows).await;
}

/// Judges rows; fails with what went wrong.
async fn judge_with(setting: &Setting, rows: impl IntoIterator<Item = Row>) {
    let (mut proxy, lanes) = start(setting).await;
    // So that what every lane needs once is there before its size is taken.
    let warm = std::iter::repeat_with(|| Row::forwarded("GET /warm HTTP/1.1\r\nHost: a\r\n\r\n"));
    let warm = lanes.judge(warm.take(LANES).collect()).await;
    assert!(warm.wrong.is_empty(), "{:#?}", warm.wrong);
    let before = proxy.memory() / 1024;
    let verdict = lanes.judge(rows.into_iter().collect()).await;
    let few: Vec<_> = verdict.wrong.iter().take(8).collect();
    assert!(few.is_empty(), "{} of {}: {few:#?}", verdict.wrong.len(), verdict.ways);
    assert!(proxy.is_running());
    let growth = (proxy.memory() / 1024).saturating_sub(before);
    assert!(growth < GROWTH_MAX_KIB, "grown by {growth} KiB over {} exchanges", verdict.ways);
    assert!(!proxy.log().iter().any(|line| line.contains("panick")), "{:#?}", proxy.log());
    await_reasons(&proxy, &verdict.reasons).await;
}

/// A proxy on one worker, so that all connections share its connections to a backend, and a backend
/// for each of its listeners.
async fn start(setting: &Setting) -> (Proxy, Lanes) {
    let mut backends = Vec::new();
    let (mut listeners, mut routes, mut pools) = (String::new(), String::new(), String::new());
    for lane in 0..LANES {
        let options = Options { record: true, ..Options::default() };
        let backend = Faultd::start("127.0.0.1:0".parse().unwrap(), options).await.unwrap();
        let name = format!("lane{lane}");
        listeners +=
            &format!("  {name}: {{ bind: \"127.0.0.1:0\", policies: log{} }}\n", setting.listener);
        routes +=
            &format!("  - {{ match: {{ listener: {name}{} }}, to: {name} }}\n", setting.matching);
        pools += &format!("  {name}: {{ servers: [\"{}\"] }}\n", backend.address);
        backends.push(backend);
    }
    let config = format!(
        "workers: 1\nlisteners:\n{listeners}routes:\n{}{routes}pools:\n{pools}policies:\n  log: {{ access_log: {{}} }}\n{}",
        setting.routes, setting.rest
    );
    let proxy = tokio::task::spawn_blocking(move || Proxy::start(&config)).await.unwrap();
    let mut addresses = HashMap::new();
    let mut lines = proxy.log();
    lines.retain(|line| line.contains("listening on"));
    for (line, address) in lines.iter().zip(&proxy.addresses) {
        let lane = (0..LANES).find(|lane| line.contains(&format!("lane{lane}"))).unwrap();
        addresses.insert(lane, *address);
    }
    let lanes = backends.into_iter().enumerate();
    let lanes = lanes.map(|(lane, backend)| Oracle { proxy: addresses[&lane], backend });
    (proxy, Lanes(lanes.collect()))
}

/// Checks a configuration; the exit status, and what was said.
fn check(config: &str) -> (Option<i32>, String) {
    let directory = Directory::new();
    let file = directory.0.join("evenkeel.yaml");
    std::fs::write(&file, config).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let output = check.arg("check").arg(&file).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The access log gives each reason exactly as often as it was given to a client.
async fn await_reasons(proxy: &Proxy, expected: &HashMap<String, usize>) {
    let count = || {
        let mut found: HashMap<String, usize> = HashMap::new();
        for line in proxy.output() {
            let Some((_, rest)) = line.split_once("\"reason\":\"") else { continue };
            let reason = rest.split('"').next().unwrap_or_default();
            *found.entry(reason.to_owned()).or_default() += 1;
        }
        found.retain(|reason, _| expected.contains_key(reason));
        found
    };
    let begun = std::time::Instant::now();
    while count() != *expected {
        assert!(begun.elapsed() < support::LIMIT, "{:?} in the log, not {expected:?}", count());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
