//! What may be claimed, by example, and the ways to claim more than that.

use std::time::Duration;

use evenkeel_config::Source;
use evenkeel_config::model::Secret;

use super::*;

fn token(hosts: &[&str], paths: &[&str]) -> Registration {
    let host = |written: &&str| match written.strip_prefix("*.") {
        Some(parent) => HostMatch::Wildcard(parent.into()),
        None => HostMatch::Exact((*written).into()),
    };
    Registration {
        name: "shop".into(),
        secret: Secret::new("0123456789abcdef", None),
        pools: vec!["shop".into(), "shop-*".into()],
        addresses: Vec::new(),
        hosts: hosts.iter().map(host).collect(),
        paths: paths.iter().map(|path| (*path).into()).collect(),
        ttl_max: Duration::from_secs(300),
        servers_max: 10,
    }
}

/// A match as a configuration has it; `None` if that refuses it already.
fn read(matches: &str) -> Option<Match> {
    let text = format!(
        r#"{{"listeners": {{"web": {{"bind": ":80"}}}}, "pools": {{"p": {{"servers": ["10.0.0.1:80"]}}}}, "routes": [{{"to": "p", "match": {matches}}}]}}"#
    );
    let sources = [Source { name: "test".into(), text }];
    let mut loaded = evenkeel_config::load(&sources, &|_| None).ok()?;
    Some(loaded.config.routes.remove(0).matches)
}

fn may(registration: &Registration, matches: &str) -> bool {
    read(matches).is_some_and(|matches| route(registration, &matches).is_ok())
}

#[test]
fn what_is_within_the_claim_may_be_claimed() {
    let shop = token(&["shop.example", "*.shop.example"], &["/api"]);
    for matches in [
        r#"{"host": "shop.example", "path": "/api"}"#,
        r#"{"host": "SHOP.example.", "path": "/api/"}"#,
        r#"{"host": ["shop.example", "a.b.shop.example"], "path": ["/api/x", {"exact": "/api/y"}]}"#,
        r#"{"host": "*.eu.shop.example", "path": "/api", "method": "GET", "header": {"a": "b"}}"#,
        r#"{"host": "shop.example", "path": "/api", "not": {"path": "/api/internal"}}"#,
        r#"{"all": [{"host": "shop.example"}, {"path": "/api"}, {"path": {"regex": "v[12]"}}]}"#,
        r#"{"any": [{"host": "shop.example", "path": "/api"}, {"host": "x.shop.example", "path": "/api"}]}"#,
    ] {
        assert!(may(&shop, matches), "{matches}");
    }
    assert!(may(&token(&["shop.example"], &["/"]), r#"{"host": "shop.example"}"#));
    assert!(may(
        &token(&["shop.example"], &[]),
        r#"{"host": "shop.example", "path": {"regex": "x"}}"#
    ));
}

#[test]
fn what_could_match_outside_is_refused() {
    let shop = token(&["shop.example", "*.shop.example"], &["/api"]);
    for matches in [
        r#"{"host": "shop.example"}"#,
        r#"{"path": "/api"}"#,
        r#"{"host": "evilshop.example", "path": "/api"}"#,
        r#"{"host": "*.example", "path": "/api"}"#,
        r#"{"host": "example", "path": "/api"}"#,
        r#"{"host": ["shop.example", "other.example"], "path": "/api"}"#,
        r#"{"host": "shop.example", "path": "/"}"#,
        r#"{"host": "shop.example", "path": "/apis"}"#,
        r#"{"host": "shop.example", "path": "/API"}"#,
        r#"{"host": "shop.example", "path": "/api/../admin"}"#,
        r#"{"host": "shop.example", "path": "/api/%2e%2e/admin"}"#,
        r#"{"host": "shop.example", "path": "/api%2Fx"}"#,
        r#"{"host": "shop.example", "path": "/api/..%2Fadmin"}"#,
        r#"{"host": "shop.example", "path": "/%61pi"}"#,
        r#"{"host": "shop.example", "path": "/api/..;/admin"}"#,
        r#"{"host": "shop.example", "path": ["/api", "/admin"]}"#,
        r#"{"host": "shop.example", "path": {"regex": "^/api"}}"#,
        r#"{"host": "shop.example", "path": {"regex": "^/api/|^/admin"}}"#,
        r#"{"header": {"host": "shop.example"}}"#,
        r#"{"header": {"x-tenant": "shop"}, "path": "/api"}"#,
        r#"{"not": {"host": "other.example"}}"#,
        r#"{"host": "shop.example", "not": {"path": "/admin"}}"#,
        r#"{"not": {"not": {"host": "shop.example", "path": "/api"}}}"#,
        r#"{"any": [{"host": "shop.example", "path": "/api"}, {"path": "/api"}]}"#,
        r#"{"all": [{"any": [{"host": "shop.example"}, {"method": "GET"}]}, {"path": "/api"}]}"#,
        r#"{"host": "*", "path": "/api"}"#,
        r#"{"host": "*.*.shop.example", "path": "/api"}"#,
        r#"{"host": "shop.example:80", "path": "/api"}"#,
        r#"{}"#,
    ] {
        assert!(!may(&shop, matches), "{matches}");
    }
}

#[test]
fn an_exact_host_is_no_wildcard_and_a_wildcard_not_its_parent() {
    assert!(!may(&token(&["shop.example"], &[]), r#"{"host": "*.shop.example"}"#));
    assert!(!may(&token(&["shop.example"], &[]), r#"{"host": "a.shop.example"}"#));
    assert!(!may(&token(&["*.shop.example"], &[]), r#"{"host": "shop.example"}"#));
    assert!(!may(&token(&["*.shop.example"], &[]), r#"{"host": "xshop.example"}"#));
    assert!(!may(&token(&[], &[]), r#"{"host": "shop.example"}"#), "no host is everybody's");
}

#[test]
fn reasons_name_what_is_outside() {
    let shop = token(&["shop.example"], &["/api"]);
    let why = |matches: &str| route(&shop, &read(matches).unwrap()).unwrap_err();
    assert!(why(r#"{"path": "/api"}"#).contains("every host"));
    assert!(why(r#"{"host": "x.example"}"#).contains("`x.example`"));
    assert!(why(r#"{"host": "shop.example", "path": {"regex": "x"}}"#).contains("expression"));
    assert!(why(r#"{"host": "shop.example", "path": "/x"}"#).contains("/api"));
}

#[test]
fn pools_are_named_or_begin_as_they_must() {
    let shop = token(&[], &[]);
    for name in ["shop", "shop-", "shop-eu"] {
        assert!(pool(&shop, name).is_ok(), "{name}");
    }
    for name in ["", "Shop", "shops", "xshop-", "shop*"] {
        assert!(pool(&shop, name).is_err(), "{name}");
    }
}

#[test]
fn addresses_are_the_peers_own_or_those_that_are_allowed() {
    let mut shop = token(&[], &[]);
    let from = Peer::Remote("10.1.2.3".parse().unwrap());
    assert!(address(&shop, "10.1.2.3:80", from).is_ok());
    assert_eq!(address(&shop, "[::ffff:10.1.2.3]:80", from).unwrap().to_string(), "10.1.2.3:80");
    assert!(address(&shop, "127.0.0.1:80", Peer::Local).is_ok());
    for wrong in [
        "10.1.2.4:80",
        "127.0.0.1:80",
        "0.0.0.0:80",
        "10.1.2.3:0",
        "10.1.2.3",
        "name:80",
        "[::]:80",
    ] {
        assert!(address(&shop, wrong, from).is_err(), "{wrong}");
    }
    assert!(address(&shop, "10.0.0.1:80", Peer::Local).is_err());
    shop.addresses = vec!["10.2.0.0/16".parse().unwrap()];
    assert!(address(&shop, "10.2.9.9:80", from).is_ok());
    assert!(address(&shop, "10.1.2.3:80", from).is_err(), "its own is not among them");
    assert!(address(&shop, "[::ffff:10.2.0.1]:80", from).is_ok());
}
