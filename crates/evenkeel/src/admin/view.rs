//! The operations that look. Each shows one consistent view, taken when it is asked.

use std::sync::Arc;
use std::time::SystemTime;

use axum::http::StatusCode;
use evenkeel_config::model::{Action, PoolId};
use evenkeel_config::{Config, precedence};
use evenkeel_proxy::counters::{Counter, ListenerCounters};
use evenkeel_runtime as runtime;
use serde_json::{Value, json};

use super::openapi;
use super::operation::{Call, Reply};
use super::problem::Problem;
use super::standing::{self, Figures};
use crate::control::drains::What;
use crate::control::view::{DrainView, ListenerView, Past, PoolView, Refusal, ServerView, Stand};
use crate::health::{Came, Made};

type Answered = Result<Reply, Problem>;

/// GET /healthz
pub(crate) async fn alive(call: Call) -> Answered {
    Ok(Reply::ok(json!({ "status": "ok" }), call.api.version()))
}

/// GET /readyz
pub(crate) async fn ready(call: Call) -> Answered {
    match call.api.stand().draining {
        false => Ok(Reply::ok(json!({ "status": "ok" }), call.api.version())),
        true => {
            let why = "it drains and takes no new connections";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", why))
        }
    }
}

/// GET /v1/openapi.json
pub(crate) async fn openapi(call: Call) -> Answered {
    Ok(Reply::ok(openapi::document(), call.api.version()))
}

/// GET /v1/status
pub(crate) async fn status(call: Call) -> Answered {
    let view = call.api.view();
    let stand = &view.stand;
    let sum = |count: fn(&evenkeel_proxy::counters::WorkerCounters) -> u64| -> u64 {
        stand.workers.iter().map(|worker| count(worker)).sum()
    };
    let body = json!({
        "state": if stand.draining { "draining" } else { "serving" },
        "version": stand.version,
        "program": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": runtime::now().duration_since(stand.started).as_secs_f64(),
        "workers": stand.workers.len(),
        "connections": view.connections.iter().map(|n| u64::from(*n)).sum::<u64>(),
        "requests": sum(|worker| worker.exchanges.value()),
        "failures": sum(|worker| worker.failures.value()),
        "handshakes": sum(|worker| worker.handshakes.value()),
        "handshakes_resumed": sum(|worker| worker.handshakes_resumed.value()),
        "handshakes_failed": sum(|worker| worker.handshakes_failed.value()),
        "floods": sum(|worker| worker.floods.value()),
        "listeners": stand.config.listeners.len(),
        "routes": stand.config.routes.len(),
        "pools": view.pools.iter().map(|pool| summary(stand, pool)).collect::<Value>(),
        "drains": stand.drains.len(),
        "inert": stand.inert.iter().map(|inert| format!("{}: {}", inert.what, inert.why)).collect::<Vec<_>>(),
        "refused": stand.refused.as_ref().map(|refused| show_refused(refused)),
        "unkept": stand.unkept.as_ref().map(ToString::to_string),
    });
    Ok(Reply::ok(body, stand.version))
}

/// GET /v1/config
pub(crate) async fn config(call: Call) -> Answered {
    let stand = call.api.stand();
    let configuration = evenkeel_config::effective(&stand.config);
    let body = json!({ "version": stand.version, "configuration": configuration });
    Ok(Reply::ok(body, stand.version))
}

/// GET /v1/listeners
pub(crate) async fn listeners(call: Call) -> Answered {
    let view = call.api.view();
    let one = |listener: &ListenerView| {
        let addresses: Vec<String> = listener.addresses.iter().map(ToString::to_string).collect();
        let mut shown = json!({
            "name": listener.name,
            "addresses": addresses,
            "connections": listener.connections,
            "draining": listener.closed || view.stand.draining,
        });
        if let Some(counters) = &listener.counters {
            shown["datagrams"] = datagrams(counters);
        }
        shown
    };
    Ok(Reply::ok(view.listeners.iter().map(one).collect(), view.stand.version))
}

fn datagrams(counters: &[Arc<ListenerCounters>]) -> Value {
    let sum = |of: fn(&ListenerCounters) -> &Counter| -> u64 {
        counters.iter().map(|one| of(one).value()).sum()
    };
    json!({
        "sessions": sum(|one| &one.sessions),
        "refused": sum(|one| &one.refused),
        "evicted": sum(|one| &one.evicted),
        "failed": sum(|one| &one.failed),
        "in": sum(|one| &one.datagrams_in),
        "out": sum(|one| &one.datagrams_out),
        "dropped": sum(|one| &one.datagrams_dropped),
        "bytes_in": sum(|one| &one.bytes_in),
        "bytes_out": sum(|one| &one.bytes_out),
    })
}

/// GET /v1/routes
pub(crate) async fn routes(call: Call) -> Answered {
    let stand = call.api.stand();
    let config = &stand.config;
    let mut ranks: Vec<Vec<usize>> = vec![Vec::new(); config.routes.len()];
    for (at, alternative) in precedence::alternatives(config).iter().enumerate() {
        if let Some(of_route) = ranks.get_mut(alternative.route.0 as usize) {
            of_route.push(at + 1);
        }
    }
    let one = |(route, ranks): (&evenkeel_config::model::Route, Vec<usize>)| {
        json!({
            "name": route.name,
            "runtime": stand.overlay.routes.contains_key(&route.name),
            "to": destinations(config, &route.action),
            "precedence": ranks,
        })
    };
    Ok(Reply::ok(config.routes.iter().zip(ranks).map(one).collect(), stand.version))
}

fn destinations(config: &Config, action: &Action) -> Vec<String> {
    let pool = |id: &PoolId| config.pools.get(id.0 as usize).map(|pool| pool.name.clone());
    match action {
        Action::Pool(id) => pool(id).into_iter().collect(),
        Action::Split(shares) => shares.iter().filter_map(|(id, _)| pool(id)).collect(),
        Action::Redirect(_) | Action::Respond(_) => Vec::new(),
    }
}

/// GET /v1/pools
pub(crate) async fn pools(call: Call) -> Answered {
    let view = call.api.view();
    let body = view.pools.iter().map(|pool| summary(&view.stand, pool)).collect();
    Ok(Reply::ok(body, view.stand.version))
}

fn figures(stand: &Stand, pool: &PoolView, server: &ServerView) -> Figures {
    let shared = stand.publication.pools.get(pool.index).map(|shared| &**shared);
    standing::figures(server, shared, runtime::now())
}

fn summary(stand: &Stand, pool: &PoolView) -> Value {
    let figures: Vec<Figures> =
        pool.servers.iter().map(|server| figures(stand, pool, server)).collect();
    json!({
        "name": pool.name,
        "runtime": stand.overlay.pools.contains_key(&pool.name),
        "servers": figures.len(),
        "available": figures.iter().filter(|figures| figures.is_available()).count(),
        "in_flight": figures.iter().map(|figures| u64::from(figures.in_flight)).sum::<u64>(),
        "requests": figures.iter().map(|figures| figures.requests).sum::<u64>(),
    })
}

/// GET /v1/pools/{pool}
pub(crate) async fn pool(call: Call) -> Answered {
    let view = call.api.view();
    let pool = find_pool(&view.pools, call.path("pool"))?;
    let body = json!({
        "name": pool.name,
        "runtime": view.stand.overlay.pools.contains_key(&pool.name),
        "settings": settings(&view.stand.config, &pool.name),
        "servers": pool.servers.iter().map(|s| show_server(&view.stand, pool, s)).collect::<Value>(),
    });
    Ok(Reply::ok(body, view.stand.version))
}

/// A pool as it stands in the configuration, alone.
fn settings(config: &Config, name: &str) -> String {
    let alone = Config {
        listeners: Vec::new(),
        routes: Vec::new(),
        policies: Vec::new(),
        pools: config.pools.iter().filter(|pool| pool.name == name).cloned().collect(),
        ..config.clone()
    };
    let whole = evenkeel_config::effective(&alone);
    let lines = whole.lines().skip_while(|line| *line != "pools:").skip(1);
    let own =
        lines.take_while(|line| line.starts_with(' ')).map(|line| line.get(2..).unwrap_or(""));
    own.map(|line| format!("{line}\n")).collect()
}

/// GET /v1/pools/{pool}/servers
pub(crate) async fn servers(call: Call) -> Answered {
    let view = call.api.view();
    let pool = find_pool(&view.pools, call.path("pool"))?;
    let body = pool.servers.iter().map(|s| show_server(&view.stand, pool, s)).collect();
    Ok(Reply::ok(body, view.stand.version))
}

/// GET /v1/pools/{pool}/servers/{server}
pub(crate) async fn server(call: Call) -> Answered {
    let view = call.api.view();
    let pool = find_pool(&view.pools, call.path("pool"))?;
    let wanted = call.path("server");
    let server = pool.servers.iter().find(|server| server.key == wanted).ok_or_else(|| {
        let known = pool.servers.iter().map(|server| server.key.as_str());
        missing(format!("pool `{}` has no server `{wanted}`", pool.name), wanted, known)
    })?;
    Ok(Reply::ok(show_server(&view.stand, pool, server), view.stand.version))
}

fn find_pool<'p>(pools: &'p [PoolView], wanted: &str) -> Result<&'p PoolView, Problem> {
    pools.iter().find(|pool| pool.name == wanted).ok_or_else(|| {
        let known = pools.iter().map(|pool| pool.name.as_str());
        missing(format!("there is no pool `{wanted}`"), wanted, known)
    })
}

fn missing<'k>(detail: String, wanted: &str, known: impl Iterator<Item = &'k str>) -> Problem {
    match evenkeel_config::closest(wanted, known) {
        Some(close) => Problem::missing(detail).help(format!("did you mean `{close}`?")),
        None => Problem::missing(detail),
    }
}

fn show_server(stand: &Stand, pool: &PoolView, server: &ServerView) -> Value {
    let figures = figures(stand, pool, server);
    let overlay = &stand.overlay;
    let lease = overlay.leases.iter().find(|l| l.pool == pool.name && l.key == server.key);
    let addresses: Vec<String> = server.addresses.iter().map(ToString::to_string).collect();
    let checks = stand.checks.of(&pool.name, &server.key).unwrap_or_default();
    json!({
        "pool": pool.name,
        "address": server.key,
        "resolved": addresses,
        "owner": lease.map(|lease| &lease.owner),
        "weight": server.config.weight,
        "priority": server.config.priority,
        "state": figures.state,
        "standing": figures.standing(),
        "check": figures.check,
        "ejected_seconds": figures.ejected.map(|time| time.as_secs_f64()),
        "breaker": figures.breaker,
        "limit": figures.limit,
        "in_flight": figures.in_flight,
        "connections": figures.connections,
        "requests": figures.requests,
        "failures": figures.failures,
        "checks": checks.iter().map(show_check).collect::<Vec<Value>>(),
    })
}

fn show_check(made: &Made) -> Value {
    let (result, got) = match &made.result {
        Came::Passed => ("passed", None),
        Came::Failed(got) => ("failed", Some(got)),
        Came::NotMade(why) => ("not_made", Some(why)),
    };
    json!({
        "at": seconds(made.at),
        "took_seconds": made.took.as_secs_f64(),
        "result": result,
        "got": got,
    })
}

fn show_refused(refused: &Refusal) -> Value {
    json!({ "at": seconds(refused.at), "author": refused.author, "why": refused.why })
}

/// Since 1970.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// GET /v1/drains
pub(crate) async fn drains(call: Call) -> Answered {
    let view = call.api.view();
    Ok(Reply::ok(view.drains.iter().map(show_drain).collect(), view.stand.version))
}

fn show_drain(drain: &DrainView) -> Value {
    let (target, removed) = match &drain.what {
        What::Server { pool, server, removed } => {
            (json!({ "server": { "pool": pool, "server": server } }), *removed)
        }
        What::Listener { name, removed } => (json!({ "listener": name }), *removed),
    };
    json!({
        "target": target,
        "removed": removed,
        "since_seconds": drain.elapsed.as_secs_f64(),
        "left": drain.left,
        "requests_cut_in_seconds": drain.requests_in.map(|time| time.as_secs_f64()),
        "tunnels_cut_in_seconds": drain.tunnels_in.map(|time| time.as_secs_f64()),
    })
}

/// GET /v1/history
pub(crate) async fn history(call: Call) -> Answered {
    let stand = call.api.stand();
    let one = |past: &Past| show_past(past, stand.version);
    Ok(Reply::ok(stand.history.iter().map(one).collect(), stand.version))
}

/// GET /v1/history/{version}
pub(crate) async fn version(call: Call) -> Answered {
    let stand = call.api.stand();
    let wanted = call.path("version");
    let found = stand.history.iter().find(|past| past.version.to_string() == wanted);
    let past =
        found.ok_or_else(|| Problem::missing(format!("the history has no version `{wanted}`")))?;
    Ok(Reply::ok(show_past(past, stand.version), stand.version))
}

fn show_past(past: &Past, current: u64) -> Value {
    json!({
        "version": past.version,
        "current": past.version == current,
        "at": seconds(past.at),
        "author": past.author,
        "changes": past.changes,
    })
}
