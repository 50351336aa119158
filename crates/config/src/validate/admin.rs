//! The admin listener, who may use it, and who may register.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::listener::networks;
use super::matching::{absolute, host};
use super::secret::secret;
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Admin, AdminBind, AdminToken, Registration, Secret};
use crate::option::{ADMIN, REGISTRATION, TOKEN};
use crate::read::{Findings, Options, list, one_or_many, text};
use crate::tree::Node;

/// Bytes of a Unix socket's path (`sun_path` without its NUL).
const SOCKET_PATH_MAX: usize = 107;

pub(super) fn read(node: &Node, found: &mut Findings) -> Admin {
    let options = Options::read(node, &ADMIN, found);
    let mut secrets = Known::default();
    let items = |key: &str, found: &mut Findings| {
        options.node(key).map(|node| list(node, found)).unwrap_or_default()
    };
    let admin = Admin {
        bind: bind(&options, found),
        tokens: items("tokens", found)
            .iter()
            .filter_map(|node| token(node, &mut secrets, found))
            .collect(),
        state: state(&options, found),
        history: options.small("history", found),
        registrations: items("registrations", found)
            .iter()
            .filter_map(|node| registration(node, &mut secrets, found))
            .collect(),
    };
    if matches!(admin.bind, AdminBind::Tcp(_)) && options.is_empty_of("tokens") {
        found.push(
            Diagnostic::error(
                "unprotected-admin",
                options.span_of("bind"),
                "whoever reaches this address could change everything",
            )
            .help("add a token: `tokens: [ { name: ops, secret: \"${ADMIN_TOKEN}\" } ]`, or use `unix:PATH`"),
        );
    }
    if admin.bind == AdminBind::Off
        && let Some((key, _)) = options.entry("tokens").or(options.entry("registrations"))
    {
        let message = format!("`{}` is not used with `bind: off`", key.text);
        found.push(Diagnostic::warning("no-effect", key.span, message));
    }
    admin
}

fn bind(options: &Options<'_>, found: &mut Findings) -> AdminBind {
    let Some(node) = options.node("bind") else { return AdminBind::Default };
    let Some(written) = text(node, found) else { return AdminBind::Default };
    if matches!(written, "off" | "false" | "no") {
        return AdminBind::Off;
    }
    let fault = if let Some(path) = written.strip_prefix("unix:") {
        match path.len() {
            0 => "a path is missing: `unix:/run/evenkeel/admin.sock`".to_owned(),
            length if length > SOCKET_PATH_MAX || path.contains('\0') => {
                format!("the path of a socket has at most {SOCKET_PATH_MAX} bytes")
            }
            _ => return AdminBind::Unix(PathBuf::from(path)),
        }
    } else if let Ok(address) = written.parse::<SocketAddr>() {
        return AdminBind::Tcp(address);
    } else if written.starts_with('/') {
        format!("write `unix:{written}`")
    } else if let Some(Ok(port)) = written.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        format!("write `127.0.0.1:{port}`: one literal address")
    } else {
        "write `unix:PATH`, `127.0.0.1:9900` or `off`".to_owned()
    };
    found.push(
        Diagnostic::error(
            "bad-value",
            node.span,
            format!("`{written}` is not a place for the admin listener"),
        )
        .help(fault),
    );
    AdminBind::Default
}

fn state(options: &Options<'_>, found: &mut Findings) -> Option<PathBuf> {
    let path = options.text("state", found)?;
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        let message = format!("`{path}` is not the path of a file");
        found.error("bad-value", options.span_of("state"), message);
    }
    Some(PathBuf::from(path))
}

/// Names and secrets that are taken: a token means one thing.
#[derive(Default)]
struct Known {
    names: HashMap<String, Span>,
    secrets: Vec<(Secret, Span)>,
}

impl Known {
    fn read(&mut self, options: &Options<'_>, found: &mut Findings) -> Option<(String, Secret)> {
        let node = options.node("name")?;
        let name = text(node, found)?.to_owned();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if name.is_empty() || !name.bytes().all(is_plain) {
            let message = format!("`{name}` is not a name: letters, digits, `-`, `.` and `_`");
            found.error("bad-value", node.span, message);
        }
        if let Some(first) = self.names.insert(name.clone(), node.span) {
            found.push(
                Diagnostic::error("duplicate-name", node.span, format!("two are called `{name}`"))
                    .also(first, "the first one"),
            );
        }
        let node = options.node("secret")?;
        let secret = secret(node, found)?;
        if let Some((_, first)) = self.secrets.iter().find(|(known, _)| *known == secret) {
            found.push(
                Diagnostic::error("bad-secret", node.span, "two have the same secret")
                    .also(*first, "the first one")
                    .help("what it allows would depend on their order"),
            );
        }
        self.secrets.push((secret.clone(), node.span));
        Some((name, secret))
    }
}

fn token(node: &Node, known: &mut Known, found: &mut Findings) -> Option<AdminToken> {
    let options = Options::read(node, &TOKEN, found);
    let read_only = options.bool("read_only", found);
    let (name, secret) = known.read(&options, found)?;
    Some(AdminToken { name, secret, read_only })
}

fn registration(node: &Node, known: &mut Known, found: &mut Findings) -> Option<Registration> {
    let options = Options::read(node, &REGISTRATION, found);
    let nodes = |key: &str| options.node(key).map(one_or_many).unwrap_or_default();
    let pools = nodes("pools").iter().filter_map(|node| pattern(node, found)).collect();
    let hosts = nodes("hosts").iter().filter_map(|node| host(node, found)).collect();
    let mut paths: Vec<String> = nodes("paths")
        .iter()
        .filter_map(|node| absolute(text(node, found)?, node.span, found))
        .map(|path| path.trim_end_matches('/').to_owned())
        .collect();
    if options.node("paths").is_none() {
        paths.push(String::new());
    }
    if options.node("paths").is_some() && options.is_empty_of("hosts") {
        let message = "`paths` without `hosts` allows no route";
        found.push(
            Diagnostic::warning("no-effect", options.span_of("paths"), message)
                .help("say which `hosts` may be claimed"),
        );
    }
    let addresses = networks(options.node("addresses"), found);
    let (ttl_max, servers_max) =
        (options.duration("ttl_max", found), options.small("servers_max", found));
    let (name, secret) = known.read(&options, found)?;
    Some(Registration { name, secret, pools, addresses, hosts, paths, ttl_max, servers_max })
}

/// A pool's name, or the beginning of one and a `*`.
fn pattern(node: &Node, found: &mut Findings) -> Option<String> {
    let written = text(node, found)?;
    let name = written.strip_suffix('*').unwrap_or(written);
    if name.contains('*') || written.is_empty() {
        found.push(
            Diagnostic::error("bad-value", node.span, format!("`{written}` is not a pool's name"))
                .help("`*` stands at the end, for anything: `shop-*`"),
        );
        return None;
    }
    Some(written.to_owned())
}
