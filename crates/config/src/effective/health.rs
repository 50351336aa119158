//! Active checks, written out.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::upstream_tls::tls;
use super::{literal, optional};
use crate::model::{BodyTest, Exchange, GrpcProbe, HealthCheck, HttpProbe, JsonStep, Probe};
use crate::read::{show_duration, show_size};

/// `is_encrypted`: what its pool's servers are otherwise asked.
pub(super) fn check(check: &HealthCheck, is_encrypted: bool) -> Value {
    let mut map = Map::new();
    let (word, probe) = match &check.probe {
        Probe::Http(probe) if probe.tls.is_some() => ("https", http(probe, is_encrypted)),
        Probe::Http(probe) => ("http", http(probe, is_encrypted)),
        Probe::Tcp(bytes) => ("tcp", exchange(bytes)),
        Probe::Udp(bytes) => ("udp", exchange(bytes)),
        Probe::Grpc(probe) => ("grpc", grpc(probe)),
        Probe::Command(probe) => {
            let run: Value = probe.argv.iter().map(|part| literal(part)).collect();
            ("command", json!({ "run": run, "env": pairs(&probe.env) }))
        }
    };
    map.insert(word.into(), probe);
    for (key, time) in [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("interval_changing", check.interval_changing),
        ("interval_down_max", check.interval_down_max),
    ] {
        map.insert(key.into(), show_duration(time).into());
    }
    map.insert("rise".into(), check.rise.into());
    map.insert("fall".into(), check.fall.into());
    map.extend(check.port.map(|port| ("port".to_owned(), port.into())));
    map.into()
}

fn pairs(pairs: &[(String, String)]) -> Value {
    pairs.iter().map(|(key, value)| (key.clone(), literal(value))).collect::<Map<_, _>>().into()
}

fn http(probe: &HttpProbe, is_encrypted: bool) -> Value {
    let mut map = Map::new();
    map.insert("method".into(), literal(&probe.method));
    map.insert("path".into(), literal(&probe.path));
    map.extend(optional("host", probe.host.as_deref()));
    map.insert("headers".into(), pairs(&probe.headers));
    let mut expect = Map::new();
    let status = |range: &std::ops::RangeInclusive<u16>| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    };
    expect.insert("status".into(), probe.status.iter().map(status).collect());
    let mut json = Map::new();
    for test in &probe.body {
        match test {
            BodyTest::Contains(text) => _ = expect.insert("contains".into(), literal(text)),
            BodyTest::Regex(regex) => _ = expect.insert("regex".into(), literal(regex.0.as_str())),
            BodyTest::Json(test) => _ = json.insert(path(&test.path), value(&test.equals)),
        }
    }
    if !json.is_empty() {
        expect.insert("json".into(), json.into());
    }
    expect.insert("body_max".into(), show_size(probe.body_max as u64).into());
    map.insert("expect".into(), expect.into());
    match &probe.tls {
        Some(settings) => _ = map.insert("tls".into(), tls(settings)),
        None if is_encrypted => _ = map.insert("tls".into(), false.into()),
        None => {}
    }
    map.into()
}

fn path(steps: &[JsonStep]) -> String {
    let mut path = "$".to_owned();
    for step in steps {
        let _ = match step {
            JsonStep::Member(name) => write!(path, ".{name}"),
            JsonStep::Index(index) => write!(path, "[{index}]"),
        };
    }
    path
}

fn value(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), literal)
}

fn grpc(probe: &GrpcProbe) -> Value {
    let mut map = Map::new();
    map.insert("service".into(), literal(&probe.service));
    map.extend(optional("authority", probe.authority.as_deref()));
    map.insert("tls".into(), probe.tls.as_ref().map_or(Value::Bool(false), tls));
    map.into()
}

fn exchange(exchange: &Exchange) -> Value {
    let mut map = Map::new();
    map.extend(optional("send", exchange.send.as_deref().map(escape).as_deref()));
    map.extend(optional("expect", exchange.expect.as_deref().map(escape).as_deref()));
    map.into()
}

/// As a check's `send` is read.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text
}
