//! Conditions of routes.

use regex::bytes::RegexBuilder;

use super::Scope;
use super::listener::networks;
use super::policy::geo::countries;
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{HostMatch, ListenerId, Match, PathMatch, Pattern, ValueMatch};
use crate::option::{MATCH, PATH, VALUE};
use crate::read::{Findings, Options, bool_of, first_line, list, map, one_or_many, text};
use crate::tree::{Node, Value};

/// Bytes a compiled expression may take: a hundred of them are a hundred megabytes, not more.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// Reads a match; several keys must all hold.
pub(super) fn read(node: &Node, scope: &Scope, found: &mut Findings) -> Match {
    let options = Options::read(node, &MATCH, found);
    let mut all = Vec::new();
    if options.written().next().is_none() && matches!(node.value, Value::Map(_)) {
        found.push(
            Diagnostic::error("empty-match", first_line(node.span), "this match says nothing")
                .help("leave out `match` to match every request"),
        );
    }
    for (key, node) in options.written() {
        if matches!(node.value, Value::Null) {
            found.error("wrong-kind", key.span, format!("`{}` has no value", key.text));
            continue;
        }
        match key.text.as_str() {
            "host" => all.push(any(one_or_many(node), found, |n, f| host(n, f).map(Match::Host))),
            "path" => all.push(any(one_or_many(node), found, |n, f| path(n, f).map(Match::Path))),
            "method" => all.push(Match::Method(methods(node, found))),
            "header" => values(
                node,
                found,
                |name, value| Match::Header(name.to_ascii_lowercase(), value),
                &mut all,
            ),
            "cookie" => {
                values(node, found, |name, value| Match::Cookie(name.to_owned(), value), &mut all)
            }
            "query" => {
                values(node, found, |name, value| Match::Query(name.to_owned(), value), &mut all)
            }
            "country" => all.push(Match::Country(countries(node, found))),
            "claim" => {
                values(node, found, |name, value| Match::Claim(name.to_owned(), value), &mut all)
            }
            "client" => all.push(Match::Client(networks(Some(node), found))),
            "listener" => {
                let ids = scope.listeners.find_all(Some(node), found);
                let each = ids.into_iter().map(|id| Match::Listener(ListenerId(id))).collect();
                all.push(flatten_any(each));
            }
            "all" => all.extend(list(node, found).iter().map(|n| read(n, scope, found))),
            "any" => {
                let each = list(node, found);
                if each.is_empty() {
                    found.error("empty-match", key.span, "`any` of nothing never matches");
                }
                all.push(flatten_any(each.iter().map(|n| read(n, scope, found)).collect()));
            }
            _ => all.push(Match::Not(Box::new(read(node, scope, found)))),
        }
    }
    match all.len() {
        1 => all.remove(0),
        _ => Match::All(all),
    }
}

fn any(
    nodes: &[Node],
    found: &mut Findings,
    one: impl Fn(&Node, &mut Findings) -> Option<Match>,
) -> Match {
    flatten_any(nodes.iter().filter_map(|node| one(node, found)).collect())
}

fn flatten_any(mut each: Vec<Match>) -> Match {
    match each.len() {
        1 => each.remove(0),
        0 => Match::All(Vec::new()), // a mistake that has been noted
        _ => Match::Any(each),
    }
}

pub(super) fn host(node: &Node, found: &mut Findings) -> Option<HostMatch> {
    let written = text(node, found)?;
    let name = written.trim_end_matches('.').to_ascii_lowercase();
    let (name, wildcard) = match name.strip_prefix("*.") {
        Some(parent) => (parent.to_owned(), true),
        None => (name, false),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_ipv6 = name.starts_with('[') && name.ends_with(']');
    if !(is_ipv6 || name.len() <= 253 && name.split('.').all(is_label)) {
        let help = match () {
            () if written.contains("://") || written.contains('/') => {
                "a host is a name only, without scheme or path"
            }
            () if written.contains(':') => "a host is matched without its port",
            () if written.contains('*') => {
                "a wildcard stands for whole labels at the beginning: `*.example.com`"
            }
            () => "write it like `example.com` or `*.example.com`",
        };
        found.push(
            Diagnostic::error("bad-value", node.span, format!("`{written}` is not a host name"))
                .help(help),
        );
        return None;
    }
    Some(if wildcard { HostMatch::Wildcard(name) } else { HostMatch::Exact(name) })
}

fn path(node: &Node, found: &mut Findings) -> Option<PathMatch> {
    if let Value::Scalar { text, .. } = &node.value {
        return prefix(text, node.span, found);
    }
    let (key, node) = Options::read(node, &PATH, found).only(found)?;
    let written = text(node, found)?;
    match key.text.as_str() {
        "exact" => absolute(written, node.span, found).map(PathMatch::Exact),
        "prefix" => prefix(written, node.span, found),
        _ => regex(written, node.span, found).map(PathMatch::Regex),
    }
}

fn prefix(written: &str, span: Span, found: &mut Findings) -> Option<PathMatch> {
    if written.contains('*') {
        found.push(
            Diagnostic::error("bad-value", span, format!("`{written}`: a path has no wildcards"))
                .help("a path already matches everything below it; for more write `{ regex: … }`"),
        );
        return None;
    }
    let path = absolute(written, span, found)?;
    Some(PathMatch::Prefix(path.trim_end_matches('/').to_owned()))
}

/// A path as requests have it after normalisation, or it would never match.
pub(super) fn absolute(written: &str, span: Span, found: &mut Findings) -> Option<String> {
    let fault = if !written.starts_with('/') {
        "it must begin with `/`"
    } else if written.contains(['?', '#']) {
        "a path ends before `?` and `#`; use `query` for parameters"
    } else if written.contains("//") || written.split('/').any(|s| s == "." || s == "..") {
        "requests are normalised before they are matched: no `//`, `.` or `..`"
    } else if !written.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'\\') {
        "other characters than visible ASCII are written as escapes (`%C3%A9`)"
    } else {
        return Some(written.to_owned());
    };
    found.push(
        Diagnostic::error("bad-value", span, format!("`{written}` never matches a path"))
            .help(fault),
    );
    None
}

pub(super) fn regex(written: &str, span: Span, found: &mut Findings) -> Option<Pattern> {
    match RegexBuilder::new(written).size_limit(REGEX_SIZE_MAX).build() {
        Ok(regex) => Some(Pattern(regex)),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            found.error(
                "bad-regex",
                span,
                format!("this regular expression cannot be used: {last}"),
            );
            None
        }
    }
}

fn methods(node: &Node, found: &mut Findings) -> Vec<String> {
    let mut all = Vec::new();
    for node in one_or_many(node) {
        let Some(method) = text(node, found) else { continue };
        if !is_token(method) {
            found.error("bad-value", node.span, format!("`{method}` is not a method"));
            continue;
        }
        if method.bytes().all(|b| b.is_ascii_lowercase()) {
            let upper = method.to_ascii_uppercase();
            found.push(
                Diagnostic::warning(
                    "lower-case-method",
                    node.span,
                    format!("methods are case-sensitive: `{method}` is not `{upper}`"),
                )
                .help(format!("write `{upper}`")),
            );
        }
        all.push(method.to_owned());
    }
    all
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn values(
    node: &Node,
    found: &mut Findings,
    make: impl Fn(&str, ValueMatch) -> Match,
    all: &mut Vec<Match>,
) {
    for (key, node) in map(node, found) {
        if !is_token(&key.text) && key.text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            found.error("bad-value", key.span, format!("`{}` is not a name", key.text));
        }
        if let Some(value) = value(node, found) {
            all.push(make(&key.text, value));
        }
    }
}

fn value(node: &Node, found: &mut Findings) -> Option<ValueMatch> {
    match &node.value {
        Value::Scalar { text, plain: true, .. } if text == "present" => {
            return Some(ValueMatch::Present);
        }
        Value::Scalar { text, .. } => return Some(ValueMatch::Exact(text.clone())),
        Value::Null => return Some(ValueMatch::Exact(String::new())),
        _ => {}
    }
    let (key, node) = Options::read(node, &VALUE, found).only(found)?;
    let written = text(node, found)?;
    match key.text.as_str() {
        "exact" => Some(ValueMatch::Exact(written.to_owned())),
        "regex" => regex(written, node.span, found).map(ValueMatch::Regex),
        _ if bool_of(written) == Ok(true) => Some(ValueMatch::Present),
        _ => {
            found.push(
                Diagnostic::error("bad-value", node.span, "`present` can only be `true`")
                    .help("for what must be absent write `not: { … }` around it"),
            );
            None
        }
    }
}
