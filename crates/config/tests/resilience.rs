//! What is written about health, failing servers, affinity, discovery and the admin listener, and
//! what it means; and that all of it can be written out and read again.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::time::Duration;

use evenkeel_config::model::{
    AdminBind, BodyTest, Config, Discover, HashKey, JsonStep, Pool, Probe, SameSite, Sticky,
};
use evenkeel_config::{Source, effective, load};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8080".to_owned()),
        "KEY" => Some(KEY.to_owned()),
        "TOKEN" => Some("a-token-of-some-length".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Config {
    let sources = [Source { name: "f".into(), text: text.into() }];
    let loaded = load(&sources, &environment).map_err(|report| report.render(false));
    loaded.unwrap_or_else(|report| panic!("{report}")).config
}

/// The pool that these options make.
fn pool(options: &str) -> Pool {
    let config = read(&format!(
        "listeners: {{ web: {{ bind: \":80\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app: {{ servers: [\"a:1\", \"b:2\"], {options} }}\n"
    ));
    comes_back(&config);
    config.pools.into_iter().next().unwrap()
}

fn comes_back(config: &Config) {
    let written = effective(config);
    let again = [Source { name: "effective".into(), text: written.clone() }];
    let again = load(&again, &environment)
        .map_err(|report| format!("{}\n{written}", report.render(false)))
        .unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(again.config, *config, "{written}");
}

#[test]
fn a_pool_of_servers_alone_retries_ejects_queues_and_starts_slowly() {
    let pool = pool("");
    assert_eq!((pool.retry.attempts, pool.retry.budget.ratio, pool.retry.budget.min), (2, 0.2, 3));
    assert!(pool.retry.on.connect && pool.retry.on.reset && !pool.retry.on.timeout);
    let outlier = pool.outlier.unwrap();
    assert_eq!((outlier.consecutive, outlier.eject), (5, Duration::from_secs(5)));
    assert_eq!(outlier.rate.unwrap().requests_min, 20);
    assert_eq!((outlier.ejected_max, outlier.mark_down), (0.5, None));
    assert_eq!((pool.queue.max, pool.queue.timeout), (1000, Duration::from_secs(1)));
    assert_eq!((pool.slow_start, pool.panic_threshold), (Duration::from_secs(10), 0.1));
    assert_eq!(pool.breaker, evenkeel_config::model::Breaker::default());
    assert_eq!((pool.health, pool.hedge, pool.sticky, pool.discover), (None, None, None, None));
}

#[test]
fn a_check_has_short_forms() {
    let Probe::Http(probe) = pool("health: /healthz?x=1").health.unwrap().probe else { panic!() };
    assert_eq!((&*probe.method, &*probe.path, probe.host), ("GET", "/healthz?x=1", None));
    assert_eq!((probe.status, probe.tls, probe.body_max), (vec![200..=299], None, 65_536));
    assert!(matches!(pool("health: tcp").health.unwrap().probe, Probe::Tcp(e) if e.send.is_none()));
    assert!(matches!(pool("health: grpc").health.unwrap().probe, Probe::Grpc(_)));
    let check = pool("health: { http: /h }").health.unwrap();
    assert!(matches!(&check.probe, Probe::Http(probe) if probe.path == "/h"));
    let seconds = |duration: Duration| duration.as_secs();
    assert_eq!((seconds(check.interval), seconds(check.timeout)), (5, 2));
    assert_eq!((check.rise, check.fall, check.port), (2, 3, None));
    assert_eq!((seconds(check.interval_changing), seconds(check.interval_down_max)), (1, 30));
    let check = pool("health: { command: [/bin/check, --fast] }").health.unwrap();
    assert!(matches!(check.probe, Probe::Command(command) if command.argv.len() == 2));
}

#[test]
fn what_a_response_must_be_like_is_said_in_json_and_texts() {
    let check = pool(
        "health: { https: { path: /h, method: HEAD, host: a.b, headers: { X-A: '1: $$2' }, tls: { ca: f.pem }, expect: { status: [204, 300-301], contains: ok, regex: \"^o$\", json: { $.db: connected, \"$.a[3].b\": 5, $.t: true, $.n: null, $.s: \"5\", \"$.v\": \"${PORT}\" } } }, interval: 1s, timeout: 900ms, port: 9000 }",
    );
    let check = check.health.unwrap();
    assert_eq!((check.port, check.interval_changing), (Some(9000), Duration::from_secs(1)));
    let Probe::Http(probe) = check.probe else { panic!() };
    assert_eq!(probe.headers, [("X-A".to_owned(), "1: $2".to_owned())]);
    assert_eq!(probe.status, [204..=204, 300..=301]);
    assert_eq!(probe.tls.unwrap().ca, Some("f.pem".into()));
    let json: Vec<_> = probe
        .body
        .iter()
        .filter_map(|test| match test {
            BodyTest::Json(test) => Some((test.path.clone(), test.equals.clone())),
            _ => None,
        })
        .collect();
    let member = |name: &str| JsonStep::Member(name.to_owned());
    assert_eq!(json[0], (vec![member("db")], "connected".into()));
    assert_eq!(json[1], (vec![member("a"), JsonStep::Index(3), member("b")], 5.into()));
    let values: Vec<String> = json[2..].iter().map(|(_, value)| value.to_string()).collect();
    assert_eq!(values, ["true", "null", "\"5\"", "\"8080\""]);
    assert_eq!(probe.body.len(), 2 + json.len());
}

#[test]
fn bytes_of_a_check_are_written_as_in_c_or_as_in_yaml() {
    for send in ["PING\\r\\n", "'PING\\r\\n'", "\"PING\\r\\n\"", "'\\x50ING\\x0d\\n'"] {
        let check = pool(&format!("health: {{ tcp: {{ send: {send}, expect: '\\x00\\xff$$' }} }}"));
        let Probe::Tcp(exchange) = check.health.unwrap().probe else { panic!() };
        assert_eq!(exchange.send.as_deref(), Some(&b"PING\r\n"[..]), "{send}");
        assert_eq!(exchange.expect.as_deref(), Some(&b"\0\xff$"[..]));
    }
}

#[test]
fn what_is_a_switch_may_have_options() {
    assert_eq!(pool("outlier: off").outlier, None);
    assert_eq!(pool("outlier: { rate: off }").outlier.unwrap().rate, None);
    let outlier = pool("outlier: { mark_down: 60s, rate: { window: 1s } }").outlier.unwrap();
    assert_eq!(outlier.mark_down, Some(Duration::from_secs(60)));
    assert_eq!(outlier.rate.unwrap().share, 0.5);
    assert_eq!(pool("hedge: true").hedge.unwrap().delay, None);
    assert_eq!(pool("hedge: {}").hedge.unwrap().delay, None);
    let delay = pool("hedge: { delay: 50ms }").hedge.unwrap().delay;
    assert_eq!(delay, Some(Duration::from_millis(50)));
    let breaker =
        pool("breaker: { in_flight: 10, errors: true, server_errors: { share: 10%, open: 1s }, adaptive: true }")
            .breaker;
    assert_eq!((breaker.in_flight, breaker.errors.unwrap().probes), (Some(10), 3));
    assert_eq!(breaker.server_errors.unwrap().rate.share, 0.1);
    assert_eq!(breaker.adaptive.unwrap().initial, 20);
}

#[test]
fn a_limit_on_each_try_makes_its_end_a_reason_for_another() {
    assert!(pool("retry: { try_timeout: 2s }").retry.on.timeout);
    let retry =
        pool("retry: { on: [connect, 503, 502, 503], budget: 50%, non_idempotent: yes }").retry;
    assert!(retry.on.connect && !retry.on.reset && !retry.on.timeout && retry.non_idempotent);
    assert_eq!(retry.on.statuses, [503, 502]);
    assert_eq!((retry.budget.ratio, retry.budget.min), (0.5, 3));
    let retry = pool("retry: { on: reset, budget: { min: 10 } }").retry;
    assert_eq!((retry.budget.ratio, retry.budget.min), (0.2, 10));
    assert!(!retry.on.connect && retry.on.reset);
}

#[test]
fn clients_stay_by_cookie_field_parameter_or_network() {
    let Some(Sticky::Cookie(cookie)) = pool("sticky: cookie").sticky else { panic!() };
    assert_eq!((&*cookie.name, cookie.ttl, &*cookie.path), ("evenkeel_app", None, "/"));
    assert_eq!((cookie.secure, cookie.http_only, cookie.same_site), (None, true, SameSite::Lax));
    assert!(cookie.keys.is_empty() && cookie.domain.is_none());
    let all = format!(
        "sticky: {{ cookie: {{ name: __Host-x, ttl: 1h, secure: yes, http_only: false, same_site: strict, keys: [\"${{KEY}}\", AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=, \"{KEY}\"] }} }}"
    );
    let config = read(&format!(
        "listeners: {{ web: {{ bind: \":80\" }} }}\nroutes: [ {{ to: app }} ]\npools: {{ app: {{ servers: \"a:1\", {all} }} }}"
    ));
    let Some(Sticky::Cookie(cookie)) = config.pools[0].sticky.clone() else { panic!() };
    let bytes: [u8; 32] = std::array::from_fn(|at| at as u8);
    assert!(cookie.keys.len() == 3 && cookie.keys.iter().all(|key| *key.expose() == bytes));
    assert_eq!((cookie.ttl, cookie.secure), (Some(Duration::from_secs(3600)), Some(true)));
    for (written, key) in [
        ("{ header: X-User, table: ring }", HashKey::Header("x-user".into())),
        ("{ app_cookie: JSESSIONID }", HashKey::Cookie("JSESSIONID".into())),
        ("{ query: user, bounded_load: 1.25 }", HashKey::Query("user".into())),
    ] {
        let sticky = pool(&format!("sticky: {written}")).sticky;
        assert!(matches!(sticky, Some(Sticky::Key(by, _)) if by == key), "{written}");
    }
    for (written, bits) in [("source", (32, 64)), ("{ source: { ipv4: 24, ipv6: 56 } }", (24, 56))]
    {
        let Some(Sticky::Source(net, _)) = pool(&format!("sticky: {written}")).sticky else {
            panic!()
        };
        assert_eq!((net.ipv4, net.ipv6), bits);
    }
}

#[test]
fn servers_are_found_by_name_or_in_a_file() {
    for (written, name, port) in [
        ("{ dns: app.internal:8080 }", "app.internal", Some(8080)),
        ("{ dns: _http._tcp.App.internal. }", "_http._tcp.app.internal", None),
        (
            "{ dns: { name: app.internal, port: 80, resolvers: [10.0.0.2, \"[::1]:5353\"], refresh_max: 2s } }",
            "app.internal",
            Some(80),
        ),
    ] {
        let Some(Discover::Dns(dns)) = pool(&format!("discover: {written}")).discover else {
            panic!()
        };
        assert_eq!((&*dns.name, dns.port), (name, port), "{written}");
    }
    assert!(
        matches!(pool("discover: { file: servers.yaml }").discover, Some(Discover::File(f)) if f.path == "servers.yaml")
    );
}

#[test]
fn a_server_has_a_weight_a_priority_and_a_place_for_checks() {
    let config = read(
        "listeners: { web: { bind: \":80\" } }\nroutes: [ { to: app } ]\npools: { app: { servers: [ \"a:1\", { address: \"b:2\", weight: 3, backup: true }, { address: \"c:3\", priority: 2, check: \"c:9100\" } ] } }",
    );
    comes_back(&config);
    let servers = &config.pools[0].servers;
    let seen: Vec<_> = servers.iter().map(|s| (s.weight, s.priority)).collect();
    assert_eq!(seen, [(1, 0), (3, 1), (1, 2)]);
    assert_eq!(servers[2].check.as_ref().unwrap().to_string(), "c:9100");
}

#[test]
fn who_is_asked_for_the_names_of_servers() {
    let listeners = "listeners: { web: { bind: \":80\" } }\n";
    assert_eq!(read(listeners).resolvers, []);
    let config = read(&format!("resolvers: [10.0.0.2, \"[::1]:5353\"]\n{listeners}"));
    let resolvers: Vec<_> = config.resolvers.iter().map(ToString::to_string).collect();
    assert_eq!(resolvers, ["10.0.0.2:53", "[::1]:5353"]);
}

#[test]
fn the_admin_listener_and_who_may_register() {
    let config = read(
        "watch: true\nadmin:\n  bind: unix:/run/evenkeel/admin.sock\n  state: /var/lib/evenkeel/state.json\n  history: 5\n  tokens: [ { name: ops, secret: \"${TOKEN}\" }, { name: look, secret: 0123456789abcdef, read_only: true } ]\n  registrations: [ { name: shop, secret: another-token-of-some-length, pools: [\"shop-*\"], hosts: [\"*.shop.example\"], paths: [/shop/], ttl_max: 1m, addresses: 10.0.0.0/8 }, { name: b, secret: yet-another-token-of-some-length, pools: b } ]\nlisteners: { web: { bind: \":80\" } }\n",
    );
    assert!(config.watch);
    let admin = &config.admin;
    assert_eq!(admin.bind, AdminBind::Unix("/run/evenkeel/admin.sock".into()));
    assert_eq!((admin.history, admin.tokens[0].secret.expose()), (5, "a-token-of-some-length"));
    assert!(admin.tokens[1].read_only);
    let shop = &admin.registrations[0];
    assert_eq!((&*shop.paths[0], shop.ttl_max.as_secs(), shop.servers_max), ("/shop", 60, 1000));
    assert_eq!(
        (&*admin.registrations[1].paths[0], admin.registrations[1].ttl_max.as_secs()),
        ("", 300)
    );
    let plain = read("listeners: { web: { bind: \":80\" } }");
    assert_eq!((plain.admin.bind.clone(), plain.admin.history), (AdminBind::Default, 20));
    comes_back(&plain);
}

#[test]
fn no_secret_is_shown_and_a_variable_is_shown_by_its_name() {
    let text = format!(
        "listeners: {{ web: {{ bind: \":80\" }} }}\nroutes: [ {{ to: app }} ]\npools: {{ app: {{ servers: \"a:1\", sticky: {{ cookie: {{ keys: [\"${{KEY}}\", \"{KEY}\"] }} }} }} }}\nadmin: {{ tokens: [ {{ name: a, secret: \"${{TOKEN}}\" }}, {{ name: b, secret: written-as-it-is-here }}, {{ name: c, secret: \"${{NONE:-written-as-a-default}}\" }} ] }}\n"
    );
    let config = read(&text);
    for shown in [effective(&config), format!("{config:?}")] {
        for secret in ["a-token-of-some-length", "written-as", "00010203", &KEY[10..20]] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        for name in ["${KEY}", "${TOKEN}", "${NONE}", "<secret>"] {
            assert!(shown.contains(name), "{name} in {shown}");
        }
    }
}

#[test]
fn the_effective_configuration_loads_back_to_the_same() {
    let text = "workers: 2\nlisteners: { web: { bind: [\":80\", \"127.0.0.1:81\"], trusted_proxies: 10.0.0.0/8, limits: { connections: 7, body: 10MiB }, identity: { via: edge }, policies: [log, tidy] } }\nroutes:\n  - { match: { host: [a.example, \"*.b.example\"], path: [/x, { exact: /y }, { regex: \"^/z$\" }], not: { header: { x: present } }, query: { q: { regex: \"a$\" } }, cookie: { c: \"true\" }, client: 192.0.2.1, listener: web }, to: { split: { app: 3, other: 1 } } }\n  - { match: { path: /old }, redirect: { to: \"https://${host}/n${path.rest}${query}$$\", status: 302 }, policies: tidy }\n  - { respond: { status: 404, body: \"no: ${PORT}\\n\" } }\npools:\n  app: { servers: [\"a:1\", { address: \"[::1]:2\", weight: 5 }], balance: { consistent_hash: { key: { header: X-User }, table: ring, bounded_load: 1.25 } }, host: server }\n  other: { servers: \"b.internal:3\", balance: { p2c_ewma: { decay: 1m30s } }, host: b.internal, keep_alive: { idle_max: 0 }, retry: { attempts: 0 } }\npolicies:\n  log: { access_log: { format: text, to: /tmp/log, sample: 5% } }\n  tidy: { fields: { response: { remove: [server], set: { x-a: \"1: 2\" }, add: { x-b: yes } } } }\n  shrink: { compress: { encodings: [br, gzip], types: [\"*\", \"application/*+json\"], min_size: 2KiB, levels: { br: 9 }, concurrent: 7 } }\n  plain: { decompress: { max: 1GiB } }\n  upload: { body: { max: 10MiB } }\n";
    comes_back(&read(text));
}
