//! Listeners that do not speak HTTP, and the PROXY protocol: what they are, and what does not go
//! together with it.

use super::matching::host;
use super::{Scope, empty};
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{
    Config, FirstBytes, HostMatch, Listener, ListenerKind, Passthrough, PolicyKind, PoolId,
    PoolProtocol, ProxyProtocolIn, ProxyProtocolOut, ProxyProtocolVersion, Relay, Reply,
    SourceAddress, Tcp, Udp, UdpSession,
};
use crate::option::{
    HTTP_ONLY, HTTP_ONLY_LIMITS, LAYER4_TIMEOUTS, PASSTHROUGH, PROXY_PROTOCOL, TCP, UDP,
};
use crate::read::{Findings, Options, bool_of, list, one_or_many, text};
use crate::tree::{Node, Value};

/// What the listener does with what comes in.
pub(super) fn kind(options: &Options<'_>, scope: &Scope, found: &mut Findings) -> ListenerKind {
    let kinds = ["tcp", "passthrough", "udp"];
    if kinds.iter().all(|kind| options.node(kind).is_none()) {
        return ListenerKind::Http;
    }
    let Some((key, node)) = options.only_of(&kinds, found) else { return ListenerKind::Http };
    refuse_http(options, &key.text, found);
    let is_encrypted = options.node("tls").is_some();
    if is_encrypted && key.text != "tcp" {
        let help = match key.text.as_str() {
            "udp" => "QUIC is passed through as it is; HTTP/3 is `protocols` of an HTTP listener",
            _ => "write `tcp: { to: POOL }` to terminate TLS here",
        };
        let message = format!("`{}` and `tls` do not go together", key.text);
        found.push(Diagnostic::error("bad-value", options.span_of("tls"), message).help(help));
    }
    match key.text.as_str() {
        "tcp" => ListenerKind::Tcp(tcp(node, is_encrypted, scope, found)),
        "udp" => ListenerKind::Udp(udp(node, scope, found)),
        _ => {
            let nodes = list(node, found);
            if nodes.is_empty() {
                let message = "`passthrough` without an entry closes every connection";
                found.error("bad-value", node.span, message);
            }
            let all = nodes.iter().map(|node| passthrough(node, scope, found));
            ListenerKind::Passthrough(all.collect())
        }
    }
}

/// Options that mean nothing where HTTP is not spoken.
fn refuse_http(options: &Options<'_>, kind: &str, found: &mut Findings) {
    let refuse = |name: String, span: Span, found: &mut Findings| {
        let message = format!("`{name}` belongs to HTTP, which a `{kind}` listener does not speak");
        let help = match name.as_str() {
            "timeouts.idle" => format!("write `idle_timeout` in `{kind}`"),
            "timeouts.age_max" => format!("write `timeout` in `{kind}`"),
            "protocols" if kind == "tcp" => "write `alpn` in `tcp`".to_owned(),
            _ => format!("leave it out, or leave out `{kind}` and use `routes`"),
        };
        found.push(Diagnostic::error("not-http", span, message).help(help));
    };
    for (key, _) in options.written().filter(|(key, _)| HTTP_ONLY.contains(&key.text.as_str())) {
        refuse(key.text.clone(), key.span, found);
    }
    for part in ["limits", "timeouts"] {
        let Some(Value::Map(entries)) = options.node(part).map(|node| &node.value) else {
            continue;
        };
        let is_http = |key: &str| match part {
            "limits" => HTTP_ONLY_LIMITS.contains(&key),
            _ => !LAYER4_TIMEOUTS.contains(&key),
        };
        for (key, _) in entries.iter().filter(|(key, _)| is_http(&key.text)) {
            refuse(format!("{part}.{}", key.text), key.span, found);
        }
    }
}

fn tcp(node: &Node, is_encrypted: bool, scope: &Scope, found: &mut Findings) -> Tcp {
    let options = Options::read(node, &TCP, found);
    let alpn = protocols(&options, found);
    if !alpn.is_empty() && !is_encrypted {
        let span = options.span_of("alpn");
        found.error("bad-value", span, "`alpn` needs `tls` at the listener");
    }
    Tcp { relay: relay(&options, scope, found), alpn }
}

/// Names of protocols as ALPN has them: 1 to 255 bytes (RFC 7301 §3.1).
fn protocols(options: &Options<'_>, found: &mut Findings) -> Vec<String> {
    let nodes = options.node("alpn").map(one_or_many).unwrap_or_default();
    let mut all = Vec::new();
    for node in nodes {
        let Some(name) = text(node, found) else { continue };
        match name.len() {
            1..=255 => all.push(name.to_owned()),
            _ => found.error("bad-value", node.span, "a protocol's name has 1 to 255 bytes"),
        }
    }
    all
}

fn relay(options: &Options<'_>, scope: &Scope, found: &mut Findings) -> Relay {
    let keepalive = options.duration("keepalive", found);
    if keepalive.subsec_millis() != 0 {
        let span = options.span_of("keepalive");
        found.error("bad-value", span, "`keepalive` is counted in whole seconds");
    }
    Relay {
        to: pool(options, scope, found),
        idle_timeout: options.duration_if_any("idle_timeout", found),
        timeout: options.duration_if_any("timeout", found),
        keepalive,
        source: match options.choice("source", found) {
            Some("client") => SourceAddress::Client,
            _ => SourceAddress::Own,
        },
    }
}

fn pool(options: &Options<'_>, scope: &Scope, found: &mut Findings) -> PoolId {
    let id = options.node("to").and_then(|node| {
        let name = text(node, found)?;
        scope.pools.find(name, node.span, found)
    });
    PoolId(id.unwrap_or_default())
}

fn passthrough(node: &Node, scope: &Scope, found: &mut Findings) -> Passthrough {
    let options = Options::read(node, &PASSTHROUGH, found);
    let names = options.node("sni").map(one_or_many).unwrap_or_default();
    let sni: Vec<HostMatch> = names.iter().filter_map(|node| host(node, found)).collect();
    let alpn = protocols(&options, found);
    let wants_tls = !names.is_empty() || !alpn.is_empty();
    let protocol = match options.node("protocol").and_then(|_| options.choice("protocol", found)) {
        Some("any") => FirstBytes::Any,
        Some("http") => FirstBytes::Http,
        Some("other") => FirstBytes::Other,
        Some(_) => FirstBytes::Tls,
        None if wants_tls => FirstBytes::Tls,
        None => FirstBytes::Any,
    };
    if wants_tls && protocol != FirstBytes::Tls {
        let span = options.span_of("protocol");
        found.error("bad-value", span, "`sni` and `alpn` are TLS's: write `protocol: tls`");
    }
    Passthrough { protocol, sni, alpn, relay: relay(&options, scope, found) }
}

fn udp(node: &Node, scope: &Scope, found: &mut Findings) -> Udp {
    let options = Options::read(node, &UDP, found);
    Udp {
        to: pool(&options, scope, found),
        idle_timeout: options.duration("idle_timeout", found),
        reply: match options.choice("reply", found) {
            Some("once") => Reply::Once,
            Some("never") => Reply::Never,
            _ => Reply::Any,
        },
        sessions: options.small("sessions", found),
        sessions_per_ip: options.small("sessions_per_ip", found),
        session: match options.choice("session", found) {
            Some("client") => UdpSession::Client,
            _ => UdpSession::Ports,
        },
    }
}

/// Whether clients' connections begin with a header.
pub(super) fn proxy_protocol_in(options: &Options<'_>, found: &mut Findings) -> ProxyProtocolIn {
    let wanted = match options.choice("proxy_protocol", found) {
        Some("accept") => ProxyProtocolIn::Accept,
        Some("require") => ProxyProtocolIn::Require,
        _ => ProxyProtocolIn::Off,
    };
    if wanted != ProxyProtocolIn::Off && options.is_empty_of("trusted_proxies") {
        let span = options.span_of("proxy_protocol");
        found.push(
            Diagnostic::error("bad-value", span, "`proxy_protocol` believes nobody")
                .help("write who may say who the client is: `trusted_proxies: [10.0.0.0/8]`"),
        );
    }
    wanted
}

/// Whether connections to servers do.
pub(super) fn proxy_protocol_out(
    options: &Options<'_>,
    found: &mut Findings,
) -> Option<ProxyProtocolOut> {
    let node = options.node("proxy_protocol")?;
    let empty = empty();
    let (node, version) = match &node.value {
        Value::Scalar { text, .. } => match text.as_str() {
            "v1" => (&empty, Some(ProxyProtocolVersion::V1)),
            "v2" => (&empty, Some(ProxyProtocolVersion::V2)),
            text if bool_of(text) == Ok(false) => return None,
            text => {
                let message = format!("`{text}` is none of: off, v1, v2");
                let known = ["off", "v1", "v2"];
                let diagnostic = Diagnostic::error("bad-value", node.span, message);
                found.push(diagnostic.suggest(text, known));
                return None;
            }
        },
        _ => (node, None),
    };
    let options = Options::read(node, &PROXY_PROTOCOL, found);
    let written = match options.choice("version", found) {
        Some("v1") => ProxyProtocolVersion::V1,
        _ => ProxyProtocolVersion::V2,
    };
    Some(ProxyProtocolOut {
        version: version.unwrap_or(written),
        checks: options.bool("checks", found),
        tls: options.bool("tls", found),
        checksum: options.bool("checksum", found),
        unique_id: options.bool("unique_id", found),
    })
}

/// What only the whole shows.
pub(super) fn check(config: &Config, scope: &Scope, found: &mut Findings) {
    for (at, listener) in config.listeners.iter().enumerate() {
        if listener.proxy_protocol != ProxyProtocolIn::Off && listener.protocols.h3 {
            let message =
                "`proxy_protocol` and `h3` do not go together: QUIC carries no such header";
            found.error("bad-value", scope.listeners.span(at), message);
        }
        if !listener.kind.is_http() {
            check_listener(config, listener, scope.listeners.span(at), found);
        }
    }
    for (at, pool) in config.pools.iter().enumerate() {
        if pool.proxy_protocol.is_some() && pool.protocol != PoolProtocol::H1 {
            let message = "`proxy_protocol` needs `protocol: h1`: a connection of HTTP/2 or HTTP/3 \
                           carries the requests of many clients";
            found.error("bad-value", scope.pools.span(at), message);
        }
    }
}

fn check_listener(config: &Config, listener: &Listener, span: Span, found: &mut Findings) {
    let name = &listener.name;
    if !listener.trusted_proxies.is_empty() && listener.proxy_protocol == ProxyProtocolIn::Off {
        let message = format!("listener `{name}` has `trusted_proxies`, but nobody is asked");
        found.push(
            Diagnostic::error("not-http", span, message).help(
                "write `proxy_protocol: accept`: without HTTP there are no fields to believe",
            ),
        );
    }
    let policies = listener.policies.iter().filter_map(|id| config.policies.get(id.0 as usize));
    for policy in policies {
        if !matches!(policy.kind, PolicyKind::AccessLog(_)) {
            let message = format!(
                "policy `{}` is for requests, which listener `{name}` does not have",
                policy.name
            );
            found.push(
                Diagnostic::error("not-http", span, message)
                    .help("here only `access_log` can be applied"),
            );
        }
    }
}
