//! What browsers are told: cookies, careful fields, other sites' scripts.

use crate::support::Backend;
use crate::versions::{ALL, Everywhere};

fn site(backend: &Backend, policies: &str, attached: &str) -> Everywhere {
    let sections =
        format!("routes: [ {{ to: app, policies: [{attached}] }} ]\npolicies:\n{policies}");
    Everywhere::start(&[backend], "", &sections)
}

#[test]
fn rfc6265_4_1_cookies_of_servers_get_other_attributes() {
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1; Path=/app/x; Domain=in.example\r\n\
         Set-Cookie: b=2; Expires=Thu, 01 Jan 2099 00:00:00 GMT; SameSite=None; Secure\r\n\r\n",
    );
    let policies = "  all: { cookies: { domain: shop.example, path: { from: /app, to: / }, http_only: true } }\n  \
                    one: { cookies: { names: b, same_site: lax, secure: false } }\n  \
                    own: { fields: { response: { add: { set-cookie: \"c=3\" } } } }\n";
    let site = site(&backend, policies, "own, all, one");
    for version in ALL {
        let answer = site.get(version, "/");
        let mut cookies = answer.values("set-cookie");
        cookies.sort_unstable();
        let expected = [
            "a=1; Path=/x; Domain=shop.example; HttpOnly",
            "b=2; Expires=Thu, 01 Jan 2099 00:00:00 GMT; HttpOnly; SameSite=Lax",
            "c=3",
        ];
        assert_eq!(cookies, expected, "{version:?}");
    }
}

#[test]
fn careful_fields_are_one_switch_and_servers_may_know_better() {
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: x\r\nX-Powered-By: y\r\nReferrer-Policy: no-referrer\r\n\r\n",
    );
    let policies = "  safe: { security_fields: default }\n  \
                    strict: { security_fields: { replace: true, frame: same_origin, csp: \"default-src 'self'\", hsts: 0, permissions: \"\" } }\n  \
                    own: { fields: { response: { set: { x-frame-options: SAMEORIGIN } } } }\n";
    let careful = site(&backend, policies, "safe");
    for version in ALL {
        let answer = careful.get(version, "/");
        assert_eq!(answer.field("strict-transport-security"), "max-age=31536000", "{version:?}");
        assert_eq!(answer.field("x-content-type-options"), "nosniff");
        assert_eq!(answer.field("x-frame-options"), "DENY");
        assert_eq!(answer.field("referrer-policy"), "no-referrer", "as the server says");
        assert!(answer.field("permissions-policy").contains("camera=()"));
        assert_eq!((answer.field("server"), answer.field("x-powered-by")), ("", ""));
        assert_eq!(answer.field("content-security-policy"), "");
    }
    let strict = site(&backend, policies, "own, strict");
    let answer = strict.get(ALL[1], "/");
    assert_eq!(answer.field("referrer-policy"), "strict-origin-when-cross-origin");
    assert_eq!(answer.field("content-security-policy"), "default-src 'self'");
    assert_eq!(
        (answer.field("strict-transport-security"), answer.field("permissions-policy")),
        ("", "")
    );
    let own = site(&backend, policies, "own, safe");
    assert_eq!(own.get(ALL[2], "/").field("x-frame-options"), "SAMEORIGIN", "once");
}

#[test]
fn rfc6797_7_2_hsts_is_for_encrypted_connections_alone() {
    let backend = Backend::named("one");
    let config = format!(
        "listeners: {{ web: {{ bind: \"127.0.0.1:0\", policies: safe }} }}\npools: {{ app: {{ servers: [\"{}\"] }} }}\n\
         routes: [ {{ match: {{ path: /x }}, to: app }} ]\npolicies: {{ safe: {{ security_fields: default }} }}\n",
        backend.address
    );
    let proxy = crate::support::Proxy::start(&config);
    for (target, status) in [("/x", 200), ("/none", 404)] {
        let response = proxy.get(target);
        assert_eq!(response.status, status);
        assert_eq!(response.field("strict-transport-security"), None);
        assert_eq!(response.field("x-frame-options"), Some("DENY"), "answers of our own too");
    }
}

const CORS: &str = "  open: { cors: { origins: \"*\", expose: x-a } }\n  \
    some: { cors: { origins: [\"https://app.example\", \"https://*.shop.example\"], methods: [GET, PUT], headers: [content-type, x-b], credentials: true, max_age: 2m, private_network: true } }\n  \
    any: { cors: { origins: \"https://app.example\", headers: \"*\" } }\n";

#[test]
fn what_browsers_ask_beforehand_is_answered_here() {
    let backend = Backend::named("one");
    let site = site(&backend, CORS, "some");
    for version in ALL {
        let ask = |origin: &str| {
            let fields = [
                ("origin", origin),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "x-b"),
                ("access-control-request-private-network", "true"),
            ];
            site.ask(version, "OPTIONS", "/", &fields)
        };
        for origin in ["https://app.example", "https://a.b.shop.example"] {
            let answer = ask(origin);
            assert_eq!(answer.status, 204, "{version:?}");
            assert_eq!(answer.field("access-control-allow-origin"), origin);
            assert_eq!(answer.field("access-control-allow-credentials"), "true");
            assert_eq!(answer.field("access-control-allow-methods"), "GET, PUT");
            assert_eq!(answer.field("access-control-allow-headers"), "content-type, x-b");
            assert_eq!(answer.field("access-control-max-age"), "120");
            assert_eq!(answer.field("access-control-allow-private-network"), "true");
            assert!(answer.values("vary").join(",").contains("origin"));
        }
        for origin in ["https://evil.example", "https://shop.example", "null", "http://app.example"]
        {
            let answer = ask(origin);
            assert_eq!(answer.field("access-control-allow-origin"), "", "{origin}");
            assert_eq!(answer.field("access-control-allow-methods"), "", "{origin}");
            assert!(answer.values("vary").join(",").contains("origin"));
        }
        // One that is no question of a browser is the server's.
        assert_eq!(
            site.ask(version, "OPTIONS", "/", &[("origin", "https://app.example")]).status,
            200
        );
    }
    assert_eq!(backend.count(), 3);
}

#[test]
fn answers_say_who_may_see_them_whatever_servers_say() {
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\nVary: accept\r\n\
         Access-Control-Allow-Credentials: true\r\n\r\n",
    );
    let some = site(&backend, CORS, "some");
    let open = site(&backend, CORS, "open");
    for version in ALL {
        let answer = some.ask(version, "GET", "/", &[("origin", "https://app.example")]);
        assert_eq!(answer.field("access-control-allow-origin"), "https://app.example");
        assert_eq!(answer.field("access-control-allow-credentials"), "true");
        assert_eq!(answer.values("vary"), ["accept", "origin"]);
        for fields in [&[("origin", "https://evil.example")][..], &[]] {
            let answer = some.ask(version, "GET", "/", fields);
            assert_eq!(answer.field("access-control-allow-origin"), "", "{version:?}");
            assert_eq!(answer.values("vary"), ["accept", "origin"], "for caches");
        }
        let answer = open.ask(version, "GET", "/", &[("origin", "https://any.example")]);
        assert_eq!(answer.field("access-control-allow-origin"), "*");
        assert_eq!(answer.field("access-control-allow-credentials"), "", "never with *");
        assert_eq!(answer.field("access-control-expose-headers"), "x-a");
        assert_eq!(answer.values("vary"), ["accept"]);
    }
    let any = site(&backend, CORS, "any");
    let fields = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "x-1, x-2"),
    ];
    let answer = any.ask(ALL[1], "OPTIONS", "/", &fields);
    assert_eq!(answer.field("access-control-allow-headers"), "x-1, x-2");
}
