//! Pools, written out.

use serde_json::{Map, Value, json};

use super::{health, layer4, literal, resilience, upstream_tls};
use crate::model::{
    Address, Balance, Discover, HashKey, HashKind, HashTable, HostRewrite, Pool, Prefix, Server,
};
use crate::read::show_duration;

pub(super) fn pool(pool: &Pool) -> Value {
    let mut map = Map::new();
    map.insert("servers".into(), pool.servers.iter().map(server).collect());
    if let Some(discover) = &pool.discover {
        map.insert("discover".into(), self::discover(discover));
    }
    map.insert("balance".into(), balance(&pool.balance));
    map.insert(
        "host".into(),
        match &pool.host {
            HostRewrite::Preserve => "preserve".into(),
            HostRewrite::Server => "server".into(),
            HostRewrite::Set(name) => name.as_str().into(),
        },
    );
    map.extend(pool.tls.as_ref().map(|tls| ("tls".to_owned(), upstream_tls::tls(tls))));
    map.insert("protocol".into(), upstream_tls::protocol(pool.protocol));
    let proxy_protocol = pool.proxy_protocol.as_ref();
    map.insert("proxy_protocol".into(), layer4::proxy_protocol_out(proxy_protocol));
    let times = &pool.timeouts;
    map.insert(
        "timeouts".into(),
        json!({
            "connect": show_duration(times.connect),
            "first_byte": show_duration(times.first_byte),
            "idle": show_duration(times.idle),
            "tunnel": show_duration(times.tunnel),
        }),
    );
    map.insert(
        "keep_alive".into(),
        json!({
            "idle_max": pool.keep_alive.idle_max,
            "idle": show_duration(pool.keep_alive.idle),
            "age_max": show_duration(pool.keep_alive.age_max),
        }),
    );
    if let Some(check) = &pool.health {
        map.insert("health".into(), health::check(check, pool.tls.is_some()));
    }
    map.extend(resilience::of_pool(pool));
    map.into()
}

fn server(server: &Server) -> Value {
    let mut map = Map::new();
    map.insert("address".into(), server.address.to_string().into());
    map.insert("weight".into(), server.weight.into());
    if server.priority != 0 {
        map.insert("priority".into(), server.priority.into());
    }
    map.extend(
        server.check.as_ref().map(|check: &Address| ("check".to_owned(), check.to_string().into())),
    );
    map.into()
}

fn discover(discover: &Discover) -> Value {
    let source = match discover {
        Discover::File(file) => return json!({ "file": literal(&file.path) }),
        Discover::Dns(source) => source,
    };
    let mut map = Map::new();
    map.insert("name".into(), source.name.as_str().into());
    map.extend(source.port.map(|port| ("port".to_owned(), port.into())));
    let resolvers: Vec<_> = source.resolvers.iter().map(ToString::to_string).collect();
    map.insert("resolvers".into(), resolvers.into());
    map.insert("refresh_min".into(), show_duration(source.refresh_min).into());
    map.insert("refresh_max".into(), show_duration(source.refresh_max).into());
    json!({ "dns": map })
}

fn balance(balance: &Balance) -> Value {
    match balance {
        Balance::RoundRobin => json!("round_robin"),
        Balance::WeightedRoundRobin => json!("weighted_round_robin"),
        Balance::LeastConnections => json!("least_connections"),
        Balance::Random => json!("random"),
        Balance::PowerOfTwo => json!("p2c"),
        Balance::PeakEwma(settings) => json!({ "p2c_ewma": {
            "decay": show_duration(settings.decay),
            "failure_penalty": show_duration(settings.failure_penalty),
        } }),
        Balance::IpHash(hash) => {
            let mut map = prefix(hash.prefix);
            map.extend(table(&hash.table));
            json!({ "ip_hash": map })
        }
        Balance::ConsistentHash(hash) => {
            let mut map = Map::new();
            let key = match &hash.key {
                HashKey::ClientIp => json!("client_ip"),
                HashKey::Path => json!("path"),
                HashKey::Connection => json!("connection"),
                HashKey::Header(name) => json!({ "header": name }),
                HashKey::Cookie(name) => json!({ "cookie": literal(name) }),
                HashKey::Query(name) => json!({ "query": literal(name) }),
            };
            map.insert("key".into(), key);
            map.extend(table(&hash.table));
            json!({ "consistent_hash": map })
        }
    }
}

/// How much of an address counts.
pub(super) fn prefix(prefix: Prefix) -> Map<String, Value> {
    let bits = |key: &str, bits: u8| (key.to_owned(), bits.into());
    Map::from_iter([bits("ipv4", prefix.ipv4), bits("ipv6", prefix.ipv6)])
}

/// A table of hashing.
pub(super) fn table(table: &HashTable) -> Map<String, Value> {
    let mut map = Map::new();
    let kind = match table.kind {
        HashKind::Ring => "ring",
        HashKind::Maglev => "maglev",
    };
    map.insert("table".into(), kind.into());
    if let Some(bound) = table.bounded_load {
        map.insert("bounded_load".into(), bound.into());
    }
    map
}
