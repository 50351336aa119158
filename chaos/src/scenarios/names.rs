//! Servers found by name, while names change and resolvers fail.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use evenkeel_tools::load::Load;
use evenkeel_tools::names::{Answer, NameServer};

use crate::Fault;
use crate::backend::{Backend, free_address};
use crate::balancer::{Balancer, Kind, Wanted};
use crate::row::Row;
use crate::stage::{Stage, pause, within};

/// Seconds for which an answer holds.
const TTL: u32 = 1;
/// Whose servers these are.
const NAME: &str = "app.test";

fn host(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 13, n)
}

/// A name gets other addresses; then its resolver fails in every way it can.
pub(crate) fn f13(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let port = free_address()?.port();
    let at = |n: u8| {
        Backend::start_at(stage, &format!("s{n}"), SocketAddr::new(IpAddr::V4(host(n)), port))
    };
    let backends = (1..=3).map(at).collect::<Result<Vec<_>, _>>()?;
    let resolver = NameServer::start();
    resolver.set(NAME, addresses(&[1, 2]));
    let wanted = Wanted { pool: discover(&resolver, port), ..Wanted::of(&[]) };
    let balancer = Balancer::start(stage, kind, wanted)?;
    let first = within(Duration::from_secs(10), || answers(&balancer));
    let running = stage.load(Load { rate: stage.rate(500.0, 2_000.0), ..balancer.load() });
    pause(2000);
    let before = backends[2].journal_bytes();
    resolver.set(NAME, addresses(&[2, 3]));
    let seen = within(Duration::from_secs(20), || backends[2].journal_bytes() > before);
    let bad = [Answer::NxDomain, Answer::ServFail, Answer::Empty, Answer::Garbage, Answer::Silence];
    for answer in bad {
        resolver.set(NAME, answer);
        pause(stage.either(1_500, 60_000));
    }
    let mut row = Row::of(stage.stop(running));
    row.recover = seen;
    row.must(first.is_some(), || "it does not start with the servers of a name".into());
    row.must_lose_nothing();
    let goal = Duration::from_secs(u64::from(TTL) + 1);
    row.must(seen.is_some_and(|time| time <= stage.allowed(goal)), || {
        format!("the new address after {seen:?}")
    });
    Ok(row)
}

fn answers(balancer: &Balancer) -> bool {
    balancer.ask("GET", "/echo").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn addresses(of: &[u8]) -> Answer {
    Answer::Addresses(TTL, of.iter().map(|n| host(*n).into()).collect())
}

fn discover(resolver: &NameServer, port: u16) -> String {
    format!(
        "discover: {{ dns: {{ name: {NAME}, port: {port}, resolvers: [\"{}\"] }} }}",
        resolver.address
    )
}
