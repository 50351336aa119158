//! Conditions beyond host and path, alone and combined.

use proptest::prelude::*;

use super::{expect, get, routes, send};
use crate::route::query::is_encoding_of;
use crate::route::{RequestView, Table};

#[test]
fn methods_are_case_sensitive() {
    // RFC 9110 §9.1
    let config = routes("write: { method: [POST, PUT, PURGE] }");
    expect(
        &config,
        [
            ("write", send("POST", "h/", &[])),
            ("write", send("PURGE", "h/", &[])),
            ("-", send("GET", "h/", &[])),
        ],
    );
    // The codec refuses such a one; the table does not depend on it.
    let sent = send("POST", "h/", &[]);
    let lower_case = RequestView { method: b"post", ..sent.view() };
    assert_eq!(Table::compile(&config).find(&lower_case), None);
}

#[test]
fn a_field_is_found_by_its_name_in_any_case_and_its_value_is_compared_as_it_is() {
    // RFC 9110 §5.1
    let config = routes("beta: { header: { X-Beta: 'yes' } }");
    expect(
        &config,
        [
            ("beta", get("h/", &["x-beta: yes"])),
            ("beta", get("h/", &["X-BETA:\t yes "])),
            ("-", get("h/", &["X-Beta: YES"])),
            ("-", get("h/", &["X-Beta: yes!"])),
            ("-", get("h/", &["X-Beta:"])),
            ("-", get("h/", &["X-Bet: yes"])),
            ("-", get("h/", &[])),
        ],
    );
}

#[test]
fn a_value_may_be_present_empty_or_like_an_expression() {
    let config = routes(
        "number: { header: { x-a: { regex: '^[0-9]+$' } } }
         there: { header: { x-b: present } }
         empty: { header: { x-c: '' } }",
    );
    expect(
        &config,
        [
            ("number", get("h/", &["X-A: 42"])),
            ("-", get("h/", &["X-A: 42a"])),
            ("there", get("h/", &["X-B:"])),
            ("there", get("h/", &["X-B: \u{80}\u{ff}"])),
            ("empty", get("h/", &["X-C:  "])),
            ("-", get("h/", &["X-C: x"])),
        ],
    );
}

/// I5: each value and the joined value are looked at (RFC 9110 §5.2, §5.3).
#[test]
fn i5_a_value_cannot_hide_behind_another_of_the_same_field() {
    let deny = routes(
        "denied: { header: { role: admin } }
         pair: { header: { role: 'a, b' } }
         span: { header: { role: { regex: 'x, *y' } } }
         rest: { path: / }",
    );
    expect(
        &deny,
        [
            ("denied", get("h/", &["Role: admin"])),
            ("denied", get("h/", &["Role: user", "Role: admin"])),
            ("denied", get("h/", &["Role: admin", "role: user"])),
            ("denied", get("h/", &["Role: user,admin"])),
            ("denied", get("h/", &["Role: user ,\tadmin , guest"])),
            ("denied", get("h/", &["Role: guest", "Role: user, admin"])),
            ("pair", get("h/", &["Role: a", "Role: b"])),
            ("pair", get("h/", &["Role: a, b"])),
            ("rest", get("h/", &["Role: b", "Role: a"])),
            ("rest", get("h/", &["Role: a", "Role: b", "Role: c"])),
            ("span", get("h/", &["Role: x", "Role: y"])),
            ("rest", get("h/", &["Role: administrator"])),
            ("rest", get("h/", &["Role: user"])),
        ],
    );
}

#[test]
fn i5_a_not_fails_if_any_value_is_what_must_not_be() {
    let config = routes("safe: { not: { header: { role: admin } } }");
    expect(
        &config,
        [
            ("safe", get("h/", &[])),
            ("safe", get("h/", &["Role: user"])),
            ("-", get("h/", &["Role: admin"])),
            ("-", get("h/", &["Role: user", "Role: admin"])),
            ("-", get("h/", &["Role: admin", "Role: user"])),
            ("-", get("h/", &["Role: user, admin"])),
        ],
    );
}

#[test]
fn cookies_are_found_in_every_line_and_are_case_sensitive() {
    // RFC 6265 §5.4
    let config = routes("beta: { cookie: { beta: 'yes' } }");
    expect(
        &config,
        [
            ("beta", get("h/", &["Cookie: beta=yes"])),
            ("beta", get("h/", &["Cookie: a=b; beta=yes; c=d"])),
            ("beta", get("h/", &["Cookie: a=b", "Cookie: beta=yes"])),
            ("beta", get("h/", &["Cookie: beta=no; beta=yes"])),
            ("-", get("h/", &["Cookie: Beta=yes"])),
            ("-", get("h/", &["Cookie: beta=Yes"])),
            ("-", get("h/", &["Cookie: xbeta=yes"])),
            ("-", get("h/", &["Cookie: beta"])),
            ("-", get("h/", &["X-Cookie: beta=yes"])),
        ],
    );
}

/// C21: what broke other parsers costs linear time and matches nothing.
#[test]
fn c21_odd_cookies_match_nothing() {
    let config = routes("beta: { cookie: { beta: 'yes' } }");
    let many = format!("Cookie: {}", "a=b;".repeat(10_000));
    expect(
        &config,
        [
            ("-", get("h/", &["Cookie: ;a"])),
            ("-", get("h/", &["Cookie: ="])),
            ("-", get("h/", &["Cookie: ;;;=;=="])),
            ("-", get("h/", &["Cookie:"])),
            ("-", get("h/", &[&many])),
        ],
    );
}

#[test]
fn parameters_are_compared_decoded() {
    let config = routes(
        "page: { query: { page: '2' } }
         name: { query: { full-name: 'a&b' } }
         digits: { query: { n: { regex: '^[0-9]+ [0-9]+$' } } }
         flag: { query: { debug: present } }",
    );
    expect(
        &config,
        [
            ("page", get("h/?page=2", &[])),
            ("page", get("h/?x=1&page=3&page=2", &[])),
            ("page", get("h/?%70%61ge=%32", &[])),
            ("-", get("h/?page=22", &[])),
            ("-", get("h/?page=", &[])),
            ("-", get("h/?Page=2", &[])),
            ("-", get("h/page=2", &[])),
            ("-", get("h/", &[])),
            ("-", get("h/?", &[])),
            ("name", get("h/?full%2dname=a%26b", &[])),
            ("name", get("h/?full%2Dname=a%26b", &[])),
            ("-", get("h/?full%2Dname=a&b", &[])),
            ("digits", get("h/?n=1%202", &[])),
            ("-", get("h/?n=1%2b2", &[])),
            ("flag", get("h/?debug", &[])),
            ("flag", get("h/?debug=&x", &[])),
            ("-", get("h/?nodebug", &[])),
        ],
    );
}

proptest! {
    #[test]
    fn comparing_encoded_text_is_decoding_it_and_comparing(
        sent in "[%+a-cA-F0-9]{0,12}",
        other in "[ %+a-c]{0,4}",
    ) {
        let decoded = evenkeel_codec::query::decode(sent.as_bytes()).into_owned();
        prop_assert!(is_encoding_of(sent.as_bytes(), &decoded));
        let plain = other.as_bytes();
        prop_assert_eq!(is_encoding_of(sent.as_bytes(), plain), decoded == plain);
        prop_assert!(!is_encoding_of(sent.as_bytes(), &[&decoded[..], b"x"].concat()));
    }
}

#[test]
fn clients_are_compared_with_networks_of_their_family() {
    let config = routes(
        "office: { client: [192.0.2.0/25, 198.51.100.7, 192.0.2.64/26, '2001:db8::/32'] }
         mapped: { client: ['::ffff:203.0.113.0/120'] }
         v6: { client: ['::/0'] }",
    );
    let from = |client| get("h/", &[]).from(client);
    expect(
        &config,
        [
            ("office", from("192.0.2.0")),
            ("office", from("192.0.2.127")),
            ("-", from("192.0.2.128")),
            ("-", from("192.0.1.255")),
            ("office", from("198.51.100.7")),
            ("-", from("198.51.100.8")),
            ("office", from("::ffff:192.0.2.1")),
            ("office", from("2001:db8:ffff::1")),
            ("v6", from("2001:db9::")),
            ("mapped", from("203.0.113.9")),
            ("-", from("203.0.114.0")),
            ("-", from("255.255.255.255")),
        ],
    );
}

proptest! {
    #[test]
    fn a_list_of_networks_has_a_client_if_one_of_them_has(
        networks in proptest::collection::vec((0_u32..512, 22_u8..=32, any::<bool>()), 0..20),
        client in 0_u32..512,
        is_v6 in any::<bool>(),
    ) {
        use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
        let address = |number: u32, is_v6: bool| match is_v6 {
            true => IpAddr::V6(Ipv6Addr::from(u128::from(number) << 96)),
            false => IpAddr::V4(Ipv4Addr::from(number)),
        };
        let list: Vec<ipnet::IpNet> = networks
            .iter()
            .map(|(at, length, is_v6)| ipnet::IpNet::new(address(*at, *is_v6), *length).unwrap())
            .collect();
        let client = address(client, is_v6);
        let expected = list.iter().any(|network| network.contains(&client));
        prop_assert_eq!(crate::route::network::Networks::compile(&list).contains(client), expected);
    }
}

#[test]
fn listeners_are_told_apart() {
    let config = routes("inner: { listener: inner }");
    expect(&config, [("inner", get("h/", &[]).through(1)), ("-", get("h/", &[]).through(0))]);
}

#[test]
fn and_or_not_combine() {
    let config = routes(
        "mixed: { all: [ { path: /a }, { any: [ { header: { x: '1' } }, { cookie: { y: '2' } } ] }, { not: { method: [POST, PUT] } } ] }
         neither: { path: /n, not: { any: [ { header: { x: '1' } }, { query: { q: present } } ] } }
         twice: { path: /t, not: { not: { method: GET } } }
         hosts: { any: [ { host: one.test, path: /p }, { host: '*.two.test', method: PUT } ] }
         but: { path: /b, not: { all: [ { path: /b/x }, { host: '*.evil.test' } ] } }",
    );
    expect(
        &config,
        [
            ("mixed", get("h/a/b", &["X: 1"])),
            ("mixed", get("h/a", &["Cookie: y=2"])),
            ("-", get("h/a", &[])),
            ("-", send("POST", "h/a", &["X: 1"])),
            ("neither", get("h/n", &["X: 2"])),
            ("-", get("h/n", &["X: 1"])),
            ("-", get("h/n?q", &[])),
            ("twice", get("h/t", &[])),
            ("-", send("HEAD", "h/t", &[])),
            ("hosts", get("ONE.test/p/x", &[])),
            ("-", get("one.test/q", &[])),
            ("hosts", send("PUT", "x.two.test/q", &[])),
            ("-", get("x.two.test/q", &[])),
            ("but", get("a.evil.test/b", &[])),
            ("but", get("good.test/b/x", &[])),
            ("-", get("A.EVIL.test./b/x/y", &[])),
        ],
    );
}
