//! Routes.

use std::collections::HashMap;

use super::template::{self, Of};
use super::{Scope, matching};
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{
    Action, HostMatch, Match, Part, PathMatch, Plain, PolicyId, PoolId, Redirect, Respond, Route,
    Template, Variable,
};
use crate::option::{REDIRECT, RESPOND, ROUTE, SPLIT};
use crate::precedence::{ALTERNATIVES_MAX, expand};
use crate::read::{Findings, Options, count_of, first_line, map, text};
use crate::tree::{Node, Value};

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
        Action::Respond(Respond {
            status: 404,
            content_type: String::new(),
            body: Template::default(),
        })
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
        return Redirect { status: 308, to: location(text, node.span, found) };
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
    Redirect { status, to: to.map(|(text, span)| location(&text, span, found)).unwrap_or_default() }
}

fn location(text: &str, span: Span, found: &mut Findings) -> Template {
    if !text.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        found.error("bad-value", span, "a `Location` is visible ASCII without spaces");
    }
    let template = template::parse(text, span, Of::Request, found);
    if continues_host(&template) {
        found.push(
            Diagnostic::error("bad-value", span, "a value could go on with the name of the host")
                .help("put a `/` between the host and the variable: `https://a.example/${…}`"),
        );
    }
    template
}

/// Whether a value stands directly behind a host: `https://a.example${query.next}` leads wherever
/// a client likes.
fn continues_host(location: &Template) -> bool {
    let (mut in_host, mut before) = (false, String::new());
    for part in &location.0 {
        match part {
            Part::Text(text) => {
                let behind = match text.split_once("//") {
                    Some((_, behind)) if !in_host && before.is_empty() => {
                        in_host = true;
                        behind
                    }
                    _ => text,
                };
                in_host &= !behind.contains(['/', '?', '#']);
                before.push_str(text);
            }
            // It begins with a `/`; the others do too or with a `?`, or are nothing.
            Part::Variable(Variable::Plain(Plain::Path)) => in_host = false,
            Part::Variable(Variable::Plain(Plain::Host | Plain::PathRest | Plain::Query)) => {}
            Part::Variable(_) if in_host => return true,
            Part::Variable(_) => before.push('x'),
        }
    }
    false
}

fn respond(node: &Node, found: &mut Findings) -> Respond {
    let options = Options::read(node, &RESPOND, found);
    let body = options.node("body").and_then(|node| template::read(node, Of::Request, found));
    let content_type = options.text("content_type", found).unwrap_or_default();
    if content_type.bytes().any(|b| b < b' ' || b == 0x7f) {
        let span = options.node("content_type").map_or(node.span, |node| node.span);
        found.error("bad-value", span, "a field value is one line without control characters");
    }
    Respond {
        status: options.count("status", found).unwrap_or(200) as u16,
        content_type,
        body: body.unwrap_or_default(),
    }
}
