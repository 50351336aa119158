//! A client stays with its server: by a cookie that only instances with the key understand, or by a
//! hash of what it sends. When the server is gone it goes to the next best, and stays there.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::collections::HashSet;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use support::admin::Admin;
use support::{Backend, Gate, Proxy, Response, Then, reply, with_pool};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEW_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn sticky(backends: &[&Backend], cookie: &str) -> Proxy {
    let pool = format!("    balance: round_robin\n    sticky: {{ cookie: {{ {cookie} }} }}\n");
    Proxy::start(&with_pool(backends, &pool))
}

fn three() -> [Backend; 3] {
    [Backend::named("one"), Backend::named("two"), Backend::named("three")]
}

/// One request with these cookies.
fn ask(proxy: &Proxy, cookies: &str) -> Response {
    ask_with(proxy, &format!("Cookie: {cookies}\r\n"))
}

fn ask_with(proxy: &Proxy, fields: &str) -> Response {
    proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n"))
}

/// `name=value` of the cookie that a response sets, and its attributes.
fn cookie(response: &Response) -> Option<(String, String)> {
    let line = response.field("set-cookie")?;
    let (pair, attributes) = line.split_once("; ").unwrap();
    Some((pair.to_owned(), attributes.to_owned()))
}

/// The cookie `pair` as it would be had it been set `seconds` ago (in the future, if negative), by
/// someone who knows [`KEY`]. A token is a key's id, a nonce, and sealed for the pool `app`: eight
/// bytes of which server, eight of when (`docs/decisions/015`).
fn aged(pair: &str, seconds: i64) -> String {
    let (name, value) = pair.split_once('=').unwrap();
    let secret: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&KEY[at..at + 2], 16).unwrap()).collect();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &secret).unwrap());
    let mut token = URL_SAFE_NO_PAD.decode(value).unwrap();
    let (public, sealed) = token.split_at_mut(1 + NONCE_LEN);
    let nonce = || Nonce::try_assume_unique_for_key(&public[1..]).unwrap();
    let context = || Aad::from(b"evenkeel sticky 1 app");
    let claim = key.open_in_place(nonce(), context(), sealed).expect("a token of ours");
    let issued = u64::from_be_bytes(claim[8..].try_into().unwrap()).checked_add_signed(-seconds);
    claim[8..].copy_from_slice(&issued.unwrap().to_be_bytes());
    let tag = key.seal_in_place_separate_tag(nonce(), context(), claim).unwrap();
    sealed[16..].copy_from_slice(tag.as_ref());
    format!("{name}={}", URL_SAFE_NO_PAD.encode(token))
}

#[test]
fn a_client_is_bound_once_and_stays() {
    let [one, two, three] = three();
    let proxy = sticky(&[&one, &two, &three], &format!("keys: {KEY}"));
    let mut servers = HashSet::new();
    for _ in 0..6 {
        let first = ask(&proxy, "a=b");
        let (pair, _) = cookie(&first).expect("a cookie");
        servers.insert(first.text());
        for _ in 0..6 {
            let next = ask(&proxy, &pair);
            assert_eq!(next.text(), first.text());
            assert_eq!(next.field("set-cookie"), None, "it has one");
        }
    }
    assert_eq!(servers.len(), 3, "new clients are balanced");
}

#[test]
fn the_cookie_says_nothing_and_is_never_the_same() {
    let [one, two, three] = three();
    let proxy = sticky(&[&one, &two, &three], &format!("keys: {KEY}"));
    let values: HashSet<String> = (0..9).map(|_| cookie(&ask(&proxy, "")).unwrap().0).collect();
    assert_eq!(values.len(), 9, "two clients of one server have nothing in common");
    assert!(values.iter().all(|value| value.len() == "evenkeel_app=".len() + 60));
}

#[test]
fn servers_see_every_cookie_but_ours() {
    let [one, two, three] = three();
    let proxy = sticky(&[&one, &two, &three], &format!("keys: {KEY}, name: stay"));
    let (pair, _) = cookie(&ask(&proxy, "")).unwrap();
    ask(&proxy, &format!("a=b;  {pair}; c=\"d e\";f"));
    ask(&proxy, &pair);
    let seen: Vec<Vec<String>> = [&one, &two, &three]
        .iter()
        .flat_map(|backend| backend.received())
        .map(|received| received.fields("cookie").iter().map(|v| (*v).to_owned()).collect())
        .collect();
    assert!(seen.contains(&vec!["a=b; c=\"d e\";f".to_owned()]), "{seen:?}");
    assert!(!seen.iter().flatten().any(|value| value.contains("stay")), "{seen:?}");
}

#[test]
fn a_binding_survives_a_restart_and_is_understood_by_every_instance_with_the_key() {
    let [one, two, three] = three();
    let backends = [&one, &two, &three];
    let first = ask(&sticky(&backends, &format!("keys: {KEY}")), "");
    let (pair, _) = cookie(&first).unwrap();
    let instances: Vec<Proxy> =
        (0..2).map(|_| sticky(&backends, &format!("keys: {KEY}"))).collect();
    for proxy in instances.iter().cycle().take(8) {
        let response = ask(proxy, &pair);
        assert_eq!((response.text(), response.field("set-cookie")), (first.text(), None));
    }
}

#[test]
fn keys_are_rotated_by_putting_the_new_one_first() {
    let [one, two, three] = three();
    let backends = [&one, &two, &three];
    let first = ask(&sticky(&backends, &format!("keys: {KEY}")), "");
    let (old, _) = cookie(&first).unwrap();
    let both = sticky(&backends, &format!("keys: [{NEW_KEY}, {KEY}]"));
    let response = ask(&both, &old);
    assert_eq!((response.text(), response.field("set-cookie")), (first.text(), None));
    let second = ask(&both, "");
    let (new, _) = cookie(&second).unwrap();
    let only_new = sticky(&backends, &format!("keys: {NEW_KEY}"));
    assert_eq!(ask(&only_new, &new).text(), second.text());
    assert!(cookie(&ask(&only_new, &old)).is_some(), "the old key is not known any more");
    let without = sticky(&backends, "");
    assert!(cookie(&ask(&without, &new)).is_some(), "its key is its own");
}

#[test]
fn a_cookie_that_cannot_be_believed_is_replaced_and_never_an_error() {
    let [one, two, three] = three();
    let backends = [&one, &two, &three];
    let proxy = sticky(&backends, &format!("keys: {KEY}"));
    let (pair, _) = cookie(&ask(&proxy, "")).unwrap();
    let value = pair.split_once('=').unwrap().1;
    let changed = |at: usize| {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let foreign = cookie(&ask(&sticky(&backends, &format!("keys: {NEW_KEY}")), "")).unwrap().0;
    let mut bad: Vec<String> = (0..value.len()).map(changed).collect();
    bad.extend([
        String::new(),
        "one".into(),
        "127.0.0.1:80".into(),
        value[..59].into(),
        format!("{value}A"),
        format!("\"{value}\""),
        "A".repeat(60),
        "%00".repeat(20),
        "A".repeat(4000),
        foreign.split_once('=').unwrap().1.into(),
    ]);
    for value in bad {
        let response = ask(&proxy, &format!("evenkeel_app={value}"));
        assert_eq!(response.status, 200, "{value}");
        assert!(cookie(&response).is_some(), "{value} was believed");
    }
    // Beside a bad one, the good one counts.
    assert_eq!(cookie(&ask(&proxy, &format!("evenkeel_app=x; {pair}"))), None);
}

const MINUTE: i64 = 60;

#[test]
fn a_binding_expires_with_its_time_to_live() {
    let [one, two, three] = three();
    let proxy = sticky(&[&one, &two, &three], &format!("keys: {KEY}, ttl: 1h"));
    let first = ask(&proxy, "");
    let (pair, _) = cookie(&first).unwrap();
    let believed = [(0, true), (59, true), (60, false), (100_000, false)];
    for (minutes, is_believed) in believed {
        let servers: HashSet<String> =
            (0..6).map(|_| ask(&proxy, &aged(&pair, minutes * MINUTE)).text()).collect();
        assert_eq!(servers.len() == 1, is_believed, "after {minutes} minutes: {servers:?}");
    }
    let ahead = ask(&proxy, &aged(&pair, -600 * MINUTE));
    let expected = (first.text(), None);
    assert_eq!((ahead.text(), ahead.field("set-cookie")), expected, "of one whose clock is ahead");
    let forever = sticky(&[&one, &two, &three], &format!("keys: {KEY}"));
    let old = ask(&forever, &aged(&pair, 1_000_000 * MINUTE));
    assert_eq!((old.text(), old.field("set-cookie")), expected, "without a time to live");
}

#[test]
fn a_binding_is_renewed_when_half_of_its_time_is_gone() {
    let [one, two, three] = three();
    let proxy = sticky(&[&one, &two, &three], &format!("keys: {KEY}, ttl: 1h"));
    let first = ask(&proxy, "");
    let (pair, _) = cookie(&first).unwrap();
    for (minutes, is_renewed) in [(0, false), (25, false), (31, true), (55, true)] {
        let response = ask(&proxy, &aged(&pair, minutes * MINUTE));
        assert_eq!(response.text(), first.text());
        assert_eq!(cookie(&response).is_some(), is_renewed, "after {minutes} minutes");
    }
    // The new one is whole again.
    let (renewed, _) = cookie(&ask(&proxy, &aged(&pair, 31 * MINUTE))).unwrap();
    assert_eq!(cookie(&ask(&proxy, &aged(&renewed, 25 * MINUTE))), None);
}

#[test]
fn a_binding_to_a_server_that_is_draining_is_kept_and_not_renewed() {
    let [one, two, three] = three();
    let proxy = sticky(&[&one, &two, &three], &format!("keys: {KEY}, ttl: 1h"));
    let bound = (0..9).map(|_| ask(&proxy, "")).find(|first| first.text() == "one").unwrap();
    let old = aged(&cookie(&bound).unwrap().0, 31 * MINUTE);
    assert!(cookie(&ask(&proxy, &old)).is_some(), "due to be renewed");
    support::wait_for("the admin API", || UnixStream::connect(proxy.admin_socket()).is_ok());
    let server = format!("/v1/pools/app/servers/{}", one.address);
    let drain = json!({ "state": "draining", "deadline": "1h" });
    assert_eq!(Admin::of(&proxy).send("PATCH", &server, &drain).status, 200);
    let next = ask(&proxy, &old);
    assert_eq!((next.text(), next.field("set-cookie")), ("one".into(), None));
}

#[test]
fn attributes_are_as_configured_and_secure_follows_the_client() {
    let [one, two, three] = three();
    let backends = [&one, &two, &three];
    let plain = cookie(&ask(&sticky(&backends, ""), "")).unwrap().1;
    assert_eq!(plain, "Path=/; HttpOnly; SameSite=Lax");
    let options = "path: /app, domain: example.org, ttl: 1h, secure: true, http_only: false, same_site: strict";
    let full = cookie(&ask(&sticky(&backends, options), "")).unwrap().1;
    assert_eq!(full, "Path=/app; Domain=example.org; Max-Age=3600; SameSite=Strict; Secure");
    let config = with_pool(&backends, "    sticky: { cookie: {} }\n")
        .replace("bind: 127.0.0.1:0\n", "bind: 127.0.0.1:0\n    trusted_proxies: [127.0.0.0/8]\n");
    let behind_tls = Proxy::start(&config);
    let told = ask_with(&behind_tls, "X-Forwarded-Proto: https\r\n");
    assert!(cookie(&told).unwrap().1.ends_with("; Secure"));
}

#[test]
fn a_shared_cache_gives_nobody_elses_cookie_away() {
    // RFC 9111 §3 and §7.3, RFC 9213 §2.2
    for (said, expected) in [
        ("", vec!["private"]),
        ("Cache-Control: public, max-age=60\r\n", vec!["public, max-age=60", "private"]),
        ("Cache-Control: max-age=9, private\r\n", vec!["max-age=9, private"]),
        ("Cache-Control: No-Store\r\n", vec!["No-Store"]),
        ("CDN-Cache-Control: max-age=60\r\n", vec!["private"]),
    ] {
        let backend =
            Backend::replying(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{said}\r\n"));
        let proxy = sticky(&[&backend], &format!("keys: {KEY}"));
        let binding = ask(&proxy, "");
        assert_eq!(binding.fields("cache-control"), expected, "{said}");
        assert_eq!(binding.field("cdn-cache-control"), None);
        // Without the cookie a response is what its server made it.
        let (pair, _) = cookie(&binding).unwrap();
        let bound = ask(&proxy, &pair);
        assert_eq!(bound.fields("cache-control").join("\r\nCache-Control: "), {
            let value = said.trim_end().strip_prefix("Cache-Control: ");
            value.unwrap_or_default()
        });
    }
}

#[test]
fn a_client_whose_server_fails_goes_to_the_next_best_and_stays_there() {
    // Each breaks off what is not a first request: so whoever is bound has to be bound anew.
    let failing = |name: &'static str| {
        Backend::start(move |request, stream| {
            if request.field("x-fail") == Some(name) {
                return Then::Reset;
            }
            let length = name.len();
            reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"));
            Then::Keep
        })
    };
    let (one, two) = (failing("one"), failing("two"));
    let proxy = sticky(&[&one, &two], &format!("keys: {KEY}"));
    let first = ask(&proxy, "");
    let (pair, _) = cookie(&first).unwrap();
    let fields = format!("X-Fail: {}\r\nCookie: {pair}\r\n", first.text());
    let moved = ask_with(&proxy, &fields);
    assert_eq!(moved.status, 200);
    assert_ne!(moved.text(), first.text());
    let (new, _) = cookie(&moved).expect("bound to the one that answered");
    for _ in 0..4 {
        let next = ask(&proxy, &new);
        assert_eq!((next.text(), next.field("set-cookie")), (moved.text(), None));
    }
}

/// Answers after `wait` if asked to.
fn slow(name: &'static str, wait: Duration) -> Backend {
    Backend::start(move |request, stream| {
        if request.field("x-slow").is_some() {
            std::thread::sleep(wait);
        }
        let length = name.len();
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"));
        Then::Keep
    })
}

#[test]
fn pools_at_one_host_leave_each_others_binding_alone() {
    let [one, two, three] = three();
    let proxy = Proxy::start(&format!(
        "listeners:\n  web:\n    bind: 127.0.0.1:0\nroutes:\n  - {{ match: {{ path: /shop }}, to: shop }}\n  - {{ to: app }}\npools:\n  app: {{ servers: [{}, {}], sticky: cookie }}\n  shop: {{ servers: [{}], sticky: cookie }}\n",
        one.address, two.address, three.address,
    ));
    let first = ask(&proxy, "");
    let (app, _) = cookie(&first).unwrap();
    let get = |path: &str, cookies: &str| {
        proxy.ask(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"
        ))
    };
    let (shop, _) = cookie(&get("/shop", &app)).unwrap();
    assert_ne!(app.split_once('=').unwrap().0, shop.split_once('=').unwrap().0);
    let both = format!("{app}; {shop}");
    for path in ["/", "/shop", "/", "/shop"] {
        assert_eq!(cookie(&get(path, &both)), None, "{path}");
    }
    assert_eq!(get("/", &both).text(), first.text());
}

#[test]
fn who_is_bound_waits_for_its_server_however_slow() {
    let wait = Duration::from_millis(300);
    let (one, two) = (slow("one", wait), slow("two", Duration::ZERO));
    let proxy = |sticky: &str| {
        let pool = format!(
            "    balance: round_robin\n    sticky: {sticky}\n    hedge: {{ delay: 20ms }}\n"
        );
        Proxy::start(&with_pool(&[&one, &two], &pool))
    };
    let by_cookie = proxy(&format!("{{ cookie: {{ keys: {KEY} }} }}"));
    let bound = (0..9).map(|_| ask(&by_cookie, "")).find(|first| first.text() == "one").unwrap();
    let (pair, _) = cookie(&bound).unwrap();
    for _ in 0..3 {
        let next = ask_with(&by_cookie, &format!("X-Slow: 1\r\nCookie: {pair}\r\n"));
        assert_eq!((next.text(), next.field("set-cookie")), ("one".into(), None));
    }
    let by_header = proxy("{ header: x-user }");
    let user = (0..99).find(|n| ask_with(&by_header, &format!("X-User: {n}\r\n")).text() == "one");
    let fields = format!("X-Slow: 1\r\nX-User: {}\r\n", user.unwrap());
    assert_eq!(ask_with(&by_header, &fields).text(), "one");
}

#[test]
fn a_binding_outlives_a_moment_without_room() {
    let gate = Gate::default();
    let held = gate.clone();
    let one = Backend::start(move |request, stream| {
        if request.field("x-slow").is_some() {
            held.pass();
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        Then::Keep
    });
    let two = Backend::named("two");
    let pool = format!(
        "    balance: round_robin\n    sticky: {{ cookie: {{ keys: {KEY} }} }}\n    breaker: {{ server_in_flight: 1 }}\n"
    );
    let config = with_pool(&[&one, &two], &pool);
    let proxy = Proxy::start(&config.replace("listeners:", "workers: 1\nlisteners:"));
    let bound = (0..9).map(|_| ask(&proxy, "")).find(|first| first.text() == "one").unwrap();
    let (pair, _) = cookie(&bound).unwrap();
    let before = one.count();
    let mut busy = proxy.connect();
    busy.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1\r\nCookie: {pair}\r\n\r\n"));
    support::wait_for("it to be busy", || one.count() > before);
    let elsewhere = ask(&proxy, &pair);
    assert_eq!((elsewhere.text(), elsewhere.field("set-cookie")), ("two".into(), None));
    gate.open();
    assert_eq!(busy.response().text(), "one");
    assert_eq!(ask(&proxy, &pair).text(), "one", "and comes back");
}

#[test]
fn a_server_that_cannot_serve_binds_nobody() {
    let busy = Backend::replying("HTTP/1.1 503 S\r\nContent-Length: 0\r\n\r\n");
    let proxy = sticky(&[&busy], &format!("keys: {KEY}"));
    assert_eq!(cookie(&ask(&proxy, "")), None);
}

#[test]
fn a_binding_to_a_server_that_is_gone_is_replaced() {
    let [one, two, three] = three();
    let first = ask(&sticky(&[&one], &format!("keys: {KEY}")), "");
    let (pair, _) = cookie(&first).unwrap();
    let others = sticky(&[&two, &three], &format!("keys: {KEY}"));
    let moved = ask(&others, &pair);
    assert!(["two", "three"].contains(&moved.text().as_str()));
    let (new, _) = cookie(&moved).unwrap();
    assert_eq!(ask(&others, &new).text(), moved.text());
}

#[test]
fn what_a_client_sends_can_decide_where_it_goes() {
    let [one, two, three] = three();
    let backends = [&one, &two, &three];
    let proxy = |sticky: &str| {
        Proxy::start(&with_pool(
            &backends,
            &format!("    balance: round_robin\n    sticky: {sticky}\n"),
        ))
    };
    for (config, field) in [
        ("{ header: x-user }", "X-User: "),
        ("{ app_cookie: JSESSIONID }", "Cookie: a=b; JSESSIONID="),
    ] {
        let proxy = proxy(config);
        let ask = |user: usize| ask_with(&proxy, &format!("{field}{user}\r\n")).text();
        let mut servers = HashSet::new();
        for user in 0..30 {
            let first = ask(user);
            assert_eq!(ask(user), first, "{config}");
            servers.insert(first);
        }
        assert_eq!(servers.len(), 3, "{config}");
        let without: HashSet<String> = (0..9).map(|_| ask_with(&proxy, "").text()).collect();
        assert_eq!(without.len(), 3, "a request without it is balanced as the pool says");
    }
    let by_source = proxy("source");
    let servers: HashSet<String> = (0..9).map(|_| ask_with(&by_source, "").text()).collect();
    assert_eq!(servers.len(), 1);
}
