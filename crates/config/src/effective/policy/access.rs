//! `access`.

use serde_json::{Map, Value, json};

use crate::effective::literal;
use crate::model::Access;

pub(super) fn write(access: &Access) -> Value {
    let networks = |all: &[ipnet::IpNet]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut map = Map::new();
    map.insert("allow".into(), json!(networks(&access.allow)));
    map.insert("deny".into(), json!(networks(&access.deny)));
    for (key, file) in [("allow_file", &access.allow_file), ("deny_file", &access.deny_file)] {
        if let Some(file) = file {
            map.insert(key.into(), literal(file));
        }
    }
    map.insert("others".into(), json!(if access.others { "allow" } else { "deny" }));
    map.into()
}
