//! What a pool does when servers fail or are full, and clients that stay with a server, written out.

use serde_json::{Map, Value, json};

use super::pool::{prefix, table};
use super::{literal, optional};
use crate::model::{
    Adaptive, Breaker, ErrorBreaker, FailureRate, HashKey, Outlier, Pool, Retry, SameSite, Sticky,
    StickyCookie,
};
use crate::read::show_duration;

pub(super) fn of_pool(pool: &Pool) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("outlier".into(), pool.outlier.as_ref().map_or(json!(false), outlier));
    map.insert("breaker".into(), breaker(&pool.breaker));
    let queue = json!({ "max": pool.queue.max, "timeout": show_duration(pool.queue.timeout) });
    map.insert("queue".into(), queue);
    map.insert("slow_start".into(), show_duration(pool.slow_start).into());
    map.insert("panic_threshold".into(), pool.panic_threshold.into());
    map.insert("retry".into(), retry(&pool.retry));
    let hedge = pool.hedge.as_ref().map_or(json!(false), |hedge| {
        hedge.delay.map_or(json!(true), |delay| json!({ "delay": show_duration(delay) }))
    });
    map.insert("hedge".into(), hedge);
    map.extend(pool.sticky.as_ref().map(|by| ("sticky".to_owned(), sticky(by))));
    map
}

fn retry(retry: &Retry) -> Value {
    let words =
        [("connect", retry.on.connect), ("reset", retry.on.reset), ("timeout", retry.on.timeout)];
    let words = words.into_iter().filter(|(_, on)| *on).map(|(word, _)| Value::from(word));
    let on: Value = words.chain(retry.on.statuses.iter().map(|status| (*status).into())).collect();
    let mut map = Map::new();
    map.insert("attempts".into(), retry.attempts.into());
    map.insert("on".into(), on);
    map.insert("non_idempotent".into(), retry.non_idempotent.into());
    map.extend(
        retry.try_timeout.map(|time| ("try_timeout".to_owned(), show_duration(time).into())),
    );
    map.insert("backoff".into(), show_duration(retry.backoff).into());
    map.insert("backoff_max".into(), show_duration(retry.backoff_max).into());
    let budget = json!({ "ratio": retry.budget.ratio, "min": retry.budget.min });
    map.insert("budget".into(), budget);
    map.into()
}

fn outlier(outlier: &Outlier) -> Value {
    let rate = |rate: &FailureRate| Value::from(failure_rate(rate));
    let mut map = Map::new();
    map.insert("consecutive".into(), outlier.consecutive.into());
    map.insert("rate".into(), outlier.rate.as_ref().map_or(json!(false), rate));
    map.extend(outlier.mark_down.map(|time| ("mark_down".to_owned(), show_duration(time).into())));
    map.insert("eject".into(), show_duration(outlier.eject).into());
    map.insert("eject_max".into(), show_duration(outlier.eject_max).into());
    map.insert("ejected_max".into(), outlier.ejected_max.into());
    map.into()
}

fn failure_rate(rate: &FailureRate) -> Map<String, Value> {
    Map::from_iter([
        ("share".to_owned(), rate.share.into()),
        ("requests_min".to_owned(), rate.requests_min.into()),
        ("window".to_owned(), show_duration(rate.window).into()),
    ])
}

fn breaker(breaker: &Breaker) -> Value {
    let limits = [
        ("in_flight", breaker.in_flight),
        ("server_in_flight", breaker.server_in_flight),
        ("server_connections", breaker.server_connections),
    ];
    let limit = |(key, limit): (&str, Option<u32>)| Some((key.to_owned(), limit?.into()));
    let mut map: Map<String, Value> = limits.into_iter().filter_map(limit).collect();
    let errors =
        |errors: &Option<ErrorBreaker>| errors.as_ref().map_or(json!(false), error_breaker);
    map.insert("errors".into(), errors(&breaker.errors));
    map.insert("server_errors".into(), errors(&breaker.server_errors));
    map.insert("adaptive".into(), breaker.adaptive.as_ref().map_or(json!(false), adaptive));
    map.into()
}

fn error_breaker(breaker: &ErrorBreaker) -> Value {
    let mut map = failure_rate(&breaker.rate);
    map.insert("open".into(), show_duration(breaker.open).into());
    map.insert("probes".into(), breaker.probes.into());
    map.into()
}

fn adaptive(adaptive: &Adaptive) -> Value {
    json!({
        "initial": adaptive.initial,
        "min": adaptive.min,
        "max": adaptive.max,
        "tolerance": adaptive.tolerance,
    })
}

fn sticky(sticky: &Sticky) -> Value {
    let (mut map, hashing) = match sticky {
        Sticky::Cookie(settings) => return json!({ "cookie": cookie(settings) }),
        Sticky::Source(network, hashing) => {
            (Map::from_iter([("source".to_owned(), Value::from(prefix(*network)))]), hashing)
        }
        Sticky::Key(key, hashing) => {
            let (way, name) = match key {
                HashKey::Header(name) => ("header", name.as_str()),
                HashKey::Query(name) => ("query", name.as_str()),
                HashKey::Cookie(name) => ("app_cookie", name.as_str()),
                HashKey::ClientIp | HashKey::Connection | HashKey::Path => ("source", ""), // nothing that can be written
            };
            (Map::from_iter([(way.to_owned(), literal(name))]), hashing)
        }
    };
    map.extend(table(hashing));
    map.into()
}

fn cookie(cookie: &StickyCookie) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), literal(&cookie.name));
    map.extend(cookie.ttl.map(|ttl| ("ttl".to_owned(), show_duration(ttl).into())));
    map.insert("path".into(), literal(&cookie.path));
    map.extend(optional("domain", cookie.domain.as_deref()));
    map.insert("secure".into(), cookie.secure.map_or(json!("auto"), Value::from));
    map.insert("http_only".into(), cookie.http_only.into());
    let same_site = match cookie.same_site {
        SameSite::Strict => "strict",
        SameSite::Lax => "lax",
        SameSite::None => "none",
    };
    map.insert("same_site".into(), same_site.into());
    if !cookie.keys.is_empty() {
        map.insert("keys".into(), cookie.keys.iter().map(|key| key.shown()).collect());
    }
    map.into()
}
