//! The operations that change what is wanted. Each is written as the entry of `POST /v1/changes`
//! that it stands for, so there is one way to say a change and one place that decides about it: the
//! control actor.

use std::path::PathBuf;

use axum::http::{StatusCode, header};
use serde_json::{Map, Value, json};

use super::fragment;
use super::operation::{Call, Reply};
use super::problem::Problem;
use crate::control::op::Op;
use crate::control::{Applied, Change, Kept, Refused, Rollback};
use crate::upgrade::Order;

type Answered = Result<Reply, Problem>;

/// POST /v1/pools/{pool}/servers
pub(crate) async fn add_servers(call: Call) -> Answered {
    let op =
        json!({ "op": "add_servers", "pool": call.path("pool"), "servers": call.body["servers"] });
    apply(call, vec![op]).await
}

/// PUT /v1/pools/{pool}/servers
pub(crate) async fn replace_servers(call: Call) -> Answered {
    let op = json!({ "op": "replace_servers", "pool": call.path("pool"), "servers": call.body["servers"] });
    apply(call, vec![op]).await
}

/// DELETE /v1/pools/{pool}/servers/{server}
pub(crate) async fn remove_server(call: Call) -> Answered {
    let op =
        json!({ "op": "remove_server", "pool": call.path("pool"), "server": call.path("server") });
    apply(call, vec![op]).await
}

/// PATCH /v1/pools/{pool}/servers/{server}
pub(crate) async fn patch_server(call: Call) -> Answered {
    let (pool, server) = (call.path("pool"), call.path("server"));
    let given = |name: &str| call.body.get(name).filter(|value| !value.is_null()).cloned();
    let mut ops = Vec::new();
    if let Some(weight) = given("weight") {
        ops.push(json!({ "op": "weight", "pool": pool, "server": server, "weight": weight }));
    }
    let state = given("state");
    let how = [("mode", given("mode")), ("deadline", given("deadline"))];
    if state.as_ref().is_none_or(|state| state != "draining")
        && how.iter().any(|(_, v)| v.is_some())
    {
        return Err(Problem::bad("bad-body", "`mode` and `deadline` are for `state: draining`"));
    }
    if let Some(state) = state {
        let word = match state.as_str() {
            Some("enabled") => "enable",
            Some("disabled") => "disable",
            _ => "drain",
        };
        let target = json!({ "server": { "pool": pool, "server": server } });
        let mut op = json!({ "op": word, "target": target });
        add(&mut op, how);
        ops.push(op);
    }
    if ops.is_empty() {
        return Err(Problem::bad("bad-body", "this changes nothing: give `weight` or `state`"));
    }
    apply(call, ops).await
}

fn add<'n>(op: &mut Value, members: impl IntoIterator<Item = (&'n str, Option<Value>)>) {
    if let Value::Object(op) = op {
        op.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
}

/// PUT /v1/pools/{pool}
pub(crate) async fn put_pool(call: Call) -> Answered {
    let name = call.path("pool");
    fragment::check_pool(&call.text).map_err(invalid)?;
    let op = json!({ "op": "put_pool", "name": name, "spec": call.body });
    apply(call, vec![op]).await
}

/// DELETE /v1/pools/{pool}
pub(crate) async fn remove_pool(call: Call) -> Answered {
    let op = json!({ "op": "remove_pool", "name": call.path("pool") });
    apply(call, vec![op]).await
}

/// PUT /v1/routes/{route}
pub(crate) async fn put_route(call: Call) -> Answered {
    let name = call.path("route");
    fragment::check_route(&call.text, &call.api.stand().config).map_err(invalid)?;
    let named = call.body.get("name");
    if named.is_some_and(|named| named != name) {
        let detail = format!("the path calls this route `{name}`, its `name` does not");
        return Err(Problem::bad("bad-body", detail).help("leave `name` out"));
    }
    let op = json!({ "op": "put_route", "name": name, "spec": call.body });
    apply(call, vec![op]).await
}

/// DELETE /v1/routes/{route}
pub(crate) async fn remove_route(call: Call) -> Answered {
    let op = json!({ "op": "remove_route", "name": call.path("route") });
    apply(call, vec![op]).await
}

/// POST /v1/drains
pub(crate) async fn drain(call: Call) -> Answered {
    let mut op = json!({ "op": "drain" });
    add(&mut op, ["target", "mode", "deadline"].map(|name| (name, call.body.get(name).cloned())));
    apply(call, vec![op]).await
}

/// POST /v1/changes
pub(crate) async fn all(call: Call) -> Answered {
    let changes = call.body["changes"].as_array().cloned().unwrap_or_default();
    if changes.is_empty() {
        return Err(Problem::bad("bad-body", "`changes` holds none"));
    }
    apply(call, changes).await
}

async fn apply(call: Call, ops: Vec<Value>) -> Answered {
    let several = ops.len() > 1;
    let read = |(at, mut op): (usize, Value)| {
        // Times as the file has them have been checked; there they are seconds.
        if let Some(time) =
            op["deadline"].as_str().and_then(|text| evenkeel_config::duration(text).ok())
        {
            op["deadline"] = time.as_secs_f64().into();
        }
        let word = op["op"].as_str().unwrap_or_default().to_owned();
        serde_json::from_value::<Op>(op).map_err(|error| {
            let which =
                if several { format!("change {} (`{word}`): ", at + 1) } else { String::new() };
            Problem::bad("bad-body", format!("{which}{error}"))
        })
    };
    let ops = ops.into_iter().enumerate().map(read).collect::<Result<Vec<Op>, _>>()?;
    let author = call.who.name().to_owned();
    let change = Change { ops, if_version: call.if_match, dry_run: call.dry_run, author };
    answer(&call, call.api.control.change(change).await)
}

/// POST /v1/reload
pub(crate) async fn reload(call: Call) -> Answered {
    if call.dry_run {
        return Err(Problem::bad("bad-query", "a reload cannot be tried without doing it")
            .help("`evenkeel check FILE` says what is wrong with a file"));
    }
    answer(&call, call.api.control.reload(call.who.name()).await)
}

/// POST /v1/rollback
pub(crate) async fn rollback(call: Call) -> Answered {
    let to = call.body["version"].as_u64().unwrap_or_default();
    let author = call.who.name().to_owned();
    let order = Rollback { to, if_version: call.if_match, dry_run: call.dry_run, author };
    answer(&call, call.api.control.rollback(order).await)
}

/// POST /v1/upgrade
pub(crate) async fn upgrade(call: Call) -> Answered {
    let exec = call.body["exec"].as_str().map(PathBuf::from);
    let mut order = Order { exec, ..Order::default() };
    if let Some(timeout) = call.body["timeout"].as_str() {
        order.timeout =
            evenkeel_config::duration(timeout).map_err(|why| Problem::bad("bad-value", why))?;
    }
    match call.api.control.upgrade(order).await {
        Ok(upgraded) => {
            let body = json!({ "pid": upgraded.pid, "version": upgraded.version });
            Ok(Reply::ok(body, call.api.version()))
        }
        Err(refused) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let step = serde_json::to_value(refused.step).unwrap_or_default();
            Err(Problem::new(status, "upgrade-failed", refused.to_string()).with("step", step))
        }
    }
}

fn answer(call: &Call, result: Result<Applied, Refused>) -> Answered {
    let applied = result.map_err(refused)?;
    let kept = match &applied.kept {
        Kept::NotAsked => "not_asked",
        Kept::Surely => "kept",
        Kept::Failed(_) => "failed",
    };
    let inert: Vec<String> =
        applied.inert.iter().map(|inert| format!("{}: {}", inert.what, inert.why)).collect();
    let mut warnings = applied.warnings.clone();
    if let Kept::Failed(why) = &applied.kept {
        warnings.push(format!("a restart will not find this: {why}"));
    }
    let mut body = Map::new();
    body.insert("version".into(), applied.version.into());
    body.insert("changed".into(), applied.changed.into());
    body.insert("dry_run".into(), call.dry_run.into());
    body.insert("changes".into(), applied.changes.clone().into());
    body.insert("warnings".into(), warnings.into());
    body.insert("inert".into(), inert.into());
    body.insert("kept".into(), kept.into());
    Ok(Reply::ok(Value::Object(body), applied.version))
}

fn invalid(report: evenkeel_config::Report) -> Problem {
    Problem::of_report(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &report)
}

/// Why the control actor made no change.
pub(crate) fn refused(refused: Refused) -> Problem {
    match refused {
        Refused::Conflict { version } => super::router::changed_since(version),
        Refused::Invalid(report) => invalid(report),
        Refused::NotFound(what) => Problem::missing(what),
        Refused::Impossible(why) => Problem::new(StatusCode::CONFLICT, "impossible", why),
        Refused::Busy(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", why)
            .header(header::RETRY_AFTER, "1"),
    }
}
