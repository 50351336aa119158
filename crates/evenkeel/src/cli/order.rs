//! The verbs that change a running process: `drain`, `enable`, `disable`, `weight`, `reload`,
//! `rollback`, `upgrade`. Each is one request to its admin API.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::client::{AdminArguments, Answer, Client, escape};
use super::status::{list, target, text};
use super::table::span;
use crate::failure::{Exit, Failure};
use crate::terminal;

/// How often `drain --wait` looks.
const LOOK: Duration = Duration::from_millis(300);
/// A new process may have to read a large configuration, and the old one waits for it.
const UPGRADE: Duration = Duration::from_secs(3700);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
TARGET is POOL/SERVER, POOL, listener:NAME or process; pool:POOL says which of them is meant.")]
pub(crate) struct DrainArguments {
    /// What gets no new requests from now on
    target: String,
    /// graceful: what runs may finish until the deadline; immediate: it may finish whenever; forced: it ends now
    #[arg(long, value_parser = ["graceful", "immediate", "forced"], default_value = "graceful")]
    mode: String,
    /// How long what runs may take, like 30s or 5m
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// Stay until nothing runs there any more, and show how far it is
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "TARGET is POOL/SERVER, POOL, or listener:NAME.")]
pub(crate) struct TargetArguments {
    /// What it is about
    target: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WeightArguments {
    /// The pool
    pool: String,
    /// The server, by its address
    server: String,
    /// Its share relative to the others; 0 takes nothing
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1000))]
    weight: u32,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReloadArguments {
    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArguments {
    /// The version to go back to; the one before the current one by default
    #[arg(value_name = "VERSION")]
    to: Option<u64>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeArguments {
    /// The new program; the file that the process was started from by default
    #[arg(long, value_name = "FILE")]
    exec: Option<PathBuf>,
    /// How long the new process may take until it serves, like 60s
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    #[command(flatten)]
    admin: AdminArguments,
}

/// What all changes have.
#[derive(Debug, clap::Args)]
struct How {
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

/// `evenkeel drain`
pub(crate) fn drain(arguments: &DrainArguments) -> Result<(), Failure> {
    let target = read_target(&arguments.target);
    let mut body = json!({ "target": target, "mode": arguments.mode });
    if let Some(deadline) = &arguments.deadline {
        body["deadline"] = deadline.as_str().into();
    }
    let client = Client::new(&arguments.how.admin)?;
    let path = arguments.how.path("/v1/drains");
    let done = client.ask(Method::POST, &path, Some(&body))?.success()?;
    show(&arguments.how.admin, &done);
    match arguments.wait && !arguments.how.dry_run {
        true => wait(&client, &target),
        false => Ok(()),
    }
}

/// Shows how far a drain is until it is done.
fn wait(client: &Client, wanted: &Value) -> Result<(), Failure> {
    let mut shown = Vec::new();
    loop {
        let drains = match client.get("/v1/drains") {
            Ok(drains) => drains,
            Err(_) if *wanted == "process" => {
                terminal::print("done: the process has ended");
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let lines: Vec<String> =
            list(&drains).iter().filter(|drain| belongs(drain, wanted)).map(progress).collect();
        if lines.is_empty() && *wanted != "process" {
            terminal::print("done: nothing runs there any more");
            return Ok(());
        }
        if lines != shown {
            lines.iter().for_each(|line| terminal::print(line));
            shown = lines;
        }
        client.pause(LOOK);
    }
}

/// Whether this drain is (a part of) what was asked for.
fn belongs(drain: &Value, wanted: &Value) -> bool {
    let target = &drain["target"];
    let of_pool = wanted["pool"].is_string() && target["server"]["pool"] == wanted["pool"];
    target == wanted || of_pool || *wanted == "process"
}

fn progress(drain: &Value) -> String {
    let cut = match drain["requests_cut_in_seconds"].as_f64() {
        Some(seconds) => format!("requests are cut in {}", span(seconds)),
        None => "nothing is cut".to_owned(),
    };
    format!("{}: {} left, {cut}", target(&drain["target"]), drain["left"])
}

/// `evenkeel enable`
pub(crate) fn enable(arguments: &TargetArguments) -> Result<(), Failure> {
    change(&arguments.how, "enable", &arguments.target)
}

/// `evenkeel disable`
pub(crate) fn disable(arguments: &TargetArguments) -> Result<(), Failure> {
    change(&arguments.how, "disable", &arguments.target)
}

fn change(how: &How, op: &str, target: &str) -> Result<(), Failure> {
    let body = json!({ "changes": [{ "op": op, "target": read_target(target) }] });
    let path = how.path("/v1/changes");
    let answer = Client::new(&how.admin)?.ask(Method::POST, &path, Some(&body))?;
    show(&how.admin, &answer.success()?);
    Ok(())
}

/// `evenkeel weight`
pub(crate) fn weight(arguments: &WeightArguments) -> Result<(), Failure> {
    let (pool, server) = (escape(&arguments.pool), escape(&arguments.server));
    let path = arguments.how.path(&format!("/v1/pools/{pool}/servers/{server}"));
    let body = json!({ "weight": arguments.weight });
    let answer = Client::new(&arguments.how.admin)?.ask(Method::PATCH, &path, Some(&body))?;
    show(&arguments.how.admin, &answer.success()?);
    Ok(())
}

/// `evenkeel reload`
pub(crate) fn reload(arguments: &ReloadArguments) -> Result<(), Failure> {
    let answer = Client::new(&arguments.admin)?.ask(Method::POST, "/v1/reload", None)?;
    // What `check` would refuse ends with the code of `check`.
    let is_refused = matches!(answer.status, 409 | 422);
    let done = answer.success();
    let done = if is_refused { done.map_err(|failure| failure.ending(Exit::Config)) } else { done };
    show(&arguments.admin, &done?);
    Ok(())
}

/// `evenkeel rollback`
pub(crate) fn rollback(arguments: &RollbackArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.how.admin)?;
    let version = match arguments.to {
        Some(version) => version,
        None => previous(&client.get("/v1/history")?)?,
    };
    let path = arguments.how.path("/v1/rollback");
    let answer = client.ask(Method::POST, &path, Some(&json!({ "version": version })))?;
    show(&arguments.how.admin, &answer.success()?);
    Ok(())
}

fn previous(history: &Value) -> Result<u64, Failure> {
    let mut earlier = list(history).iter().rev().filter(|version| version["current"] != true);
    earlier
        .find_map(|version| version["version"].as_u64())
        .ok_or_else(|| Failure::new(Exit::Runtime, "there is no earlier version to go back to"))
}

/// `evenkeel upgrade`
pub(crate) fn upgrade(arguments: &UpgradeArguments) -> Result<(), Failure> {
    let mut body = json!({});
    if let Some(exec) = &arguments.exec {
        // The running process may be in another directory.
        let exec = std::path::absolute(exec).unwrap_or_else(|_| exec.clone());
        body["exec"] = exec.display().to_string().into();
    }
    if let Some(timeout) = &arguments.timeout {
        body["timeout"] = timeout.as_str().into();
    }
    let client = Client::new(&arguments.admin)?;
    let answer: Answer = client.ask_within(UPGRADE, Method::POST, "/v1/upgrade", Some(&body))?;
    let done = answer.success()?;
    match arguments.admin.json {
        true => terminal::print(&format!("{done:#}")),
        false => terminal::print(&format!(
            "process {} serves now (evenkeel {}); the old one drains and ends",
            done["pid"],
            text(&done, "version")
        )),
    }
    Ok(())
}

impl How {
    fn path(&self, path: &str) -> String {
        format!("{path}{}", if self.dry_run { "?dry_run=true" } else { "" })
    }
}

/// `POOL/SERVER`, `POOL`, `pool:POOL`, `listener:NAME`, `process`.
fn read_target(written: &str) -> Value {
    if let Some(listener) = written.strip_prefix("listener:") {
        return json!({ "listener": listener });
    }
    if let Some(pool) = written.strip_prefix("pool:") {
        return json!({ "pool": pool });
    }
    match written.split_once('/') {
        Some((pool, server)) => json!({ "server": { "pool": pool, "server": server } }),
        None if written == "process" => json!("process"),
        None => json!({ "pool": written }),
    }
}

/// What came of a change.
fn show(admin: &AdminArguments, applied: &Value) {
    if admin.json {
        return terminal::print(&format!("{applied:#}"));
    }
    for warning in list(&applied["warnings"]).iter().chain(list(&applied["inert"])) {
        terminal::print_error(&format!("warning: {}", warning.as_str().unwrap_or_default()));
    }
    let version = &applied["version"];
    let first = match (applied["changed"] == true, applied["dry_run"] == true) {
        (false, _) => format!("nothing to change: version {version} holds"),
        (true, true) => format!("would change (version {version} holds):"),
        (true, false) => format!("version {version}:"),
    };
    let mut shown = first;
    for change in list(&applied["changes"]) {
        shown.push_str(&format!("\n  {}", change.as_str().unwrap_or_default()));
    }
    terminal::print(&shown);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_shown() {
        for written in ["app/10.0.0.1:80", "app/[::1]:80", "app", "listener:web", "process"] {
            assert_eq!(target(&read_target(written)), written);
        }
        assert_eq!(read_target("pool:process"), json!({ "pool": "process" }));
    }
}
