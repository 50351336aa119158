//! Which requests go where: hosts, paths, conditions, splits, redirects, fixed responses, and that
//! no spelling of a path slips past a rule.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use support::{Backend, Proxy};

/// A proxy whose pools are called after their backends, with these routes.
fn proxy(routes: &str) -> (Vec<Backend>, Proxy) {
    let names = ["a", "b", "c", "d"];
    let backends: Vec<Backend> = names.iter().map(|name| Backend::named(name)).collect();
    let pools: String = names
        .iter()
        .zip(&backends)
        .map(|(name, b)| format!("  {name}: {{ servers: [\"{}\"] }}\n", b.address))
        .collect();
    let config = format!(
        "listeners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\npools:\n{pools}routes:\n{routes}"
    );
    (backends, Proxy::start(&config))
}

fn ask(proxy: &Proxy, host: &str, target: &str, fields: &str) -> String {
    let response = proxy
        .ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n"));
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

#[test]
fn the_most_specific_host_and_path_win_whatever_the_order() {
    let (_backends, proxy) = proxy(
        "  - to: a\n  - { match: { host: shop.example }, to: b }\n  - { match: { host: \"*.example\" }, to: c }\n  - { match: { host: shop.example, path: /api }, to: d }\n",
    );
    for (host, target, to) in [
        ("other.org", "/", "a"),
        ("shop.example", "/", "b"),
        ("SHOP.Example.:8080", "/", "b"), // RFC 9110 §4.2.3 (D9, D10)
        ("shop.example", "/api", "d"),
        ("shop.example", "/api/x", "d"),
        ("shop.example", "/apis", "b"), // segment boundaries
        ("www.example", "/api", "c"),
        ("a.b.example", "/", "c"),
        ("example", "/", "a"),
    ] {
        assert_eq!(ask(&proxy, host, target, ""), to, "{host}{target}");
    }
}

#[test]
fn exact_paths_beat_expressions_beat_longer_prefixes() {
    let (_backends, proxy) = proxy(
        "  - { match: { path: /x }, to: a }\n  - { match: { path: /x/y }, to: b }\n  - { match: { path: { regex: \"^/x/y/[0-9]+$\" } }, to: c }\n  - { match: { path: { exact: /x/y/7 } }, to: d }\n",
    );
    for (target, to) in
        [("/x/1", "a"), ("/x/y/z", "b"), ("/x/y/42", "c"), ("/x/y/7", "d"), ("/z", "404")]
    {
        assert_eq!(ask(&proxy, "h", target, ""), to, "{target}");
    }
}

#[test]
fn no_spelling_of_a_path_slips_past_a_rule() {
    // RFC 3986 §6.2.2 (E1, E2, E8)
    let (backends, proxy) =
        proxy("  - to: a\n  - { match: { path: /admin }, respond: { status: 403 } }\n");
    for spelling in [
        "/admin",
        "/admin/",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2E/admin",
        "/%61dmin",
        "/a//../admin",
        "/admin/../admin/x",
        "/%2e/admin",
        "///x///..///admin///",
    ] {
        assert_eq!(ask(&proxy, "h", spelling, ""), "403", "{spelling}");
    }
    assert_eq!(backends[0].count(), 0);
    // What is matched is what is forwarded.
    assert_eq!(ask(&proxy, "h", "/x/./y/../%7euser?a=/../admin", ""), "a");
    assert_eq!(backends[0].only().target(), "/x/~user?a=/../admin");
}

#[test]
fn conditions_on_method_fields_cookies_and_query() {
    let (_backends, proxy) = proxy(
        "  - to: a\n  - { match: { header: { X-Beta: \"1\" } }, to: b }\n  - { match: { cookie: { beta: yes }, path: / }, to: c }\n  - { match: { query: { page: present, q: { regex: \"^a+$\" } } }, to: d }\n",
    );
    for (target, fields, to) in [
        ("/", "", "a"),
        ("/", "x-beta: 1\r\n", "b"),
        ("/", "X-Beta: 2\r\n", "a"),
        ("/", "X-Beta: 0\r\nX-Beta: 1\r\n", "b"), // I5: a value cannot hide behind another
        ("/", "X-Beta: 0, 1\r\n", "b"),
        ("/", "Cookie: x=1; beta=yes\r\n", "c"),
        ("/", "Cookie: beta=no; xbeta=yes\r\n", "a"),
        ("/?page&q=aa", "", "d"),
        ("/?page=1&q=%61", "", "d"),
        ("/?q=aa", "", "a"),
    ] {
        assert_eq!(ask(&proxy, "h", target, fields), to, "{target} {fields:?}");
    }
}

#[test]
fn conditions_combine_with_all_any_and_not() {
    let (_backends, proxy) = proxy(
        "  - to: a\n  - match:\n      all:\n        - any: [ { path: /x }, { path: /y } ]\n        - not: { header: { x-no: present } }\n        - method: [GET, HEAD]\n    to: b\n  - { match: { client: [127.0.0.0/8], path: /z }, to: c }\n  - { match: { client: 192.0.2.0/24, path: /w }, to: d }\n",
    );
    for (target, fields, to) in [
        ("/x", "", "b"),
        ("/y/1", "", "b"),
        ("/y", "X-No: 1\r\n", "a"),
        ("/q", "", "a"),
        ("/z", "", "c"),
        ("/w", "", "a"),
    ] {
        assert_eq!(ask(&proxy, "h", target, fields), to, "{target} {fields:?}");
    }
    assert_eq!(proxy.ask("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").text(), "a");
}

#[test]
fn a_split_gives_each_pool_its_share() {
    let (backends, proxy) = proxy("  - to: { split: { a: 3, b: 1, c: 0 } }\n");
    let mut client = proxy.connect();
    for _ in 0..400 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.response();
    }
    assert!((240..360).contains(&backends[0].count()), "{}", backends[0].count());
    assert_eq!((backends[0].count() + backends[1].count(), backends[2].count()), (400, 0));
}

#[test]
fn redirects_and_fixed_responses() {
    let (_backends, proxy) = proxy(
        "  - { match: { path: /old }, redirect: { to: \"https://${host}/new${path.rest}${query}\", status: 301 } }\n  - { match: { path: { exact: /healthz } }, respond: { body: \"fine\\n\", content_type: text/x } }\n  - { match: { path: /plain }, redirect: \"/elsewhere\" }\n",
    );
    let response = proxy.ask("GET /old/a/b?c=d HTTP/1.1\r\nHost: h:81\r\n\r\n");
    assert_eq!((response.status, response.field("location")), (301, Some("https://h/new/a/b?c=d")));
    let response = proxy.get("/healthz");
    assert_eq!(
        (response.text().as_str(), response.field("content-type")),
        ("fine\n", Some("text/x"))
    );
    assert_eq!(proxy.get("/healthz/x").status, 404);
    assert_eq!(
        (proxy.get("/plain").status, proxy.get("/plain").field("location")),
        (308, Some("/elsewhere"))
    );
    // C20: nothing a client sends breaks out of the Location.
    let response = proxy.ask("GET /old/%0d%0aX:%20y HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.status, 400);
    let response = proxy.ask("HEAD /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(response.head.contains("content-length: 5"));
}

#[test]
fn ten_thousand_hosts_are_told_apart_in_any_case() {
    let routes: String = (0..10_000)
        .map(|n| format!("  - {{ match: {{ host: h{n}.example, path: /p{n} }}, respond: {{ body: \"{n}\" }} }}\n"))
        .collect();
    let (_backends, proxy) = proxy(&format!("{routes}  - to: a\n"));
    for n in [0, 1, 99, 100, 101, 9_999] {
        assert_eq!(ask(&proxy, &format!("H{n}.EXAMPLE"), &format!("/p{n}/x"), ""), n.to_string());
        assert_eq!(ask(&proxy, &format!("h{n}.example"), "/", ""), "a");
    }
}

#[test]
fn consistent_hashing_keeps_a_key_on_its_server() {
    let backends: Vec<Backend> = ["1", "2", "3", "4", "5"].map(Backend::named).into();
    let refs: Vec<&Backend> = backends.iter().collect();
    for table in ["maglev", "ring"] {
        let balance = format!(
            "    balance: {{ consistent_hash: {{ key: {{ header: x-user }}, table: {table} }} }}\n"
        );
        let proxy = Proxy::start(&support::with_pool(&refs, &balance));
        let mut seen = std::collections::HashSet::new();
        for user in 0..30 {
            let asked: Vec<String> =
                (0..4).map(|_| ask(&proxy, "h", "/", &format!("X-User: u{user}\r\n"))).collect();
            assert!(asked.iter().all(|to| *to == asked[0]), "{asked:?}");
            seen.insert(asked[0].clone());
        }
        assert_eq!(seen.len(), 5, "{table} leaves servers out");
    }
}
