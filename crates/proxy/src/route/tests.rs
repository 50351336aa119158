//! What the route table promises. Here: how tests say a configuration and a request.

use std::net::{IpAddr, Ipv4Addr};

use evenkeel_codec::{HeadLimits, Parse, RequestHead};
use evenkeel_config::model::{ListenerId, Match, RouteId};
use evenkeel_config::{Config, Source, from_targets, load};

use super::{RequestView, Table};

mod explain;
mod host;
mod key;
mod path;
mod predicate;
mod reference;

/// A request as received, with what else routing may look at.
struct Sent {
    bytes: Vec<u8>,
    head: RequestHead,
    client: IpAddr,
    listener: ListenerId,
}

impl Sent {
    fn view(&self) -> RequestView<'_> {
        let bytes = &self.bytes;
        RequestView {
            listener: self.listener,
            method: self.head.method_text.of(bytes),
            host: self.head.host_name.of(bytes),
            path: self.head.target.path.of(bytes),
            query: self.head.target.query.map(|query| query.of(bytes)),
            head: &self.head,
            bytes,
            client: self.client,
            claims: None,
            country: None,
        }
    }

    fn from(self, client: &str) -> Self {
        Self { client: client.parse().unwrap(), ..self }
    }

    fn through(self, listener: u32) -> Self {
        Self { listener: ListenerId(listener), ..self }
    }
}

/// `GET shop.example/path?query`, with further field lines.
fn get(url: &str, fields: &[&str]) -> Sent {
    send("GET", url, fields)
}

fn send(method: &str, url: &str, fields: &[&str]) -> Sent {
    let (host, target) = url.split_at(url.find('/').unwrap());
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let bytes = text.into_bytes();
    let mut head = RequestHead::default();
    let limits = HeadLimits { head: 1 << 20, line: 1 << 16, fields: 20_000 };
    let parsed = head.parse(&bytes, &limits).expect("the codec takes what tests send");
    assert_eq!(parsed, Parse::Complete(bytes.len()));
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Sent { bytes, head, client, listener: ListenerId(0) }
}

/// A configuration of listeners 0 (`web`) and 1 (`inner`) with these routes, a line each:
/// `NAME: MATCH`.
fn routes(lines: &str) -> Config {
    let mut text = String::from(
        "listeners: { web: { bind: 127.0.0.1:1 }, inner: { bind: 127.0.0.1:2 } }\n\
         pools: { p: { servers: [127.0.0.1:3] } }\nroutes:\n",
    );
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, matches) = line.split_once(": ").unwrap();
        text.push_str(&format!("- {{ name: {name}, match: {matches}, to: p }}\n"));
    }
    let source = Source { name: "test".to_owned(), text };
    match load(&[source], &|_| None) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report:?}"),
    }
}

/// A configuration of routes that are only made of matches, unchecked.
fn matching(all: impl IntoIterator<Item = Match>) -> Config {
    let mut config = from_targets("127.0.0.1:1", &["127.0.0.1:3"]).unwrap();
    let like = config.routes.remove(0);
    config.routes = all
        .into_iter()
        .enumerate()
        .map(|(at, matches)| {
            let name = format!("{at}");
            evenkeel_config::model::Route { name, matches, ..like.clone() }
        })
        .collect();
    config
}

/// Checks which route each request takes; `-` is none.
#[track_caller]
fn expect<'a>(config: &Config, cases: impl IntoIterator<Item = (&'a str, Sent)>) {
    let table = Table::compile(config);
    for (expected, sent) in cases {
        let found = table.find(&sent.view()).map(|found| name(config, found.route));
        let text = String::from_utf8_lossy(&sent.bytes);
        assert_eq!(found.unwrap_or("-"), expected, "from {} for {text}", sent.client);
    }
}

fn name(config: &Config, route: RouteId) -> &str {
    &config.routes[route.0 as usize].name
}
