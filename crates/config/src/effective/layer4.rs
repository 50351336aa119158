//! Listeners that do not speak HTTP, and the PROXY protocol, written out.

use serde_json::{Map, Value, json};

use super::literal;
use crate::model::{
    Config, FirstBytes, HostMatch, Listener, ListenerKind, Passthrough, PoolId, ProxyProtocolIn,
    ProxyProtocolOut, ProxyProtocolVersion, Relay, Reply, SourceAddress, Udp, UdpSession,
};
use crate::option::{HTTP_ONLY, HTTP_ONLY_LIMITS, LAYER4_TIMEOUTS};
use crate::read::show_duration;

/// Adds what a listener has of it; takes away what means nothing there.
pub(super) fn of_listener(listener: &Listener, config: &Config, map: &mut Map<String, Value>) {
    let proxy_protocol = match listener.proxy_protocol {
        ProxyProtocolIn::Off => "off",
        ProxyProtocolIn::Accept => "accept",
        ProxyProtocolIn::Require => "require",
    };
    map.insert("proxy_protocol".into(), proxy_protocol.into());
    let (key, value) = match &listener.kind {
        ListenerKind::Http => return,
        ListenerKind::Tcp(tcp) => {
            let mut map = relay(&tcp.relay, config);
            map.insert("alpn".into(), texts(&tcp.alpn));
            ("tcp", map.into())
        }
        ListenerKind::Passthrough(all) => {
            ("passthrough", all.iter().map(|one| passthrough(one, config)).collect())
        }
        ListenerKind::Udp(udp) => ("udp", self::udp(udp, config)),
    };
    map.retain(|key, _| !HTTP_ONLY.contains(&key.as_str()));
    if let Some(Value::Object(limits)) = map.get_mut("limits") {
        limits.retain(|key, _| !HTTP_ONLY_LIMITS.contains(&key.as_str()));
    }
    if let Some(Value::Object(timeouts)) = map.get_mut("timeouts") {
        timeouts.retain(|key, _| LAYER4_TIMEOUTS.contains(&key.as_str()));
    }
    map.insert(key.into(), value);
}

fn pool(id: PoolId, config: &Config) -> Value {
    config.pools.get(id.0 as usize).map_or("", |pool| pool.name.as_str()).into()
}

fn texts(all: &[String]) -> Value {
    all.iter().map(|text| literal(text)).collect()
}

fn relay(relay: &Relay, config: &Config) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("to".into(), pool(relay.to, config));
    let times = [("idle_timeout", relay.idle_timeout), ("timeout", relay.timeout)];
    for (key, time) in times {
        map.extend(time.map(|time| (key.to_owned(), show_duration(time).into())));
    }
    map.insert("keepalive".into(), show_duration(relay.keepalive).into());
    let source = match relay.source {
        SourceAddress::Own => "own",
        SourceAddress::Client => "client",
    };
    map.insert("source".into(), source.into());
    map
}

fn passthrough(one: &Passthrough, config: &Config) -> Value {
    let mut map = relay(&one.relay, config);
    let protocol = match one.protocol {
        FirstBytes::Any => "any",
        FirstBytes::Tls => "tls",
        FirstBytes::Http => "http",
        FirstBytes::Other => "other",
    };
    map.insert("protocol".into(), protocol.into());
    if !one.sni.is_empty() {
        let name = |name: &HostMatch| match name {
            HostMatch::Exact(name) => json!(name),
            HostMatch::Wildcard(parent) => json!(format!("*.{parent}")),
        };
        map.insert("sni".into(), one.sni.iter().map(name).collect());
    }
    if !one.alpn.is_empty() {
        map.insert("alpn".into(), texts(&one.alpn));
    }
    map.into()
}

fn udp(udp: &Udp, config: &Config) -> Value {
    json!({
        "to": pool(udp.to, config),
        "idle_timeout": show_duration(udp.idle_timeout),
        "reply": match udp.reply {
            Reply::Any => "any",
            Reply::Once => "once",
            Reply::Never => "never",
        },
        "sessions": udp.sessions,
        "sessions_per_ip": udp.sessions_per_ip,
        "session": match udp.session {
            UdpSession::Ports => "ports",
            UdpSession::Client => "client",
        },
    })
}

/// What a pool has of it.
pub(super) fn proxy_protocol_out(settings: Option<&ProxyProtocolOut>) -> Value {
    let Some(settings) = settings else { return json!("off") };
    json!({
        "version": match settings.version {
            ProxyProtocolVersion::V1 => "v1",
            ProxyProtocolVersion::V2 => "v2",
        },
        "checks": settings.checks,
        "tls": settings.tls,
        "checksum": settings.checksum,
        "unique_id": settings.unique_id,
    })
}
