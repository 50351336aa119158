//! `cookies`.

use super::rewrite::prefix;
use crate::model::{CookiePath, Cookies, SameSite};
use crate::option::{COOKIE_PATH, COOKIES};
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::{Node, Value};
use crate::validate::matching::is_token;

pub(super) fn read(node: &Node, found: &mut Findings) -> Cookies {
    let options = Options::read(node, &COOKIES, found);
    let mut names = Vec::new();
    for node in options.node("names").map(one_or_many).unwrap_or_default() {
        let Some(name) = text(node, found) else { continue };
        if is_token(name) {
            names.push(name.to_owned());
        } else {
            found.error("bad-value", node.span, format!("`{name}` is no name of a cookie"));
        }
    }
    let domain = options.node("domain").and_then(|node| text(node, found)).map(str::to_owned);
    let is_name =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if let Some(domain) = domain.as_deref().filter(|domain| !is_name(domain)) {
        found.error("bad-value", options.span_of("domain"), format!("`{domain}` is no domain"));
    }
    let same_site = options.node("same_site").and_then(|_| options.choice("same_site", found));
    let mut flag = |key: &str| options.node(key).map(|_| options.bool(key, found));
    let (secure, http_only, partitioned) = (flag("secure"), flag("http_only"), flag("partitioned"));
    if secure == Some(false) && (same_site == Some("none") || partitioned == Some(true)) {
        found.error(
            "bad-value",
            options.span_of("secure"),
            "browsers take a cookie with `same_site: none` or `partitioned` only if it is `secure`",
        );
    }
    Cookies {
        names,
        domain,
        path: options.node("path").and_then(|node| path(node, found)),
        secure,
        http_only,
        same_site: same_site.map(|word| match word {
            "strict" => SameSite::Strict,
            "lax" => SameSite::Lax,
            _ => SameSite::None,
        }),
        partitioned,
    }
}

fn path(node: &Node, found: &mut Findings) -> Option<CookiePath> {
    if matches!(node.value, Value::Map(_)) {
        let options = Options::read(node, &COOKIE_PATH, found);
        let from = prefix(options.node("from")?, found);
        let to = prefix(options.node("to")?, found);
        return Some(CookiePath::Replace { from: from?, to: to? });
    }
    let path = text(node, found)?;
    if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic() && b != b';') {
        found.error("bad-value", node.span, format!("`{path}` is no path of a cookie"));
    }
    Some(CookiePath::Set(path.to_owned()))
}
