//! Listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::{Scope, empty, layer4, tls};
use crate::diagnostic::Diagnostic;
use crate::model::{
    EncodedSlash, Identity, Listener, ListenerLimits, ListenerTimeouts, PathRules, PolicyId,
    Protocols,
};
use crate::option::{IDENTITY, LIMITS, LISTENER, PATH_RULES, TIMEOUTS};
use crate::rate::rate_if_any;
use crate::read::{Findings, Options, bool_of, one_or_many, text};
use crate::tree::{Key, Node};

pub(super) fn read(key: &Key, node: &Node, scope: &Scope, found: &mut Findings) -> Listener {
    let options = Options::read(node, &LISTENER, found);
    let empty = empty();
    let part = |name: &str| options.node(name).unwrap_or(&empty);
    let kind = layer4::kind(&options, scope, found);
    let tls = options.node("tls").map(|node| self::tls::listener(node, &key.text, found));
    let protocols = match kind.is_http() {
        true => tls::protocols(&options, tls.as_ref(), found),
        false => Protocols { h1: false, h2: false, h3: false },
    };
    let redirect_https = tls::redirect(&options, tls.is_some(), found);
    Listener {
        name: key.text.clone(),
        bind: binds(options.node("bind"), found),
        kind,
        tls,
        protocols,
        redirect_https,
        proxy_protocol: layer4::proxy_protocol_in(&options, found),
        trusted_proxies: networks(options.node("trusted_proxies"), found),
        limits: limits(part("limits"), found),
        timeouts: timeouts(part("timeouts"), found),
        identity: identity(part("identity"), found),
        path: path_rules(part("path"), found),
        policies: scope
            .policies
            .find_all(options.node("policies"), found)
            .into_iter()
            .map(PolicyId)
            .collect(),
    }
}

fn binds(node: Option<&Node>, found: &mut Findings) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for node in node.map(one_or_many).unwrap_or_default() {
        let Some(written) = text(node, found) else { continue };
        if let Ok(address) = written.parse::<SocketAddr>() {
            all.push(address);
        } else if let Some(Ok(port)) = written.strip_prefix(':').map(str::parse::<u16>) {
            all.push((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into());
            all.push((IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).into());
        } else {
            let advice = match written.rsplit_once(':') {
                Some(("localhost", port)) => format!("write `127.0.0.1:{port}`"),
                Some(("*", port)) => format!("write `:{port}`"),
                None if written.parse::<u16>().is_ok() => {
                    format!("write `:{written}` for every address, or `127.0.0.1:{written}`")
                }
                _ => "write an address and a port, like `0.0.0.0:80` or `[::]:80`".to_owned(),
            };
            found.push(
                Diagnostic::error(
                    "bad-value",
                    node.span,
                    format!("`{written}` is not an address to listen on"),
                )
                .help(advice),
            );
        }
    }
    all
}

/// Networks, one or a list; a single address is a network of one.
pub(super) fn networks(node: Option<&Node>, found: &mut Findings) -> Vec<IpNet> {
    let mut all = Vec::new();
    for node in node.map(one_or_many).unwrap_or_default() {
        let Some(written) = text(node, found) else { continue };
        match (written.parse::<IpNet>(), written.parse::<IpAddr>()) {
            (Ok(net), _) => all.push(net.trunc()),
            (_, Ok(address)) => all.push(address.into()),
            _ => found.push(
                Diagnostic::error("bad-value", node.span, format!("`{written}` is not a network"))
                    .help("write it like `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.7`"),
            ),
        }
    }
    all
}

fn limits(node: &Node, found: &mut Findings) -> ListenerLimits {
    let options = Options::read(node, &LIMITS, found);
    let count = |key: &str, found: &mut Findings| {
        options.count(key, found).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    };
    let size = |key: &str, found: &mut Findings| {
        options.size(key, found).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    let limits = ListenerLimits {
        connections: count("connections", found),
        connections_per_ip: count("connections_per_ip", found).unwrap_or(1),
        connection_rate_per_ip: rate_if_any(&options, "connection_rate_per_ip", found),
        head: size("head", found),
        request_line: size("request_line", found),
        fields: options.count("fields", found).map_or(0, |n| n as usize),
        body: options.size("body", found),
        requests_per_connection: count("requests_per_connection", found).unwrap_or(1),
    };
    if limits.request_line > limits.head && limits.head > 0 {
        let span =
            options.node("request_line").or(options.node("head")).map_or(node.span, |n| n.span);
        found.error("bad-value", span, "`request_line` is larger than `head`, which includes it");
    }
    limits
}

fn timeouts(node: &Node, found: &mut Findings) -> ListenerTimeouts {
    let options = Options::read(node, &TIMEOUTS, found);
    ListenerTimeouts {
        handshake: options.duration("handshake", found),
        head: options.duration("head", found),
        head_rate_min: options.size("head_rate_min", found).unwrap_or(0),
        body_idle: options.duration("body_idle", found),
        body_rate_min: options.size("body_rate_min", found).unwrap_or(0),
        send_idle: options.duration("send_idle", found),
        send_rate_min: options.size("send_rate_min", found).unwrap_or(0),
        idle: options.duration("idle", found),
        age_max: options.duration("age_max", found),
    }
}

fn identity(node: &Node, found: &mut Findings) -> Identity {
    let options = Options::read(node, &IDENTITY, found);
    let via = options.text("via", found).and_then(|text| match bool_of(&text) {
        Ok(false) => None,
        Ok(true) => Some("evenkeel".to_owned()),
        Err(_) => Some(text),
    });
    if let (Some(name), Some(node)) = (&via, options.node("via"))
        && !is_pseudonym(name)
    {
        found.error(
            "bad-value",
            node.span,
            format!("`{name}` cannot be a name in `Via`: letters, digits, `-`, `.` and `_`"),
        );
    }
    Identity {
        x_forwarded: options.bool("x_forwarded", found),
        forwarded: options.bool("forwarded", found),
        via: via.filter(|name| is_pseudonym(name)),
        request_id: options.bool("request_id", found),
    }
}

fn is_pseudonym(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn path_rules(node: &Node, found: &mut Findings) -> PathRules {
    let options = Options::read(node, &PATH_RULES, found);
    PathRules {
        encoded_slash: match options.choice("encoded_slash", found) {
            Some("keep") => EncodedSlash::Keep,
            Some("decode") => EncodedSlash::Decode,
            _ => EncodedSlash::Reject,
        },
        merge_slashes: options.bool("merge_slashes", found),
    }
}
