//! Services that register themselves: they are sent requests for as long as they say that they are
//! there, and claim nothing beyond what their token may.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use support::admin::{Admin, Answer};
use support::{Backend, Proxy, wait_for};

const SHOP: &str = "shop-token-0123456789";
const OTHER: &str = "other-token-0123456789";

/// A process in which `shop` may register, and `other` next to it.
fn start() -> (Proxy, Admin) {
    let directory = support::Directory::new();
    let socket = directory.0.join("admin.sock");
    let proxy = Proxy::start(&format!(
        "listeners: {{ web: {{ bind: 127.0.0.1:0 }} }}\n\
         routes: [ {{ match: {{ host: fixed.example }}, respond: {{ status: 299 }} }} ]\n\
         admin:\n  bind: \"unix:{}\"\n  registrations:\n\
         \x20   - name: shop\n      secret: {SHOP}\n      pools: [shop, \"shop-*\"]\n      hosts: [shop.example, \"*.shop.example\"]\n      paths: [/api]\n      ttl_max: 30s\n      servers_max: 3\n\
         \x20   - {{ name: other, secret: {OTHER}, pools: \"*\", hosts: other.example }}\n",
        socket.display(),
    ));
    let admin = Admin { place: support::admin::Place::Unix(socket.clone()), token: None };
    wait_for("the admin API", || UnixStream::connect(&socket).is_ok());
    std::mem::forget(directory); // it holds the socket for as long as the process lives
    (proxy, admin)
}

fn register(admin: &Admin, token: &str, pool: &str, address: &str, body: &Value) -> Answer {
    admin.with(token).send("PUT", &format!("/v1/register/{pool}/{address}"), body)
}

fn api(ttl: &str) -> Value {
    json!({ "ttl": ttl, "routes": [{ "match": { "host": "shop.example", "path": "/api" } }] })
}

/// Status and body of what a client gets.
fn ask(proxy: &Proxy, host: &str, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let response = proxy.ask(request);
    (response.status, response.text())
}

#[test]
fn a_service_and_the_routes_it_serves_are_there_as_soon_as_it_has_registered() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let (proxy, admin) = start();
    assert_eq!(ask(&proxy, "shop.example", "/api").0, 404);
    let leased = register(&admin, SHOP, "shop", &one.address.to_string(), &api("30s"));
    assert_eq!((leased.status, leased.body["changed"].as_bool()), (200, Some(true)), "{leased:?}");
    assert_eq!(leased.body["ttl_seconds"], 30.0);
    assert_eq!(ask(&proxy, "shop.example", "/api/x"), (200, "one".into()));
    assert_eq!(ask(&proxy, "shop.example", "/").0, 404, "no more than it claimed");
    assert_eq!(ask(&proxy, "fixed.example", "/").0, 299);
    let again = register(&admin, SHOP, "shop", &two.address.to_string(), &api("30s"));
    assert_eq!(again.status, 200, "the same route of two servers is one: {again:?}");
    wait_for("both to be asked", || ask(&proxy, "shop.example", "/api").1 == "two");
    let shown = admin.get(&format!("/v1/pools/shop/servers/{}", one.address)).body;
    assert_eq!(shown["owner"], "shop", "{shown:#}");
}

#[test]
fn renewing_changes_nothing() {
    let backend = Backend::named("one");
    let (_proxy, admin) = start();
    let address = backend.address.to_string();
    let first = register(&admin, SHOP, "shop", &address, &api("30s"));
    let again = register(&admin, SHOP, "shop", &address, &api("30s"));
    assert_eq!((again.status, again.body["changed"].as_bool()), (200, Some(false)), "{again:?}");
    assert_eq!(first.version(), again.version());
}

#[test]
fn who_does_not_renew_is_drained_and_its_routes_go_too() {
    let backend = Backend::named("one");
    let (proxy, admin) = start();
    let address = backend.address.to_string();
    register(&admin, SHOP, "shop", &address, &api("2s"));
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(700));
        assert_eq!(register(&admin, SHOP, "shop", &address, &api("2s")).status, 200);
        assert_eq!(ask(&proxy, "shop.example", "/api").0, 200, "it renews in time");
    }
    wait_for("the lease to end", || ask(&proxy, "shop.example", "/api").0 == 404);
    wait_for("its pool to go", || admin.get("/v1/pools/shop").status == 404);
    let history = admin.get("/v1/history").body;
    let last = &history.as_array().unwrap().last().unwrap()["changes"];
    assert!(last.to_string().contains("shop"), "the history tells: {history:#}");
}

#[test]
fn who_says_goodbye_is_drained_at_once() {
    let backend = Backend::named("one");
    let (proxy, admin) = start();
    let path = format!("/v1/register/shop/{}", backend.address);
    register(&admin, SHOP, "shop", &backend.address.to_string(), &api("30s"));
    assert_eq!(
        admin.with(OTHER).send("DELETE", &path, &Value::Null).status,
        404,
        "it is not theirs"
    );
    let gone = admin.with(SHOP).send("DELETE", &path, &Value::Null);
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(ask(&proxy, "shop.example", "/api").0, 404);
    assert_eq!(admin.with(SHOP).send("DELETE", &path, &Value::Null).status, 404);
}

#[test]
fn a_token_claims_nothing_beyond_what_it_may() {
    let (proxy, admin) = start();
    let before = admin.get("/v1/status").version();
    let plain = json!({ "ttl": "10s" });
    let route = |matches: Value| json!({ "ttl": "10s", "routes": [{ "match": matches }] });
    for (pool, address, body, status) in [
        ("other", "127.0.0.1:9", plain.clone(), 403),
        ("Shop", "127.0.0.1:9", plain.clone(), 403),
        ("shop", "10.0.0.1:9", plain.clone(), 403),
        ("shop", "0.0.0.0:9", plain.clone(), 403),
        ("shop", "127.0.0.1", plain.clone(), 403),
        ("shop", "localhost:9", plain.clone(), 403),
        ("shop", "127.0.0.1:9", json!({ "ttl": "31s" }), 403),
        ("shop", "127.0.0.1:9", json!({ "ttl": "0s" }), 400),
        ("shop", "127.0.0.1:9", json!({}), 400),
        ("shop", "127.0.0.1:9", json!({ "ttl": "10s", "wieght": 1 }), 400),
        (
            "shop",
            "127.0.0.1:9",
            json!({ "ttl": "10s", "routes": [{ "match": {}, "to": "other" }] }),
            400,
        ),
        ("shop", "127.0.0.1:9", json!({ "ttl": "10s", "routes": [{}] }), 400),
        ("shop", "127.0.0.1:9", route(json!({})), 422),
        ("shop", "127.0.0.1:9", route(json!({ "path": "/api" })), 403),
        ("shop", "127.0.0.1:9", route(json!({ "host": "shop.example" })), 403),
        ("shop", "127.0.0.1:9", route(json!({ "host": "fixed.example", "path": "/api" })), 403),
        ("shop", "127.0.0.1:9", route(json!({ "host": "*.example", "path": "/api" })), 403),
        (
            "shop",
            "127.0.0.1:9",
            route(json!({ "host": "${HOST:-shop.example}", "path": "/api" })),
            422,
        ),
        (
            "shop",
            "127.0.0.1:9",
            route(json!({ "host": "shop.example", "path": { "regex": "^/api" } })),
            403,
        ),
        (
            "shop",
            "127.0.0.1:9",
            route(json!({ "host": "shop.example", "path": "/api/%2e%2e" })),
            403,
        ),
        ("shop", "127.0.0.1:9", route(json!({ "header": { "host": "shop.example" } })), 403),
        ("shop", "127.0.0.1:9", route(json!({ "not": { "host": "x.example" } })), 403),
    ] {
        let answer = register(&admin, SHOP, pool, address, &body);
        assert_eq!(answer.status, status, "{pool} {address} {body}: {answer:?}");
        assert!(!answer.text("detail").is_empty());
    }
    assert_eq!(admin.get("/v1/status").version(), before, "nothing changed");
    assert_eq!(ask(&proxy, "fixed.example", "/api").0, 299);
}

#[test]
fn a_token_registers_no_more_servers_than_it_may() {
    let (_proxy, admin) = start();
    let body = json!({ "ttl": "30s" });
    for port in 1..=3 {
        assert_eq!(register(&admin, SHOP, "shop", &format!("127.0.0.1:{port}"), &body).status, 200);
    }
    let fourth = register(&admin, SHOP, "shop-eu", "127.0.0.1:4", &body);
    assert_eq!((fourth.status, fourth.text("code")), (429, "too-many-servers"), "{fourth:?}");
    assert_eq!(
        register(&admin, SHOP, "shop", "127.0.0.1:2", &body).status,
        200,
        "renewing is not more"
    );
}

#[test]
fn a_registration_token_can_do_nothing_else() {
    let (_proxy, admin) = start();
    let before = admin.get("/v1/status").version();
    let document = admin.get("/v1/openapi.json").body;
    let shop = admin.with(SHOP);
    for (path, methods) in document["paths"].as_object().unwrap() {
        if path.starts_with("/v1/register") || !path.starts_with("/v1/") {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            let target = path.replace(['{', '}'], "");
            let answer = shop.ask(&method.to_uppercase(), &target, &[], "{}");
            assert_eq!((answer.status, answer.text("code")), (403, "forbidden"), "{method} {path}");
        }
    }
    let operator = register(
        &Admin { token: None, ..admin.clone() },
        SHOP,
        "shop",
        "127.0.0.1:9",
        &json!({ "ttl": "5s" }),
    );
    assert_eq!(operator.status, 200);
    let nobody = admin.send("PUT", "/v1/register/shop/127.0.0.1:8", &json!({ "ttl": "5s" }));
    assert_eq!(nobody.status, 403, "it needs a registration token: {nobody:?}");
    assert!(admin.get("/v1/status").version() > before);
}
