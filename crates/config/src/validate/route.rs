//! Routes.

use std::collections::HashMap;

use super::{Scope, matching};
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{
    Action, HostMatch, Match, PathMatch, PolicyId, PoolId, Redirect, RedirectPart, Respond, Route,
};
use crate::option::{REDIRECT, RESPOND, ROUTE, SPLIT};
use crate::precedence::{ALTERNATIVES_MAX, expand};
use crate::read::{Findings, Options, count_of, first_line, map, text};
use crate::tree::{Node, Value};

/// Largest body of a fixed response.
const BODY_MAX: usize = 64 * 1024;

/// Reads all routes; with each the place it stands for in messages.
pub(super) fn read_all(nodes: &[Node], scope: &Scope, found: &mut Findings) -> Vec<(Route, Span)> {
    let mut names: HashMap<String, Span> = HashMap::new();
    let mut all = Vec::with_capacity(nodes.len());
    for node in nodes {
        let options = Options::read(node, &ROUTE, found);
        let matches = match options.node("match") {
            Some(node) => matching::read(node, scope, found),
            None => Match::All(Vec::new()),
        };
        let place = options.node("match").map_or(node.span, |node| node.span);
        let alternatives = expand(&matches);
        if alternatives.is_none() {
            let message =
                format!("this match stands for more than {ALTERNATIVES_MAX} alternatives");
            found.push(
                Diagnostic::error("too-many-alternatives", first_line(place), message)
                    .help("make several routes of it"),
            );
        }
        let action = action(&options, scope, found);
        let name = match options.entry("name") {
            Some((_, node)) => {
                let name = text(node, found).unwrap_or_default().to_owned();
                if let Some(first) = names.get(&name) {
                    found.push(
                        Diagnostic::error(
                            "duplicate-name",
                            node.span,
                            format!("two routes are called `{name}`"),
                        )
                        .also(*first, "the first one"),
                    );
                }
                names.insert(name.clone(), node.span);
                name
            }
            None => made_name(alternatives.unwrap_or_default(), &names, all.len()),
        };
        names.entry(name.clone()).or_insert(place);
        let policies = scope.policies.find_all(options.node("policies"), found);
        let policies = policies.into_iter().map(PolicyId).collect();
        all.push((Route { name, matches, action, policies }, first_line(node.span)));
    }
    all
}

/// A name from the first host and path of the match.
fn made_name(alternatives: Vec<Vec<&Match>>, names: &HashMap<String, Span>, at: usize) -> String {
    let terms = alternatives.into_iter().next().unwrap_or_default();
    let mut name = String::new();
    for term in &terms {
        match term {
            Match::Host(HostMatch::Exact(host)) => name.insert_str(0, host),
            Match::Host(HostMatch::Wildcard(parent)) => name.insert_str(0, &format!("*.{parent}")),
            Match::Path(PathMatch::Exact(path) | PathMatch::Prefix(path)) => name.push_str(path),
            Match::Path(PathMatch::Regex(pattern)) => {
                name.push_str(&format!("~{}", pattern.0.as_str()))
            }
            _ => {}
        }
    }
    if name.is_empty() {
        name.push_str(if terms.is_empty() { "everything" } else { "route" });
    }
    match names.contains_key(&name) {
        true => format!("{name} #{}", at + 1),
        false => name,
    }
}

fn action(options: &Options<'_>, scope: &Scope, found: &mut Findings) -> Action {
    let given: Vec<_> =
        ["to", "redirect", "respond"].iter().filter_map(|key| options.entry(key)).collect();
    let nothing = || {
        Action::Respond(Respond { status: 404, content_type: String::new(), body: String::new() })
    };
    match given.as_slice() {
        [] => {
            found.push(
                Diagnostic::error(
                    "missing-field",
                    first_line(options.span),
                    "a route needs `to`, `redirect` or `respond`",
                )
                .label("this one does nothing"),
            );
            nothing()
        }
        [(key, node), rest @ ..] => {
            for (other, _) in rest {
                found.push(
                    Diagnostic::error(
                        "too-many-fields",
                        other.span,
                        format!("a route has one of `{}` and `{}`, not both", key.text, other.text),
                    )
                    .also(key.span, "the other one"),
                );
            }
            match key.text.as_str() {
                "to" => to(node, scope, found).unwrap_or_else(nothing),
                "redirect" => Action::Redirect(redirect(node, found)),
                _ => Action::Respond(respond(node, found)),
            }
        }
    }
}

fn to(node: &Node, scope: &Scope, found: &mut Findings) -> Option<Action> {
    if let Value::Scalar { text, .. } = &node.value {
        return scope.pools.find(text, node.span, found).map(|id| Action::Pool(PoolId(id)));
    }
    let options = Options::read(node, &SPLIT, found);
    let node = options.node("split")?;
    let mut shares = Vec::new();
    for (key, node) in map(node, found) {
        let pool = scope.pools.find(&key.text, key.span, found);
        let weight = text(node, found).map(|text| count_of(text, 0, 1_000_000));
        match (pool, weight) {
            (Some(pool), Some(Ok(weight))) => shares.push((PoolId(pool), weight as u32)),
            (_, Some(Err(message))) => found.error("bad-value", node.span, message),
            _ => {}
        }
    }
    if shares.iter().all(|(_, weight)| *weight == 0) {
        found.error("bad-value", first_line(node.span), "at least one share must be more than 0");
        return None;
    }
    Some(Action::Split(shares))
}

fn redirect(node: &Node, found: &mut Findings) -> Redirect {
    if let Value::Scalar { text, .. } = &node.value {
        return Redirect { status: 308, to: template(text, node.span, found) };
    }
    let options = Options::read(node, &REDIRECT, found);
    let status = options.count("status", found).unwrap_or(308) as u16;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let span = options.node("status").map_or(node.span, |node| node.span);
        found.error(
            "bad-value",
            span,
            format!("{status} is no redirect: 301, 302, 303, 307 or 308"),
        );
    }
    let to = options.node("to").and_then(|node| Some((text(node, found)?.to_owned(), node.span)));
    Redirect { status, to: to.map(|(text, span)| template(&text, span, found)).unwrap_or_default() }
}

fn template(text: &str, span: Span, found: &mut Findings) -> Vec<RedirectPart> {
    const PARTS: &[(&str, RedirectPart)] = &[
        ("host", RedirectPart::Host),
        ("path", RedirectPart::Path),
        ("path.rest", RedirectPart::PathRest),
        ("query", RedirectPart::Query),
    ];
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if !before.is_empty() {
            parts.push(RedirectPart::Text(before.to_owned()));
        }
        let Some(end) = after.find('}') else {
            found.error("bad-value", span, "a `${` is not closed");
            return parts;
        };
        let name = &after[2..end];
        match PARTS.iter().find(|(known, _)| *known == name) {
            Some((_, part)) => parts.push(part.clone()),
            None => found.push(
                Diagnostic::error("bad-value", span, format!("`${{{name}}}` is not known here"))
                    .suggest(name, PARTS.iter().map(|(known, _)| *known))
                    .help("there is: ${host}, ${path}, ${path.rest}, ${query}"),
            ),
        }
        rest = &after[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(RedirectPart::Text(rest.to_owned()));
    }
    if !text.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        found.error("bad-value", span, "a `Location` is visible ASCII without spaces");
    }
    parts
}

fn respond(node: &Node, found: &mut Findings) -> Respond {
    let options = Options::read(node, &RESPOND, found);
    let body = options.text("body", found).unwrap_or_default();
    let content_type = options.text("content_type", found).unwrap_or_default();
    if body.len() > BODY_MAX {
        let span = options.node("body").map_or(node.span, |node| first_line(node.span));
        found.error("bad-value", span, "a fixed body has at most 64 KiB");
    }
    if content_type.bytes().any(|b| b < b' ' || b == 0x7f) {
        let span = options.node("content_type").map_or(node.span, |node| node.span);
        found.error("bad-value", span, "a field value is one line without control characters");
    }
    Respond { status: options.count("status", found).unwrap_or(200) as u16, content_type, body }
}
