//! What finding a route costs, and that it does not grow with the number of routes:
//! `cargo run --release -p evenkeel-proxy --example route_cost`. Counts instructions under
//! valgrind's callgrind, so the numbers are the same on every run; fails if 10,000 routes cost over
//! 10 % more than 10, or if anything is allocated.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use evenkeel_codec::{HeadLimits, RequestHead};
use evenkeel_config::model::{HostMatch, ListenerId, Match, PathMatch};
use evenkeel_config::{Config, from_targets};
use evenkeel_proxy::route::{RequestView, Table};

const FEW: usize = 10;
const MANY: usize = 10_000;
const ROUNDS: usize = 1_000;

/// A kind of configuration: how its n-th route of many is written, and what is asked for of it.
struct Shape {
    name: &'static str,
    route: fn(usize) -> Vec<Match>,
    url: fn(usize) -> String,
}

const SHAPES: [Shape; 7] = [
    Shape { name: "hosts", route: |n| vec![host(n)], url: |n| format!("{}/a/b", name(n)) },
    Shape {
        name: "wildcards",
        route: |n| vec![Match::Host(HostMatch::Wildcard(name(n)))],
        url: |n| format!("www.{}/a/b", name(n)),
    },
    Shape {
        name: "exact paths",
        route: |n| vec![Match::Path(PathMatch::Exact(path(n)))],
        url: |n| format!("example.com{}", path(n)),
    },
    Shape {
        name: "prefixes",
        route: |n| vec![Match::Path(PathMatch::Prefix(path(n)))],
        url: |n| format!("example.com{}/items/7", path(n)),
    },
    Shape {
        name: "host and prefix",
        route: |n| vec![host(n / 10), Match::Path(PathMatch::Prefix(path(n % 10)))],
        url: |n| format!("{}{}/items/7", name(n / 10), path(n % 10)),
    },
    Shape {
        name: "prefix and method",
        route: |n| {
            let method = if n.is_multiple_of(2) { "GET" } else { "POST" };
            vec![Match::Path(PathMatch::Prefix(path(n / 2))), Match::Method(vec![method.into()])]
        },
        url: |n| format!("example.com{}/items/7", path(n / 2)),
    },
    Shape {
        name: "no match",
        route: |n| vec![host(n), Match::Path(PathMatch::Prefix(path(n)))],
        url: |n| format!("{}/elsewhere/items/7", name(n)),
    },
];

fn host(n: usize) -> Match {
    Match::Host(HostMatch::Exact(name(n)))
}

/// As long for every `n`.
fn name(n: usize) -> String {
    format!("tenant-{n:05}.example.com")
}

fn path(n: usize) -> String {
    format!("/service/s{n:05}/v1")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [shape, routes] => {
            let shape = shape.parse().ok().and_then(|at: usize| SHAPES.get(at));
            let (Some(shape), Ok(routes)) = (shape, routes.parse()) else {
                return ExitCode::FAILURE;
            };
            run(shape, routes);
            ExitCode::SUCCESS
        }
        _ => report(),
    }
}

/// Prints a line for each shape.
fn report() -> ExitCode {
    let mut is_good = true;
    println!("{:<18} {:>10} {:>10}   instructions a find", "", FEW, MANY);
    for (at, shape) in SHAPES.iter().enumerate() {
        let (Some(few), Some(many)) = (count(at, FEW), count(at, MANY)) else {
            eprintln!("valgrind cannot be run");
            return ExitCode::FAILURE;
        };
        let growth = many as f64 / few.max(1) as f64 - 1.0;
        println!("{:<18} {few:>10} {many:>10}   {:+.1} %", shape.name, growth * 100.0);
        is_good &= growth <= 0.10;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Instructions of one find; `None` if they cannot be counted, or something is allocated.
fn count(shape: usize, routes: usize) -> Option<u64> {
    let this = std::env::current_exe().ok()?;
    let file: PathBuf = std::env::temp_dir().join(format!("route_cost.{}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .args(["--toggle-collect=*find_often*", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(this)
        .args([shape.to_string(), routes.to_string()])
        .status()
        .ok()?;
    let counted = if status.success() { read(&file) } else { None };
    std::fs::remove_file(&file).ok()?;
    counted
}

fn read(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let is_allocator = |line: &&str| line.starts_with("fn=") && line.contains("alloc");
    if let Some(line) = text.lines().find(is_allocator) {
        eprintln!("a find allocates: {line}");
        return None;
    }
    let total = text.lines().find_map(|line| line.strip_prefix("summary: "))?;
    Some(total.trim().parse::<u64>().ok()? / ROUNDS as u64)
}

fn run(shape: &Shape, routes: usize) {
    let table = Table::compile(&config(shape, routes));
    for at in [0, routes / 2, routes - 1] {
        let url = (shape.url)(at);
        let (host, target) = url.split_at(url.find('/').unwrap_or(url.len()));
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
        let bytes = text.as_bytes();
        let mut head = RequestHead::default();
        let limits = HeadLimits { head: 1 << 15, line: 1 << 14, fields: 100 };
        assert!(head.parse(bytes, &limits).is_ok());
        let view = RequestView {
            listener: ListenerId(0),
            method: head.method_text.of(bytes),
            host: head.host_name.of(bytes),
            path: head.target.path.of(bytes),
            query: None,
            head: &head,
            bytes,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            claims: None,
            country: None,
        };
        // Whatever is only done once is done, and it is found.
        assert_eq!(table.find(&view).is_some(), shape.name != "no match", "{url}");
        if at == routes / 2 {
            find_often(&table, &view);
        }
    }
}

/// What is measured.
#[inline(never)]
fn find_often(table: &Table, view: &RequestView<'_>) {
    for _ in 0..ROUNDS {
        black_box(table.find(black_box(view)));
    }
}

fn config(shape: &Shape, routes: usize) -> Config {
    let Ok(mut config) = from_targets("127.0.0.1:1", &["127.0.0.1:2"]) else {
        unreachable!("both are addresses")
    };
    let like = config.routes.remove(0);
    let route = |n: usize| evenkeel_config::model::Route {
        name: n.to_string(),
        matches: Match::All((shape.route)(n)),
        ..like.clone()
    };
    config.routes = (0..routes).map(route).collect();
    config
}
