//! `evenkeel status` and `evenkeel servers`: what a running process does, for people.

use serde_json::Value;

use super::client::{AdminArguments, Client, escape};
use super::table::{Side, grouped, span, table};
use crate::failure::Failure;
use crate::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServersArguments {
    /// Only this pool's
    pool: Option<String>,
    #[command(flatten)]
    admin: AdminArguments,
}

/// `evenkeel status`
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.admin)?;
    let status = client.get("/v1/status")?;
    if arguments.admin.json {
        terminal::print(&format!("{status:#}"));
        return Ok(());
    }
    let mut shown = head(&status);
    shown.push_str(&listeners(&client.get("/v1/listeners")?));
    shown.push_str(&pools(&status["pools"]));
    shown.push_str(&drains(&client.get("/v1/drains")?));
    terminal::print(&shown);
    Ok(())
}

/// `evenkeel servers`
pub(crate) fn servers(arguments: &ServersArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.admin)?;
    let of = |pool: &str| client.get(&format!("/v1/pools/{}/servers", escape(pool)));
    let pools: Vec<(String, Value)> = match &arguments.pool {
        Some(pool) => vec![(pool.clone(), of(pool)?)],
        None => {
            let mut all = Vec::new();
            for pool in list(&client.get("/v1/pools")?) {
                let name = text(pool, "name").to_owned();
                let servers = of(&name)?;
                all.push((name, servers));
            }
            all
        }
    };
    if arguments.admin.json {
        let all: Vec<&Value> = pools.iter().flat_map(|(_, servers)| list(servers)).collect();
        terminal::print(&format!("{:#}", serde_json::json!(all)));
        return Ok(());
    }
    let mut shown = String::new();
    for (pool, servers) in &pools {
        let rows: Vec<Vec<String>> = list(servers).iter().map(row).collect();
        let head = [
            ("SERVER", Side::Left),
            ("STANDING", Side::Left),
            ("WEIGHT", Side::Right),
            ("IN FLIGHT", Side::Right),
            ("REQUESTS", Side::Right),
            ("FAILED", Side::Right),
        ];
        shown.push_str(&format!("{pool}\n{}", table(2, &head, &rows)));
    }
    terminal::print(if shown.is_empty() { "no pools" } else { &shown });
    Ok(())
}

fn row(server: &Value) -> Vec<String> {
    let mut standing = text(server, "standing").to_owned();
    if let Some(seconds) = server["ejected_seconds"].as_f64() {
        standing.push_str(&format!(" {}", span(seconds)));
    }
    vec![
        text(server, "address").to_owned(),
        standing,
        figure(server, "weight"),
        figure(server, "in_flight"),
        figure(server, "requests"),
        figure(server, "failures"),
    ]
}

fn head(status: &Value) -> String {
    format!(
        "{}, version {}, up {} (evenkeel {}, process {})\n\
         {} workers, {} connections, {} requests, {} failed\n",
        text(status, "state"),
        status["version"],
        span(status["uptime_seconds"].as_f64().unwrap_or_default()),
        text(status, "program"),
        status["pid"],
        figure(status, "workers"),
        figure(status, "connections"),
        figure(status, "requests"),
        figure(status, "failures"),
    )
}

fn listeners(listeners: &Value) -> String {
    let one = |listener: &Value| {
        let addresses: Vec<&str> =
            list(&listener["addresses"]).iter().filter_map(Value::as_str).collect();
        let state = if listener["draining"] == true { "draining" } else { "accepting" };
        vec![text(listener, "name").to_owned(), addresses.join(" "), state.to_owned()]
    };
    let rows: Vec<Vec<String>> = list(listeners).iter().map(one).collect();
    let head = [("LISTENER", Side::Left), ("ADDRESSES", Side::Left), ("STATE", Side::Left)];
    format!("\n{}", table(0, &head, &rows))
}

fn pools(pools: &Value) -> String {
    let one = |pool: &Value| {
        vec![
            text(pool, "name").to_owned(),
            figure(pool, "servers"),
            figure(pool, "available"),
            figure(pool, "in_flight"),
            figure(pool, "requests"),
        ]
    };
    let rows: Vec<Vec<String>> = list(pools).iter().map(one).collect();
    let head = [
        ("POOL", Side::Left),
        ("SERVERS", Side::Right),
        ("AVAILABLE", Side::Right),
        ("IN FLIGHT", Side::Right),
        ("REQUESTS", Side::Right),
    ];
    if rows.is_empty() { String::new() } else { format!("\n{}", table(0, &head, &rows)) }
}

fn drains(drains: &Value) -> String {
    let one = |drain: &Value| {
        let left = |name: &str| drain[name].as_f64().map_or("never".to_owned(), span);
        vec![
            target(&drain["target"]),
            figure(drain, "left"),
            left("requests_cut_in_seconds"),
            left("tunnels_cut_in_seconds"),
        ]
    };
    let rows: Vec<Vec<String>> = list(drains).iter().map(one).collect();
    let head = [
        ("DRAIN", Side::Left),
        ("LEFT", Side::Right),
        ("REQUESTS CUT IN", Side::Right),
        ("TUNNELS CUT IN", Side::Right),
    ];
    if rows.is_empty() { String::new() } else { format!("\n{}", table(0, &head, &rows)) }
}

/// What is drained, as `evenkeel drain` takes it.
pub(crate) fn target(target: &Value) -> String {
    let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match target {
        Value::String(word) => word.clone(),
        _ if target["server"].is_object() => {
            let server = &target["server"];
            format!("{}/{}", name(&server["pool"]), name(&server["server"]))
        }
        _ if target["listener"].is_string() => format!("listener:{}", name(&target["listener"])),
        _ => name(&target["pool"]),
    }
}

/// The elements of a list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A member that is a text.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn figure(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_u64).map_or_else(|| "?".to_owned(), grouped)
}
