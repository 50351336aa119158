//! Connections that are not HTTP to a balancer: each passes them on to one server as they are. What
//! passes is HTTP all the same, since that is what the load speaks: long answers for the cost of a
//! stream's bytes, a connection for each request for the cost of a connection. And Redis, where
//! it is installed, through each of them and without any.

use std::io;
use std::path::Path;
use std::process::Command;

use evenkeel_tools::peer::Peer;
use serde_json::{Value, json};

use crate::balancers::{Place, write};
use crate::load::Load;
use crate::{Arguments, throughput};

/// Name, path, connections, and whether each request has a connection of its own.
const SCENARIOS: &[(&str, &str, usize, bool)] = &[
    ("tcp1m", "/1m", 16, false),
    ("tcpsmall", "/128", 64, false),
    ("tcpconnect", "/128", 64, true),
];
const REDIS: &str = "redis";
const REDIS_PORT: u16 = 21_160;
/// The first balancer's; the others follow. Above it by this they lead to Redis.
const FIRST: u16 = 21_141;
const TO_REDIS: u16 = 10;
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

pub(crate) fn is_scenario(name: &str) -> bool {
    name == REDIS || SCENARIOS.iter().any(|scenario| scenario.0 == name)
}

/// All of them that are wanted; `backend` is the port of the server.
pub(crate) fn run(
    arguments: &Arguments,
    place: &Place,
    backend: u16,
    results: &mut Vec<Value>,
) -> io::Result<()> {
    if !arguments.wants(is_scenario) {
        return Ok(());
    }
    std::fs::write(place.directory.join("1m"), vec![b'x'; 1 << 20])?;
    let _backend = place.start_backend(backend)?;
    let peers = start(&place.directory, backend)?;
    let peers: Vec<&Peer> = peers.iter().collect();
    throughput::print_heading();
    for (name, path, connections, close) in SCENARIOS {
        if arguments.wants(|wanted| wanted == *name) {
            let load = Load { close: *close, ..Load::of(path, *connections) };
            results.push(throughput::run(arguments, name, &peers, &load)?);
        }
    }
    if arguments.wants(|wanted| wanted == REDIS) {
        results.extend(redis(arguments, &peers)?);
    }
    Ok(())
}

fn start(directory: &Path, backend: u16) -> io::Result<Vec<Peer>> {
    let own = std::env::current_exe()?.with_file_name("evenkeel").display().to_string();
    let limits = "limits: { connections_per_ip: 100000 }";
    let text = format!(
        "workers: 1\nlisteners:\n  web: {{ bind: \"127.0.0.1:{FIRST}\", tcp: {{ to: app }}, {limits} }}\n  \
         redis: {{ bind: \"127.0.0.1:{}\", tcp: {{ to: redis }}, {limits} }}\n\
         pools:\n  app: {{ servers: [\"127.0.0.1:{backend}\"] }}\n  redis: {{ servers: [\"127.0.0.1:{REDIS_PORT}\"] }}\n",
        FIRST + TO_REDIS
    );
    let file = write(directory, "streams.yaml", &text)?;
    let mut peers = vec![Peer::start("evenkeel", 0, FIRST, &[&own, "run", "-c", &file])?];

    let port = FIRST + 1;
    match Path::new(NGINX_STREAM).exists() {
        false => println!("without nginx: its stream module is missing (libnginx-mod-stream)"),
        true => {
            let text = format!(
                "load_module {NGINX_STREAM};\nworker_processes 1;\ndaemon off;\npid {0}/stream.pid;\n\
                 error_log /dev/null;\nevents {{ worker_connections 16384; }}\nstream {{\n  \
                 server {{ listen 127.0.0.1:{port} backlog=16384; proxy_pass 127.0.0.1:{backend}; }}\n  \
                 server {{ listen 127.0.0.1:{1}; proxy_pass 127.0.0.1:{REDIS_PORT}; }}\n}}\n",
                directory.display(),
                port + TO_REDIS
            );
            let file = write(directory, "streams.nginx", &text)?;
            peers.push(Peer::start("nginx", 0, port, &["nginx", "-c", &file])?);
        }
    }

    let port = FIRST + 2;
    let text = format!(
        "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode tcp\n  option splice-auto\n  \
         timeout client 600s\n  timeout server 600s\n  timeout connect 3s\n\
         listen web\n  bind 127.0.0.1:{port} backlog 16384\n  server s 127.0.0.1:{backend}\n\
         listen redis\n  bind 127.0.0.1:{}\n  server s 127.0.0.1:{REDIS_PORT}\n",
        port + TO_REDIS
    );
    let file = write(directory, "streams.haproxy", &text)?;
    peers.push(Peer::start("haproxy", 0, port, &["haproxy", "-db", "-f", &file])?);
    Ok(peers)
}

/// Requests a second of redis-benchmark, straight to the server and through each balancer.
fn redis(arguments: &Arguments, peers: &[&Peer]) -> io::Result<Option<Value>> {
    let is_there = Command::new("redis-benchmark").arg("--version").output().is_ok();
    if !is_there {
        println!("without Redis: redis-server and redis-benchmark are missing");
        return Ok(None);
    }
    let port = REDIS_PORT.to_string();
    let command = ["redis-server", "--port", &port, "--save", "", "--appendonly", "no"];
    let server = Peer::start("redis", 1, REDIS_PORT, &command)?;
    let direct = [("direct", server.port)];
    let through = peers.iter().map(|peer| (peer.name, peer.port + TO_REDIS));
    let mut rows = Vec::new();
    for (name, port) in direct.into_iter().chain(through) {
        let mut rates = Vec::new();
        for _ in 0..arguments.rounds {
            rates.push(requests_a_second(port)?);
        }
        let rate = crate::load::median(rates.into_iter());
        println!("{REDIS:10} {name:10} {:>10} {rate:>12.0}", "");
        rows.push(json!({ "balancer": name, "per_second": rate }));
    }
    Ok(Some(json!({ "scenario": REDIS, "results": rows })))
}

fn requests_a_second(port: u16) -> io::Result<f64> {
    let port = port.to_string();
    let output = Command::new("taskset")
        .args(["-c", "1", "redis-benchmark", "-p", &port, "-c", "50", "-n", "50000"])
        .args(["-t", "get", "--csv"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with("\"GET\""));
    let rate = line.and_then(|line| line.split(',').nth(1)?.trim_matches('"').parse().ok());
    rate.ok_or_else(|| io::Error::other(format!("redis-benchmark said: {text}")))
}
