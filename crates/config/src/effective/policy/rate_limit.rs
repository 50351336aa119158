//! `rate_limit`, and the keys of all limits.

use serde_json::{Map, Value, json};

use crate::effective::{literal, optional};
use crate::model::{KeyPart, KeyRule, RateAlgorithm, RateLimit, SharedLimit, Without};
use crate::rate::show_rate;
use crate::read::{show_duration, show_size};

pub(super) fn write(limit: &RateLimit) -> Value {
    let mut map = Map::new();
    map.insert("rate".into(), show_rate(limit.rate).into());
    let (algorithm, burst) = match limit.algorithm {
        RateAlgorithm::TokenBucket { burst } => ("token_bucket", Some(burst)),
        RateAlgorithm::FixedWindow => ("fixed_window", None),
        RateAlgorithm::SlidingWindow => ("sliding_window", None),
    };
    map.insert("algorithm".into(), algorithm.into());
    map.extend(burst.map(|burst| ("burst".to_owned(), burst.into())));
    write_key(&limit.key, &mut map);
    if !limit.allow.is_empty() {
        map.insert("allow".into(), limit.allow.iter().map(ToString::to_string).collect());
    }
    map.insert("dry_run".into(), limit.dry_run.into());
    map.insert("fields".into(), limit.fields.into());
    map.insert("memory".into(), show_size(limit.memory).into());
    map.extend(limit.shared.as_ref().map(|limit| ("shared".to_owned(), shared(limit))));
    map.into()
}

fn shared(limit: &SharedLimit) -> Value {
    let mut map = Map::new();
    map.insert("server".into(), literal(&limit.store.server));
    map.extend(optional("username", limit.store.username.as_deref()));
    let password = limit.store.password.as_ref().map(|password| password.shown().into());
    map.extend(password.map(|shown| ("password".to_owned(), shown)));
    map.insert("database".into(), limit.store.database.into());
    map.insert("prefix".into(), literal(&limit.prefix));
    map.insert("timeout".into(), show_duration(limit.timeout).into());
    let without = match limit.without {
        Without::Local => "local",
        Without::Allow => "allow",
        Without::Refuse => "refuse",
    };
    map.insert("without".into(), without.into());
    map.into()
}

pub(super) fn write_key(rule: &KeyRule, map: &mut Map<String, Value>) {
    let part = |part: &KeyPart| match part {
        KeyPart::Client(network) => {
            json!({ "client_ip": { "ipv4": network.ipv4, "ipv6": network.ipv6 } })
        }
        KeyPart::Header(name) => json!({ "header": literal(name) }),
        KeyPart::Cookie(name) => json!({ "cookie": literal(name) }),
        KeyPart::Query(name) => json!({ "query": literal(name) }),
        KeyPart::Route => json!("route"),
        KeyPart::Listener => json!("listener"),
    };
    let parts: Vec<_> = rule.parts.iter().map(part).collect();
    map.insert("key".into(), if parts.is_empty() { json!("global") } else { parts.into() });
    map.insert("missing".into(), if rule.skip_missing { "skip" } else { "share" }.into());
}
