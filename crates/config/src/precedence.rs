//! Which route wins. The rule, from the most important:
//!
//! 1. the host: an exact name, then a wildcard with more labels, then one with fewer, then any;
//! 2. the path: exact, then a regular expression, then a longer prefix, then a shorter, then any;
//! 3. more further conditions (method, header, cookie, query, client, listener; a `not` counts one);
//! 4. what is written first.
//!
//! If no path under the most specific host matches, less specific hosts are tried. A route whose
//! match contains `any` stands for several alternatives, each ranked for itself.

use std::cmp::Reverse;

use crate::Config;
use crate::model::{HostMatch, Match, PathMatch, RouteId};

/// Alternatives a route may stand for; `any` within `all` multiplies them.
pub const ALTERNATIVES_MAX: usize = 1024;

/// One way in which a request can match a route: one host, one path, and conditions that all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// Whose it is.
    pub route: RouteId,
    /// `None` is any.
    pub host: Option<HostMatch>,
    /// `None` is any.
    pub path: Option<PathMatch>,
    /// Further conditions.
    pub rest: Vec<Match>,
}

/// All alternatives of all routes, in order of precedence.
pub fn alternatives(config: &Config) -> Vec<Alternative> {
    let mut all: Vec<Alternative> = Vec::with_capacity(config.routes.len());
    for (at, route) in config.routes.iter().enumerate() {
        let id = RouteId(at as u32);
        // Validation has refused routes with more; such a one would never match here.
        for terms in expand(&route.matches).unwrap_or_default() {
            all.push(alternative(id, terms));
        }
    }
    all.sort_by(|one, other| rank(one).cmp(&rank(other)));
    all
}

/// The match as a list of conjunctions; `None` if that would be more than [`ALTERNATIVES_MAX`].
pub fn expand(matches: &Match) -> Option<Vec<Vec<&Match>>> {
    match matches {
        Match::All(list) => {
            let mut product = vec![Vec::with_capacity(list.len())];
            for inner in list {
                if !matches!(inner, Match::All(_) | Match::Any(_)) {
                    product.iter_mut().for_each(|head| head.push(inner));
                    continue;
                }
                let options = expand(inner)?;
                if product.len() * options.len() > ALTERNATIVES_MAX {
                    return None;
                }
                let mut next = Vec::with_capacity(product.len() * options.len());
                for head in &product {
                    next.extend(options.iter().map(|tail| [head.as_slice(), tail].concat()));
                }
                product = next;
            }
            Some(product)
        }
        Match::Any(list) => {
            let mut sum = Vec::new();
            // Methods and networks are sets already; only what has a rank of its own is split.
            for inner in list {
                sum.extend(expand(inner)?);
                if sum.len() > ALTERNATIVES_MAX {
                    return None;
                }
            }
            Some(sum)
        }
        other => Some(vec![vec![other]]),
    }
}

/// The first host and path found become the index; any further ones stay conditions.
fn alternative(route: RouteId, terms: Vec<&Match>) -> Alternative {
    let mut result = Alternative { route, host: None, path: None, rest: Vec::new() };
    for term in terms {
        match term {
            Match::Host(host) if result.host.is_none() => result.host = Some(host.clone()),
            Match::Path(path) if result.path.is_none() => result.path = Some(path.clone()),
            other => result.rest.push(other.clone()),
        }
    }
    result
}

type Rank<'a> =
    (u8, Reverse<usize>, Option<&'a HostMatch>, u8, Reverse<usize>, Reverse<usize>, RouteId);

/// Smaller goes first. Hosts of one rank are kept together; they never compete.
fn rank(alternative: &Alternative) -> Rank<'_> {
    let (host, labels) = match &alternative.host {
        Some(HostMatch::Exact(_)) => (0, 0),
        Some(HostMatch::Wildcard(parent)) => (1, parent.split('.').count()),
        None => (2, 0),
    };
    let (path, length) = match &alternative.path {
        Some(PathMatch::Exact(_)) => (0, 0),
        Some(PathMatch::Regex(_)) => (1, 0),
        Some(PathMatch::Prefix(prefix)) => (2, prefix.len()),
        None => (2, 0),
    };
    let conditions = alternative.rest.len();
    (
        host,
        Reverse(labels),
        alternative.host.as_ref(),
        path,
        Reverse(length),
        Reverse(conditions),
        alternative.route,
    )
}

/// The routes in order of precedence, a line each.
pub fn explain(config: &Config) -> String {
    let mut text = String::new();
    for (at, alternative) in alternatives(config).iter().enumerate() {
        let Some(route) = config.routes.get(alternative.route.0 as usize) else { continue };
        let host = match &alternative.host {
            Some(HostMatch::Exact(name)) => name.clone(),
            Some(HostMatch::Wildcard(parent)) => format!("*.{parent}"),
            None => "*".to_owned(),
        };
        let path = match &alternative.path {
            Some(PathMatch::Exact(path)) => format!("= {path}"),
            Some(PathMatch::Regex(pattern)) => format!("~ {}", pattern.0.as_str()),
            Some(PathMatch::Prefix(prefix)) if prefix.is_empty() => "/…".to_owned(),
            Some(PathMatch::Prefix(prefix)) => format!("{prefix}/…"),
            None => "/…".to_owned(),
        };
        let rest = match alternative.rest.len() {
            0 => String::new(),
            1 => " + 1 condition".to_owned(),
            n => format!(" + {n} conditions"),
        };
        text.push_str(&format!("{:>4}. {host}  {path}{rest}  → {}\n", at + 1, route.name));
    }
    text
}
