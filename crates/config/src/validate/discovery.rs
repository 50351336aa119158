//! Where more servers are found.

use std::net::{IpAddr, SocketAddr};

use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Discover, DnsSource, FileSource};
use crate::option::{DISCOVER, DNS};
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::{Node, Value};

const DNS_PORT: u16 = 53;

pub(super) fn read(node: &Node, found: &mut Findings) -> Option<Discover> {
    let (key, node) = Options::read(node, &DISCOVER, found).only(found)?;
    if key.text == "dns" {
        return dns(node, found).map(Discover::Dns);
    }
    let path = text(node, found)?;
    if path.is_empty() || path.contains('\0') {
        found.error("bad-value", node.span, "the path of a file is needed here");
        return None;
    }
    Some(Discover::File(FileSource { path: path.to_owned() }))
}

fn dns(node: &Node, found: &mut Findings) -> Option<DnsSource> {
    if let Value::Scalar { text, .. } = &node.value {
        let (name, port) = match text.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
            Some((name, Ok(port))) if port > 0 => (name, Some(port)),
            _ => (text.as_str(), None),
        };
        return source(name, node.span, port, &Options::defaults(&DNS, node.span), found);
    }
    let options = Options::read(node, &DNS, found);
    let port = options.count("port", found).and_then(|port| u16::try_from(port).ok());
    let name = options.node("name")?;
    source(text(name, found)?, name.span, port, &options, found)
}

fn source(
    name: &str,
    span: Span,
    port: Option<u16>,
    options: &Options<'_>,
    found: &mut Findings,
) -> Option<DnsSource> {
    let source = DnsSource {
        name: name.trim_end_matches('.').to_ascii_lowercase(),
        port,
        resolvers: resolvers(options.node("resolvers"), found),
        refresh_min: options.duration("refresh_min", found),
        refresh_max: options.duration("refresh_max", found),
    };
    if source.refresh_min > source.refresh_max {
        let span = options.span_of("refresh_min");
        found.error("bad-value", span, "`refresh_min` is longer than `refresh_max`");
    }
    if name.parse::<IpAddr>().is_ok() {
        found.push(
            Diagnostic::error("bad-value", span, format!("`{name}` is an address, not a name"))
                .help("write it under `servers`"),
        );
    } else if !is_name(&source.name) {
        found.push(
            Diagnostic::error("bad-value", span, format!("`{name}` is not a name to look up"))
                .help(
                    "write it like `app.internal`, with `port: 8080`, or `_http._tcp.app.internal`",
                ),
        );
    } else if port.is_none() && !name.starts_with('_') {
        found.push(
            Diagnostic::warning(
                "srv-name",
                span,
                format!("without a port, SRV records of `{name}` are asked for"),
            )
            .help("add `port`, or write the name of a service: `_http._tcp.app.internal`"),
        );
    }
    Some(source)
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

pub(super) fn resolvers(node: Option<&Node>, found: &mut Findings) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for node in node.map(one_or_many).unwrap_or_default() {
        let Some(written) = text(node, found) else { continue };
        match (written.parse::<SocketAddr>(), written.parse::<IpAddr>()) {
            (Ok(address), _) if address.port() > 0 => all.push(address),
            (_, Ok(ip)) => all.push(SocketAddr::new(ip, DNS_PORT)),
            _ => found.push(
                Diagnostic::error(
                    "bad-value",
                    node.span,
                    format!("`{written}` is not the address of a resolver"),
                )
                .help("write it like `10.0.0.2` or `10.0.0.2:53`"),
            ),
        }
    }
    all
}
