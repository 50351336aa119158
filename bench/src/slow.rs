//! One of four servers is ten times slower than the others: how long a client waits, with what each
//! balancer does if it is not told, and with the best it has that looks at load or latency. The
//! client has a fixed number of requests under way, so a balancer that waits longer is also asked
//! less: requests a second tell that.

use std::io;

use serde_json::{Value, json};

use crate::Arguments;
use crate::balancers::{Balance, Layout, Place};
use crate::load::{Load, Window, median};
use crate::throughput::alternate;
use evenkeel_tools::peer::Peer;

const CONNECTIONS: usize = 64;
/// Requests that a server works on at the same time: with three of them all of the load is just
/// above what they can do at once, so queues form.
const SLOTS: &str = "16";
/// Ports of the servers, and milliseconds that a request takes.
const SERVERS: [(u16, u64); 4] = [(21_190, 2), (21_191, 2), (21_192, 20), (21_193, 2)];

/// Both rows of each balancer.
pub(crate) fn run(arguments: &Arguments, place: &Place) -> io::Result<Vec<Value>> {
    let binary = std::env::current_exe()?.with_file_name("paced").display().to_string();
    let servers = SERVERS.map(|(port, millis)| format!("{port}={millis}"));
    let servers = servers.iter().map(String::as_str);
    let command: Vec<&str> = [binary.as_str(), SLOTS].into_iter().chain(servers).collect();
    let _servers = Peer::start("servers", 1, SERVERS[3].0, &command)?;
    println!(
        "{:10} {:10} {:>10} {:>12} {:>8} {:>8}",
        "scenario", "balancer", "p50 ms", "p99 ms", "req/s", "lost"
    );
    let rows = [("slow", 21_170, Balance::Default), ("slow-best", 21_180, Balance::Aware)];
    let run_one = |(name, port, balance)| {
        let peers = place.start(&Layout {
            name,
            port,
            servers: &|_| SERVERS.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect(),
            routes: 0,
            balance,
            secure: None,
        })?;
        let peers: Vec<&Peer> = peers.iter().collect();
        let windows = alternate(arguments, &peers, &Load::of("/128", CONNECTIONS))?;
        Ok(print(name, &peers, &windows))
    };
    rows.into_iter().map(run_one).collect()
}

fn print(scenario: &str, peers: &[&Peer], windows: &[Vec<Window>]) -> Value {
    let mut rows = Vec::new();
    // p50 and p99 of Evenkeel, and of the best of the others.
    let (mut own, mut best) = ([f64::NAN; 2], [f64::INFINITY; 2]);
    for (nth, (peer, windows)) in peers.iter().zip(windows).enumerate() {
        let middle = |of: fn(&Window) -> f64| median(windows.iter().map(of));
        let (p50, p99, rate) = (middle(|w| w.p50), middle(|w| w.p99), middle(|w| w.rate));
        let lost = windows.iter().map(|w| w.lost).sum::<u64>();
        println!("{scenario:10} {:10} {p50:>10.2} {p99:>12.2} {rate:>8.0} {lost:>8}", peer.name);
        rows.push(json!({
            "balancer": peer.name, "p50_millis": p50, "p99_millis": p99, "per_second": rate, "lost": lost,
        }));
        match nth {
            0 => own = [p50, p99],
            _ => best = [best[0].min(p50), best[1].min(p99)],
        }
    }
    let (p50, p99) = (own[0] / best[0], own[1] / best[1]);
    println!("{scenario:10} {:10} {p50:>10.2} {p99:>12.2} of the best of the others", "evenkeel");
    json!({
        "scenario": scenario, "results": rows, "of_best_other_p50": p50, "of_best_other_p99": p99,
    })
}
