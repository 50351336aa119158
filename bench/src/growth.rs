//! What a thousand times the routes, or the servers, cost: the small and the large configuration of
//! each balancer at the same time, in alternating windows.

use std::io;

use serde_json::{Value, json};

use crate::Arguments;
use crate::balancers::{Balance, Layout, Place, request_in_the_middle};
use crate::load::{Load, Window, median};
use crate::throughput;
use evenkeel_tools::peer::Peer;

/// Few and many of one thing.
pub(crate) struct Growth {
    /// What grows.
    pub(crate) name: &'static str,
    few: (&'static str, usize),
    many: (&'static str, usize),
    port: u16,
}

/// Hosts with ten path prefixes each, all to one server.
pub(crate) const ROUTES: Growth =
    Growth { name: "routes", few: ("routes10", 10), many: ("routes10k", 10_000), port: 21_110 };

/// Addresses of one nginx, in turn; each balancer has an nginx of its own, which would otherwise run
/// out of descriptors for the connections that are kept.
pub(crate) const SERVERS: Growth =
    Growth { name: "servers", few: ("servers4", 4), many: ("servers4k", 4_000), port: 21_140 };

impl Growth {
    /// `name` is this scenario's, or one of its halves.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        [self.name, self.few.0, self.many.0].contains(&name)
    }

    /// Measures both halves and prints, for each balancer, how many times as much the large takes.
    pub(crate) fn run(
        &self,
        arguments: &Arguments,
        place: &Place,
        results: &mut Vec<Value>,
    ) -> io::Result<()> {
        let grows_servers = self.name == SERVERS.name;
        let mut backends = Vec::new();
        let behind = |nth: u16| self.port + if grows_servers { 20 + nth } else { 20 };
        for nth in 0..if grows_servers { 4 } else { 1 } {
            backends.push(place.start_backend(behind(nth))?);
        }
        let start = |(name, count): (&str, usize), port| {
            let number = if grows_servers { count } else { 1 };
            place.start(&Layout {
                name,
                port,
                servers: &|nth| addresses(number, behind(nth)),
                routes: if grows_servers { 0 } else { count },
                balance: Balance::RoundRobin,
                secure: None,
            })
        };
        let (few, many) = (start(self.few, self.port)?, start(self.many, self.port + 10)?);
        let load = |count| match request_in_the_middle(count) {
            _ if grows_servers => Load::of("/128", 64),
            (host, path) => Load { host: Some(host), ..Load::of(&path, 64) },
        };
        let (loads, mut windows) =
            ([load(self.few.1), load(self.many.1)], [const { Vec::new() }; 2]);
        for half in &mut windows {
            half.resize_with(few.len(), Vec::new);
        }
        for round in 0..=arguments.rounds {
            for (nth, pair) in few.iter().zip(&many).enumerate() {
                for (half, peer) in [pair.0, pair.1].into_iter().enumerate() {
                    let seconds = if round == 0 { 1 } else { arguments.window };
                    let window = loads[half].window(peer, seconds)?;
                    if round > 0 {
                        windows[half][nth].push(window); // the first round only warms up
                    }
                }
            }
        }
        throughput::print_heading();
        let [small, large] = &windows;
        for (name, peers, windows) in [(self.few.0, &few, small), (self.many.0, &many, large)] {
            let peers: Vec<&Peer> = peers.iter().collect();
            results.push(throughput::print(name, &peers, windows));
        }
        results.push(self.print(&few, small, large));
        Ok(())
    }

    fn print(&self, peers: &[Peer], few: &[Vec<Window>], many: &[Vec<Window>]) -> Value {
        let mut rows = Vec::new();
        for (peer, (few, many)) in peers.iter().zip(few.iter().zip(many)) {
            let growth = median(few.iter().zip(many).map(|(few, many)| many.micros / few.micros));
            println!("{:10} {:10} {growth:>10.2} times as much with many", self.name, peer.name);
            rows.push(json!({ "balancer": peer.name, "times_as_much": growth }));
        }
        json!({ "scenario": self.name, "results": rows })
    }
}

/// So many addresses of this machine.
fn addresses(count: usize, port: u16) -> Vec<String> {
    (0..count).map(|n| format!("127.0.{}.{}:{port}", n / 250, n % 250 + 1)).collect()
}
