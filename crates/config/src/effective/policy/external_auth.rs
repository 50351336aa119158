//! `external_auth`.

use serde_json::{Value, json};

use crate::effective::literal;
use crate::model::{Config, ExternalAuth};
use crate::read::show_duration;

pub(super) fn write(auth: &ExternalAuth, config: &Config) -> Value {
    let pool = config.pools.get(auth.pool.0 as usize).map_or("", |pool| pool.name.as_str());
    json!({
        "pool": pool,
        "path": literal(&auth.path),
        "timeout": show_duration(auth.timeout),
        "send": auth.send,
        "copy": auth.copy,
        "answer": auth.answer,
        "without_answer": if auth.fail_open { "allow" } else { "deny" },
        "remember": show_duration(auth.remember),
        "remember_by": auth.remember_by,
    })
}
