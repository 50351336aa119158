//! `concurrency_limit`.

use serde_json::{Map, Value};

use super::rate_limit::write_key;
use crate::model::ConcurrencyLimit;
use crate::read::show_size;

pub(super) fn write(limit: &ConcurrencyLimit) -> Value {
    let mut map = Map::new();
    map.insert("max".into(), limit.max.into());
    write_key(&limit.key, &mut map);
    if !limit.allow.is_empty() {
        map.insert("allow".into(), limit.allow.iter().map(ToString::to_string).collect());
    }
    map.insert("dry_run".into(), limit.dry_run.into());
    map.insert("memory".into(), show_size(limit.memory).into());
    map.into()
}
