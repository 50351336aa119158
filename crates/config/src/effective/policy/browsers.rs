//! What browsers are told: `cookies`, `security_fields`, `cors`.

use serde_json::{Map, Value, json};

use super::rewrite::path;
use crate::effective::literal;
use crate::model::{CookiePath, Cookies, Cors, Frame, Origin, SameSite, SecurityFields};
use crate::read::show_duration;

pub(super) fn cookies(cookies: &Cookies) -> Value {
    let mut map = Map::new();
    if !cookies.names.is_empty() {
        map.insert("names".into(), cookies.names.iter().map(|name| literal(name)).collect());
    }
    map.extend(cookies.domain.iter().map(|domain| ("domain".to_owned(), literal(domain))));
    match &cookies.path {
        None => {}
        Some(CookiePath::Set(path)) => _ = map.insert("path".into(), literal(path)),
        Some(CookiePath::Replace { from, to }) => {
            map.insert("path".into(), json!({ "from": path(from), "to": path(to) }));
        }
    }
    for (key, flag) in [
        ("secure", cookies.secure),
        ("http_only", cookies.http_only),
        ("partitioned", cookies.partitioned),
    ] {
        map.extend(flag.map(|flag| (key.to_owned(), flag.into())));
    }
    if let Some(same_site) = cookies.same_site {
        let word = match same_site {
            SameSite::Strict => "strict",
            SameSite::Lax => "lax",
            SameSite::None => "none",
        };
        map.insert("same_site".into(), word.into());
    }
    map.into()
}

pub(super) fn security_fields(fields: &SecurityFields) -> Value {
    json!({
        "hsts": show_duration(fields.hsts),
        "nosniff": fields.nosniff,
        "frame": match fields.frame {
            Frame::Deny => "deny",
            Frame::SameOrigin => "same_origin",
            Frame::Off => "off",
        },
        "referrer": literal(&fields.referrer),
        "permissions": literal(&fields.permissions),
        "csp": literal(&fields.csp),
        "remove": fields.remove,
        "replace": fields.replace,
    })
}

pub(super) fn cors(cors: &Cors) -> Value {
    let origin = |origin: &Origin| match origin {
        Origin::Any => "*".to_owned(),
        Origin::Exact(origin) => origin.clone(),
        Origin::Below { scheme, parent } => format!("{scheme}*.{parent}"),
    };
    let all = |names: &[String]| names.iter().map(|name| literal(name)).collect::<Value>();
    json!({
        "origins": cors.origins.iter().map(origin).collect::<Vec<_>>(),
        "methods": all(&cors.methods),
        "headers": all(&cors.headers),
        "expose": all(&cors.expose),
        "credentials": cors.credentials,
        "max_age": show_duration(cors.max_age),
        "private_network": cors.private_network,
    })
}
