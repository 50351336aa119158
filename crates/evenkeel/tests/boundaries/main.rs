//! Where one exchange ends and the next begins, end to end: generated and damaged streams go through
//! the binary, a backend keeps what comes out of it, and every other reader must find the same
//! requests there: a naive one, hyper, nginx and HAProxy. `EVENKEEL_BOUNDARY_STREAMS` asks for more
//! streams; a failure names the stream's seed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod peers;
mod recorder;
#[path = "../support/mod.rs"]
mod support;

use peers::{Peer, compare_with_hyper};
use properties::traffic::{Traffic, generate};
use recorder::{Record, Recorder, answer, answers, send};
use support::Proxy;

/// Streams in an ordinary build.
const STREAMS: u64 = 3_000;
/// Of those, how many other servers read too.
const REPLAYED: u64 = 300;
/// Streams through one proxy.
const ROUND: u64 = 500;

fn proxy_before(recorder: &Recorder) -> Proxy {
    // Short waits: who reads a boundary elsewhere waits for what never comes, and is found out.
    let address = recorder.address;
    Proxy::start(&format!(
        "workers: 1\nlisteners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app:\n    servers: [\"{address}\"]\n    timeouts: {{ first_byte: 3s, idle: 3s }}\n"
    ))
}

/// Sends these streams one after the other, and compares what the backend answered with what the
/// clients got. What the backend received.
fn run(seeds: std::ops::Range<u64>) -> Vec<Record> {
    let recorder = Recorder::start();
    let proxy = proxy_before(&recorder);
    for seed in seeds {
        let Traffic { bytes, meant } = generate(seed);
        recorder.expect(seed);
        let reply = send(proxy.addresses[0], &bytes, 1 + seed as usize % 4);
        let shown = || format!("seed {seed}: {:?}\n{reply}", String::from_utf8_lossy(&bytes));
        let failed = ["HTTP/1.1 502", "HTTP/1.1 503", "HTTP/1.1 504", "HTTP/1.1 500"];
        assert!(!failed.iter().any(|status| reply.contains(status)), "{}", shown());
        let given = recorder.answers(seed);
        assert_eq!(answers(&reply), given, "the client got other answers; {}", shown());
        if let Some(meant) = meant {
            let is_as_meant = |(answer, (method, body)): (&String, &(String, Vec<u8>))| {
                answer.starts_with(&format!("{method} {} ", body.len()))
            };
            let same = given.len() == meant.len() && given.iter().zip(&meant).all(is_as_meant);
            assert!(same, "{given:#?} for {}", shown());
        }
        assert!(recorder.wrong().is_empty(), "{}\n{:#?}", shown(), recorder.wrong());
    }
    recorder.records()
}

fn streams() -> u64 {
    let wanted = std::env::var("EVENKEEL_BOUNDARY_STREAMS").ok();
    wanted.map_or(STREAMS, |count| count.parse().unwrap())
}

#[test]
fn every_reader_finds_the_same_requests_in_what_is_forwarded() {
    let (mut requests, mut refused) = (0, 0);
    for begin in (0..streams()).step_by(ROUND as usize) {
        let records = run(begin..(begin + ROUND).min(streams()));
        for record in &records {
            requests += record.requests.len();
            refused += compare_with_hyper(record, &expected(record));
        }
    }
    println!("{requests} requests in {} streams, {refused} refused by hyper", streams());
    assert!(refused * 10 < requests, "{refused} of {requests} refused");
    assert!(requests as u64 > streams() / 2, "too few to say anything: {requests}");
}

fn expected(record: &Record) -> Vec<String> {
    record.requests.iter().map(|(_, request)| answer(request)).collect()
}

#[test]
fn nginx_and_haproxy_find_the_same_requests_in_what_is_forwarded() {
    let servers = [Peer::nginx(), Peer::haproxy()];
    let (mut requests, mut refused) = (0, 0);
    for begin in (0..streams() / 10).step_by(REPLAYED as usize) {
        for record in run(begin..begin + REPLAYED) {
            let expected = expected(&record);
            requests += servers.len() * expected.len();
            refused += servers.iter().map(|one| one.compare(&record, &expected)).sum::<usize>();
        }
    }
    println!("{requests} requests read by nginx and HAProxy, {refused} refused");
    assert!(refused * 10 < requests, "{refused} of {requests} refused");
}
