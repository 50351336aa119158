//! `basic_auth` and `api_key`; no secret is shown, nor a hash of one.

use serde_json::{Map, Value, json};

use crate::effective::literal;
use crate::model::{ApiKey, BasicAuth, KeySource, Secret};
use crate::read::show_duration;

pub(super) fn basic_auth(auth: &BasicAuth) -> Value {
    let mut map = Map::new();
    map.insert("realm".into(), literal(&auth.realm));
    if !auth.users.is_empty() {
        map.insert("users".into(), secrets(&auth.users));
    }
    for (key, text) in [("file", &auth.file), ("user_field", &auth.user_field)] {
        map.extend(text.as_ref().map(|text| (key.to_owned(), literal(text))));
    }
    map.insert("pass".into(), auth.pass.into());
    map.insert("remember".into(), show_duration(auth.remember).into());
    map.into()
}

pub(super) fn api_key(keys: &ApiKey) -> Value {
    let mut map = Map::new();
    map.insert("from".into(), source(&keys.from));
    map.insert("keys".into(), secrets(&keys.keys));
    map.extend(keys.owner_field.as_ref().map(|text| ("owner_field".to_owned(), literal(text))));
    map.insert("pass".into(), keys.pass.into());
    map.into()
}

pub(super) fn source(source: &KeySource) -> Value {
    match source {
        KeySource::Header(name) => json!({ "header": name }),
        KeySource::Query(name) => json!({ "query": name }),
        KeySource::Cookie(name) => json!({ "cookie": name }),
    }
}

fn secrets(all: &[(String, Secret)]) -> Value {
    let shown = all.iter().map(|(name, secret)| (name.clone(), secret.shown().into()));
    shown.collect::<Map<_, _>>().into()
}
