//! `jwt`; no secret is shown.

use serde_json::{Map, Value, json};

use super::credentials::source;
use crate::effective::literal;
use crate::model::{Jwt, KeySource, TokenKeys};
use crate::read::show_duration;

pub(super) fn write(jwt: &Jwt) -> Value {
    let mut map = Map::new();
    match &jwt.keys {
        TokenKeys::Set(place) => drop(map.insert("jwks".into(), literal(place))),
        TokenKeys::Public(file, algorithm) => {
            map.insert("public_key".into(), literal(file));
            map.insert("algorithm".into(), algorithm.name().into());
        }
        TokenKeys::Shared(secret, algorithm) => {
            map.insert("secret".into(), secret.shown().into());
            map.insert("algorithm".into(), algorithm.name().into());
        }
    }
    for (key, list) in [("issuer", &jwt.issuers), ("audience", &jwt.audiences)] {
        if !list.is_empty() {
            map.insert(key.into(), list.iter().map(|text| literal(text)).collect());
        }
    }
    map.insert("leeway".into(), show_duration(jwt.leeway).into());
    if jwt.from != KeySource::Header("authorization".into()) {
        map.insert("from".into(), source(&jwt.from));
    }
    map.insert("required".into(), jwt.required.into());
    let claims = jwt.claims.iter().map(|(claim, field)| (claim.clone(), json!(field)));
    map.insert("claims".into(), claims.collect::<Map<_, _>>().into());
    map.insert("pass".into(), jwt.pass.into());
    map.into()
}
