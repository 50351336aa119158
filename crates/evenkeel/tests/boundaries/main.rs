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
use std::ops::Range;

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
fn run(seeds: Range<u64>, early: bool) -> Vec<Record> {
    let recorder = Recorder::start(early);
    let proxy = proxy_before(&recorder);
    for seed in seeds {
        let Traffic { bytes, meant } = generate(seed);
        recorder.expect(seed);
        let pieces = 1 + seed as usize % 4;
        let pieces: Vec<&[u8]> = match early {
            true => <[&[u8]; 2]>::from(bytes.split_at(body_at(&bytes, pieces))).into(),
            false => bytes.chunks(bytes.len() / pieces + 1).collect(),
        };
        let reply = send(proxy.addresses[0], &pieces, early);
        let shown = || format!("seed {seed}: {:?}\n{reply}", String::from_utf8_lossy(&bytes));
        let failed = ["HTTP/1.1 502", "HTTP/1.1 503", "HTTP/1.1 504", "HTTP/1.1 500"];
        assert!(!failed.iter().any(|status| reply.contains(status)), "{}", shown());
        let given = recorder.answers(seed);
        assert_eq!(answers(&reply), given, "the client got other answers; {}", shown());
        if let Some(meant) = meant.filter(|_| !early) {
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

/// A little into the first body, if there is one.
fn body_at(bytes: &[u8], into: usize) -> usize {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    (head.map_or(0, |at| at + 4) + into).min(bytes.len())
}

fn streams() -> u64 {
    let wanted = std::env::var("EVENKEEL_BOUNDARY_STREAMS").ok();
    wanted.map_or(STREAMS, |count| count.parse().unwrap())
}

#[test]
fn every_reader_finds_the_same_requests_in_what_is_forwarded() {
    let (mut requests, mut refused) = (0, 0);
    for begin in (0..streams()).step_by(ROUND as usize) {
        let records = run(begin..(begin + ROUND).min(streams()), false);
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
fn a_server_that_answers_before_it_has_the_body_is_sent_no_other_request_in_its_place() {
    let mut requests = 0;
    for begin in (0..streams() / 6).step_by(ROUND as usize) {
        for record in run(begin..begin + ROUND, true) {
            requests += record.requests.len();
            compare_with_hyper(&record, &expected(&record));
        }
    }
    assert!(requests as u64 > streams() / 10, "too few to say anything: {requests}");
}

#[test]
fn nginx_and_haproxy_find_the_same_requests_in_what_is_forwarded() {
    let servers = [Peer::nginx(), Peer::haproxy()];
    let (mut requests, mut refused) = (0, 0);
    for begin in (0..streams() / 10).step_by(REPLAYED as usize) {
        for record in run(begin..begin + REPLAYED, false) {
            let expected = expected(&record);
            requests += servers.len() * expected.len();
            refused += servers.iter().map(|one| one.compare(&record, &expected)).sum::<usize>();
        }
    }
    println!("{requests} requests read by nginx and HAProxy, {refused} refused");
    assert!(refused * 10 < requests, "{refused} of {requests} refused");
}
