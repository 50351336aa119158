//! `geo`.

use serde_json::{Map, Value, json};

use crate::effective::literal;
use crate::model::Geo;

pub(super) fn write(geo: &Geo) -> Value {
    let mut map = Map::new();
    map.insert("file".into(), literal(&geo.file));
    map.extend(geo.country_field.as_ref().map(|field| ("country_field".to_owned(), json!(field))));
    for (key, list) in [("allow", &geo.allow), ("deny", &geo.deny)] {
        if !list.is_empty() {
            map.insert(key.into(), json!(list));
        }
    }
    map.insert("unknown".into(), json!(if geo.unknown { "allow" } else { "deny" }));
    map.into()
}
