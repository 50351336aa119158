//! `cache`.

use serde_json::{Map, Value, json};

use crate::effective::literal;
use crate::model::Cache;
use crate::read::{show_duration, show_size};

pub(super) fn write(cache: &Cache) -> Value {
    let literals = |names: &[String]| names.iter().map(|n| literal(n)).collect::<Vec<_>>();
    let statuses: Map<_, _> = cache
        .statuses
        .iter()
        .map(|(status, ttl)| (status.to_string(), json!(show_duration(*ttl))))
        .collect();
    let mut key = Map::new();
    if let Some(only) = &cache.key.only_query {
        key.insert("only_query".into(), literals(only).into());
    } else if !cache.key.ignore_query.is_empty() {
        key.insert("ignore_query".into(), literals(&cache.key.ignore_query).into());
    }
    key.insert("fields".into(), json!(cache.key.fields));
    key.insert("cookies".into(), literals(&cache.key.cookies).into());
    let mut all = json!({
        "size": show_size(cache.size),
        "max_object": show_size(cache.max_object),
        "statuses": statuses,
        "heuristic_max": show_duration(cache.heuristic_max),
        "stale_while_revalidate": show_duration(cache.stale_while_revalidate),
        "stale_if_error": show_duration(cache.stale_if_error),
        "hit_for_miss": show_duration(cache.hit_for_miss),
        "key": key,
        "bypass": {
            "fields": cache.bypass.fields,
            "cookies": literals(&cache.bypass.cookies),
        },
        "strip_cookies": cache.strip_cookies,
        "client_control": cache.client_control,
        "tags": cache.tags,
        "status_field": cache.status_field,
    });
    if let (Some(ttl), Some(all)) = (cache.default_ttl, all.as_object_mut()) {
        all.insert("default_ttl".into(), json!(show_duration(ttl)));
    }
    all
}
