//! Finding servers by a real name server that answers well, badly, or not at all.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_config::model::{Address, DnsSource, Server};
use evenkeel_runtime as runtime;
use evenkeel_tools::names::{Answer, NameServer};
use tokio::sync::Semaphore;

use super::*;

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "app.internal";

fn source(server: &NameServer, port: Option<u16>) -> DnsSource {
    DnsSource {
        name: "app.internal.".into(),
        port,
        resolvers: vec![server.address],
        refresh_min: Duration::from_millis(50),
        refresh_max: Duration::from_secs(60),
    }
}

/// What the source of a pool `app` tells, one set after the other.
fn following<T>(dns: DnsSource, test: impl AsyncFnOnce(&mut Discovery) -> T) -> T {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    control.block_on(async {
        let mut discovery = Discovery::new(1);
        discovery.open("app", &Discover::Dns(dns));
        tokio::time::timeout(LIMIT, test(&mut discovery)).await.expect("in time")
    })
}

async fn next(discovery: &mut Discovery) -> Vec<String> {
    match discovery.next().await.as_slice() {
        [Found::Servers { pool, servers }] => {
            assert_eq!(pool, "app");
            servers.iter().map(show).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn show(server: &Server) -> String {
    match (server.weight, server.priority) {
        (1, 0) => server.address.to_string(),
        (weight, priority) => format!("{} weight {weight} priority {priority}", server.address),
    }
}

#[test]
fn a_name_s_addresses_are_servers_and_followed_at_the_pace_of_their_ttl() {
    let server = NameServer::start();
    server.set_addresses(NAME, 1, &["10.0.0.2", "10.0.0.1", "fd00::1"]);
    following(source(&server, Some(80)), async |found: &mut Discovery| {
        assert_eq!(next(found).await, ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
        server.set_addresses(NAME, 1, &["fd00::1", "10.0.0.2", "10.0.0.3"]);
        let (changed, before) = (runtime::now(), server.count(NAME));
        assert_eq!(next(found).await, ["10.0.0.2:80", "10.0.0.3:80", "[fd00::1]:80"]);
        // Both families once; where a machine is slow, so is the answer.
        let (took, asked) = (changed.elapsed(), server.count(NAME) - before);
        assert!(took < Duration::from_secs(2) || asked <= 2, "{took:?}, asked {asked} times");
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
}

#[test]
fn the_same_set_in_another_order_is_no_news() {
    let server = NameServer::start();
    server.set_addresses(NAME, 0, &["10.0.0.1", "10.0.0.2"]);
    following(source(&server, Some(80)), async |found: &mut Discovery| {
        next(found).await;
        server.set_addresses(NAME, 0, &["10.0.0.2", "10.0.0.1", "10.0.0.2"]);
        let before = server.count(NAME);
        let quiet = tokio::time::timeout(Duration::from_millis(500), found.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        assert!(server.count(NAME) > before, "it was asked meanwhile");
    });
}

#[test]
fn no_answer_of_any_kind_loses_the_last_good_one() {
    let server = NameServer::start();
    server.set_addresses(NAME, 0, &["10.0.0.1"]);
    following(source(&server, Some(80)), async |found: &mut Discovery| {
        assert_eq!(next(found).await, ["10.0.0.1:80"]);
        for answer in [
            Answer::NxDomain,
            Answer::ServFail,
            Answer::Refused,
            Answer::Empty,
            Answer::Garbage,
            Answer::Silence,
            Answer::Truncated(Box::new(Answer::Silence)),
            Answer::Addresses(0, vec!["0.0.0.0".parse().unwrap(), "224.0.0.1".parse().unwrap()]),
        ] {
            server.set(NAME, answer.clone());
            let quiet = tokio::time::timeout(Duration::from_millis(300), found.next()).await;
            assert!(quiet.is_err(), "{answer:?}: {quiet:?}");
        }
        // And what is answered again is taken soon.
        server.set_addresses(NAME, 0, &["10.0.0.2"]);
        assert_eq!(next(found).await, ["10.0.0.2:80"]);
    });
}

#[test]
fn an_answer_too_long_for_udp_is_asked_for_over_tcp() {
    let server = NameServer::start();
    let many = (0..1200_u32).map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + n).into()).collect();
    server.set(NAME, Answer::Truncated(Box::new(Answer::Addresses(60, many))));
    following(source(&server, Some(80)), async |found: &mut Discovery| {
        let servers = next(found).await;
        assert_eq!(servers.len(), 1000, "capped");
        assert_eq!(servers.first().map(String::as_str), Some("10.0.0.0:80"));
    });
}

#[test]
fn a_family_that_is_not_answered_holds_up_nobody_and_loses_nothing() {
    let server = NameServer::start();
    let v4 = || Box::new(Answer::Addresses(0, vec!["10.0.0.1".parse().unwrap()]));
    let v6 = Box::new(Answer::Addresses(0, vec!["fd00::1".parse().unwrap()]));
    server.set(NAME, Answer::Each(v4(), Box::new(Answer::Silence)));
    let mut soonest = LIMIT; // this machine may do something else meanwhile
    for _ in 0..3 {
        following(source(&server, Some(80)), async |found: &mut Discovery| {
            let begun = runtime::now();
            assert_eq!(next(found).await, ["10.0.0.1:80"]);
            soonest = soonest.min(begun.elapsed());
        });
    }
    assert!(soonest < Duration::from_millis(1900), "{soonest:?}");
    following(source(&server, Some(80)), async |found: &mut Discovery| {
        assert_eq!(next(found).await, ["10.0.0.1:80"]);
        server.set(NAME, Answer::Each(v4(), v6));
        assert_eq!(next(found).await, ["10.0.0.1:80", "[fd00::1]:80"]);
        server.set(NAME, Answer::Each(v4(), Box::new(Answer::ServFail)));
        let quiet = tokio::time::timeout(Duration::from_millis(300), found.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        server.set(NAME, Answer::Each(v4(), Box::new(Answer::Empty)));
        assert_eq!(next(found).await, ["10.0.0.1:80"]);
    });
}

#[test]
fn service_records_carry_port_weight_and_priority_rfc_2782() {
    let server = NameServer::start();
    server.set_addresses("a.internal", 60, &["10.0.0.1", "10.0.0.2"]);
    server.set_addresses("b.internal", 60, &["10.0.0.3"]);
    let services = vec![(10, 60, 8080, "a.internal"), (20, 0, 9090, "b.internal"), (0, 9, 1, ".")];
    server.set(NAME, Answer::Services(0, services));
    following(source(&server, None), async |found: &mut Discovery| {
        let expected = [
            "10.0.0.1:8080 weight 60 priority 10",
            "10.0.0.2:8080 weight 60 priority 10",
            "10.0.0.3:9090 weight 1 priority 20",
        ];
        assert_eq!(next(found).await, expected);
        // A target that cannot be looked up keeps its addresses; the others are renewed.
        server.set("b.internal", Answer::ServFail);
        server.set_addresses("a.internal", 60, &["10.0.0.2"]);
        let expected =
            ["10.0.0.2:8080 weight 60 priority 10", "10.0.0.3:9090 weight 1 priority 20"];
        assert_eq!(next(found).await, expected);
        // One that is gone from the records is gone.
        server.set(NAME, Answer::Services(0, vec![(10, 60, 8080, "a.internal")]));
        assert_eq!(next(found).await, ["10.0.0.2:8080 weight 60 priority 10"]);
    });
}

#[test]
fn the_first_answers_are_waited_for_but_not_for_long() {
    let server = NameServer::start();
    server.set_addresses(NAME, 60, &["10.0.0.1"]);
    following(source(&server, Some(80)), async |discovery: &mut Discovery| {
        let dead = DnsSource { name: "dead.internal.".into(), ..source(&server, Some(80)) };
        server.set("dead.internal", Answer::Silence);
        discovery.open("dead", &Discover::Dns(dead));
        let begun = runtime::now();
        let first = discovery.first(Duration::from_secs(2)).await;
        assert!(begun.elapsed() >= Duration::from_secs(2));
        assert_eq!(first.len(), 1);
    });
    let server = NameServer::start(); // which says that there is no such name
    following(source(&server, Some(80)), async |discovery: &mut Discovery| {
        let begun = runtime::now();
        assert_eq!(discovery.first(LIMIT).await, []);
        assert!(begun.elapsed() < LIMIT / 2, "a clear no is an answer");
    });
}

#[test]
fn the_addresses_of_a_server_s_name_are_followed_too() {
    let server = NameServer::start();
    server.set_addresses(NAME, 1, &["10.0.0.2", "10.0.0.1"]);
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    control.block_on(async {
        let mut discovery = Discovery::new(1);
        discovery.resolvers = vec![server.address];
        discovery.open_name("app.internal.");
        for addresses in [&["10.0.0.1", "10.0.0.2"][..], &["10.0.0.3"]] {
            server.set_addresses(NAME, 1, addresses);
            let found = tokio::time::timeout(LIMIT, discovery.next()).await.unwrap();
            let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(found, [Found::Addresses { name: "app.internal.".into(), addresses }]);
        }
    });
}

#[test]
fn a_source_that_is_not_wanted_any_more_tells_nothing() {
    let server = NameServer::start();
    server.set_addresses(NAME, 0, &["10.0.0.1"]);
    following(source(&server, Some(80)), async |discovery: &mut Discovery| {
        // Its answer waits in the queue when it is dropped.
        while server.count(NAME) < 6 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        discovery.followed.clear();
        let quiet = tokio::time::timeout(Duration::from_millis(100), discovery.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
}

#[test]
fn turns_are_given_back() {
    let turns = Arc::new(Semaphore::new(1));
    let server = NameServer::start();
    server.set_addresses(NAME, 60, &["10.0.0.1"]);
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    control.block_on(async {
        let mut dns = dns::Dns::new(&source(&server, Some(80)), turns.clone());
        for _ in 0..3 {
            let look = dns.look().await.unwrap();
            let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
            assert_eq!(look.found.first().map(|s| &s.address), Some(&Address::Socket(address)));
            assert_eq!(turns.available_permits(), 1);
        }
    });
}
