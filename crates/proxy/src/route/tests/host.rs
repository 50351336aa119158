//! Hosts: which names are the same, and which of several patterns wins.

use evenkeel_config::model::{HostMatch, Match};

use super::{expect, get, matching, routes};
use crate::route::Table;

#[test]
fn names_are_compared_without_case_trailing_dot_and_port() {
    // RFC 9110 §4.2.3; a client may send the root label, which changes nothing.
    let config = routes("admin: { host: admin.example.com }");
    expect(
        &config,
        [
            ("admin", get("admin.example.com/", &[])),
            ("admin", get("ADMIN.Example.COM/", &[])),
            ("admin", get("ADMIN.Example.COM./", &[])),
            ("admin", get("admin.example.com:80/", &[])),
            ("admin", get("admin.example.com:8443/", &[])),
            ("-", get("admin.example.co/", &[])),
            ("-", get("xadmin.example.com/", &[])),
            ("-", get("www.admin.example.com/", &[])),
        ],
    );
}

/// D9: a table must not change its idea of case with its size.
#[test]
fn d9_names_are_case_insensitive_for_every_number_of_hosts() {
    for count in [1, 2, 99, 100, 101, 1_000, 10_000] {
        let host = |at: u32| Match::Host(HostMatch::Exact(format!("host{at}.example.com")));
        let table = Table::compile(&matching((0..count).map(host)));
        for at in [0, count / 2, count - 1] {
            for spelled in [
                format!("host{at}.example.com/"),
                format!("HOST{at}.Example.COM/"),
                format!("hOsT{at}.example.com./"),
                format!("HOST{at}.EXAMPLE.COM.:8080/"),
            ] {
                let found = table.find(&get(&spelled, &[]).view()).map(|found| found.route.0);
                assert_eq!(found, Some(at), "{spelled} among {count}");
            }
        }
        assert_eq!(table.find(&get("other.example.com/", &[]).view()), None);
    }
}

#[test]
fn a_wildcard_stands_for_one_label_or_more() {
    let config = routes("wild: { host: '*.example.com' }");
    expect(
        &config,
        [
            ("wild", get("a.example.com/", &[])),
            ("wild", get("A.EXAMPLE.com./", &[])),
            ("wild", get("b.a.example.com:81/", &[])),
            ("-", get("example.com/", &[])),
            ("-", get("aexample.com/", &[])),
            ("-", get("example.com.evil.test/", &[])),
        ],
    );
}

#[test]
fn the_exact_name_wins_then_the_wildcard_with_more_labels_then_any() {
    let config = routes(
        "any: { path: / }
         one: { host: '*.test' }
         two: { host: '*.a.test' }
         three: { host: '*.b.a.test' }
         exact: { host: c.b.a.test }",
    );
    expect(
        &config,
        [
            ("exact", get("c.b.a.test/", &[])),
            ("three", get("d.b.a.test/", &[])),
            ("three", get("c.c.b.a.test/", &[])),
            ("two", get("b.a.test/", &[])),
            ("one", get("a.test/", &[])),
            ("any", get("test/", &[])),
            ("any", get("elsewhere/", &[])),
        ],
    );
}

#[test]
fn less_specific_hosts_are_asked_when_nothing_of_the_most_specific_matches() {
    let config = routes(
        "exact: { host: a.b.test, path: /exact }
         far: { host: '*.b.test', path: /far }
         near: { host: '*.test', path: /near }
         posts: { host: a.b.test, path: /near, method: POST }
         any: { path: /any }",
    );
    expect(
        &config,
        [
            ("exact", get("a.b.test/exact", &[])),
            ("far", get("a.b.test/far", &[])),
            ("near", get("a.b.test/near/x", &[])),
            ("any", get("a.b.test/any", &[])),
            ("-", get("a.b.test/none", &[])),
        ],
    );
}

#[test]
fn a_longer_path_does_not_beat_a_more_specific_host() {
    let config = routes(
        "host: { host: a.test }
         path: { path: /very/long/path }",
    );
    expect(
        &config,
        [("host", get("a.test/very/long/path", &[])), ("path", get("b/very/long/path", &[]))],
    );
}

/// RFC 5952 §4: an address has many spellings and is one host.
#[test]
fn an_ipv6_address_is_the_same_host_in_any_spelling() {
    let config = routes(
        "loopback: { host: '[::1]' }
         spelled_out: { host: '[2001:DB8:0:0::0001]' }
         v4: { host: 192.0.2.1 }",
    );
    expect(
        &config,
        [
            ("loopback", get("[::1]/", &[])),
            ("loopback", get("[0:0:0:0:0:0:0:1]:8080/", &[])),
            ("spelled_out", get("[2001:db8::1]/", &[])),
            ("v4", get("192.0.2.1:80/", &[])),
            ("-", get("[::2]/", &[])),
        ],
    );
}

/// RFC 1035 §2.3.4 bounds names; what is longer is nobody's.
#[test]
fn names_longer_than_any_name_and_odd_ones_fall_to_the_routes_of_any_host() {
    let config = routes(
        "any: { path: / }
         wild: { host: '*.test' }",
    );
    let longest = format!("{}.test/", "a".repeat(248));
    let too_long = format!("{}.test/", "a".repeat(249));
    let labels = format!("{}test/", "a.".repeat(124));
    expect(
        &config,
        [("wild", get(&longest, &[])), ("any", get(&too_long, &[])), ("wild", get(&labels, &[]))],
    );
}

/// A name that the codec would refuse: the table does not depend on it.
#[test]
fn an_empty_label_is_none_of_a_wildcards_labels() {
    let config = routes("wild: { host: '*.test' }");
    let table = Table::compile(&config);
    let sent = get("a.test/", &[]);
    let find = |host: &'static [u8]| {
        let mut view = sent.view();
        view.host = host;
        table.find(&view).is_some()
    };
    assert!(find(b"a.test"));
    for odd in [&b".test"[..], b".test.", b"", b".", b"..", b"test.", b"\xff", b"[", b"]", b"[]"] {
        assert!(!find(odd), "{odd:?}");
    }
}
