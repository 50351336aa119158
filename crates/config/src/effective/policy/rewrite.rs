//! `rewrite` and `redirect`.

use serde_json::{Map, Value, json};

use crate::effective::{literal, template};
use crate::model::{Canonical, PathRewrite, Rewrite, Www};

pub(super) fn write(rewrite: &Rewrite) -> Value {
    let mut map = Map::new();
    match &rewrite.path {
        None => {}
        Some(PathRewrite::Prefix { from, to }) if to.is_empty() => {
            map.insert("strip_prefix".into(), path(from));
        }
        Some(PathRewrite::Prefix { from, to }) => {
            map.insert("replace_prefix".into(), json!({ "from": path(from), "to": path(to) }));
        }
        Some(PathRewrite::Set(path)) => {
            map.insert("path".into(), template(path));
        }
        Some(PathRewrite::Regex { pattern, to }) => {
            let pattern = literal(pattern.0.as_str());
            map.insert("regex".into(), json!({ "pattern": pattern, "to": literal(to) }));
        }
    }
    if !rewrite.query.is_none() {
        let all = |names: &[String]| names.iter().map(|name| literal(name)).collect::<Value>();
        let set = rewrite.query.set.iter().map(|(name, value)| (name.clone(), template(value)));
        let mut query = Map::new();
        query.extend(rewrite.query.keep.iter().map(|keep| ("keep".to_owned(), all(keep))));
        query.insert("remove".into(), all(&rewrite.query.remove));
        query.insert("set".into(), set.collect::<Map<_, _>>().into());
        map.insert("query".into(), query.into());
    }
    map.extend(rewrite.host.iter().map(|host| ("host".to_owned(), template(host))));
    map.into()
}

/// As it is written: `/` is stored as nothing.
pub(super) fn path(path: &str) -> Value {
    literal(if path.is_empty() { "/" } else { path })
}

pub(super) fn write_redirect(canonical: &Canonical) -> Value {
    json!({
        "https": canonical.https,
        "port": canonical.port,
        "www": match canonical.www { Www::Keep => "keep", Www::Add => "add", Www::Remove => "remove" },
        "status": canonical.status,
    })
}
