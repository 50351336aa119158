//! Parts of a configuration that come alone: a pool, a route, a match. They are read by the same
//! code as the file, in a small configuration made around them, so that what is wrong is said with
//! its place in the request. Whether they fit to the rest is decided where all is put together.

use std::fmt::Write as _;

use evenkeel_config::model::Match;
use evenkeel_config::{Config, Diagnostic, Loaded, Report, Severity, Source, Span};
use serde_json::Value;

use super::json;

/// What is wrong with a pool in itself.
pub(crate) fn check_pool(text: &str) -> Result<(), Report> {
    let before = "{\"listeners\": {\"l\": {\"bind\": \"127.0.0.1:0\"}}, \"pools\": {\"p\": ";
    load(before, text, "}}").map(drop)
}

/// What is wrong with a route among these listeners, pools and policies.
pub(crate) fn check_route(text: &str, config: &Config) -> Result<(), Report> {
    let mut before = surroundings(config);
    before.push_str("\"routes\": [");
    load(&before, text, "]}").map(drop)
}

/// A match among these listeners, which `text` is.
pub(crate) fn read_match(text: &str, config: &Config) -> Result<Match, Report> {
    let mut before = surroundings(config);
    before.push_str("\"routes\": [{\"respond\": {}, \"match\": ");
    let route = load(&before, text, "}]}")?.and_then(|mut config| config.routes.pop());
    route.map(|route| route.matches).ok_or_else(|| {
        let place = json::span(0..1);
        json::report(text, vec![Diagnostic::error("bad-value", place, "this cannot be read here")])
    })
}

/// The names that a route may refer to.
fn surroundings(config: &Config) -> String {
    let mut text = String::from("{");
    let mut add = |group: &str, names: Vec<&str>, what: &str| {
        let one = |name: &&str| format!("{}: {what}", Value::from(*name));
        let all: Vec<String> = names.iter().map(one).collect();
        let _ = write!(text, "\"{group}\": {{{}}}, ", all.join(", "));
    };
    let listeners = config.listeners.iter().map(|listener| &*listener.name).collect();
    add("listeners", listeners, "{\"bind\": \"127.0.0.1:0\"}");
    let pools = config.pools.iter().map(|pool| &*pool.name).collect();
    add("pools", pools, "{\"servers\": [\"127.0.0.1:1\"]}");
    let policies = config.policies.iter().map(|policy| &*policy.name).collect();
    add("policies", policies, "{\"fields\": {}}");
    text
}

/// Reads `text` between `before` and `after`. Findings about anything but `text` are not its own;
/// if there are only such, there is nothing to say and nothing to give.
fn load(before: &str, text: &str, after: &str) -> Result<Option<Config>, Report> {
    // `$` is literal, as in `Source::json`: what is sent is meant as it is, and the environment of
    // this process is nobody's business. The places are those of the text as it was sent.
    let escaped = text.replace('$', "$$");
    let whole = format!("{before}\n{escaped}\n{after}");
    let sources = [Source { name: json::NAME.into(), text: whole }];
    let begin = before.len() + 1;
    let report = match evenkeel_config::load(&sources, &|_| None) {
        Ok(Loaded { config, .. }) => return Ok(Some(config)),
        Err(report) => report,
    };
    let moved = |span: Span| {
        let at = |at: u32| {
            let inside = (at as usize).checked_sub(begin).filter(|at| *at <= escaped.len())?;
            let dollars = escaped.get(..inside).map_or(0, |before| before.matches("$$").count());
            u32::try_from(inside - dollars).ok()
        };
        Some(Span { source: 0, start: at(span.start)?, end: at(span.end)? })
    };
    let own: Vec<Diagnostic> = report
        .diagnostics
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .filter_map(|mut finding| {
            finding.span = Some(moved(finding.span?)?);
            finding.related = finding
                .related
                .into_iter()
                .filter_map(|(span, label)| Some((moved(span)?, label)))
                .collect();
            Some(finding)
        })
        .collect();
    if own.is_empty() { Ok(None) } else { Err(json::report(text, own)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_place_in_the_request() {
        let text = "{\n  \"servers\": [\"127.0.0.1:80\"],\n  \"blance\": \"random\"\n}";
        let told = check_pool(text).unwrap_err().compact();
        assert!(told.starts_with("request body:3:3: error[unknown-field]"), "{told}");
        let text = "{\"servers\": [\"$$$${X}:80\", \"${HOME}:80\"]}";
        let told = check_pool(text).unwrap_err().compact();
        assert!(told.contains("request body:1:28"), "{told}");
    }

    #[test]
    fn the_environment_is_not_read() {
        let redirect = "{\"redirect\": \"https://${host}${path}\"}";
        let config = evenkeel_config::from_targets("127.0.0.1:80", &["127.0.0.1:81"]).unwrap();
        check_route(redirect, &config).unwrap();
        let matches = read_match("{\"header\": {\"x\": \"${HOME}\"}}", &config).unwrap();
        assert!(format!("{matches:?}").contains("${HOME}"));
    }

    #[test]
    fn a_fragment_cannot_leave_its_place() {
        let config = evenkeel_config::from_targets("127.0.0.1:80", &["127.0.0.1:81"]).unwrap();
        assert!(read_match("{}}], \"workers\": 1, \"x\": [{\"y\": {}", &config).is_err());
        check_route("{\"to\": \"default\", \"match\": {\"listener\": \"web\"}}", &config).unwrap();
        let told = check_route("{\"to\": \"defualt\"}", &config).unwrap_err().compact();
        assert!(told.contains("1:8"), "{told}");
    }
}
