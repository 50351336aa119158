//! `bandwidth_limit`.

use serde_json::{Map, Value};

use super::rate_limit::write_key;
use crate::model::BandwidthLimit;
use crate::read::show_size;

pub(super) fn write(limit: &BandwidthLimit) -> Value {
    let mut map = Map::new();
    for (name, rate) in [("upload", limit.upload), ("download", limit.download)] {
        map.extend(rate.map(|rate| (name.to_owned(), format!("{}/s", show_size(rate)).into())));
    }
    map.insert("burst".into(), show_size(limit.burst).into());
    if let Some(key) = &limit.key {
        write_key(key, &mut map);
    }
    if !limit.allow.is_empty() {
        map.insert("allow".into(), limit.allow.iter().map(ToString::to_string).collect());
    }
    map.insert("memory".into(), show_size(limit.memory).into());
    map.into()
}
