//! The admin listener, written out; of secrets only where they come from.

use serde_json::{Map, Value, json};

use super::{literal, path};
use crate::model::{Admin, AdminBind, HostMatch, Registration};
use crate::read::show_duration;

pub(super) fn admin(admin: &Admin) -> Value {
    let mut map = Map::new();
    match &admin.bind {
        AdminBind::Default => None,
        AdminBind::Off => map.insert("bind".into(), "off".into()),
        AdminBind::Unix(socket) => {
            map.insert("bind".into(), literal(&format!("unix:{}", path(socket))))
        }
        AdminBind::Tcp(address) => map.insert("bind".into(), address.to_string().into()),
    };
    let tokens = admin.tokens.iter().map(|token| {
        json!({ "name": token.name, "secret": token.secret.shown(), "read_only": token.read_only })
    });
    map.insert("tokens".into(), tokens.collect());
    map.extend(admin.state.as_ref().map(|state| ("state".to_owned(), literal(&path(state)))));
    map.insert("history".into(), admin.history.into());
    let registrations = admin.registrations.iter().map(registration).collect();
    map.insert("registrations".into(), registrations);
    map.into()
}

fn registration(registration: &Registration) -> Value {
    let hosts = registration.hosts.iter().map(|host| match host {
        HostMatch::Exact(name) => name.clone(),
        HostMatch::Wildcard(parent) => format!("*.{parent}"),
    });
    let paths = registration.paths.iter().map(|path| match path.as_str() {
        "" => "/".into(),
        path => literal(path),
    });
    let mut map = Map::new();
    map.insert("name".into(), literal(&registration.name));
    map.insert("secret".into(), registration.secret.shown().into());
    map.insert("pools".into(), registration.pools.iter().map(|pool| literal(pool)).collect());
    let addresses = registration.addresses.iter().map(ToString::to_string);
    map.insert("addresses".into(), addresses.collect());
    map.insert("hosts".into(), hosts.collect());
    map.insert("paths".into(), paths.collect());
    map.insert("ttl_max".into(), show_duration(registration.ttl_max).into());
    map.insert("servers_max".into(), registration.servers_max.into());
    map.into()
}
