//! `basic_auth` and `api_key`.

use crate::diagnostic::Diagnostic;
use crate::model::{ApiKey, BasicAuth, KeySource, Secret, password_hash};
use crate::option::{API_KEY, BASIC_AUTH, KEY_SOURCE};
use crate::read::{Findings, Options, first_line, map, text};
use crate::tree::{Node, Value};
use crate::validate::matching::is_token;
use crate::validate::policy::{field_name, file};
use crate::validate::secret::secret;

/// Longest name: what servers are told in a field.
const NAME_MAX: usize = 256;

pub(super) fn basic_auth(node: &Node, owner: &str, found: &mut Findings) -> BasicAuth {
    let options = Options::read(node, &BASIC_AUTH, found);
    let mut users = Vec::new();
    for (key, node) in options.node("users").map(|node| map(node, found)).unwrap_or_default() {
        let Some(hash) = text(node, found) else { continue };
        let variable = match &node.value {
            Value::Scalar { variable, .. } => variable.as_deref().map(str::to_owned),
            _ => None,
        };
        if let Err(why) = password_hash(hash) {
            found.push(Diagnostic::error("bad-secret", node.span, why).help(
                "`htpasswd -nbB NAME PASSWORD` makes one; in this file every `$` is written `$$`",
            ));
        } else if is_name(&key.text) && !key.text.contains(':') {
            users.push((key.text.clone(), Secret::new(hash, variable)));
        } else {
            found.error("bad-value", key.span, "a name is visible ASCII without a colon");
        }
    }
    let file = file(&options, "file", owner, found);
    if options.node("users").is_none() && options.node("file").is_none() {
        let span = first_line(node.span);
        found.push(
            Diagnostic::error("says-nothing", span, "this lets nobody in")
                .help("write `users` or `file`"),
        );
    }
    BasicAuth {
        realm: realm(&options, found),
        users,
        file,
        user_field: field_name(&options, "user_field", found),
        pass: options.bool("pass", found),
        remember: options.duration("remember", found),
    }
}

/// It stands in quotes in a field.
fn realm(options: &Options<'_>, found: &mut Findings) -> String {
    let realm = options.text("realm", found).unwrap_or_default();
    if !realm.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\') {
        let message = "a realm is visible ASCII without quotes and backslashes";
        found.error("bad-value", options.span_of("realm"), message);
    }
    realm
}

pub(super) fn api_key(node: &Node, found: &mut Findings) -> ApiKey {
    let options = Options::read(node, &API_KEY, found);
    let mut keys: Vec<(String, Secret)> = Vec::new();
    for (key, node) in options.node("keys").map(|node| map(node, found)).unwrap_or_default() {
        let Some(secret) = secret(node, found) else { continue };
        if !is_name(&key.text) {
            found.error("bad-value", key.span, "an owner is visible ASCII");
        } else if let Some((other, _)) = keys.iter().find(|(_, known)| *known == secret) {
            let message = format!("this is the key of `{other}`, too");
            found.error("duplicate-secret", node.span, message);
        } else {
            keys.push((key.text.clone(), secret));
        }
    }
    ApiKey {
        from: match options.node("from") {
            Some(node) => source(node, found),
            None => KeySource::Header("x-api-key".into()),
        },
        keys,
        owner_field: field_name(&options, "owner_field", found),
        pass: options.bool("pass", found),
    }
}

pub(super) fn source(node: &Node, found: &mut Findings) -> KeySource {
    let options = Options::read(node, &KEY_SOURCE, found);
    let Some((key, node)) = options.only(found) else { return KeySource::Header(String::new()) };
    let name = text(node, found).unwrap_or_default().to_owned();
    if !is_token(&name) {
        found.error("bad-value", node.span, format!("`{name}` is not a name"));
    }
    match key.text.as_str() {
        "query" => KeySource::Query(name),
        "cookie" => KeySource::Cookie(name),
        _ => KeySource::Header(name.to_ascii_lowercase()),
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|b| (0x21..=0x7e).contains(&b))
}
