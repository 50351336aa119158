//! A configuration written out with every default filled in. Loads back to the same configuration,
//! so it can be kept as a file, but for secrets: of them it says only where they come from.

mod admin;
mod health;
mod layer4;
mod policy;
mod pool;
mod resilience;
mod tls;
mod upstream_tls;
mod yaml;

use serde_json::{Map, Value, json};

use crate::model::{
    Action, Config, EncodedSlash, HostMatch, Listener, Match, PathMatch, Redirect, Route, Template,
    ValueMatch,
};
use crate::rate::show_rate;
use crate::read::{show_duration, show_size};

/// The configuration as YAML.
pub fn effective(config: &Config) -> String {
    let mut text = String::new();
    yaml::write(&effective_json(config), 0, &mut text);
    text
}

/// The same as JSON, for programs. What looks like a variable is doubled (`$$`), as in a file.
pub fn effective_json(config: &Config) -> Value {
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
    root.insert("watch".into(), config.watch.into());
    if !config.resolvers.is_empty() {
        let resolvers: Vec<_> = config.resolvers.iter().map(ToString::to_string).collect();
        root.insert("resolvers".into(), resolvers.into());
    }
    root.insert("admin".into(), admin::admin(&config.admin));
    root.extend(config.acme.as_ref().map(|acme| ("acme".to_owned(), upstream_tls::acme(acme))));
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
        let pools = config.pools.iter().map(|p| (p.name.as_str(), pool::pool(p))).collect();
        root.insert("pools".into(), named(pools));
    }
    if !config.policies.is_empty() {
        let policies =
            config.policies.iter().map(|p| (p.name.as_str(), policy::policy(p, config))).collect();
        root.insert("policies".into(), named(policies));
    }
    root.into()
}

/// The user may have written anything that looks like a variable; doubled, it is read as it is.
fn literal(text: &str) -> Value {
    text.replace('$', "$$").into()
}

fn optional(key: &str, text: Option<&str>) -> Option<(String, Value)> {
    text.map(|text| (key.to_owned(), literal(text)))
}

/// Paths come from texts, so nothing is lost.
fn path(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
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
    let rate = limits.connection_rate_per_ip.map(|rate| show_rate(rate).into());
    limit.extend(rate.map(|rate| ("connection_rate_per_ip".to_owned(), rate)));
    limit.insert("head".into(), show_size(limits.head as u64).into());
    limit.insert("request_line".into(), show_size(limits.request_line as u64).into());
    limit.insert("fields".into(), limits.fields.into());
    if let Some(body) = limits.body {
        limit.insert("body".into(), show_size(body).into());
    }
    limit.insert("requests_per_connection".into(), limits.requests_per_connection.into());
    let mut map = Map::new();
    let bind = strings(listener.bind.iter().map(ToString::to_string).collect());
    map.insert("bind".into(), bind);
    map.extend(tls::of_listener(listener));
    let rest = json!({
        "trusted_proxies": strings(listener.trusted_proxies.iter().map(ToString::to_string).collect()),
        "limits": limit,
        "timeouts": {
            "handshake": show_duration(times.handshake),
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
    });
    if let Value::Object(rest) = rest {
        map.extend(rest);
    }
    layer4::of_listener(listener, config, &mut map);
    map.into()
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
                "body": template(&respond.body),
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
    json!({ "to": template(&redirect.to), "status": redirect.status })
}

/// A template, as a file has it: a `$` that is meant as it is, is doubled once more there.
fn template(template: &Template) -> Value {
    template.to_string().replace("$$", "$$$$").into()
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
        Match::Country(countries) => json!({ "country": countries }),
        Match::Claim(name, value) => json!({ "claim": { name: self::value(value) } }),
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
