//! Services that register themselves: a server, and the requests it serves, for as long as they
//! keep saying so. What a token may claim is decided in `claim`; leases are kept, and expire, where
//! everything that is wanted is kept.

use std::time::Duration;

use axum::http::StatusCode;
use evenkeel_config::model::Registration;
use serde_json::{Value, json};

use super::guard::Who;
use super::operation::{Call, Reply};
use super::problem::Problem;
use super::{change, claim, fragment};
use crate::control::op::Op;
use crate::control::{Applied, Change};

type Answered = Result<Reply, Problem>;

/// PUT /v1/register/{pool}/{address}
pub(crate) async fn register(call: Call) -> Answered {
    let registration = owner(&call)?;
    let pool = call.path("pool").to_owned();
    claim::pool(&registration, &pool).map_err(beyond)?;
    let address = claim::address(&registration, call.path("address"), call.peer).map_err(beyond)?;
    let ttl = lease_time(&call, &registration)?;
    let routes = routes(&call, &registration)?;
    let address = address.to_string();
    bound(&call, &registration, &pool, &address)?;
    let mut server = json!({ "address": address });
    if let Some(weight) = call.body.get("weight") {
        server["weight"] = weight.clone();
    }
    let op = json!({
        "op": "register",
        "pool": pool,
        "server": server,
        "ttl": ttl.as_secs_f64(),
        "owner": registration.name,
        "routes": routes,
    });
    let applied = apply(&call, op).await?;
    Ok(lease(&applied, &pool, &address, ttl))
}

/// DELETE /v1/register/{pool}/{address}
pub(crate) async fn deregister(call: Call) -> Answered {
    let registration = owner(&call)?;
    let pool = call.path("pool").to_owned();
    claim::pool(&registration, &pool).map_err(beyond)?;
    let address = claim::address(&registration, call.path("address"), call.peer).map_err(beyond)?;
    let address = address.to_string();
    let op = json!({
        "op": "deregister", "pool": pool, "server": address, "owner": registration.name,
    });
    let applied = apply(&call, op).await?;
    Ok(lease(&applied, &pool, &address, Duration::ZERO))
}

fn owner(call: &Call) -> Result<Registration, Problem> {
    match &call.who {
        Who::Service(registration) => Ok((**registration).clone()),
        _ => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "this needs a registration token"))
        }
    }
}

fn beyond(why: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "beyond-claim", why)
        .help("what a service may claim is in `admin: registrations` of the configuration")
}

fn lease_time(call: &Call, registration: &Registration) -> Result<Duration, Problem> {
    let text = call.body["ttl"].as_str().unwrap_or_default();
    let ttl = evenkeel_config::duration(text).map_err(|why| Problem::bad("bad-value", why))?;
    match ttl <= registration.ttl_max {
        true => Ok(ttl),
        false => Err(beyond(format!("a lease of {text}: at most {:?}", registration.ttl_max))),
    }
}

/// The routes it claims, as a configuration has them; that they lead to its pool is understood.
fn routes(call: &Call, registration: &Registration) -> Result<Vec<Value>, Problem> {
    let config = call.api.stand().config.clone();
    let claimed = call.body["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |(at, route): (usize, &Value)| {
        let written = &route["match"];
        let matches = fragment::read_match(&written.to_string(), &config).map_err(|report| {
            Problem::of_report(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &report)
        })?;
        claim::route(registration, &matches)
            .map_err(|why| beyond(format!("route {}: {why}", at + 1)))?;
        Ok(json!({ "match": written }))
    };
    claimed.iter().enumerate().map(one).collect()
}

/// A token that leaked cannot fill the memory.
fn bound(
    call: &Call,
    registration: &Registration,
    pool: &str,
    address: &str,
) -> Result<(), Problem> {
    let stand = call.api.stand();
    let leases = stand.overlay.leases.iter().filter(|lease| lease.owner == registration.name);
    let others = leases.filter(|lease| lease.pool != pool || lease.key != address).count();
    match others < registration.servers_max as usize {
        true => Ok(()),
        false => {
            let detail = format!("`{}` has registered {others} servers already", registration.name);
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-servers", detail))
        }
    }
}

async fn apply(call: &Call, op: Value) -> Result<Applied, Problem> {
    let op: Op =
        serde_json::from_value(op).map_err(|error| Problem::bad("bad-body", error.to_string()))?;
    let author = call.who.name().to_owned();
    let change = Change { ops: vec![op], if_version: None, dry_run: false, author };
    call.api.control.change(change).await.map_err(change::refused)
}

fn lease(applied: &Applied, pool: &str, address: &str, ttl: Duration) -> Reply {
    let body = json!({
        "version": applied.version,
        "changed": applied.changed,
        "pool": pool,
        "address": address,
        "ttl_seconds": ttl.as_secs_f64(),
        "renew_seconds": ttl.as_secs_f64() / 3.0,
    });
    Reply::ok(body, applied.version)
}
