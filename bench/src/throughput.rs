//! CPU time for each request: the balancers and the floor in alternating windows.

use std::io;

use serde_json::{Value, json};

use crate::Arguments;
use crate::load::{Load, Window, median};
use evenkeel_tools::peer::Peer;

/// Prints what the columns of [`print`] are.
pub(crate) fn print_heading() {
    println!(
        "{:10} {:10} {:>10} {:>12} {:>8} {:>8}",
        "scenario", "balancer", "µs/request", "requests/s", "ratio", "lost"
    );
}

/// Windows of each peer, by round; the peers take turns, and an untold first round warms up.
pub(crate) fn alternate(
    arguments: &Arguments,
    peers: &[&Peer],
    load: &Load,
) -> io::Result<Vec<Vec<Window>>> {
    let mut windows: Vec<Vec<Window>> = peers.iter().map(|_| Vec::new()).collect();
    for round in 0..=arguments.rounds {
        for (peer, windows) in peers.iter().zip(&mut windows) {
            let window = load.window(peer, if round == 0 { 1 } else { arguments.window })?;
            if round > 0 {
                windows.push(window);
            }
        }
    }
    Ok(windows)
}

/// A row for each peer; the first is the one that ratios are against.
pub(crate) fn print(scenario: &str, peers: &[&Peer], windows: &[Vec<Window>]) -> Value {
    let first = windows.first().map(Vec::as_slice).unwrap_or_default();
    let mut rows = Vec::new();
    for (peer, own) in peers.iter().zip(windows) {
        let micros = median(own.iter().map(|w| w.micros));
        let rate = median(own.iter().map(|w| w.rate));
        let ratio = median(first.iter().zip(own).map(|(one, other)| one.micros / other.micros));
        let lost = own.iter().map(|w| w.lost).sum::<u64>();
        println!(
            "{scenario:10} {:10} {micros:>10.1} {rate:>12.0} {ratio:>8.2} {lost:>8}",
            peer.name
        );
        rows.push(json!({
            "balancer": peer.name, "micros": micros, "per_second": rate, "evenkeel_is": ratio, "lost": lost,
        }));
    }
    json!({ "scenario": scenario, "results": rows })
}

/// One scenario.
pub(crate) fn run(
    arguments: &Arguments,
    scenario: &str,
    peers: &[&Peer],
    load: &Load,
) -> io::Result<Value> {
    Ok(print(scenario, peers, &alternate(arguments, peers, load)?))
}
