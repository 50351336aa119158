//! A configuration written out with every default filled in. Loads back to the same configuration,
//! so it can be kept as a file.

use serde_json::{Map, Value, json};

use crate::model::{
    AccessLog, Action, Balance, Config, Edits, EncodedSlash, HashKey, HashKind, HashTable,
    HostMatch, HostRewrite, Listener, LogFormat, LogTarget, Match, PathMatch, Policy, PolicyKind,
    Pool, Redirect, RedirectPart, Route, ValueMatch,
};
use crate::read::{show_duration, show_size};

/// The configuration as YAML.
pub fn effective(config: &Config) -> String {
    let mut root = Map::new();
    if let Some(workers) = config.workers {
        root.insert("workers".into(), json!(workers));
    }
    root.insert(
        "shutdown".into(),
        json!({
            "drain": show_duration(config.shutdown.drain),
            "drain_tunnels": show_duration(config.shutdown.drain_tunnels),
        }),
    );
    let named = |entries: Vec<(&str, Value)>| -> Value {
        entries
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>()
            .into()
    };
    root.insert(
        "listeners".into(),
        named(config.listeners.iter().map(|l| (l.name.as_str(), listener(l, config))).collect()),
    );
    root.insert("routes".into(), config.routes.iter().map(|r| route(r, config)).collect());
    if !config.pools.is_empty() {
        let pools = config.pools.iter().map(|p| (p.name.as_str(), pool(p))).collect();
        root.insert("pools".into(), named(pools));
    }
    if !config.policies.is_empty() {
        let policies = config.policies.iter().map(|p| (p.name.as_str(), policy(p))).collect();
        root.insert("policies".into(), named(policies));
    }
    let mut text = String::new();
    write(&Value::Object(root), 0, &mut text);
    text
}

/// The user may have written anything that looks like a variable; doubled, it is read as it is.
fn literal(text: &str) -> Value {
    text.replace('$', "$$").into()
}

fn policies(ids: &[crate::model::PolicyId], config: &Config) -> Value {
    ids.iter().filter_map(|id| config.policies.get(id.0 as usize)).map(|p| json!(p.name)).collect()
}

fn listener(listener: &Listener, config: &Config) -> Value {
    let (limits, times) = (&listener.limits, &listener.timeouts);
    let strings = |all: Vec<String>| -> Value { all.into_iter().map(Value::from).collect() };
    let mut limit = Map::new();
    if let Some(connections) = limits.connections {
        limit.insert("connections".into(), connections.into());
    }
    limit.insert("connections_per_ip".into(), limits.connections_per_ip.into());
    limit.insert("head".into(), show_size(limits.head as u64).into());
    limit.insert("request_line".into(), show_size(limits.request_line as u64).into());
    limit.insert("fields".into(), limits.fields.into());
    if let Some(body) = limits.body {
        limit.insert("body".into(), show_size(body).into());
    }
    limit.insert("requests_per_connection".into(), limits.requests_per_connection.into());
    json!({
        "bind": strings(listener.bind.iter().map(ToString::to_string).collect()),
        "trusted_proxies": strings(listener.trusted_proxies.iter().map(ToString::to_string).collect()),
        "limits": limit,
        "timeouts": {
            "head": show_duration(times.head),
            "head_rate_min": show_size(times.head_rate_min),
            "body_idle": show_duration(times.body_idle),
            "body_rate_min": show_size(times.body_rate_min),
            "send_idle": show_duration(times.send_idle),
            "send_rate_min": show_size(times.send_rate_min),
            "idle": show_duration(times.idle),
            "age_max": show_duration(times.age_max),
        },
        "identity": {
            "x_forwarded": listener.identity.x_forwarded,
            "forwarded": listener.identity.forwarded,
            "via": listener.identity.via.clone().map_or(json!(false), Value::from),
            "request_id": listener.identity.request_id,
        },
        "path": {
            "encoded_slash": match listener.path.encoded_slash {
                EncodedSlash::Reject => "reject",
                EncodedSlash::Keep => "keep",
                EncodedSlash::Decode => "decode",
            },
            "merge_slashes": listener.path.merge_slashes,
        },
        "policies": policies(&listener.policies, config),
    })
}

fn route(route: &Route, config: &Config) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), literal(&route.name));
    if route.matches != Match::All(Vec::new()) {
        map.insert("match".into(), matches(&route.matches, config));
    }
    let pool =
        |id: &crate::model::PoolId| config.pools.get(id.0 as usize).map_or("", |p| p.name.as_str());
    match &route.action {
        Action::Pool(id) => map.insert("to".into(), pool(id).into()),
        Action::Split(shares) => {
            let split: Map<_, _> =
                shares.iter().map(|(id, weight)| (pool(id).to_owned(), json!(weight))).collect();
            map.insert("to".into(), json!({ "split": split }))
        }
        Action::Redirect(redirect) => map.insert("redirect".into(), self::redirect(redirect)),
        Action::Respond(respond) => map.insert(
            "respond".into(),
            json!({
                "status": respond.status,
                "body": literal(&respond.body),
                "content_type": literal(&respond.content_type),
            }),
        ),
    };
    if !route.policies.is_empty() {
        map.insert("policies".into(), policies(&route.policies, config));
    }
    map.into()
}

fn redirect(redirect: &Redirect) -> Value {
    let mut to = String::new();
    for part in &redirect.to {
        match part {
            RedirectPart::Text(text) => to.push_str(&text.replace('$', "$$")),
            RedirectPart::Host => to.push_str("${host}"),
            RedirectPart::Path => to.push_str("${path}"),
            RedirectPart::PathRest => to.push_str("${path.rest}"),
            RedirectPart::Query => to.push_str("${query}"),
        }
    }
    json!({ "to": to, "status": redirect.status })
}

fn matches(condition: &Match, config: &Config) -> Value {
    let all = |list: &[Match]| -> Value { list.iter().map(|m| matches(m, config)).collect() };
    match condition {
        Match::All(list) => json!({ "all": all(list) }),
        Match::Any(list) => json!({ "any": all(list) }),
        Match::Not(inner) => json!({ "not": matches(inner, config) }),
        Match::Listener(id) => {
            json!({ "listener": config.listeners.get(id.0 as usize).map_or("", |l| &l.name) })
        }
        Match::Host(HostMatch::Exact(name)) => json!({ "host": name }),
        Match::Host(HostMatch::Wildcard(parent)) => json!({ "host": format!("*.{parent}") }),
        Match::Path(PathMatch::Exact(path)) => json!({ "path": { "exact": literal(path) } }),
        Match::Path(PathMatch::Prefix(path)) if path.is_empty() => json!({ "path": "/" }),
        Match::Path(PathMatch::Prefix(path)) => json!({ "path": { "prefix": literal(path) } }),
        Match::Path(PathMatch::Regex(p)) => json!({ "path": { "regex": literal(p.0.as_str()) } }),
        Match::Method(methods) => json!({ "method": methods }),
        Match::Header(name, value) => json!({ "header": { name: self::value(value) } }),
        Match::Cookie(name, value) => json!({ "cookie": { name: self::value(value) } }),
        Match::Query(name, value) => json!({ "query": { name: self::value(value) } }),
        Match::Client(nets) => {
            json!({ "client": nets.iter().map(ToString::to_string).collect::<Vec<_>>() })
        }
    }
}

fn value(value: &ValueMatch) -> Value {
    match value {
        ValueMatch::Present => json!({ "present": true }),
        ValueMatch::Exact(text) => json!({ "exact": literal(text) }),
        ValueMatch::Regex(pattern) => json!({ "regex": literal(pattern.0.as_str()) }),
    }
}

fn pool(pool: &Pool) -> Value {
    let servers: Value = pool
        .servers
        .iter()
        .map(|server| json!({ "address": server.address.to_string(), "weight": server.weight }))
        .collect();
    json!({
        "servers": servers,
        "balance": balance(&pool.balance),
        "host": match &pool.host {
            HostRewrite::Preserve => "preserve",
            HostRewrite::Server => "server",
            HostRewrite::Set(name) => name,
        },
        "timeouts": {
            "connect": show_duration(pool.timeouts.connect),
            "first_byte": show_duration(pool.timeouts.first_byte),
            "idle": show_duration(pool.timeouts.idle),
            "tunnel": show_duration(pool.timeouts.tunnel),
        },
        "keep_alive": {
            "idle_max": pool.keep_alive.idle_max,
            "idle": show_duration(pool.keep_alive.idle),
            "age_max": show_duration(pool.keep_alive.age_max),
        },
        "retry": { "attempts": pool.retry.attempts },
    })
}

fn balance(balance: &Balance) -> Value {
    match balance {
        Balance::RoundRobin => json!("round_robin"),
        Balance::WeightedRoundRobin => json!("weighted_round_robin"),
        Balance::LeastConnections => json!("least_connections"),
        Balance::Random => json!("random"),
        Balance::PowerOfTwo => json!("p2c"),
        Balance::PeakEwma(settings) => json!({ "p2c_ewma": {
            "decay": show_duration(settings.decay),
            "failure_penalty": show_duration(settings.failure_penalty),
        } }),
        Balance::IpHash(hash) => json!({ "ip_hash": table(&hash.table) }),
        Balance::ConsistentHash(hash) => {
            let mut map = Map::new();
            let key = match &hash.key {
                HashKey::ClientIp => json!("client_ip"),
                HashKey::Path => json!("path"),
                HashKey::Header(name) => json!({ "header": name }),
                HashKey::Cookie(name) => json!({ "cookie": literal(name) }),
                HashKey::Query(name) => json!({ "query": literal(name) }),
            };
            map.insert("key".into(), key);
            map.extend(table(&hash.table));
            json!({ "consistent_hash": map })
        }
    }
}

fn table(table: &HashTable) -> Map<String, Value> {
    let mut map = Map::new();
    let kind = match table.kind {
        HashKind::Ring => "ring",
        HashKind::Maglev => "maglev",
    };
    map.insert("table".into(), kind.into());
    if let Some(bound) = table.bounded_load {
        map.insert("bounded_load".into(), bound.into());
    }
    map
}

fn policy(policy: &Policy) -> Value {
    match &policy.kind {
        PolicyKind::Fields(fields) => json!({ "fields": {
            "request": edits(&fields.request),
            "response": edits(&fields.response),
        } }),
        PolicyKind::AccessLog(log) => json!({ "access_log": access_log(log) }),
    }
}

fn edits(edits: &Edits) -> Value {
    let lines = |lines: &[(String, String)]| -> Value {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), literal(value)))
            .collect::<Map<_, _>>()
            .into()
    };
    json!({ "remove": edits.remove, "set": lines(&edits.set), "add": lines(&edits.add) })
}

fn access_log(log: &AccessLog) -> Value {
    json!({
        "format": match log.format { LogFormat::Json => "json", LogFormat::Text => "text" },
        "to": match &log.to {
            LogTarget::Stdout => json!("stdout"),
            LogTarget::Stderr => json!("stderr"),
            LogTarget::File(path) => literal(path),
        },
        "sample": log.sample,
    })
}

/// Block style for what has structure, flow style for what is short.
fn write(value: &Value, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(&Value::from(key.as_str()))));
                write_inner(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut text = String::new();
                write(item, indent + 1, &mut text);
                out.push_str(&format!("{pad}- {}", text.trim_start()));
            }
        }
        other => out.push_str(&format!("{pad}{}\n", scalar(other))),
    }
}

fn write_inner(value: &Value, indent: usize, out: &mut String) {
    let flat = flow(value);
    if flat.len() <= 60 {
        out.push_str(&format!(" {flat}\n"));
    } else {
        out.push('\n');
        write(value, indent + 1, out);
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let all: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{}: {}", scalar(&Value::from(k.as_str())), flow(v)))
                .collect();
            format!("{{ {} }}", all.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        other => scalar(other),
    }
}

/// Quoted, unless it is a word that cannot be taken for anything else.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !matches!(
            text.as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "present"
        );
    if plain { text.clone() } else { value.to_string() }
}
