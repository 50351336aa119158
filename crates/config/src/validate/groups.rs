//! Variables that name a group of the route's path: whether there is one.

use super::Scope;
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Action, Config, Match, PathMatch, PolicyId, Route, Template, Variable};
use crate::read::Findings;

/// Notes groups that no route has, in what routes say themselves and in policies they apply.
pub(super) fn check(config: &Config, scope: &Scope, routes: &[Span], found: &mut Findings) {
    for (route, span) in config.routes.iter().zip(routes) {
        let own = match &route.action {
            Action::Redirect(redirect) => Some(&redirect.to),
            Action::Respond(respond) => Some(&respond.body),
            Action::Pool(_) | Action::Split(_) => None,
        };
        for name in own.into_iter().flat_map(groups_used) {
            check_one(name, &groups_of(&route.matches), *span, found);
        }
    }
    for (at, policy) in config.policies.iter().enumerate() {
        let id = PolicyId(at as u32);
        let used: Vec<&str> = policy.kind.templates().into_iter().flat_map(groups_used).collect();
        if used.is_empty() {
            continue;
        }
        let everywhere = config.listeners.iter().any(|listener| listener.policies.contains(&id));
        let applies = |route: &&Route| everywhere || route.policies.contains(&id);
        let known: Vec<&str> = config
            .routes
            .iter()
            .filter(applies)
            .flat_map(|route| groups_of(&route.matches))
            .collect();
        for name in used {
            check_one(name, &known, scope.policies.span(at), found);
        }
    }
}

fn groups_used(template: &Template) -> impl Iterator<Item = &str> {
    template.variables().filter_map(|variable| match variable {
        Variable::Group(name) => Some(name.as_str()),
        _ => None,
    })
}

/// The named groups of the expressions for the path.
fn groups_of(matches: &Match) -> Vec<&str> {
    match matches {
        Match::All(list) | Match::Any(list) => list.iter().flat_map(groups_of).collect(),
        Match::Path(PathMatch::Regex(pattern)) => pattern.0.capture_names().flatten().collect(),
        _ => Vec::new(),
    }
}

fn check_one(name: &str, known: &[&str], span: Span, found: &mut Findings) {
    if known.contains(&name) {
        return;
    }
    let message = format!("no expression for the path has a group `{name}`");
    let diagnostic = Diagnostic::error("unknown-variable", span, message)
        .suggest(name, known.iter().copied().chain(["rest"]));
    found.push(diagnostic.help(format!(
        "`${{path.{name}}}` is what `(?P<{name}>…)` matches in `match: {{ path: {{ regex: … }} }}`"
    )));
}
