//! `body`.

use serde_json::{Map, Value, json};

use crate::model::{Beyond, BodyRules};
use crate::read::show_size;

pub(super) fn write(rules: &BodyRules) -> Value {
    let mut all = Map::new();
    all.extend(rules.max.map(|max| ("max".to_owned(), show_size(max).into())));
    if let Some(buffer) = &rules.buffer {
        let beyond = match buffer.beyond {
            Beyond::Stream => "stream",
            Beyond::Refuse => "refuse",
        };
        let buffer = json!({
            "memory": show_size(buffer.memory),
            "total": show_size(buffer.total),
            "beyond": beyond,
        });
        all.insert("buffer".to_owned(), buffer);
    }
    all.into()
}
