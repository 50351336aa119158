//! Conditions beyond host and path, compiled.

use evenkeel_codec::{Known, cookie, query};
use evenkeel_config::model::{HostMatch, ListenerId, Match, PathMatch, ValueMatch};
use ipnet::IpNet;
use regex::bytes::Regex;

use super::RequestView;

/// A condition on a request.
pub(super) enum Predicate {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Listener(ListenerId),
    Host(HostMatch),
    Path(PathMatch),
    Method(Vec<Box<[u8]>>),
    Header(Box<[u8]>, Value),
    Cookie(Box<[u8]>, Value),
    Query(Box<[u8]>, Value),
    Client(Vec<IpNet>),
}

/// A condition on a value.
pub(super) enum Value {
    Present,
    Exact(Box<[u8]>),
    Regex(Regex),
}

impl Value {
    fn compile(value: &ValueMatch) -> Self {
        match value {
            ValueMatch::Present => Self::Present,
            ValueMatch::Exact(text) => Self::Exact(text.as_bytes().into()),
            ValueMatch::Regex(pattern) => Self::Regex(pattern.0.clone()),
        }
    }

    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => **text == *value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

impl Predicate {
    pub(super) fn compile(matches: &Match) -> Self {
        let all = |list: &[Match]| list.iter().map(Self::compile).collect();
        let bytes = |text: &String| text.as_bytes().into();
        match matches {
            Match::All(list) => Self::All(all(list)),
            Match::Any(list) => Self::Any(all(list)),
            Match::Not(inner) => Self::Not(Box::new(Self::compile(inner))),
            Match::Listener(id) => Self::Listener(*id),
            Match::Host(host) => Self::Host(host.clone()),
            Match::Path(path) => Self::Path(path.clone()),
            Match::Method(methods) => Self::Method(methods.iter().map(bytes).collect()),
            Match::Header(name, value) => Self::Header(bytes(name), Value::compile(value)),
            Match::Cookie(name, value) => Self::Cookie(bytes(name), Value::compile(value)),
            Match::Query(name, value) => Self::Query(bytes(name), Value::compile(value)),
            Match::Client(networks) => Self::Client(networks.clone()),
        }
    }

    pub(super) fn holds(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::All(list) => list.iter().all(|inner| inner.holds(request)),
            Self::Any(list) => list.iter().any(|inner| inner.holds(request)),
            Self::Not(inner) => !inner.holds(request),
            Self::Listener(id) => request.listener == *id,
            Self::Host(host) => is_host(host, request.host),
            Self::Path(path) => is_path(path, request.path),
            Self::Method(methods) => methods.iter().any(|method| **method == *request.method),
            Self::Header(name, value) => has_header(request, name, value),
            Self::Cookie(name, value) => request
                .head
                .values(request.bytes, Known::Cookie)
                .flat_map(cookie::pairs)
                .any(|(n, v)| n == &**name && value.holds(v)),
            Self::Query(name, value) => request
                .query
                .into_iter()
                .flat_map(query::parameters)
                .any(|(n, v)| *query::decode(n) == **name && value.holds(&query::decode(v))),
            Self::Client(networks) => networks.iter().any(|net| net.contains(&request.client)),
        }
    }
}

/// Every line of this name is looked at alone, and so is each member of a line that is a list: a
/// value cannot hide behind another (RFC 9110 §5.3).
fn has_header(request: &RequestView<'_>, name: &[u8], value: &Value) -> bool {
    request.head.named(request.bytes, name).any(|line| {
        value.holds(line) || evenkeel_codec::syntax::list(line).any(|member| value.holds(member))
    })
}

fn is_host(host: &HostMatch, sent: &[u8]) -> bool {
    let sent = sent.strip_suffix(b".").unwrap_or(sent);
    match host {
        HostMatch::Exact(name) => name.as_bytes().eq_ignore_ascii_case(sent),
        HostMatch::Wildcard(parent) => {
            let at = sent.len().checked_sub(parent.len());
            at.and_then(|at| sent.split_at_checked(at)).is_some_and(|(before, after)| {
                matches!(before, [_, .., b'.']) && after.eq_ignore_ascii_case(parent.as_bytes())
            })
        }
    }
}

fn is_path(path: &PathMatch, sent: &[u8]) -> bool {
    match path {
        PathMatch::Exact(exact) => exact.as_bytes() == sent,
        PathMatch::Prefix(prefix) => sent
            .strip_prefix(prefix.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/')),
        PathMatch::Regex(pattern) => pattern.0.is_match(sent),
    }
}
