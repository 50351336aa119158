//! The admin API as programs meet it: everything that is documented is served as documented, a bad
//! request says what is wrong and changes nothing, and no update is lost.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::admin::{Admin, Answer, Place, violations};
use support::{Backend, Proxy, Then, reply, simple, wait_for, with_pool};

const OPS: &str = "ops-token-0123456789";
const EYES: &str = "eyes-token-0123456789";
const SHOP: &str = "shop-token-0123456789";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A process with an API on an address, and the three kinds of tokens.
fn over_tcp(backend: &Backend) -> (Proxy, Admin) {
    let proxy = Proxy::start(&format!(
        "{}admin:\n  bind: 127.0.0.1:0\n  tokens:\n    - {{ name: ops, secret: {OPS} }}\n    - {{ name: eyes, secret: {EYES}, read_only: true }}\n  registrations:\n    - {{ name: shop, secret: {SHOP}, pools: [shop], hosts: [shop.example] }}\n",
        simple(&[backend]),
    ));
    let mut place = None;
    wait_for("the admin API", || {
        let log = proxy.log();
        let line = log.iter().find_map(|line| line.split("admin API on http://").nth(1));
        place = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        place.is_some()
    });
    (proxy, Admin { place: Place::Tcp(place.unwrap()), token: None })
}

fn start(config: &str) -> (Proxy, Admin) {
    let proxy = Proxy::start(config);
    let admin = Admin::of(&proxy);
    wait_for("the admin API", || UnixStream::connect(proxy.admin_socket()).is_ok());
    (proxy, admin)
}

fn version(admin: &Admin) -> u64 {
    admin.get("/v1/status").version()
}

fn weight(admin: &Admin, server: &str) -> u64 {
    admin.get(&format!("/v1/pools/app/servers/{server}")).body["weight"].as_u64().unwrap()
}

/// A request that does what an operation is for; each works in this order.
fn example(id: &str, server: &str) -> Option<Value> {
    Some(match id {
        "isAlive" | "isReady" | "describe" | "status" | "configuration" | "listeners"
        | "routes" | "pools" | "pool" | "servers" | "server" | "drains" | "history"
        | "historyVersion" | "removeServer" | "removePool" | "removeRoute" | "reload"
        | "deregister" | "caches" => Value::Null,
        "purge" => json!({ "all": true }),
        "addServers" => {
            json!({ "servers": ["127.0.0.1:9", { "address": "127.0.0.1:10", "weight": 2 }] })
        }
        "replaceServers" => json!({ "servers": [server, "127.0.0.1:9"] }),
        "changeServer" => {
            json!({ "weight": 7, "state": "draining", "mode": "graceful", "deadline": "5s" })
        }
        "putPool" => json!({ "servers": ["127.0.0.1:9"], "balance": "random" }),
        "putRoute" => json!({ "match": { "path": "/made" }, "to": "app" }),
        "drain" => json!({ "target": { "pool": "app" }, "deadline": "1m30s" }),
        "changeAll" => json!({ "changes": [{ "op": "enable", "target": { "pool": "app" } }] }),
        "rollback" => json!({ "version": 1 }),
        "upgrade" => json!({ "exec": "/nowhere/evenkeel", "timeout": "1s" }),
        "register" => json!({ "ttl": "30s", "routes": [{ "match": { "host": "shop.example" } }] }),
        _ => return None,
    })
}

#[test]
fn every_documented_operation_is_served_as_documented() {
    let backend = Backend::replying(OK);
    let (_proxy, admin) = over_tcp(&backend);
    let (ops, shop) = (admin.with(OPS), admin.with(SHOP));
    let document = ops.get("/v1/openapi.json").body;
    assert_eq!(document["openapi"], "3.1.0");
    let server = backend.address.to_string();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let body = example(id, &server).unwrap_or_else(|| panic!("{id}: no example"));
            let pool = match id {
                "putPool" | "removePool" => "made",
                "register" | "deregister" => "shop",
                _ => "app",
            };
            let target = path
                .replace("{pool}", pool)
                .replace("{server}", if id == "removeServer" { "127.0.0.1:9" } else { &server })
                .replace("{address}", "127.0.0.1:9")
                .replace("{route}", "made")
                .replace("{version}", "1");
            assert!(!target.contains('{'), "{target}");
            let who = if target.contains("/register/") { &shop } else { &ops };
            let answer = who.send(&method.to_uppercase(), &target, &body);
            as_documented(id, operation, &answer, &document);
            asked += 1;
        }
    }
    assert!(asked >= 29, "{asked}");
}

fn as_documented(id: &str, operation: &Value, answer: &Answer, document: &Value) {
    let documented = &operation["responses"][answer.status.to_string()];
    assert!(documented.is_object(), "{id}: {} is not documented: {answer:?}", answer.status);
    let kind = answer.field("content-type").unwrap();
    let schema = &documented["content"][kind]["schema"];
    assert!(schema.is_object(), "{id}: {kind} is not documented");
    let violations = violations(&answer.body, schema, document);
    assert!(violations.is_empty(), "{id}: {violations:#?}");
    if id != "upgrade" {
        assert!((200..300).contains(&answer.status), "{id}: {answer:?}");
        assert!(answer.version() >= 1, "{id}");
    }
}

#[test]
fn what_is_not_documented_is_not_served() {
    let (_proxy, admin) = start(&simple(&[&Backend::replying(OK)]));
    let document = admin.get("/v1/openapi.json").body;
    let verbs: BTreeSet<&str> = ["get", "post", "put", "patch", "delete"].into();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let known: BTreeSet<&str> =
            methods.as_object().unwrap().keys().map(String::as_str).collect();
        for verb in verbs.difference(&known) {
            let target = path.replace(['{', '}'], "");
            let answer = admin.ask(&verb.to_uppercase(), &target, &[], "");
            assert_eq!(answer.status, 405, "{verb} {path}");
            assert_eq!(answer.text("code"), "method-not-allowed");
            assert!(answer.field("allow").is_some(), "RFC 9110 §15.5.6: {answer:?}");
        }
    }
    let lost = admin.get("/v1/pool");
    assert_eq!((lost.status, lost.text("help")), (404, "did you mean `/v1/pools`?"));
}

#[test]
fn an_unknown_field_is_an_error_with_its_place_and_a_suggestion() {
    let backend = Backend::replying(OK);
    let (_proxy, admin) = start(&simple(&[&backend]));
    let before = version(&admin);
    let path = format!("/v1/pools/app/servers/{}", backend.address);
    let answer = admin.ask("PATCH", &path, &[], "{\n  \"wieght\": 3\n}");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    let finding = &answer.body["diagnostics"][0];
    assert_eq!(finding["code"], "unknown-field");
    assert_eq!(finding["place"], json!({ "file": "request body", "line": 2, "column": 3 }));
    assert!(finding["label"].as_str().unwrap().contains("`weight`"), "{finding}");
    assert!(answer.text("rendered").contains("^^^^^^^^"), "{}", answer.text("rendered"));
    let pool = admin.ask(
        "PUT",
        "/v1/pools/made",
        &[],
        "{ \"servers\": [\"127.0.0.1:1\"],\n \"blance\": 1 }",
    );
    assert_eq!(pool.status, 422, "{pool:?}");
    assert_eq!(pool.body["diagnostics"][0]["place"]["line"], 2);
    assert!(pool.text("rendered").contains("`balance`"));
    assert_eq!(version(&admin), before);
}

#[test]
fn every_kind_of_bad_request_is_refused_clearly_and_changes_nothing() {
    let backend = Backend::replying(OK);
    let (proxy, admin) = start(&simple(&[&backend]));
    let server = format!("/v1/pools/app/servers/{}", backend.address);
    let before = admin.get("/v1/config").body;
    let large = format!("{{\"weight\": {}1}}", " ".repeat(2 << 20));
    let deep = "[".repeat(100_000);
    let json = "Content-Type: application/json";
    for (method, path, fields, body, status, code) in [
        ("PATCH", &*server, vec![], "{\"weight\": 1001}", 400, "bad-body"),
        ("PATCH", &server, vec![], "{\"weight\": -1}", 400, "bad-body"),
        ("PATCH", &server, vec![], "{\"weight\": 1.5}", 400, "bad-body"),
        ("PATCH", &server, vec![], "{\"weight\": \"1\"}", 400, "bad-body"),
        ("PATCH", &server, vec![], "{\"weight\": 1, \"weight\": 2}", 400, "bad-body"),
        ("PATCH", &server, vec![], "{\"weight\": 1", 400, "bad-body"),
        ("PATCH", &server, vec![], "{}", 400, "bad-body"),
        ("PATCH", &server, vec![], "[]", 400, "bad-body"),
        ("PATCH", &server, vec![], "", 400, "bad-body"),
        ("PATCH", &server, vec![], &large, 413, "too-large"),
        ("PATCH", &server, vec![], &deep, 400, "bad-body"),
        ("PATCH", &server, vec!["Content-Type: text/plain"], "{\"weight\": 2}", 415, "not-json"),
        ("PATCH", &server, vec![json, "If-Match: 1"], "{\"weight\": 2}", 400, "bad-if-match"),
        (
            "PATCH",
            &server,
            vec![json, "If-Match: W/\"1\""],
            "{\"weight\": 2}",
            412,
            "changed-since",
        ),
        ("PATCH", &server, vec![json, "If-Match: \"99\""], "{\"weight\": 2}", 412, "changed-since"),
        ("PATCH", "/v1/pools/ap/servers/x:1", vec![], "{\"weight\": 2}", 404, "not-found"),
        ("PATCH", "/v1/pools/app/servers/127.0.0.1:1", vec![], "{\"weight\": 2}", 404, "not-found"),
        ("PATCH", "/v1/pools/%ff/servers/x", vec![], "{\"weight\": 2}", 400, "bad-path"),
        (
            "PATCH",
            "/v1/pools/app/servers/127.0.0.1:1?dryrun=true",
            vec![],
            "{\"weight\": 2}",
            400,
            "unknown-parameter",
        ),
        (
            "PATCH",
            "/v1/pools/app/servers/127.0.0.1:1?dry_run=maybe",
            vec![],
            "{\"weight\": 2}",
            400,
            "bad-value",
        ),
        ("DELETE", "/v1/pools/app", vec![], "", 409, "impossible"),
        ("PUT", "/v1/pools/app", vec![], "{\"servers\": []}", 409, "impossible"),
        ("PUT", "/v1/routes/r", vec![], "{\"to\": \"ap\"}", 422, "invalid"),
        (
            "PUT",
            "/v1/routes/r",
            vec![],
            "{\"to\": \"app\", \"match\": {\"path\": {\"regex\": \"(\"}}}",
            422,
            "invalid",
        ),
        ("PUT", "/v1/pools/app/servers", vec![], "{\"servers\": [\"nonsense\"]}", 422, "invalid"),
        (
            "POST",
            "/v1/pools/app/servers",
            vec![],
            "{\"servers\": [{\"address\": \"127.0.0.1:9\", \"wieght\": 1}]}",
            400,
            "bad-body",
        ),
        ("POST", "/v1/rollback", vec![], "{\"version\": 77}", 404, "not-found"),
        ("POST", "/v1/reload", vec![], "{\"x\": 1}", 400, "bad-body"),
        ("POST", "/v1/changes", vec![], "{\"changes\": []}", 400, "bad-body"),
        ("POST", "/v1/changes", vec![], "{\"changes\": [{\"op\": \"explode\"}]}", 400, "bad-body"),
        (
            "POST",
            "/v1/drains",
            vec![],
            "{\"target\": {\"pool\": \"app\"}, \"mode\": \"gracefully\"}",
            400,
            "bad-body",
        ),
        ("POST", "/v1/drains", vec![], "{\"target\": \"proces\"}", 400, "bad-body"),
        ("GET", "/v1/status", vec!["Origin: http://evil.example"], "", 403, "from-a-page"),
        ("GET", "/v1/status", vec!["Sec-Fetch-Site: same-origin"], "", 403, "from-a-page"),
        ("GET", "/v1/status", vec!["Host: other"], "", 400, "bad-host"),
        (
            "GET",
            "/v1/status",
            vec!["Authorization: Bearer nobodys-token-000"],
            "",
            401,
            "unauthorized",
        ),
    ] {
        let answer = admin.ask(method, path, &fields, body);
        let shown: String = body.chars().take(80).collect();
        let case = format!("{method} {path} {fields:?} {shown}: {answer:?}");
        assert_eq!((answer.status, answer.text("code")), (status, code), "{case}");
        assert!(!answer.text("detail").is_empty(), "{case}");
    }
    let not_utf8 = admin.raw(
        format!("PATCH {server} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\u{80}").as_bytes(),
    );
    assert!(Answer::read(&not_utf8).is_some());
    assert_eq!(admin.get("/v1/config").body, before);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_change_holds_at_once_and_says_what_it_changed() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let (proxy, admin) = start(&simple(&[&one]));
    let before = version(&admin);
    let added = admin.send(
        "POST",
        "/v1/pools/app/servers",
        &json!({ "servers": [two.address.to_string()] }),
    );
    assert_eq!((added.status, added.body["changed"].as_bool()), (200, Some(true)), "{added:?}");
    assert_eq!(added.version(), before + 1);
    assert!(added.body["changes"].to_string().contains(&two.address.to_string()), "{added:?}");
    wait_for("the new server's share", || proxy.get("/").text() == "two");
    let removed =
        admin.send("DELETE", &format!("/v1/pools/app/servers/{}", one.address), &Value::Null);
    assert_eq!(removed.status, 200, "{removed:?}");
    let settled = one.count();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "two");
    }
    assert!(one.count() <= settled + 1, "no new request reaches it");
    let same =
        admin.send("DELETE", &format!("/v1/pools/app/servers/{}", one.address), &Value::Null);
    assert_eq!(same.status, 404, "{same:?}");
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let backend = Backend::replying(OK);
    let (_proxy, admin) = start(&simple(&[&backend]));
    let before = version(&admin);
    let path = format!("/v1/pools/app/servers/{}?dry_run=true", backend.address);
    let answer = admin.send("PATCH", &path, &json!({ "weight": 9 }));
    assert_eq!((answer.status, answer.version()), (200, before), "{answer:?}");
    assert_eq!((&answer.body["changed"], &answer.body["dry_run"]), (&json!(true), &json!(true)));
    assert!(answer.body["changes"].to_string().contains("server changed"), "{answer:?}");
    assert!(answer.body["changes"].to_string().contains("weight 1 → "), "{answer:?}");
    assert_eq!((version(&admin), weight(&admin, &backend.address.to_string())), (before, 1));
}

#[test]
fn several_changes_are_made_together_or_not_at_all() {
    let backend = Backend::replying(OK);
    let server = backend.address.to_string();
    let (_proxy, admin) = start(&simple(&[&backend]));
    let before = version(&admin);
    let weigh = json!({ "op": "weight", "pool": "app", "server": server, "weight": 5 });
    let wrong = json!({ "op": "weight", "pool": "app", "server": "127.0.0.1:1", "weight": 5 });
    let refused = admin.send("POST", "/v1/changes", &json!({ "changes": [weigh, wrong] }));
    assert_eq!(refused.status, 404, "{refused:?}");
    assert_eq!((version(&admin), weight(&admin, &server)), (before, 1));
    let pool = json!({ "op": "put_pool", "name": "more", "spec": { "servers": [server] } });
    let route = json!({ "op": "put_route", "name": "more", "spec": { "match": { "path": "/more" }, "to": "more" } });
    let made = admin.send("POST", "/v1/changes", &json!({ "changes": [weigh, pool, route] }));
    assert_eq!((made.status, made.version()), (200, before + 1), "one version: {made:?}");
    assert_eq!(weight(&admin, &server), 5);
    assert_eq!(admin.get("/v1/pools/more").status, 200);
}

#[test]
fn concurrent_writers_lose_no_update() {
    let servers: Vec<String> = (1..=50).map(|n| format!("127.0.0.1:{n}")).collect();
    let config = simple(&[]).replace("servers: []", &format!("servers: [{}]", servers.join(", ")));
    let (_proxy, admin) = start(&config);
    let before = version(&admin);
    std::thread::scope(|scope| {
        for (n, server) in servers.iter().enumerate() {
            let admin = &admin;
            scope.spawn(move || {
                let path = format!("/v1/pools/app/servers/{server}");
                let answer = admin.send("PATCH", &path, &json!({ "weight": n + 2 }));
                assert_eq!(answer.status, 200, "{answer:?}");
            });
        }
    });
    assert_eq!(version(&admin), before + 50);
    for (n, server) in servers.iter().enumerate() {
        assert_eq!(weight(&admin, server), n as u64 + 2, "{server}");
    }
}

#[test]
fn with_if_match_reading_and_writing_is_one_step() {
    let backend = Backend::replying(OK);
    let (_proxy, admin) = start(&simple(&[&backend]));
    let path = format!("/v1/pools/app/servers/{}", backend.address);
    let conflicts = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                loop {
                    let read = admin.get(&path);
                    let body =
                        json!({ "weight": read.body["weight"].as_u64().unwrap() + 1 }).to_string();
                    let field = format!("If-Match: \"{}\"", read.version());
                    let answer = admin.ask("PATCH", &path, &[&field], &body);
                    match answer.status {
                        200 => break,
                        412 => assert!(answer.body["version"].as_u64().unwrap() > read.version()),
                        503 => {}
                        _ => panic!("{answer:?}"),
                    }
                    conflicts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(weight(&admin, &backend.address.to_string()), 51);
    assert!(conflicts.into_inner() > 0, "they met");
}

#[test]
fn over_an_address_a_token_decides() {
    let backend = Backend::replying(OK);
    let (_proxy, admin) = over_tcp(&backend);
    let patch = |admin: &Admin| {
        let path = format!("/v1/pools/app/servers/{}", backend.address);
        admin.send("PATCH", &path, &json!({ "weight": 2 })).status
    };
    assert_eq!(admin.get("/v1/status").status, 401);
    assert_eq!(
        admin.get("/v1/status").field("www-authenticate"),
        Some("Bearer realm=\"evenkeel\"")
    );
    assert_eq!(admin.get("/healthz").status, 200, "says no more than that it lives");
    assert_eq!((admin.with(EYES).get("/v1/status").status, patch(&admin.with(EYES))), (200, 403));
    assert_eq!((admin.with(OPS).get("/v1/status").status, patch(&admin.with(OPS))), (200, 200));
    assert_eq!((admin.with("x").get("/v1/status").status, patch(&admin.with(SHOP))), (401, 403));
    let shown = admin.with(EYES).get("/v1/config").body.to_string();
    for secret in [OPS, EYES, SHOP] {
        assert!(!shown.contains(secret), "secrets are hidden");
    }
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_with_its_place() {
    let backend = Backend::replying(OK);
    let good = simple(&[&backend]);
    let (proxy, admin) = start(&good);
    let before = version(&admin);
    proxy.write(&good.replace("to: app", "to: ap"));
    let answer = admin.send("POST", "/v1/reload", &Value::Null);
    assert_eq!((answer.status, answer.text("code")), (422, "invalid"), "{answer:?}");
    assert_eq!(answer.body["diagnostics"][0]["place"]["line"], 5);
    assert!(answer.text("rendered").contains("`app`?"), "{}", answer.text("rendered"));
    assert_eq!(version(&admin), before);
    assert_eq!(proxy.get("/").status, 200);
    assert!(!admin.get("/v1/status").body["refused"].is_null());
    proxy.write(&good.replace(
        "routes:\n",
        "routes:\n  - { match: { path: /new }, respond: { status: 299 } }\n",
    ));
    let answer = admin.send("POST", "/v1/reload", &Value::Null);
    assert_eq!((answer.status, answer.version()), (200, before + 1), "{answer:?}");
    assert_eq!(proxy.get("/new").status, 299);
    let again = admin.send("POST", "/v1/reload", &Value::Null);
    assert_eq!((again.body["changed"].as_bool(), again.version()), (Some(false), before + 1));
}

#[test]
fn an_earlier_version_can_be_gone_back_to() {
    let backend = Backend::replying(OK);
    let server = backend.address.to_string();
    let (_proxy, admin) = start(&simple(&[&backend]));
    let first = version(&admin);
    admin.send("PATCH", &format!("/v1/pools/app/servers/{server}"), &json!({ "weight": 3 }));
    assert_eq!(weight(&admin, &server), 3);
    let back = admin.send("POST", "/v1/rollback", &json!({ "version": first }));
    assert_eq!((back.status, back.version()), (200, first + 2), "{back:?}");
    assert_eq!(weight(&admin, &server), 1);
    let history = admin.get("/v1/history").body;
    let versions: Vec<u64> =
        history.as_array().unwrap().iter().map(|past| past["version"].as_u64().unwrap()).collect();
    assert_eq!(versions.last(), Some(&(first + 2)), "{history:#}");
    let change = admin.get(&format!("/v1/history/{}", first + 1)).body;
    assert!(change["changes"].to_string().contains(&server), "{change:#}");
    assert_eq!(change["author"], "local");
}

#[test]
fn a_draining_process_is_alive_and_not_ready() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let backend = Backend::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        reply(stream, OK);
        Then::Keep
    });
    let (mut proxy, admin) = start(&simple(&[&backend]));
    assert_eq!(admin.get("/readyz").status, 200);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request to arrive", || backend.count() == 1);
    proxy.signal("-TERM");
    wait_for("the drain", || admin.get("/readyz").status == 503);
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.get("/v1/status").text("state"), "draining");
    release.send(()).unwrap();
    assert_eq!(client.response().status, 200);
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(!proxy.admin_socket().exists(), "its socket goes with it");
}

#[test]
fn a_drain_through_the_api_keeps_what_runs_and_takes_nothing_new() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let slow = Backend::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        Then::Keep
    });
    let (proxy, admin) = start(&with_pool(&[&slow], ""));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request to arrive", || slow.count() == 1);
    let fast = Backend::named("fast");
    let fast_address = fast.address.to_string();
    admin.send("POST", "/v1/pools/app/servers", &json!({ "servers": [fast_address] }));
    let target = json!({ "server": { "pool": "app", "server": slow.address.to_string() } });
    let drained = admin.send("POST", "/v1/drains", &json!({ "target": target, "deadline": "1m" }));
    assert_eq!(drained.status, 200, "{drained:?}");
    let drains = admin.get("/v1/drains").body;
    assert_eq!((&drains[0]["target"], &drains[0]["left"]), (&target, &json!(1)), "{drains:#}");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "fast");
    }
    assert_eq!(slow.count(), 1, "no new request reaches it");
    release.send(()).unwrap();
    assert_eq!(client.response().text(), "slow");
    wait_for("the drain to be over", || admin.get("/v1/drains").body == json!([]));
    let enabled = admin.send(
        "POST",
        "/v1/changes",
        &json!({ "changes": [{ "op": "enable", "target": target }] }),
    );
    assert_eq!(enabled.status, 200, "{enabled:?}");
}

#[test]
fn clients_of_the_api_that_misbehave_disturb_nobody() {
    let backend = Backend::replying(OK);
    let (proxy, admin) = start(&simple(&[&backend]));
    let mut held = Vec::new();
    for n in 0..100 {
        let mut stream = UnixStream::connect(proxy.admin_socket()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let _ = match n % 4 {
            0 => Ok(0),
            1 => stream.write(b"GET /v1/sta"),
            2 => stream.write(&[0xff; 4096]),
            _ => stream.write(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"),
        };
        held.push(stream);
    }
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(held);
    wait_for("the API to answer", || admin.get("/v1/status").status == 200);
    assert!(proxy.log().iter().all(|line| !line.contains("panicked")));
}

#[test]
fn a_slow_client_is_given_up() {
    let (proxy, _admin) = start(&simple(&[&Backend::replying(OK)]));
    let mut stream = UnixStream::connect(proxy.admin_socket()).unwrap();
    stream
        .write_all(
            b"PATCH /v1/pools/app/servers/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
        )
        .unwrap();
    stream.set_read_timeout(Some(support::LIMIT)).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    assert_eq!(Answer::read(&answer).map(|answer| answer.status), Some(408));
}

#[test]
fn a_second_process_leaves_a_living_socket_alone_and_a_dead_one_is_replaced() {
    let backend = Backend::replying(OK);
    let (mut proxy, admin) = start(&simple(&[&backend]));
    let socket = proxy.admin_socket();
    let shared =
        format!("{}admin: {{ bind: \"unix:{}\" }}\n", simple(&[&backend]), socket.display());
    let second = Proxy::start(&shared);
    wait_for("a warning", || {
        second.log().iter().any(|line| line.contains("another process listens"))
    });
    let pid = |admin: &Admin| admin.get("/v1/status").body["pid"].as_u64();
    assert_eq!(pid(&admin), Some(u64::from(proxy.id())));
    assert_eq!(second.get("/").status, 200, "it goes on without");
    proxy.signal("-KILL");
    let _ = proxy.wait();
    wait_for("the second to take the dead one's place", || {
        UnixStream::connect(&socket).is_ok() && pid(&admin) == Some(u64::from(second.id()))
    });
}
