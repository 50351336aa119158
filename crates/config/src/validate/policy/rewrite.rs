//! `rewrite`.

use crate::diagnostic::Diagnostic;
use crate::model::{PathRewrite, Pattern, QueryRewrite, Rewrite, Template};
use crate::option::{QUERY, REPLACE_PREFIX, REPLACE_REGEX, REWRITE};
use crate::read::{Findings, Options, first_line, map, one_or_many, text};
use crate::tree::Node;
use crate::validate::empty;
use crate::validate::matching;
use crate::validate::template::{self, Of};

pub(super) fn read(node: &Node, found: &mut Findings) -> Rewrite {
    let options = Options::read(node, &REWRITE, found);
    let mut written = Vec::new();
    for key in ["strip_prefix", "replace_prefix", "path", "regex"] {
        written.extend(options.entry(key));
    }
    if let [(first, _), (second, _), ..] = written.as_slice() {
        let message =
            format!("a path is changed by `{}` or `{}`, not both", first.text, second.text);
        found.push(
            Diagnostic::error("too-many-fields", second.span, message)
                .also(first.span, "the other one"),
        );
    }
    let path = written.first().and_then(|(key, node)| match key.text.as_str() {
        "strip_prefix" => {
            let from = prefix(node, found)?;
            Some(PathRewrite::Prefix { from, to: String::new() })
        }
        "replace_prefix" => {
            let options = Options::read(node, &REPLACE_PREFIX, found);
            let from = prefix(options.node("from")?, found);
            let to = prefix(options.node("to")?, found);
            Some(PathRewrite::Prefix { from: from?, to: to? })
        }
        "path" => {
            check_path(node, found);
            template::read(node, Of::Request, found).map(PathRewrite::Set)
        }
        _ => regex(node, found),
    });
    let query = query(options.node("query"), found);
    let host = options.node("host").and_then(|node| host(node, found));
    if path.is_none() && written.is_empty() && query.is_none() && options.node("host").is_none() {
        found.error("bad-value", first_line(node.span), "this rewrites nothing");
    }
    Rewrite { path, query, host }
}

/// A path's beginning, without a slash at its end.
pub(super) fn prefix(node: &Node, found: &mut Findings) -> Option<String> {
    check_path(node, found);
    Some(text(node, found)?.trim_end_matches('/').to_owned())
}

fn check_path(node: &Node, found: &mut Findings) {
    let Some(path) = text(node, found) else { return };
    let is_path = path.starts_with('/') || path.starts_with("${path");
    if !is_path || path.starts_with("//") || !is_clean(path) {
        let message = format!(
            "`{path}` is no path: it begins with one `/`, is visible ASCII, and has no `?` or `#`"
        );
        found.error("bad-value", node.span, message);
    }
}

/// Visible ASCII that ends no path.
fn is_clean(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\'))
}

fn regex(node: &Node, found: &mut Findings) -> Option<PathRewrite> {
    let options = Options::read(node, &REPLACE_REGEX, found);
    let (written, to) = (options.node("pattern")?, options.node("to")?);
    let pattern: Pattern = matching::regex(text(written, found)?, written.span, found)?;
    let replacement = text(to, found)?.to_owned();
    if !is_clean(&replacement) {
        found.error("bad-value", to.span, "a path is visible ASCII without `?` or `#`");
    }
    for name in groups(&replacement) {
        let is_known = match name.parse::<usize>() {
            Ok(number) => number < pattern.0.captures_len(),
            Err(_) => pattern.0.capture_names().flatten().any(|known| known == name),
        };
        if !is_known {
            let names: Vec<&str> = pattern.0.capture_names().flatten().collect();
            let message = format!("the pattern has no group `{name}`");
            found.push(
                Diagnostic::error("unknown-variable", to.span, message).suggest(name, names).help(
                    "a name ends where letters, digits and `_` do: `${1}a` is group 1 and an `a`",
                ),
            );
        }
    }
    Some(PathRewrite::Regex { pattern, to: replacement })
}

/// What a replacement refers to, as the library for expressions reads it.
fn groups(replacement: &str) -> Vec<&str> {
    let (mut names, mut rest) = (Vec::new(), replacement);
    while let Some((_, after)) = rest.split_once('$') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            names.push(name);
            rest = after;
        } else {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            names.extend((end > 0).then_some(&rest[..end]));
        }
    }
    names
}

fn query(node: Option<&Node>, found: &mut Findings) -> QueryRewrite {
    let empty = empty();
    let options = Options::read(node.unwrap_or(&empty), &QUERY, found);
    let mut names = |key: &str| -> Option<Vec<String>> {
        let nodes = one_or_many(options.node(key)?);
        Some(nodes.iter().filter_map(|node| text(node, found).map(str::to_owned)).collect())
    };
    let (keep, remove) = (names("keep"), names("remove").unwrap_or_default());
    let mut set = Vec::new();
    for (key, node) in options.node("set").map(|node| map(node, found)).unwrap_or_default() {
        set.extend(template::read(node, Of::Request, found).map(|value| (key.text.clone(), value)));
    }
    QueryRewrite { keep, remove, set }
}

fn host(node: &Node, found: &mut Findings) -> Option<Template> {
    let host = template::read(node, Of::Request, found)?;
    if let Some(text) = host.fixed() {
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if text.is_empty() || !text.bytes().all(is_host) {
            found.error("bad-value", node.span, format!("`{text}` is no host"));
        }
    }
    Some(host)
}
