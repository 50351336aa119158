//! Load without retries; see `evenkeel_tools::load`.
#![allow(clippy::disallowed_methods)] // not the data path

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use evenkeel_tools::load::{Load, run};

/// Sends requests, checks every answer, retries nothing. Exit status 0 only if none failed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to, like http://127.0.0.1:8080/echo
    #[arg(long)]
    url: String,
    /// Requests a second; 0 is as fast as they are answered
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Stop after this many requests
    #[arg(long, default_value_t = u64::MAX)]
    requests: u64,
    /// Stop after this many seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Method
    #[arg(long, default_value = "GET")]
    method: String,
    /// Bytes of a patterned body
    #[arg(long, default_value_t = 0)]
    body: usize,
    /// A new connection for each request
    #[arg(long)]
    close: bool,
    /// Do not expect the backend to repeat the request's id
    #[arg(long)]
    any_answer: bool,
    /// Failures that are allowed
    #[arg(long, default_value_t = 0)]
    allow: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rest = arguments.url.strip_prefix("http://").unwrap_or(&arguments.url);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let found = tokio::net::lookup_host(&with_port).await.map(|mut found| found.next());
    let Ok(Some(address)) = found else {
        eprintln!("strictload: {host} has no address");
        return ExitCode::from(2);
    };
    let outcome = run(Load {
        address,
        host: host.to_owned(),
        target: if path.is_empty() { "/" } else { path }.to_owned(),
        method: arguments.method,
        body: arguments.body,
        connections: arguments.connections,
        rate: arguments.rate,
        requests: arguments.requests,
        duration: Duration::from_secs_f64(arguments.seconds),
        close: arguments.close,
        timeout: Duration::from_secs(30),
        check_id: !arguments.any_answer,
        ..Load::default()
    })
    .await;
    // A reader that has gone wants no more.
    let _ = writeln!(std::io::stdout(), "{:#}", outcome.to_json());
    if outcome.failed() <= arguments.allow && outcome.ok() > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
