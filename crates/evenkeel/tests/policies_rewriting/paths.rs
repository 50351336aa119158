//! What servers are asked for (`rewrite`), and the one spelling of an address (`redirect`).

use crate::support::{Backend, Proxy, with_listener};
use crate::versions::{ALL, Everywhere};

fn with(backend: &Backend, policies: &str, attached: &str) -> Everywhere {
    let sections = format!(
        "routes:\n  - {{ match: {{ path: /api }}, to: app, policies: [{attached}] }}\n  \
           - {{ match: {{ path: {{ regex: \"^/u/(?P<id>[^/]+)$\" }} }}, to: app, policies: [{attached}] }}\n\
         policies:\n{policies}"
    );
    Everywhere::start(&[backend], "", &sections)
}

/// What the server is asked for, over each version.
fn targets(backend: &Backend, site: &Everywhere, target: &str) -> String {
    let before = backend.count();
    for version in ALL {
        assert_eq!(site.get(version, target).status, 200, "{version:?} {target}");
    }
    let received = backend.received();
    let all: Vec<&str> = received[before..].iter().map(|request| request.target()).collect();
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
    all[0].to_owned()
}

#[test]
fn a_prefix_is_taken_away_or_replaced_on_segment_boundaries() {
    let backend = Backend::named("one");
    let site = with(&backend, "  strip: { rewrite: { strip_prefix: /api } }\n", "strip");
    for (target, asked) in [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api/x?a=b&c", "/x?a=b&c"),
        ("/api//evil.example/x", "/evil.example/x"), // RFC 3986 §4.2: no host comes of it
        ("/api/%41", "/A"),
        ("/u/api", "/u/api"),
    ] {
        assert_eq!(targets(&backend, &site, target), asked, "{target}");
    }
    let policies = "  v2: { rewrite: { replace_prefix: { from: /api, to: /v2/ } } }\n  \
                    v3: { rewrite: { replace_prefix: { from: /v2, to: /v3 } } }\n";
    let site = with(&backend, policies, "v2, v3");
    assert_eq!(targets(&backend, &site, "/api/x?y"), "/v3/x?y", "one after the other");
}

#[test]
fn no_rewritten_path_is_a_host_or_leaves_its_place() {
    let backend = Backend::named("one");
    let slashes = "    path: { merge_slashes: false, encoded_slash: keep }\n";
    let sections = "routes: [ { match: { path: /api }, to: app, policies: strip }, { to: app, policies: made } ]\n\
                    policies:\n  strip: { rewrite: { strip_prefix: /api } }\n  \
                    made: { rewrite: { path: \"/at/${header.x-to}${query.to}\" } }\n";
    let site = Everywhere::start(&[&backend], slashes, sections);
    assert_eq!(targets(&backend, &site, "/api//evil.example/x"), "/evil.example/x");
    assert_eq!(targets(&backend, &site, "/api///evil.example"), "/evil.example");
    for version in ALL {
        let answer = site.ask(version, "GET", "/", &[("x-to", "../../x?y#z w")]);
        assert_eq!(answer.status, 200);
        let received = backend.received();
        let target = received.last().unwrap().target();
        assert_eq!(target, "/at/..%2F..%2Fx%3Fy%23z%20w", "{version:?}: a value is one segment");
    }
    let count = backend.count();
    for version in ALL {
        let answer = site.get(version, "/?to=%0d%0aX:%20y");
        assert_eq!(
            (answer.status, answer.field("x-evenkeel-reason")),
            (400, "control_character_in_path")
        );
        assert_eq!(site.get(version, "/?to=..").status, 200);
        assert_eq!(backend.received().last().unwrap().target(), "/?to=..", "dots are resolved");
    }
    assert_eq!(backend.count(), count + 3);
}

#[test]
fn paths_are_made_of_groups_and_of_expressions() {
    let backend = Backend::named("one");
    let site = with(&backend, "  p: { rewrite: { path: \"/users/${path.id}/profile\" } }\n", "p");
    assert_eq!(targets(&backend, &site, "/u/7%C3%A9?x=1"), "/users/7%C3%A9/profile?x=1");
    let policies =
        "  p: { rewrite: { regex: { pattern: \"^/u/(?P<id>[0-9]+)\", to: \"/n/$id\" } } }\n";
    let site = with(&backend, policies, "p");
    assert_eq!(targets(&backend, &site, "/u/7"), "/n/7");
    assert_eq!(targets(&backend, &site, "/u/x"), "/u/x");
}

#[test]
fn query_and_host_are_edited() {
    let backend = Backend::named("one");
    let policies = "  q: { rewrite: { query: { remove: debug, set: { ip: \"${client.ip}\", q: \"${query.q}&\" } }, host: \"in.example:81\" } }\n  \
                    k: { rewrite: { query: { keep: [q, ip] } } }\n";
    let site = with(&backend, policies, "q");
    let target = targets(&backend, &site, "/api?a=%26&%64ebug=1&q=x%20y&debug&b");
    assert_eq!(target, "/api?a=%26&b&ip=127.0.0.1&q=x%20y%26");
    assert_eq!(backend.received()[0].field("host"), Some("in.example:81"));
    assert_eq!(backend.received()[0].field("x-forwarded-host"), Some("localhost"));
    let site = with(&backend, policies, "q, k");
    assert_eq!(targets(&backend, &site, "/api?z=1"), "/api?ip=127.0.0.1&q=%26");
}

#[test]
fn a_host_that_is_none_is_refused() {
    let backend = Backend::named("one");
    let site = with(&backend, "  h: { rewrite: { host: \"${header.x-host}\" } }\n", "h");
    for version in ALL {
        assert_eq!(site.ask(version, "GET", "/api", &[("x-host", "a.example/@b")]).status, 400);
        assert_eq!(site.ask(version, "GET", "/api", &[("x-host", "a.example")]).status, 200);
    }
    assert_eq!(backend.received()[0].field("host"), Some("a.example"));
}

#[test]
fn addresses_have_one_spelling() {
    let backend = Backend::named("one");
    let config = with_listener(&[&backend], "    policies: canonical\n");
    let policy = |policy: &str| {
        format!("{config}\npolicies: {{ canonical: {{ redirect: {{ {policy} }} }} }}\n")
    };
    let ask = |proxy: &Proxy, host: &str, target: &str| {
        let response = proxy.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        (response.status, response.field("location").unwrap_or_default().to_owned())
    };
    let proxy = Proxy::start(&policy("https: true, www: remove, status: 301"));
    for (host, target, to) in [
        ("www.a.example:80", "/x?y=z", "https://a.example/x?y=z"),
        ("a.example", "//evil.example/%2e%2e/", "https://a.example/"),
        ("www.example", "/", "https://example/"),
    ] {
        let to = if host == "www.example" { "https://www.example/" } else { to };
        assert_eq!(ask(&proxy, host, target), (301, to.to_owned()), "{host}{target}");
    }
    let proxy = Proxy::start(&policy("www: add"));
    assert_eq!(
        ask(&proxy, "a.example:8080", "/x"),
        (308, "http://www.a.example:8080/x".to_owned())
    );
    for host in ["www.a.example", "127.0.0.1", "localhost"] {
        assert_eq!(ask(&proxy, host, "/").0, 200, "{host}");
    }
    assert_eq!(proxy.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn addresses_have_one_spelling_in_every_version() {
    let backend = Backend::named("one");
    let sections =
        "routes: [ { to: app } ]\npolicies: { c: { redirect: { https: true, www: add } } }\n";
    let site = Everywhere::start(&[&backend], "    policies: c\n", sections);
    for version in ALL {
        // `localhost` has no dot, and it is `https` already.
        assert_eq!(site.get(version, "/").status, 200, "{version:?}");
    }
}
