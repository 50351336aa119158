//! The table against the rules of precedence read literally: look at every route, keep the best
//! that matches. The reference knows requests before they are written as HTTP, shares no code with
//! the table, and ranks for itself.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use evenkeel_config::model::{HostMatch, ListenerId, Match, PathMatch, Pattern, ValueMatch};
use evenkeel_config::precedence::expand;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Sent, matching, send};
use crate::route::Table;
use crate::route::explain::{Verdict, explain};

const HOSTS: [&str; 6] = ["test", "a.test", "b.a.test", "c.b.a.test", "x.test", "[::1]"];
const PARENTS: [&str; 3] = ["test", "a.test", "b.a.test"];
const PATHS: [&str; 9] =
    ["/a", "/a/b", "/a/b/c", "/ab", "/a/bc", "/b", "/a/b/c/d", "/a%2Fb", "/b/a"];
const NAMES: [&str; 2] = ["k", "l"];
const VALUES: [&str; 5] = ["v", "w", "v, w", "w,v", ""];
static PATTERNS: LazyLock<[Pattern; 4]> = LazyLock::new(|| {
    ["^/a", "b$", "v", "^v, ?w$"].map(|text| Pattern(regex::bytes::Regex::new(text).unwrap()))
});

/// A request as meant.
#[derive(Clone, Debug)]
struct Meant {
    host: String,
    path: String,
    method: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    cookies: Vec<(&'static str, &'static str)>,
    parameters: Vec<(&'static str, &'static str)>,
    client: u8,
    listener: u32,
}

impl Meant {
    fn send(&self) -> Sent {
        let mut url = format!("{}{}", self.host, self.path);
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            let value = value.replace(' ', if at % 2 == 0 { "%20" } else { "+" });
            url.push_str(&format!("{}{name}={value}", if at == 0 { '?' } else { '&' }));
        }
        let mut lines: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        lines
            .extend(self.cookies.iter().map(|(name, value)| format!("Cookie: z=1;{name}={value}")));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut sent = send(self.method, &url, &lines).through(self.listener);
        sent.client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, self.client));
        sent
    }

    fn is_like(&self, matches: &Match) -> bool {
        match matches {
            Match::All(list) => list.iter().all(|inner| self.is_like(inner)),
            Match::Any(list) => list.iter().any(|inner| self.is_like(inner)),
            Match::Not(inner) => !self.is_like(inner),
            Match::Listener(id) => id.0 == self.listener,
            Match::Host(host) => {
                let name = self.host.to_lowercase();
                let name = name.strip_suffix('.').unwrap_or(&name);
                match host {
                    HostMatch::Exact(exact) => name == exact,
                    HostMatch::Wildcard(parent) => name.ends_with(&format!(".{parent}")),
                }
            }
            Match::Path(PathMatch::Exact(exact)) => self.path == *exact,
            Match::Path(PathMatch::Prefix(prefix)) => {
                format!("{}/", self.path).starts_with(&format!("{prefix}/"))
            }
            Match::Path(PathMatch::Regex(pattern)) => pattern.0.is_match(self.path.as_bytes()),
            Match::Method(methods) => methods.iter().any(|method| method == self.method),
            Match::Header(name, value) => {
                let lines: Vec<&str> =
                    self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| *v).collect();
                let members = lines.iter().flat_map(|line| line.split(',').map(str::trim));
                let joined = [lines.join(", "), lines.join(",")];
                let joined = joined.iter().map(String::as_str).filter(|_| lines.len() > 1);
                is_any(value, lines.iter().copied().chain(members).chain(joined))
            }
            Match::Cookie(name, value) => is_any(value, of(&self.cookies, name)),
            Match::Query(name, value) => is_any(value, of(&self.parameters, name)),
            // No policy has found anything out here.
            Match::Country(_) | Match::Claim(..) => false,
            Match::Client(networks) => {
                let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, self.client));
                networks.iter().any(|network| network.contains(&client))
            }
        }
    }
}

fn of<'a>(
    pairs: &'a [(&'static str, &'static str)],
    name: &'a str,
) -> impl Iterator<Item = &'static str> + 'a {
    pairs.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value)
}

fn is_any<'a>(value: &ValueMatch, mut candidates: impl Iterator<Item = &'a str>) -> bool {
    candidates.any(|candidate| match value {
        ValueMatch::Present => true,
        ValueMatch::Exact(text) => candidate == text,
        ValueMatch::Regex(pattern) => pattern.0.is_match(candidate.as_bytes()),
    })
}

/// Greater wins: host, path, number of further conditions, place in the file.
type Rank = (usize, usize, usize, usize, Reverse<usize>);

fn rank(at: usize, terms: &[&Match]) -> Rank {
    let host = terms.iter().find_map(|term| match term {
        Match::Host(HostMatch::Exact(_)) => Some(usize::MAX),
        Match::Host(HostMatch::Wildcard(parent)) => Some(parent.split('.').count()),
        _ => None,
    });
    let path = terms.iter().find_map(|term| match term {
        Match::Path(PathMatch::Exact(_)) => Some((2, 0)),
        Match::Path(PathMatch::Regex(_)) => Some((1, 0)),
        Match::Path(PathMatch::Prefix(prefix)) => Some((0, prefix.len())),
        _ => None,
    });
    let indexed = usize::from(host.is_some()) + usize::from(path.is_some());
    let (kind, length) = path.unwrap_or((0, 0));
    (host.unwrap_or(0), kind, length, terms.len() - indexed, Reverse(at))
}

/// The best route and the length of the prefix it matched by.
fn find(all: &[Match], request: &Meant) -> Option<(usize, usize)> {
    let mut best: Option<Rank> = None;
    for (at, matches) in all.iter().enumerate() {
        for terms in expand(matches).into_iter().flatten() {
            if terms.iter().all(|term| request.is_like(term)) {
                best = best.max(Some(rank(at, &terms)));
            }
        }
    }
    best.map(|(_, _, length, _, Reverse(at))| (at, length))
}

fn value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        Just(ValueMatch::Present),
        select(&VALUES[..]).prop_map(|text| ValueMatch::Exact(text.to_owned())),
        (2..4_usize).prop_map(|at| ValueMatch::Regex(PATTERNS[at].clone())),
    ]
}

fn host() -> impl Strategy<Value = Match> {
    prop_oneof![
        select(&HOSTS[..]).prop_map(|name| HostMatch::Exact(name.to_owned())),
        select(&PARENTS[..]).prop_map(|parent| HostMatch::Wildcard(parent.to_owned())),
    ]
    .prop_map(Match::Host)
}

fn path() -> impl Strategy<Value = Match> {
    prop_oneof![
        2 => select(&PATHS[..]).prop_map(|path| PathMatch::Exact(path.to_owned())),
        4 => select(&PATHS[..]).prop_map(|path| PathMatch::Prefix(path.to_owned())),
        1 => Just(PathMatch::Prefix(String::new())),
        2 => (0..2_usize).prop_map(|at| PathMatch::Regex(PATTERNS[at].clone())),
    ]
    .prop_map(Match::Path)
}

fn condition() -> impl Strategy<Value = Match> {
    let name = || select(&NAMES[..]).prop_map(str::to_owned);
    prop_oneof![
        3 => host(),
        4 => path(),
        1 => select(&["GET", "PUT"][..]).prop_map(|method| Match::Method(vec![method.to_owned()])),
        2 => (name(), value()).prop_map(|(name, value)| Match::Header(name, value)),
        1 => (name(), value()).prop_map(|(name, value)| Match::Cookie(name, value)),
        1 => (name(), value()).prop_map(|(name, value)| Match::Query(name, value)),
        1 => (0_u8..4, 29_u8..=32).prop_map(|(last, length)| {
            let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, last * 2));
            Match::Client(vec![ipnet::IpNet::new(address, length).unwrap()])
        }),
        1 => (0_u32..2).prop_map(|id| Match::Listener(ListenerId(id))),
    ]
}

fn route() -> impl Strategy<Value = Match> {
    let tree = condition().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 0..4).prop_map(Match::All),
            1 => vec(inner.clone(), 1..3).prop_map(Match::Any),
            1 => inner.prop_map(|inner| Match::Not(Box::new(inner))),
        ]
    });
    let common = (host(), path(), vec(condition(), 0..2)).prop_map(|(host, path, mut rest)| {
        rest.extend([host, path]);
        Match::All(rest)
    });
    prop_oneof![2 => tree, 3 => common]
}

fn request() -> impl Strategy<Value = Meant> {
    let pairs = || vec((select(&NAMES[..]), select(&VALUES[..])), 0..4);
    let spelled = |name: &'static str, case: u8| match case {
        0 => name.to_uppercase(),
        1 if !name.starts_with('[') => format!("{name}."),
        _ => name.to_owned(),
    };
    let host = prop_oneof![
        select(&HOSTS[..]),
        select(&["z.b.a.test", "y.z.a.test", "nottest", "z.test"][..]),
    ];
    let path = (select(&PATHS[..]), select(&["", "", "/", "/d", "b", "/c/b"][..]));
    (
        (host, 0_u8..4),
        prop_oneof![4 => path.prop_map(|(path, end)| format!("{path}{end}")), 1 => Just("/".to_owned())],
        select(&["GET", "PUT"][..]),
        pairs(),
        pairs(),
        pairs(),
        0_u8..8,
        0_u32..2,
    )
        .prop_map(
            move |((name, case), path, method, fields, cookies, parameters, client, listener)| {
                let host = spelled(name, case);
                let cookies = cookies.into_iter().filter(|(_, v)| !v.contains(',')).collect();
                Meant { host, path, method, fields, cookies, parameters, client, listener }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_table_finds_what_looking_at_every_route_finds(
        all in vec(route(), 1..16),
        requests in vec(request(), 1..8),
    ) {
        let all: Vec<Match> = all.into_iter().filter(|route| expand(route).is_some()).collect();
        let config = matching(all.clone());
        let table = Table::compile(&config);
        for request in &requests {
            let sent = request.send();
            let found = table.find(&sent.view());
            let told = found.map(|found| (found.route.0 as usize, found.prefix_len));
            prop_assert_eq!(told, find(&all, request), "{:?}", request);

            // A route taken matches as a whole, and when none is taken none matches.
            prop_assert_eq!(told.is_some(), all.iter().any(|route| request.is_like(route)));
            prop_assert!(told.is_none_or(|(at, _)| request.is_like(&all[at])));

            let explained = explain(&config, &sent.view());
            let taken = explained.iter().find(|(_, verdict)| *verdict == Verdict::Taken);
            prop_assert_eq!(taken.map(|(taken, _)| taken.route), found.map(|found| found.route));
        }
    }
}
