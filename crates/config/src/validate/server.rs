//! Servers: one, and the list of a pool or of a file.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Address, Server};
use crate::option::SERVER;
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::{Key, Node, Value};

/// Where servers were first written with a scheme.
#[derive(Default)]
pub(super) struct Schemes {
    pub(super) http: Option<Span>,
    pub(super) https: Option<Span>,
}

/// The servers of a pool, and whether they are spoken to over TLS.
pub(super) fn read_all(
    options: &Options<'_>,
    key: &Key,
    found: &mut Findings,
) -> (Vec<Server>, Schemes) {
    let mut schemes = Schemes::default();
    let Some(node) = options.node("servers") else { return (Vec::new(), schemes) };
    let all = read_each(node, &mut schemes, found);
    if !all.is_empty() && all.iter().all(|server| server.weight == 0) {
        let message =
            format!("every server of pool `{}` has weight 0: none takes a request", key.text);
        found.error("bad-value", key.span, message);
    }
    (all, schemes)
}

/// One server or a list of them; each address once. Whether they are spoken to over TLS, their pool
/// says.
pub(crate) fn read_list(node: &Node, found: &mut Findings) -> Vec<Server> {
    let mut schemes = Schemes::default();
    let all = read_each(node, &mut schemes, found);
    if let Some(span) = schemes.https {
        found.push(
            Diagnostic::error("bad-value", span, "`https://` is not written here")
                .help("write `host:port`: whether servers are spoken to over TLS is said by `tls` of their pool"),
        );
    }
    all
}

fn read_each(node: &Node, schemes: &mut Schemes, found: &mut Findings) -> Vec<Server> {
    let nodes = one_or_many(node);
    let mut all = Vec::with_capacity(nodes.len());
    let mut seen: HashMap<Address, Span> = HashMap::with_capacity(nodes.len());
    for node in nodes {
        let Some((server, span)) = read(node, schemes, found) else { continue };
        if let Some(first) = seen.get(&server.address) {
            found.push(
                Diagnostic::error(
                    "duplicate-server",
                    span,
                    format!("`{}` is in this pool twice", server.address),
                )
                .also(*first, "first here")
                .help("give it more weight instead"),
            );
            continue;
        }
        seen.insert(server.address.clone(), span);
        all.push(server);
    }
    all
}

fn read(node: &Node, schemes: &mut Schemes, found: &mut Findings) -> Option<(Server, Span)> {
    if let Value::Scalar { text, .. } = &node.value {
        let address = schemes.address(text, node.span, found)?;
        return Some((Server { address, weight: 1, priority: 0, check: None }, node.span));
    }
    let options = Options::read(node, &SERVER, found);
    let weight = options.small("weight", found);
    let priority = priority(&options, found);
    let check =
        options.node("check").and_then(|node| address(text(node, found)?, node.span, found));
    let node = options.node("address")?;
    let address = schemes.address(text(node, found)?, node.span, found)?;
    Some((Server { address, weight, priority, check }, node.span))
}

fn priority(options: &Options<'_>, found: &mut Findings) -> u32 {
    let priority = options.small("priority", found);
    let is_backup = options.bool("backup", found);
    match (options.entry("priority"), options.entry("backup")) {
        (Some((priority, _)), Some((backup, _))) => {
            found.push(
                Diagnostic::error(
                    "too-many-fields",
                    backup.span,
                    "a server has one of `priority` and `backup`, not both",
                )
                .also(priority.span, "the other one")
                .help("`backup: true` is `priority: 1`"),
            );
            0
        }
        _ if is_backup => 1,
        _ => priority,
    }
}

impl Schemes {
    /// `host:port`, also as `http://host[:port]` and `https://host[:port]`.
    fn address(&mut self, written: &str, span: Span, found: &mut Findings) -> Option<Address> {
        match written.split_once("://") {
            Some(("http", _)) => _ = self.http.get_or_insert(span),
            Some(("https", rest)) => {
                self.https.get_or_insert(span);
                return host_and_port(written, rest, Some(443), span, found);
            }
            _ => {}
        }
        address(written, span, found)
    }
}

/// `host:port`, also as `http://host[:port]`.
pub(crate) fn address(written: &str, span: Span, found: &mut Findings) -> Option<Address> {
    let bare = written.strip_prefix("http://");
    host_and_port(written, bare.unwrap_or(written), bare.map(|_| 80), span, found)
}

/// `bare` is what is `written`, without the scheme; a URL may end with a slash.
fn host_and_port(
    written: &str,
    bare: &str,
    default: Option<u16>,
    span: Span,
    found: &mut Findings,
) -> Option<Address> {
    let wrong = |help: &str| {
        Diagnostic::error("bad-value", span, format!("`{written}` is not a server's address"))
            .help(help)
    };
    let text = match default {
        Some(_) => bare.strip_suffix('/').unwrap_or(bare),
        None => bare,
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            found.push(wrong("a server has a port from 1 to 65535"));
            return None;
        }
        return Some(Address::Socket(address));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().ok()),
        None => (text, default),
    };
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    match (is_name, port) {
        (true, Some(port)) if port > 0 => match name.parse() {
            Ok(ip) => Some(Address::Socket(SocketAddr::new(ip, port))),
            Err(_) => Some(Address::Name(name.to_ascii_lowercase(), port)),
        },
        (true, None) if !text.contains(':') => {
            found.push(wrong(&format!("it needs a port: `{name}:80`")));
            None
        }
        _ if text.contains('/') => {
            found.push(wrong("an address has no path: rewriting belongs to routes"));
            None
        }
        _ => {
            found.push(wrong(
                "write it like `10.0.0.1:8080`, `[2001:db8::1]:8080` or `app.internal:8080`",
            ));
            None
        }
    }
}
