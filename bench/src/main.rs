//! CPU time of Evenkeel for each request, beside nginx, HAProxy, Envoy and the floor (a relay that
//! knows no HTTP): short windows that alternate between them, the balancer on one core, load and
//! server on the other. Absolute times drift with the machine; the ratios of neighbouring windows do
//! not. This file is the list of scenarios.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // not the data path

mod balancers;
mod certificate;
mod datagrams;
mod growth;
mod idle;
mod install;
mod load;
mod slow;
mod streams;
mod throughput;

use std::io;
use std::path::PathBuf;

use balancers::{Balance, Layout, Place};
use clap::Parser;
use evenkeel_tools::peer::Peer;
use load::{Load, Speaks};
use serde_json::Value;

// Below the ports that the kernel gives to outgoing connections.
const BACKEND: u16 = 21_100;
const FIRST: u16 = 21_101;
const FLOOR: u16 = 21_109;

/// Measures CPU microseconds for each request, and paired ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of windows for each scenario
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds of one window
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
    /// Only these scenarios (small64, small512, 10k, 100k, 1m, connect, tls64, tls100k, handshake, h2, idle, idletls, routes,
    /// servers, slow, tcp1m, tcpsmall, tcpconnect, redis, udp, udponce)
    #[arg(long)]
    scenario: Vec<String>,
    /// Write the results here too, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Arguments {
    fn wants(&self, is_called: impl Fn(&str) -> bool) -> bool {
        self.scenario.is_empty() || self.scenario.iter().any(|name| is_called(name))
    }
}

/// Name, path, connections, and whether each request has a connection of its own.
const SINGLE: &[(&str, &str, usize, bool)] = &[
    ("small64", "/128", 64, false),
    ("small512", "/128", 512, false),
    ("10k", "/10k", 64, false),
    ("100k", "/100k", 64, false),
    ("1m", "/1m", 16, false),
    ("connect", "/128", 64, true),
];

/// TLS listens so far above.
const SECURE: u16 = 100;

/// As [`SINGLE`], with what is spoken.
const ENCRYPTED: &[(&str, &str, usize, bool, Speaks)] = &[
    ("tls64", "/128", 64, false, Speaks::Tls(SECURE)),
    ("tls100k", "/100k", 64, false, Speaks::Tls(SECURE)),
    ("handshake", "/128", 64, true, Speaks::Tls(SECURE)),
    ("h2", "/128", 16, false, Speaks::Http2(SECURE, 32)),
];

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if let Some(name) = arguments.scenario.iter().find(|name| !is_scenario(name)) {
        return Err(io::Error::other(format!("no scenario {name}: see --help")));
    }
    for (name, package) in
        [("nginx", "nginx"), ("haproxy", "haproxy"), ("wrk", "wrk"), ("h2load", "nghttp2-client")]
    {
        evenkeel_tools::install::need(name, package)?;
    }
    let directory = std::env::temp_dir().join(format!("evenkeel-bench-{}", std::process::id()));
    let place = Place { directory, envoy: install::envoy()? };
    std::fs::create_dir_all(&place.directory)?;
    let result = measure(&arguments, &place);
    std::fs::remove_dir_all(&place.directory)?;
    result
}

fn is_scenario(name: &str) -> bool {
    SINGLE.iter().any(|single| single.0 == name)
        || [growth::ROUTES, growth::SERVERS].iter().any(|growth| growth.is_called(name))
        || ENCRYPTED.iter().any(|encrypted| encrypted.0 == name)
        || datagrams::SCENARIOS.iter().any(|datagrams| datagrams.0 == name)
        || ["idle", "idletls", "slow"].contains(&name)
        || streams::is_scenario(name)
}

fn measure(arguments: &Arguments, place: &Place) -> io::Result<()> {
    install::print_versions(place.envoy.as_deref());
    let mut results = Vec::new();
    single(arguments, place, &mut results)?;
    for growth in [growth::ROUTES, growth::SERVERS] {
        if arguments.wants(|name| growth.is_called(name)) {
            growth.run(arguments, place, &mut results)?;
        }
    }
    if arguments.wants(|name| name == "slow") {
        results.extend(slow::run(arguments, place)?);
    }
    streams::run(arguments, place, BACKEND, &mut results)?;
    results.extend(datagrams::run(arguments, place)?);
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{:#}\n", Value::from(results)))?;
    }
    Ok(())
}

/// The scenarios with one route and one server.
fn single(arguments: &Arguments, place: &Place, results: &mut Vec<Value>) -> io::Result<()> {
    let is_single = |name: &str| {
        ["idle", "idletls"].contains(&name)
            || SINGLE.iter().any(|single| single.0 == name)
            || ENCRYPTED.iter().any(|encrypted| encrypted.0 == name)
    };
    if !arguments.wants(is_single) {
        return Ok(());
    }
    for (name, size) in [("10k", 10 << 10), ("100k", 100 << 10), ("1m", 1 << 20)] {
        std::fs::write(place.directory.join(name), vec![b'x'; size])?;
    }
    let _backend = place.start_backend(BACKEND)?;
    let balancers = place.start(&Layout {
        name: "single",
        port: FIRST,
        servers: &|_| vec![format!("127.0.0.1:{BACKEND}")],
        routes: 0,
        balance: Balance::Default,
        secure: Some(SECURE),
    })?;
    let floor = start_floor()?;
    let balancers: Vec<&Peer> = balancers.iter().collect();
    let with_floor = [balancers.as_slice(), &[&floor]].concat();
    throughput::print_heading();
    for (name, path, connections, close) in SINGLE {
        if arguments.wants(|wanted| wanted == *name) {
            // The floor closes when either side does: another story.
            let peers = if *close { &balancers } else { &with_floor };
            let load = Load { close: *close, ..Load::of(path, *connections) };
            results.push(throughput::run(arguments, name, peers, &load)?);
        }
    }
    // Envoy has no TLS here.
    let encrypted = balancers.get(..balancers.len().min(3)).unwrap_or_default();
    for (name, path, connections, close, speaks) in ENCRYPTED {
        if arguments.wants(|wanted| wanted == *name) {
            let load = Load { close: *close, speaks: *speaks, ..Load::of(path, *connections) };
            results.push(throughput::run(arguments, name, encrypted, &load)?);
        }
    }
    if arguments.wants(|name| name == "idle") {
        results.push(idle::run(&balancers)?);
    }
    if arguments.wants(|name| name == "idletls") {
        let certificate = place.directory.join("single").join(certificate::CERTIFICATE);
        results.push(idle::run_encrypted(encrypted, SECURE, &certificate)?);
    }
    Ok(())
}

fn start_floor() -> io::Result<Peer> {
    let binary = std::env::current_exe()?.with_file_name("floor").display().to_string();
    let (listen, to) = (format!("127.0.0.1:{FLOOR}"), format!("127.0.0.1:{BACKEND}"));
    Peer::start("floor", 0, FLOOR, &[&binary, &listen, &to])
}
