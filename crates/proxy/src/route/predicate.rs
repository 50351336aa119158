//! Conditions beyond host and path, compiled. Nothing is copied, with one exception: a regular
//! expression needs the bytes it looks at in one piece, so they are put together where a client
//! sent them in several lines or percent-encoded (bounded by the limits on a head).

use evenkeel_codec::{Known, cookie, query, syntax};
use evenkeel_config::model::{HostMatch, ListenerId, Match, PathMatch, ValueMatch};
use regex::bytes::Regex;

use super::network::Networks;
use super::query::is_encoding_of;
use super::{RequestView, claim, host, path};

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
    Client(Networks),
    Country(Vec<[u8; 2]>),
    Claim(Box<str>, Value),
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
            Match::Country(codes) => {
                Self::Country(codes.iter().filter_map(|c| c.as_bytes().try_into().ok()).collect())
            }
            Match::Claim(name, value) => Self::Claim(name.as_str().into(), Value::compile(value)),
            Match::Client(networks) => Self::Client(Networks::compile(networks)),
        }
    }

    pub(super) fn holds(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::All(list) => list.iter().all(|inner| inner.holds(request)),
            Self::Any(list) => list.iter().any(|inner| inner.holds(request)),
            Self::Not(inner) => !inner.holds(request),
            Self::Listener(id) => request.listener == *id,
            Self::Host(host) => host::is_match(host, request.host),
            Self::Path(path) => path::is_match(path, request.path),
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
                .any(|(n, v)| is_encoding_of(n, name) && value.holds_encoded(v)),
            Self::Country(codes) => request.country.is_some_and(|code| codes.contains(&code)),
            Self::Claim(name, value) => {
                let claim = request.claims.and_then(|claims| claim::find(claims, name));
                claim.is_some_and(|claim| claim::has(claim, &|text| value.holds(text)))
            }
            Self::Client(networks) => networks.contains(request.client),
        }
    }
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

    fn holds_encoded(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => is_encoding_of(value, text),
            Self::Regex(regex) => regex.is_match(&query::decode(value)),
        }
    }

    fn holds_joined<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => is_joined(lines, text),
            Self::Regex(regex) => regex.is_match(&lines.collect::<Vec<_>>().join(&b", "[..])),
        }
    }
}

/// A value cannot hide behind another (RFC 9110 §5.3): each line of this name is looked at alone,
/// each member of a line that is a list, and all lines joined, which is how a server may see them.
/// A `not` around it thus holds only if none of these is what must not be.
fn has_header(request: &RequestView<'_>, name: &[u8], value: &Value) -> bool {
    let lines = || request.head.named(request.bytes, name);
    let mut count = 0_usize;
    for line in lines() {
        let is_list = memchr::memchr(b',', line).is_some();
        if value.holds(line) || is_list && syntax::list(line).any(|member| value.holds(member)) {
            return true;
        }
        count += 1;
    }
    count > 1 && value.holds_joined(lines())
}

/// Whether `text` is the lines with a comma and optional white space between them.
fn is_joined<'a>(lines: impl Iterator<Item = &'a [u8]>, text: &[u8]) -> bool {
    let mut rest = Some(text);
    for (at, line) in lines.enumerate() {
        if at > 0 {
            rest = rest.and_then(|rest| rest.strip_prefix(b",")).map(syntax::trim);
        }
        rest = rest.and_then(|rest| rest.strip_prefix(line));
    }
    rest.is_some_and(<[u8]>::is_empty)
}
