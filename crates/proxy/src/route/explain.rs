//! Why a request takes the route it takes: every alternative in order of precedence, and what kept
//! it from being the one. For people: it looks at everything that [`super::Table::find`] need not.

use evenkeel_config::Config;
use evenkeel_config::precedence::{self, Alternative};

use super::predicate::Predicate;
use super::{RequestView, host, path};

/// What became of an alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request takes this one.
    Taken,
    /// It matches too, but one with precedence is taken.
    Outranked,
    /// It is for another host.
    Host,
    /// It is for another path.
    Path,
    /// The first of its further conditions that does not hold: an index into
    /// [`Alternative::rest`].
    Condition(usize),
}

/// All alternatives in order of precedence, each with what became of it.
pub fn explain(config: &Config, request: &RequestView<'_>) -> Vec<(Alternative, Verdict)> {
    let mut is_taken = false;
    let judge = |alternative: Alternative| {
        let verdict = match find_obstacle(&alternative, request) {
            Some(obstacle) => obstacle,
            None if is_taken => Verdict::Outranked,
            None => {
                is_taken = true;
                Verdict::Taken
            }
        };
        (alternative, verdict)
    };
    precedence::alternatives(config).into_iter().map(judge).collect()
}

fn find_obstacle(alternative: &Alternative, request: &RequestView<'_>) -> Option<Verdict> {
    if alternative.host.as_ref().is_some_and(|host| !host::is_match(host, request.host)) {
        return Some(Verdict::Host);
    }
    if alternative.path.as_ref().is_some_and(|path| !path::is_match(path, request.path)) {
        return Some(Verdict::Path);
    }
    let fails = |matches| !Predicate::compile(matches).holds(request);
    alternative.rest.iter().position(fails).map(Verdict::Condition)
}
