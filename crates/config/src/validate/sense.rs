//! Mistakes that only the whole shows: routes that can never match, names nobody uses, one address
//! for two listeners.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::Scope;
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Action, Config, HostMatch, Match, PathMatch, PolicyId, PolicyKind, PoolId};
use crate::precedence::{Alternative, alternatives};
use crate::read::Findings;

pub(super) fn check(config: &Config, scope: &Scope, routes: &[Span], found: &mut Findings) {
    check_addresses(config, scope, found);
    check_unused(config, scope, found);
    check_known(config, routes, found);
    // Names that could not be resolved would only cause second-hand findings.
    if !found.0.iter().any(|d| d.severity == crate::diagnostic::Severity::Error) {
        check_reachable(config, routes, found);
    }
}

/// What no policy finds out never matches.
fn check_known(config: &Config, routes: &[Span], found: &mut Findings) {
    let ids = || config.listeners.iter().flat_map(|listener| &listener.policies);
    let kinds = || ids().filter_map(|id| Some(&config.policies.get(id.0 as usize)?.kind));
    let knows_claims = kinds().any(|kind| matches!(kind, PolicyKind::Jwt(_)));
    let knows_countries = kinds().any(|kind| matches!(kind, PolicyKind::Geo(_)));
    for (at, route) in config.routes.iter().enumerate() {
        let span = routes.get(at).copied().unwrap_or_default();
        let mut miss = |what: &str, policy: &str| {
            let message = format!("this route asks for a {what}, which nobody finds out");
            found.push(
                Diagnostic::error("never-known", crate::read::first_line(span), message).help(
                    format!("give a listener a policy `{policy}`: those of routes come too late"),
                ),
            );
        };
        if !knows_claims && asks(&route.matches, &|m| matches!(m, Match::Claim(..))) {
            miss("claim", "jwt");
        }
        if !knows_countries && asks(&route.matches, &|m| matches!(m, Match::Country(_))) {
            miss("country", "geo");
        }
    }
}

fn asks(condition: &Match, is: &dyn Fn(&Match) -> bool) -> bool {
    match condition {
        Match::All(list) | Match::Any(list) => list.iter().any(|inner| asks(inner, is)),
        Match::Not(inner) => asks(inner, is),
        condition => is(condition),
    }
}

fn check_addresses(config: &Config, scope: &Scope, found: &mut Findings) {
    let mut seen: HashMap<(SocketAddr, bool), usize> = HashMap::new();
    for (at, listener) in config.listeners.iter().enumerate() {
        for address in listener.bind.iter().filter(|address| address.port() != 0) {
            match seen.insert((*address, listener.kind.is_udp()), at) {
                Some(first) => found.push(
                    Diagnostic::error(
                        "duplicate-address",
                        scope.listeners.span(at),
                        format!("`{address}` is listened on twice"),
                    )
                    .also(scope.listeners.span(first), "first here"),
                ),
                None => continue,
            }
        }
    }
}

fn check_unused(config: &Config, scope: &Scope, found: &mut Findings) {
    let mut pools = HashSet::new();
    let mut policies: HashSet<PolicyId> = HashSet::new();
    for route in &config.routes {
        policies.extend(&route.policies);
        match &route.action {
            Action::Pool(id) => _ = pools.insert(*id),
            Action::Split(shares) => pools.extend(shares.iter().map(|(id, _)| *id)),
            Action::Redirect(_) | Action::Respond(_) => {}
        }
    }
    pools.extend(config.listeners.iter().flat_map(|listener| listener.kind.pools()));
    policies.extend(config.listeners.iter().flat_map(|listener| &listener.policies));
    pools.extend(config.policies.iter().filter_map(|policy| policy.kind.pool()));
    for (at, pool) in config.pools.iter().enumerate() {
        if !pools.contains(&PoolId(at as u32)) {
            let message = format!("nothing leads to pool `{}`", pool.name);
            found.push(Diagnostic::warning("unused", scope.pools.span(at), message));
        }
    }
    for (at, policy) in config.policies.iter().enumerate() {
        if !policies.contains(&PolicyId(at as u32)) {
            let message = format!("nothing applies policy `{}`", policy.name);
            found.push(Diagnostic::warning("unused", scope.policies.span(at), message));
        }
    }
}

/// A route is unreachable if every alternative of it comes after one that matches all it would.
fn check_reachable(config: &Config, spans: &[Span], found: &mut Findings) {
    let all = alternatives(config);
    // Only alternatives under the same host and path, or without further conditions under a path
    // above, can take everything; grouped, so that 10,000 routes are not compared with each other.
    let mut groups: HashMap<Place<'_>, Vec<&Alternative>> = HashMap::new();
    let mut reachable: HashSet<u32> = HashSet::new();
    let mut shadows: HashMap<u32, u32> = HashMap::new();
    for alternative in &all {
        let group = groups.entry(place(alternative)).or_default();
        match group.iter().find(|earlier| takes_all_of(earlier, alternative)) {
            Some(earlier) => {
                shadows.entry(alternative.route.0).or_insert(earlier.route.0);
            }
            None => {
                reachable.insert(alternative.route.0);
                group.push(alternative);
            }
        }
    }
    for (at, route) in config.routes.iter().enumerate() {
        let id = at as u32;
        let Some(by) = shadows.get(&id).filter(|_| !reachable.contains(&id)) else { continue };
        let by = *by as usize;
        let other = config.routes.get(by).map_or("", |route| route.name.as_str());
        let span = |at: usize| spans.get(at).copied().unwrap_or_default();
        let diagnostic = match by == at {
            true => Diagnostic::error(
                "unreachable-route",
                span(at),
                format!("route `{}` says the same twice", route.name),
            ),
            false => Diagnostic::error(
                "unreachable-route",
                span(at),
                format!(
                    "route `{}` can never match: route `{other}` matches all it would",
                    route.name
                ),
            )
            .also(span(by), "this one comes first"),
        };
        found.push(
            diagnostic.help("`evenkeel check --routes` shows the order in which routes are tried"),
        );
    }
}

/// Kind and text of the host, kind and text of the path.
type Place<'a> = (u8, &'a str, u8, &'a str);

fn place(alternative: &Alternative) -> Place<'_> {
    let (host, name) = match &alternative.host {
        Some(HostMatch::Exact(name)) => (0, name.as_str()),
        Some(HostMatch::Wildcard(parent)) => (1, parent.as_str()),
        None => (2, ""),
    };
    let (path, text) = match &alternative.path {
        Some(PathMatch::Exact(path)) => (0, path.as_str()),
        Some(PathMatch::Regex(pattern)) => (1, pattern.0.as_str()),
        Some(PathMatch::Prefix(path)) => (2, path.as_str()),
        None => (2, ""),
    };
    (host, name, path, text)
}

/// Under the same host and path: every condition of `earlier` is one of `later`, or wider.
fn takes_all_of(earlier: &Alternative, later: &Alternative) -> bool {
    earlier.rest.iter().all(|wide| later.rest.iter().any(|narrow| covers(wide, narrow)))
}

fn covers(wide: &Match, narrow: &Match) -> bool {
    match (wide, narrow) {
        (Match::Method(wide), Match::Method(narrow)) => narrow.iter().all(|m| wide.contains(m)),
        (Match::Client(wide), Match::Client(narrow)) => {
            narrow.iter().all(|n| wide.iter().any(|w| w.contains(n)))
        }
        _ => wide == narrow,
    }
}
