//! Listeners that do not speak HTTP: what may be written, and what does not go together.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::time::Duration;

use evenkeel_config::model::{
    FirstBytes, HashKey, HostMatch, ListenerKind, ProxyProtocolIn, Reply,
};
use evenkeel_config::{Config, Report, Source, effective, load};

fn read(listener: &str) -> Result<Config, Report> {
    let text = format!(
        "listeners:\n  l: {{ bind: \"127.0.0.1:9\", {listener} }}\n\
         pools:\n  a: {{ servers: [\"127.0.0.1:1\"], proxy_protocol: v2 }}\n  b: {{ servers: [\"127.0.0.1:2\"], balance: {{ consistent_hash: {{ key: connection }} }} }}\n\
         policies:\n  log: {{ access_log: {{}} }}\n  edit: {{ fields: {{ request: {{ remove: [x-a] }} }} }}\n"
    );
    let source = |text: String| [Source { name: "f".into(), text }];
    let config = load(&source(text), &|_| None)?.config;
    let written = effective(&config);
    let again = load(&source(written.clone()), &|_| None)
        .unwrap_or_else(|r| panic!("{}\n{written}", r.compact()));
    assert_eq!(again.config, config, "{written}");
    Ok(config)
}

fn refused(listener: &str, because: &str) {
    let report = read(listener).expect_err(listener);
    let said = report.render(false);
    assert!(report.has_errors() && said.contains(because), "{listener}: {said}");
}

#[test]
fn a_tcp_listener_needs_a_pool_and_no_more() {
    let config = read("tcp: { to: b }").unwrap();
    let ListenerKind::Tcp(tcp) = &config.listeners[0].kind else { panic!() };
    assert_eq!(config.pools[tcp.relay.to.0 as usize].name, "b");
    assert_eq!(tcp.relay.keepalive, Duration::from_secs(60));
    assert_eq!(config.listeners[0].scheme(), "tcp");
    let evenkeel_config::model::Balance::ConsistentHash(hash) = &config.pools[1].balance else {
        panic!()
    };
    assert_eq!(hash.key, HashKey::Connection);
    read("tcp: { to: a, idle_timeout: 10m, timeout: 1d, keepalive: 0s, source: client }, limits: { connections: 9 }, timeouts: { handshake: 3s }, policies: log").unwrap();
}

#[test]
fn entries_of_a_passthrough_are_for_tls_where_they_name_what_only_tls_has() {
    let listener = "passthrough: [ { sni: \"*.Shop.example\", to: a }, { alpn: [h2], to: a }, { protocol: http, to: b }, { to: b } ]";
    let config = read(listener).unwrap();
    let ListenerKind::Passthrough(all) = &config.listeners[0].kind else { panic!() };
    let kinds: Vec<FirstBytes> = all.iter().map(|one| one.protocol).collect();
    assert_eq!(kinds, [FirstBytes::Tls, FirstBytes::Tls, FirstBytes::Http, FirstBytes::Any]);
    assert_eq!(all[0].sni, [HostMatch::Wildcard("shop.example".into())]);
}

#[test]
fn a_udp_listener_may_share_its_address_with_one_of_tcp() {
    let config = read("udp: { to: b, reply: once, idle_timeout: 5s } }\n  t: { bind: \"127.0.0.1:9\", tcp: { to: a }").unwrap();
    let ListenerKind::Udp(udp) = &config.listeners[0].kind else { panic!() };
    assert_eq!((udp.reply, udp.idle_timeout), (Reply::Once, Duration::from_secs(5)));
    refused(
        "tcp: { to: a } }\n  t: { bind: \"127.0.0.1:9\", tcp: { to: a }",
        "is listened on twice",
    );
}

#[test]
fn what_only_http_has_is_refused_with_what_to_write_instead() {
    refused("tcp: { to: a }, redirect: https", "`redirect` belongs to HTTP");
    refused("tcp: { to: a }, protocols: h1", "write `alpn` in `tcp`");
    refused("tcp: { to: a }, timeouts: { idle: 5s }", "write `idle_timeout` in `tcp`");
    refused("tcp: { to: a }, limits: { head: 4KiB }", "`limits.head` belongs to HTTP");
    refused("tcp: { to: a }, policies: edit", "only `access_log`");
    refused("udp: { to: a }, identity: { via: true }", "`identity` belongs to HTTP");
    refused("tcp: { to: a }, udp: { to: b }", "has one of `tcp` and `udp`, not both");
    refused("tcp: { to: c }", "there is no pool `c`");
    refused(
        "passthrough: [ { to: a } ], tls: { certificates: [ { cert: c, key: k } ] }",
        "do not go together",
    );
    refused("passthrough: []", "closes every connection");
    refused("passthrough: [ { sni: x.example, protocol: http, to: a } ]", "are TLS's");
    refused("tcp: { to: a, alpn: x }", "`alpn` needs `tls`");
}

#[test]
fn the_proxy_protocol_is_believed_from_nobody_by_default() {
    refused("proxy_protocol: accept", "believes nobody");
    let listener = "proxy_protocol: accept, trusted_proxies: 10.0.0.0/8, protocols: [h1, h3], tls: { certificates: [ { cert: c, key: k } ] }";
    refused(listener, "QUIC carries no such header");
    refused("tcp: { to: a }, trusted_proxies: 10.0.0.0/8", "nobody is asked");
    let config = read("proxy_protocol: require, trusted_proxies: 10.0.0.0/8").unwrap();
    assert_eq!(config.listeners[0].proxy_protocol, ProxyProtocolIn::Require);
    assert!(config.pools[0].proxy_protocol.is_some() && config.pools[1].proxy_protocol.is_none());
}
