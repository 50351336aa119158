//! `cors`.

use crate::diagnostic::Diagnostic;
use crate::model::{Cors, Origin};
use crate::option::CORS;
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::Node;
use crate::validate::matching::is_token;

pub(super) fn read(node: &Node, found: &mut Findings) -> Cors {
    let options = Options::read(node, &CORS, found);
    let nodes = options.node("origins").map(one_or_many).unwrap_or_default();
    let origins: Vec<Origin> = nodes.iter().filter_map(|node| origin(node, found)).collect();
    if nodes.is_empty() && options.node("origins").is_some() {
        found.error("bad-value", options.span_of("origins"), "at least one origin");
    }
    let mut names = |key: &str| {
        let mut all = Vec::new();
        for node in options.node(key).map(one_or_many).unwrap_or_default() {
            let Some(name) = text(node, found) else { continue };
            if is_token(name) {
                all.push(name.to_owned());
            } else {
                found.error("bad-value", node.span, format!("`{name}` is no name"));
            }
        }
        all
    };
    let (methods, headers, expose) = (names("methods"), names("headers"), names("expose"));
    let credentials = options.bool("credentials", found);
    if credentials && origins.contains(&Origin::Any) {
        found.push(
            Diagnostic::error(
                "bad-value",
                options.span_of("credentials"),
                "with cookies from everywhere, every site could act for who is signed in here",
            )
            .help("name the origins, or those below a name: `https://*.example.com`"),
        );
    }
    Cors {
        origins,
        methods,
        headers,
        expose,
        credentials,
        max_age: options.duration("max_age", found),
        private_network: options.bool("private_network", found),
    }
}

fn origin(node: &Node, found: &mut Findings) -> Option<Origin> {
    let written = text(node, found)?.to_ascii_lowercase();
    if written == "*" {
        return Some(Origin::Any);
    }
    let mut wrong = |help: &str| {
        found.push(
            Diagnostic::error("bad-value", node.span, format!("`{written}` is no origin"))
                .help(help),
        );
        None
    };
    let Some((scheme, host)) = written.split_once("://") else {
        return wrong("write it as browsers do: `https://app.example.com`");
    };
    let (name, below) = match host.strip_prefix("*.") {
        Some(parent) => (parent, true),
        None => (host, false),
    };
    let is_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if scheme.is_empty() || !is_scheme || name.is_empty() || !name.bytes().all(is_host) {
        return wrong(
            "a scheme, a host and maybe a port: no path, and `*` only for what is before the first dot",
        );
    }
    let standard = matches!(
        (scheme, name.rsplit_once(':')),
        ("https", Some((_, "443"))) | ("http", Some((_, "80")))
    );
    if standard {
        return wrong("browsers leave the usual port out");
    }
    Some(match below {
        true => Origin::Below { scheme: format!("{scheme}://"), parent: name.to_owned() },
        false => Origin::Exact(written),
    })
}
