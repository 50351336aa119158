//! CPU time of Evenkeel for each request, beside nginx, HAProxy and the floor (a relay that knows no
//! HTTP): short windows that alternate between them, the balancer on one core, load and server on
//! the other. Absolute times drift with the machine; the ratios of neighbouring windows do not.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // not the data path

mod peer;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use peer::{Peer, configure};

const BACKEND: u16 = 42_100;

/// Measures CPU microseconds for each request, and paired ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of windows for each scenario
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one window
    #[arg(long, default_value_t = 2)]
    window: u64,
    /// Only these scenarios (small64, small512, 10k, 100k, 1m, connect, idle)
    #[arg(long)]
    scenario: Vec<String>,
    /// Write the results here too, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

struct Scenario {
    name: &'static str,
    path: &'static str,
    connections: usize,
    close: bool,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "small64", path: "/128", connections: 64, close: false },
    Scenario { name: "small512", path: "/128", connections: 512, close: false },
    Scenario { name: "10k", path: "/10k", connections: 64, close: false },
    Scenario { name: "100k", path: "/100k", connections: 64, close: false },
    Scenario { name: "1m", path: "/1m", connections: 16, close: false },
    Scenario { name: "connect", path: "/128", connections: 64, close: true },
];

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    need("nginx", "nginx")?;
    need("haproxy", "haproxy")?;
    need("wrk", "wrk")?;
    let directory = std::env::temp_dir().join(format!("evenkeel-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = measure(&arguments, &directory);
    std::fs::remove_dir_all(&directory)?;
    result
}

fn measure(arguments: &Arguments, directory: &Path) -> io::Result<()> {
    for (name, size) in [("10k", 10 << 10), ("100k", 100 << 10), ("1m", 1 << 20)] {
        std::fs::write(directory.join(name), vec![b'x'; size])?;
    }
    let conf =
        configure(directory, "backend.conf", include_str!("../peers/backend.conf"), 0, BACKEND)?;
    let _backend = Peer::start("backend", 1, BACKEND, &["nginx", "-c", &conf])?;
    let peers = start_peers(directory)?;
    print_versions();
    let mut results = Vec::new();
    println!(
        "{:10} {:10} {:>10} {:>12} {:>8} {:>8}",
        "scenario", "balancer", "µs/request", "requests/s", "ratio", "lost"
    );
    for scenario in SCENARIOS {
        if arguments.scenario.is_empty() || arguments.scenario.iter().any(|s| s == scenario.name) {
            results.push(run(scenario, arguments, &peers)?);
        }
    }
    if arguments.scenario.is_empty() || arguments.scenario.iter().any(|s| s == "idle") {
        results.push(idle(&peers)?);
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{:#}\n", serde_json::Value::from(results)))?;
    }
    Ok(())
}

/// Evenkeel first: ratios are against it.
fn start_peers(directory: &Path) -> io::Result<Vec<Peer>> {
    let own = std::env::current_exe()?;
    let near = |name: &str| own.with_file_name(name).display().to_string();
    let yaml = configure(
        directory,
        "evenkeel.yaml",
        include_str!("../peers/evenkeel.yaml"),
        42_101,
        BACKEND,
    )?;
    let nginx =
        configure(directory, "nginx.conf", include_str!("../peers/nginx.conf"), 42_102, BACKEND)?;
    let haproxy =
        configure(directory, "haproxy.cfg", include_str!("../peers/haproxy.cfg"), 42_103, BACKEND)?;
    let backend = format!("127.0.0.1:{BACKEND}");
    Ok(vec![
        Peer::start("evenkeel", 0, 42_101, &[&near("evenkeel"), "run", "-c", &yaml])?,
        Peer::start("nginx", 0, 42_102, &["nginx", "-c", &nginx])?,
        Peer::start("haproxy", 0, 42_103, &["haproxy", "-db", "-f", &haproxy])?,
        Peer::start("floor", 0, 42_104, &[&near("floor"), "127.0.0.1:42104", &backend])?,
    ])
}

struct Window {
    micros: f64,
    rate: f64,
    lost: u64,
}

fn run(
    scenario: &Scenario,
    arguments: &Arguments,
    peers: &[Peer],
) -> io::Result<serde_json::Value> {
    let mut windows: Vec<Vec<Window>> = peers.iter().map(|_| Vec::new()).collect();
    for round in 0..=arguments.rounds {
        for (peer, windows) in peers.iter().zip(&mut windows) {
            if scenario.close && peer.name == "floor" {
                continue; // it closes when either side does: another story
            }
            let window = window(scenario, peer, if round == 0 { 1 } else { arguments.window })?;
            if round > 0 {
                windows.push(window); // the first round only warms up
            }
        }
    }
    let mut rows = Vec::new();
    for (peer, own) in peers.iter().zip(&windows) {
        if own.is_empty() {
            continue;
        }
        let ratios =
            windows[0].iter().zip(own).map(|(evenkeel, other)| evenkeel.micros / other.micros);
        let (micros, rate) =
            (median(own.iter().map(|w| w.micros)), median(own.iter().map(|w| w.rate)));
        let (ratio, lost) = (median(ratios), own.iter().map(|w| w.lost).sum::<u64>());
        println!(
            "{:10} {:10} {micros:>10.1} {rate:>12.0} {ratio:>8.2} {lost:>8}",
            scenario.name, peer.name
        );
        rows.push(serde_json::json!({
            "balancer": peer.name, "micros": micros, "per_second": rate, "evenkeel_is": ratio, "lost": lost,
        }));
    }
    Ok(serde_json::json!({ "scenario": scenario.name, "results": rows }))
}

fn window(scenario: &Scenario, peer: &Peer, seconds: u64) -> io::Result<Window> {
    let before = peer.cpu();
    let mut command = Command::new("taskset");
    command.args([
        "-c",
        "1",
        "wrk",
        "-t1",
        &format!("-c{}", scenario.connections),
        &format!("-d{seconds}s"),
    ]);
    if scenario.close {
        command.args(["-H", "Connection: close"]);
    }
    let output =
        command.arg(format!("http://127.0.0.1:{}{}", peer.port, scenario.path)).output()?;
    let used = peer.cpu() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str| line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let requests = text.lines().find(|l| l.contains("requests in")).and_then(number).unwrap_or(0);
    let lost =
        text.lines().filter(|l| l.contains("Non-2xx") || l.contains("Socket errors")).map(|line| {
            line.split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse::<u64>().ok())
                .skip(usize::from(line.contains("Non-2xx")))
                .sum::<u64>()
        });
    Ok(Window {
        micros: used as f64 / 1e3 / requests.max(1) as f64,
        rate: requests as f64 / seconds as f64,
        lost: lost.sum(),
    })
}

/// Memory of the process for each idle kept-alive connection, after one request on it.
fn idle(peers: &[Peer]) -> io::Result<serde_json::Value> {
    use std::io::{Read, Write};
    const CONNECTIONS: u64 = 4000;
    let mut rows = Vec::new();
    for peer in peers.iter().filter(|peer| peer.name != "floor") {
        let before = peer.memory();
        let mut kept = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", peer.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(b"GET /128 HTTP/1.1\r\nHost: a\r\n\r\n")?;
            let mut buffer = [0; 2048];
            let mut got = 0;
            while !buffer[..got].ends_with(&[b'x'; 128]) {
                got += stream.read(&mut buffer[got..])?;
            }
            kept.push(stream);
        }
        std::thread::sleep(Duration::from_millis(500));
        let each = peer.memory().saturating_sub(before) / CONNECTIONS;
        println!("{:10} {:10} {each:>10} bytes for each idle connection", "idle", peer.name);
        rows.push(serde_json::json!({ "balancer": peer.name, "bytes": each }));
    }
    Ok(serde_json::json!({ "scenario": "idle", "results": rows }))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_versions() {
    for (command, argument) in [("nginx", "-v"), ("haproxy", "-v"), ("uname", "-r")] {
        if let Ok(output) = Command::new(command).arg(argument).output() {
            let text = [output.stdout, output.stderr].concat();
            let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
            println!("{command}: {line}");
        }
    }
}

/// Installs a Debian package if its command is missing and we may.
fn need(command: &str, package: &str) -> io::Result<()> {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let found = path.split(':').any(|directory| Path::new(directory).join(command).exists());
    if found {
        return Ok(());
    }
    println!("installing {package}");
    let done = Command::new("sh")
        .args(["-c", &format!("apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {package}")])
        .status()?;
    match done.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command} is missing: apt-get install {package}"))),
    }
}
