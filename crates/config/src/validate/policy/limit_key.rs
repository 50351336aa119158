//! Keys of limits.

use crate::diagnostic::Diagnostic;
use crate::model::{KeyPart, KeyRule, Prefix};
use crate::option::{CLIENT_NETWORK, LIMIT_KEY};
use crate::read::{Findings, Options, first_line, one_or_many, text};
use crate::tree::{Node, Value};
use crate::validate::balance::prefix;
use crate::validate::matching::is_token;

const WORDS: &[&str] = &["client_ip", "route", "listener", "global"];

pub(super) fn read(options: &Options<'_>, found: &mut Findings) -> KeyRule {
    let skip_missing = options.choice("missing", found) == Some("skip");
    let Some(node) = options.node("key") else {
        return KeyRule {
            parts: vec![KeyPart::Client(Prefix { ipv4: 32, ipv6: 64 })],
            skip_missing,
        };
    };
    let nodes = one_or_many(node);
    let mut parts = Vec::new();
    for node in nodes {
        match &node.value {
            Value::Scalar { text, .. } if text == "global" => {
                if nodes.len() > 1 {
                    found.error("bad-value", node.span, "`global` stands alone");
                }
            }
            _ => parts.extend(part(node, found)),
        }
    }
    for (at, part) in parts.iter().enumerate() {
        if parts.iter().take(at).any(|before| before == part) {
            let span = nodes.get(at).map_or(node.span, |node| node.span);
            found.error("bad-value", span, "this part is in the key already");
        }
    }
    KeyRule { parts, skip_missing }
}

fn part(node: &Node, found: &mut Findings) -> Option<KeyPart> {
    if let Value::Scalar { text, .. } = &node.value {
        return match text.as_str() {
            "client_ip" => {
                let whole = Options::defaults(&CLIENT_NETWORK, node.span);
                Some(KeyPart::Client(prefix(&whole, found)))
            }
            "route" => Some(KeyPart::Route),
            "listener" => Some(KeyPart::Listener),
            _ => {
                let message = format!("`{text}` is none of: {}", WORDS.join(", "));
                let diagnostic = Diagnostic::error("bad-value", node.span, message);
                found.push(match LIMIT_KEY.options.iter().any(|option| option.key == text) {
                    true => diagnostic.help(format!("write `{{ {text}: NAME }}`")),
                    false => diagnostic.suggest(text, WORDS.iter().copied()),
                });
                None
            }
        };
    }
    let (key, node) = Options::read(node, &LIMIT_KEY, found).only(found)?;
    if key.text == "client_ip" {
        let network = Options::read(node, &CLIENT_NETWORK, found);
        return Some(KeyPart::Client(prefix(&network, found)));
    }
    let name = text(node, found)?.to_owned();
    if !is_token(&name) && (key.text != "query" || name.is_empty()) {
        found.error("bad-value", first_line(node.span), format!("`{name}` is not a name"));
        return None;
    }
    Some(match key.text.as_str() {
        "header" => KeyPart::Header(name.to_ascii_lowercase()),
        "cookie" => KeyPart::Cookie(name),
        _ => KeyPart::Query(name),
    })
}
