//! Every kind of mistake, where it is shown and what is said; all of a file's mistakes at once.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use evenkeel_config::{Report, Source, load};

fn report(text: &str) -> Report {
    let sources = [Source { name: "f".into(), text: text.into() }];
    let environment = |name: &str| (name == "PORT").then(|| "8080".to_owned());
    match load(&sources, &environment) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    }
}

/// A file around `routes` that is right by itself.
fn with_routes(routes: &str) -> String {
    format!(
        "listeners: {{ web: {{ bind: \":80\" }} }}\npools: {{ app: {{ servers: [\"a:1\"] }} }}\nroutes:\n{routes}"
    )
}

fn with_pool(pool: &str) -> String {
    format!(
        "listeners: {{ web: {{ bind: \":80\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app: {{ servers: [\"a:1\"], {pool} }}\n"
    )
}

fn with_listener(listener: &str) -> String {
    format!("routes: [ {{ respond: {{}} }} ]\nlisteners:\n  web: {{ bind: \":80\", {listener} }}\n")
}

fn with_admin(admin: &str) -> String {
    format!("{}admin: {{ {admin} }}\n", with_listener(""))
}

/// Mistakes and the line each is shown as.
fn table() -> Vec<(String, &'static str)> {
    let policy = |policy: &str| {
        format!(
            "listeners: {{ web: {{ bind: \":80\", policies: p }} }}\nroutes: [ {{ respond: {{}} }} ]\npolicies:\n  p: {policy}\n"
        )
    };
    vec![
        ("listeners: [".into(), "f:1:12: error[syntax]: this is not valid YAML"),
        ("a: 1\n---\nb: 2\n".into(), "error[several-documents]: a file holds one document; this begins another"),
        (format!("a: {}{}", "[".repeat(100), "]".repeat(100)), "error[too-large]: this file is too deeply nested"),
        ("listeners: { web: { bind: \":80\", bind: \":81\" } }".into(), "f:1:34: error[duplicate-key]: `bind` is given twice"),
        (with_listener("limit: {}"), "f:3:23: error[unknown-field]: unknown field `limit`"),
        ("routes: []".into(), "error[missing-field]: a configuration needs `listeners`"),
        (with_listener("limits: 5"), "error[wrong-kind]: a limits is a map of options, not a single value"),
        (with_listener("trusted_proxies: [10.0.0.0/33]"), "error[bad-value]: `10.0.0.0/33` is not a network"),
        (with_listener("timeouts: { idle: 5 }"), "error[bad-value]: `5` is not a duration"),
        (with_listener("timeouts: { idle: 1ms }"), "error[bad-value]: `1ms` is not between 100ms and 1d"),
        (with_listener("limits: { head: 5GB }"), "error[bad-value]: `5GB` is not between 1KiB and 1MiB"),
        (with_listener("identity: { x_forwarded: maybe }"), "error[bad-value]: `maybe` is neither `true` nor `false`"),
        (policy("{ fields: { request: { set: { x-a: \"${client.ipp}\" } } } }"), "error[unknown-variable]: `${client.ipp}` is not known here"),
        (policy("{ fields: { request: { set: { x-a: \"${path.id}\" } } } }"), "error[unknown-variable]: no expression for the path has a group `id`"),
        (policy("{ fields: { request: { set: { x-a: \"${status}\" } } } }"), "error[bad-value]: `${status}` is known of answers only"),
        (policy("{ fields: { request: { set: { x-a: \"${client.ip\" } } } }"), "error[bad-value]: a `${` is not closed"),
        (policy("{ fields: { request: { rename: { x-a: content-length } } } }"), "error[untouchable-field]: `content-length` cannot be edited"),
        (with_routes("  - { redirect: \"https://a.example${query.to}\" }"), "error[bad-value]: a value could go on with the name of the host"),
        (policy("{ rewrite: { strip_prefix: /a, path: /b } }"), "error[too-many-fields]: a path is changed by `strip_prefix` or `path`, not both"),
        (policy("{ rewrite: {} }"), "error[bad-value]: this rewrites nothing"),
        (policy("{ rewrite: { path: \"//a\" } }"), "error[bad-value]: `//a` is no path"),
        (policy("{ rewrite: { path: \"/a?b\" } }"), "error[bad-value]: `/a?b` is no path"),
        (policy("{ rewrite: { regex: { pattern: \"(?P<id>x)\", to: \"/$ip\" } } }"), "error[unknown-variable]: the pattern has no group `ip`"),
        (policy("{ rewrite: { host: \"a b\" } }"), "error[bad-value]: `a b` is no host"),
        (policy("{ redirect: { status: 303, https: true } }"), "error[bad-value]: 303 is none of: 301, 302, 307, 308"),
        (policy("{ redirect: {} }"), "error[bad-value]: this redirects nothing"),
        (policy("{ cookies: { same_site: none, secure: false } }"), "error[bad-value]: browsers take a cookie"),
        (policy("{ security_fields: defaults }"), "error[bad-value]: `defaults` is not `default`"),
        (policy("{ cors: { origins: \"*\", credentials: true } }"), "error[bad-value]: with cookies from everywhere"),
        (policy("{ cors: { origins: \"https://a.example/x\" } }"), "error[bad-value]: `https://a.example/x` is no origin"),
        (policy("{ cors: { origins: \"null\" } }"), "error[bad-value]: `null` is no origin"),
        (policy("{ error_pages: { pages: { \"200\": { text: x } } } }"), "error[bad-value]: `200` is no status that an error has"),
        (policy("{ error_pages: { pages: { 4xx: {} } } }"), "error[bad-value]: a page needs one of"),
        (with_listener("policies: [nope]"), "error[unknown-name]: there is no policy `nope`"),
        (with_listener("trusted_proxies: \"${NOPE}\""), "error[unset-variable]: environment variable `NOPE` is not set"),
        (policy("{ cache: { size: 1MiB, max_object: 2MiB } }"), "f:4:41: error[bad-value]: `max_object` is larger than the whole cache"),
        (policy("{ cache: { statuses: { 206: 1s } } }"), "f:4:29: error[bad-value]: `206` is no status of an answer that can be kept"),
        (policy("{ cache: { key: { only_query: a, ignore_query: b } } }"), "warning[no-effect]: `ignore_query` means nothing beside `only_query`"),
        (policy("{ cache: { bypass: { fields: \"a b\" } } }"), "error[bad-value]: `a b` is not a field name"),
        (with_pool("tls: { verify: false }"), "warning[unverified]: whoever answers is taken for the server"),
        (with_pool("tls: { verify: false, ca: a.pem }"), "warning[no-effect]: `ca` is not used with `verify: false`"),
        (with_pool("tls: { sni: \"a b\" }"), "error[bad-value]: `a b` is no name that a certificate can have"),
        (with_pool("tls: { client: { cert: a.pem } }"), "error[missing-field]: a certificate needs `key`"),
        (with_pool("protocol: auto"), "error[bad-value]: `protocol: auto` needs `tls`"),
        (with_pool("protocol: h3"), "error[bad-value]: `protocol: h3` needs `tls`"),
        (with_pool("health: { https: { tls: false } }"), "error[bad-value]: an `https` check is over TLS"),
        (with_pool("x: y").replace("[\"a:1\"], x: y", "[\"https://a\", \"http://b\"]"), "error[mixed-schemes]: the servers of a pool are all spoken to over TLS, or none"),
        (with_pool("x: y").replace("[\"a:1\"], x: y", "[\"https://a\"], tls: false"), "error[mixed-schemes]: the servers of a pool are all spoken to over TLS, or none"),
        (with_pool("x: y").replace("[\"a:1\"], x: y", "[\"https://a/b\"]"), "error[bad-value]: `https://a/b` is not a server's address"),
        (with_listener("tls: { acme: [a.example] }"), "error[no-authority]: this listener's `tls.acme` needs the section `acme`"),
        (with_listener("tls: { acme: [\"*.a.example\"] }"), "error[bad-value]: an authority gives certificates for wildcards only by way of the DNS"),
        (with_listener("tls: { acme: [10.0.0.1] }"), "error[bad-value]: `10.0.0.1` is no public name of a host"),
        (format!("{}acme: {{ storage: d, directory: \"http://a\" }}\n", with_listener("tls: { acme: [a.example] }")), "error[bad-value]: `http://a` is no address of an authority"),
        (format!("{}acme: {{ storage: d, contact: me }}\n", with_listener("tls: { acme: [a.example] }")), "error[bad-value]: `me` is no mail address"),
        (format!("{}acme: {{ storage: d, challenge: http-01 }}\n", with_listener("tls: { acme: [a.example] }")), "error[no-listener]: `challenge: http-01` needs a listener without `tls`"),
        (format!("{}acme: {{ storage: d }}\n", with_listener("")), "warning[no-effect]: no listener names hosts in `tls.acme`"),
        (with_listener("tls: { certificates: [] }"), "f:3:44: error[no-certificate]: a listener with `tls` needs a certificate"),
        (with_listener("tls: { certificates: { cert: a.pem } }"), "error[missing-field]: a certificate needs `key`"),
        (with_listener("tls: { certificates: { cert: a, key: b }, min_version: 1.1 }"), "error[bad-value]: `1.1` is none of: 1.2, 1.3"),
        (with_listener("tls: { certificates: { cert: a, key: b }, client_auth: { mode: required } }"), "error[missing-field]: a client authentication needs `ca`"),
        (with_listener("tls: { certificates: { cert: a, key: b }, client_auth: { ca: c, forward: [nothing, chain] } }"), "error[bad-value]: `nothing` stands alone"),
        (with_listener("tls: { certificates: { cert: a, key: b }, early_data: true }"), "error[bad-value]: `early_data` needs `h3` in `protocols`"),
        (with_listener("tls: { certificates: { cert: \"\", key: b } }"), "error[bad-value]: the name of a file is expected here"),
        (with_listener("tls: { certificates: { cert: a, key: b } }, redirect: https"), "error[bad-value]: this listener's requests are encrypted already"),
        (with_listener("redirect: http"), "error[bad-value]: `http` is none of: https"),
        (with_listener("protocols: [h3]"), "error[bad-value]: `h3` needs `tls`: HTTP/3 is always encrypted"),
        (with_listener("protocols: []"), "error[bad-value]: a listener speaks at least one protocol"),
        ("listeners: { a: { bind: \"1.2.3.4:80\" }, b: { bind: \"1.2.3.4:80\" } }\nroutes: [ { respond: {} } ]".into(), "error[duplicate-address]: `1.2.3.4:80` is listened on twice"),
        (with_routes("  - {}\n"), "error[missing-field]: a route needs `to`, `redirect` or `respond`"),
        (with_routes("  - { to: app, redirect: /x }\n"), "error[too-many-fields]: a route has one of `to` and `redirect`, not both"),
        (with_routes("  - { to: app, match: {} }\n"), "error[empty-match]: this match says nothing"),
        (with_routes("  - { to: app, match: { path: { regex: \"(\" } } }\n"), "error[bad-regex]: this regular expression cannot be used"),
        (with_routes("  - { to: app, match: { path: /a/../b } }\n"), "error[bad-value]: `/a/../b` never matches a path"),
        (with_routes("  - { to: app, match: { method: get } }\n  - to: app\n"), "warning[lower-case-method]: methods are case-sensitive"),
        (with_routes("  - { to: app, name: x }\n  - { to: app, name: x, match: { path: /y } }\n"), "error[duplicate-name]: two routes are called `x`"),
        (with_routes("  - { to: app, match: { path: /a } }\n  - { to: app, match: { path: /a/, method: GET } }\n  - { to: app, match: { path: /a/, method: GET } }\n"), "f:6:5: error[unreachable-route]: route `/a #3` can never match: route `/a #2` matches all it would"),
        (format!("{}\n", with_routes(&format!("  - {{ to: app, match: {{ all: [ {{ method: GET }}, {{ path: [{}] }} ] }} }}", (0..1100).map(|n| format!("/p{n}")).collect::<Vec<_>>().join(", ")))), "error[too-many-alternatives]: this match stands for more than 1024 alternatives"),
        (with_routes("  - { to: { split: { app: 0 } } }\n"), "error[bad-value]: at least one share must be more than 0"),
        (with_routes("  - { redirect: { to: \"/${hots}\", status: 300 } }\n"), "error[unknown-variable]: `${hots}` is not known here"),
        (with_pool("balance: consistent_hash"), "error[bad-value]: `consistent_hash` needs a key"),
        (with_pool("host: \"a b\""), "error[bad-value]: `a b` is neither `preserve`, `server` nor a host name"),
        ("listeners: { web: { bind: \":80\" } }\nroutes: [ { to: app } ]\npools: { app: { servers: [\"a:1\", \"A:1\"] } }".into(), "error[duplicate-server]: `a:1` is in this pool twice"),
        ("listeners: { db: { bind: \":5\", tcp: { to: app }, redirect: https } }\npools: { app: { servers: [\"a:1\"] } }".into(), "f:1:50: error[not-http]: `redirect` belongs to HTTP, which a `tcp` listener does not speak"),
        ("listeners: { web: { bind: \":80\" } }\npools: { app: { servers: [\"a:1\"] } }\nroutes: [ { respond: {} } ]".into(), "f:2:10: warning[unused]: nothing leads to pool `app`"),
        (policy("{ fields: { request: { set: { Host: x } } } }"), "error[untouchable-field]: `Host` cannot be edited"),
        (policy("{ concurrency_limit: { max: 0 } }"), "error[bad-value]: `0` is not between 1 and 10000000"),
        (with_listener("limits: { connection_rate_per_ip: 10 }"), "error[bad-value]: `10` is not a rate: write it like `100/s`, `1000/min` or `5/10s`"),
        (policy("{ rate_limit: { rate: 1/s, shared: { server: here } } }"), "error[bad-value]: `here` is not a host and a port"),
        (policy("{ rate_limit: { rate: 1/s, shared: { server: \"redis://u:p@a:1\" } } }"), "error[bad-value]: `redis://u:p@a:1` is not a host and a port"),
        (policy("{ rate_limit: { rate: 1/s, shared: { server: \"a:1\", username: u } } }"), "error[bad-value]: a `username` needs a `password`"),
        (policy("{ rate_limit: { rate: 1/s, algorithm: fixed_window, shared: { server: \"a:1\" } } }"), "error[bad-value]: a shared limit is kept by `algorithm: token_bucket`"),
        (policy("{ bandwidth_limit: {} }"), "error[bad-value]: a bandwidth_limit limits `upload`, `download` or both"),
        (policy("{ bandwidth_limit: { download: 5 } }"), "error[bad-value]: `5` is not between 1KiB and 1024GiB"),
        (policy("{ rate_limit: {} }"), "error[missing-field]: a rate_limit needs `rate`"),
        (policy("{ rate_limit: { rate: 100 } }"), "error[bad-value]: `100` is not a rate: write it like `100/s`, `1000/min` or `5/10s`"),
        (policy("{ rate_limit: { rate: 2000000/s } }"), "error[bad-value]: `2000000/s` is more than 1,000,000 a second"),
        (policy("{ rate_limit: { rate: 1/100ms } }"), "error[bad-value]: `1/100ms`: the time of a rate is between 1s and 31d"),
        (policy("{ rate_limit: { rate: 1/s, key: header } }"), "error[bad-value]: `header` is none of: client_ip, route, listener, global"),
        (policy("{ rate_limit: { rate: 1/s, key: { header: \"a b\" } } }"), "error[bad-value]: `a b` is not a name"),
        (policy("{ rate_limit: { rate: 1/s, key: [global, route] } }"), "error[bad-value]: `global` stands alone"),
        (policy("{ rate_limit: { rate: 1/s, key: [route, route] } }"), "error[bad-value]: this part is in the key already"),
        (policy("{ rate_limit: { rate: 1/s, algorithm: fixed_window, burst: 2 } }"), "error[bad-value]: `burst` belongs to `algorithm: token_bucket`"),
        (policy("{ rate_limit: { rate: 300000/min, algorithm: sliding_window } }"), "error[bad-value]: a `sliding_window` counts to 262143 at most"),
        (policy("{ access_log: { sample: 2 } }"), "error[bad-value]: `2` is not a share"),
        (policy("{ compress: { encodings: [gzip, deflate] } }"), "error[bad-value]: `deflate` is none of: zstd, br, gzip"),
        (policy("{ compress: { encodings: [gzip, gzip] } }"), "error[bad-value]: `gzip` is named twice"),
        (policy("{ compress: { encodings: [] } }"), "error[bad-value]: `encodings` names none"),
        (policy("{ compress: { types: [html] } }"), "error[bad-value]: `html` is not a media type"),
        (policy("{ compress: { types: [\"text/html; charset=utf-8\"] } }"), "error[bad-value]: `text/html; charset=utf-8` is not a media type"),
        (policy("{ compress: { types: image/png } }"), "warning[no-effect]: `image/png` is compressed already"),
        (policy("{ compress: { levels: { gzip: 11 } } }"), "error[bad-value]: `11` is not between 1 and 9"),
        (policy("{ decompress: { max: 1B } }"), "error[bad-value]: `1B` is not between 1KiB"),
        (policy("{ body: {} }"), "error[missing-field]: a body needs `max`"),
        (policy("{ body: { max: lots } }"), "error[bad-value]: `lots` is not a size"),
        (with_pool("discover: { dns: { name: 10.0.0.1, port: 80 } }"), "error[bad-value]: `10.0.0.1` is an address, not a name"),
        (with_pool("discover: { dns: { name: a.internal } }"), "warning[srv-name]: without a port, SRV records of `a.internal` are asked for"),
        (with_pool("discover: { file: a, dns: b }"), "error[too-many-fields]: a discover has one of `file` and `dns`, not both"),
        ("listeners: { web: { bind: \":80\" } }\nroutes: [ { to: app } ]\npools: { app: { servers: [] } }".into(), "f:3:10: warning[empty-pool]: pool `app` has no servers"),
        ("listeners: { web: { bind: \":80\" } }\nroutes: [ { to: app } ]\npools: { app: }".into(), "f:3:10: warning[empty-pool]: pool `app` has no servers"),
        ("listeners: { web: { bind: \":80\" } }\nroutes: [ { to: app } ]\npools: { app: { servers: { address: \"a:1\", backup: true, priority: 2 } } }".into(), "f:3:44: error[too-many-fields]: a server has one of `priority` and `backup`, not both"),
        (with_pool("health: /h, health: tcp"), "error[duplicate-key]: `health` is given twice"),
        (with_pool("health: htp"), "error[bad-value]: `htp` is none of: tcp, grpc"),
        (with_pool("health: http"), "error[bad-value]: a check by `http` needs options"),
        (with_pool("health: { interval: 5s }"), "error[missing-field]: a health needs one of: http, https, tcp, grpc, udp, command"),
        (with_pool("health: { http: { path: health } }"), "error[bad-value]: `health` is not a path"),
        (with_pool("health: { tcp: { tls: {} } }"), "error[unknown-field]: unknown field `tls`"),
        (with_pool("health: { http: { expect: { status: 2xx } } }"), "error[bad-value]: `2xx` is no status"),
        (with_pool("health: { http: { expect: { json: { db: 1 } } } }"), "error[bad-value]: `db` is no path into JSON"),
        (with_pool("health: { http: { expect: { regex: \"(\" } } }"), "error[bad-regex]: this regular expression cannot be used"),
        (with_pool("health: { http: { headers: { Host: a } } }"), "error[untouchable-field]: `Host` cannot be set"),
        (with_pool("health: { tcp: { send: 'PING\\q' } }"), "error[bad-value]: an escape here is not known"),
        (with_pool("health: { udp: {} }"), "error[missing-field]: a udp check needs `send`"),
        (with_pool("health: { command: /bin/true }"), "error[wrong-kind]: a program and its arguments are a list"),
        (with_pool("health: { tcp: {}, interval: 1s }"), "warning[long-timeout]: `timeout` is longer than `interval`"),
        (with_pool("health: { tcp: {}, interval_down_max: 1s }"), "warning[no-effect]: `interval_down_max` is shorter than `interval`"),
        (with_pool("outlier: none"), "error[bad-value]: `none` is neither `true` nor `false`"),
        (with_pool("outlier: { eject: 10m }"), "error[bad-value]: `eject` is longer than `eject_max`"),
        (with_pool("outlier: { rate: { share: 0 } }"), "error[bad-value]: a `share` of 0 would find every server failing"),
        (with_pool("breaker: { adaptive: { min: 30 } }"), "error[bad-value]: `min` 30, `initial` 20 and `max` 1000 are not in this order"),
        (with_pool("breaker: { in_flight: 5, server_in_flight: 6 }"), "warning[no-effect]: `server_in_flight` is more than `in_flight`"),
        (with_pool("panic_threshold: 80%"), "warning[panic-threshold]: below 80% of healthy servers unhealthy ones get requests too"),
        (with_pool("retry: { on: [conect] }"), "error[bad-value]: `conect` is none of: connect, reset, timeout"),
        (with_pool("retry: { on: [200] }"), "error[bad-value]: `200` is not between 400 and 599"),
        (with_pool("retry: { budget: 0, attempts: 1 }, queue: { max: -1 }"), "error[bad-value]: `-1` is not a whole number"),
        (with_pool("retry: { budget: { ratio: 0, min: 0 } }"), "warning[no-effect]: a `budget` of 0 allows no further try"),
        (with_pool("retry: { try_timeout: 60s }"), "warning[no-effect]: `retry.try_timeout` is not shorter than `timeouts.first_byte`"),
        (with_pool("retry: { try_timeout: 1s, on: reset }"), "warning[no-effect]: a `try_timeout` without `timeout` in `on`"),
        (with_pool("retry: { backoff: 1s }"), "error[bad-value]: `backoff` is longer than `backoff_max`"),
        (with_pool("hedge: { delay: 0 }"), "error[bad-value]: `0` is not between 1ms and 1h"),
        (with_pool("sticky: cookie"), "warning[sticky-without-key]: without `keys`, clients lose their server when the process restarts"),
        (with_pool("sticky: header"), "error[bad-value]: `header` needs a name"),
        (with_pool("sticky: { header: a, query: b }"), "error[too-many-fields]: a sticky has one of `header` and `query`, not both"),
        (policy("{ access: {} }"), "error[says-nothing]: this names nobody"),
        (policy("{ access: { allow: 10.0.0.0/99 } }"), "error[bad-value]: `10.0.0.0/99` is not a network"),
        (policy("{ basic_auth: {} }"), "error[says-nothing]: this lets nobody in"),
        (policy("{ basic_auth: { users: { alice: secret } } }"), "error[bad-secret]: this is neither an argon2id nor a bcrypt hash"),
        (policy("{ api_key: { keys: { a: short } } }"), "error[bad-secret]: a secret has at least 16 characters"),
        (policy("{ api_key: { keys: { a: 0123456789abcdef, b: 0123456789abcdef } } }"), "error[duplicate-secret]: this is the key of `a`, too"),
        (policy("{ client_certificate: { names: a.example } }"), "error[bad-value]: `a.example` never fits"),
        (policy("{ external_auth: { pool: nope } }"), "error[unknown-name]: there is no pool `nope`"),
        (policy("{ jwt: { secret: 0123456789abcdef, algorithm: RS256 } }"), "error[bad-value]: this algorithm is not for a secret"),
        (policy("{ jwt: { jwks: \"http://login.example/keys\" } }"), "warning[plaintext]: whoever is on the way to"),
        (policy("{ jwt: { jwks: keys.json, algorithm: RS256 } }"), "warning[no-effect]: `algorithm` is not used with `jwks`"),
        (policy("{ geo: { file: a.mmdb, allow: Germany } }"), "error[bad-value]: `Germany` is no country"),
        (with_routes("  - { match: { claim: { sub: a } }, to: app }"), "error[never-known]: this route asks for a claim, which nobody finds out"),
        (with_routes("  - { match: { country: DE }, to: app }"), "error[never-known]: this route asks for a country, which nobody finds out"),
        (
            "listeners: { web: { bind: \":80\", policies: p } }\nroutes: [ { to: a } ]\npools: { a: { servers: [\"a:1\"] } }\npolicies:\n  p: { external_auth: { pool: a, remember: 5s, remember_by: cookie } }\n".into(),
            "warning[cache-confusion]: the server sees `authorization`, but its word holds whatever that is",
        ),
        (with_pool("sticky: { cookie: { keys: abc } }"), "error[bad-secret]: this is not a key of 32 bytes"),
        (with_pool("sticky: { cookie: { keys: <secret> } }"), "error[hidden-secret]: this only stands for a secret that is not shown"),
        (with_pool("sticky: { cookie: { same_site: none } }"), "warning[refused-cookie]: browsers refuse a cookie with `SameSite=None`"),
        (with_pool("sticky: { cookie: { name: __Host-a } }"), "warning[refused-cookie]: browsers refuse a cookie called `__Host-a`"),
        (with_pool("balance: { ip_hash: { ipv4: 33 } }"), "error[bad-value]: `33` is not between 1 and 32"),
        (with_admin("bind: \"127.0.0.1:9900\""), "error[unprotected-admin]: whoever reaches this address could change everything"),
        (with_admin("bind: /run/admin.sock"), "error[bad-value]: `/run/admin.sock` is not a place for the admin listener"),
        (with_admin("bind: off, tokens: [ { name: a, secret: 0123456789abcdef } ]"), "warning[no-effect]: `tokens` is not used with `bind: off`"),
        (with_admin("tokens: [ { name: a, secret: short } ]"), "error[bad-secret]: a secret has at least 16 characters"),
        (with_admin("tokens: [ { name: a, secret: 0123456789abcdef }, { name: a, secret: 0123456789abcdef } ]"), "error[duplicate-name]: two are called `a`"),
        (with_admin("tokens: [ { name: a, secret: 0123456789abcdef }, { name: b, secret: 0123456789abcdef } ]"), "error[bad-secret]: two have the same secret"),
        (with_admin("registrations: [ { name: a, secret: 0123456789abcdef, pools: \"*-shop\" } ]"), "error[bad-value]: `*-shop` is not a pool's name"),
        (with_admin("registrations: [ { name: a, secret: 0123456789abcdef, pools: shop, paths: /a } ]"), "warning[no-effect]: `paths` without `hosts` allows no route"),
    ]
}

#[test]
fn each_mistake_is_shown_where_it_is_and_says_what_it_is() {
    let mut wrong = Vec::new();
    for (text, expected) in table() {
        let shown = report(&text).compact();
        if !shown.lines().any(|line| line.contains(expected)) {
            wrong.push(format!("{expected}\n--- is, of\n{text}\n--- shown as\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn each_code_has_an_example_above() {
    let all: String = table().iter().map(|(_, expected)| *expected).collect();
    let src = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let files = [src.to_owned(), format!("{src}/validate")];
    let files = files.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    for file in files.map(|entry| entry.path()).filter(|path| path.is_file()) {
        let name = file.display();
        let text: String = std::fs::read_to_string(&file).unwrap().split_whitespace().collect();
        for call in ["Diagnostic::error(\"", "Diagnostic::warning(\"", ".error(\""] {
            for piece in text.split(call).skip(1) {
                let code = piece.split('"').next().unwrap();
                assert!(all.contains(&format!("[{code}]")), "no example of `{code}` ({name})");
            }
        }
    }
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once_in_their_order() {
    let text = "listeners: { web: { bind: nowhere, blind: 1 } }\npools: { app: { servers: [a], blance: x } }\nroutes: [ { to: ap } ]\n";
    let shown = report(text).compact();
    let codes: Vec<&str> = shown.lines().map(|line| &line[..line.find("]").unwrap() + 1]).collect();
    assert_eq!(
        codes,
        [
            "f:1:27: error[bad-value]",
            "f:1:36: error[unknown-field]",
            "f:2:10: warning[unused]",
            "f:2:27: error[bad-value]",
            "f:2:31: error[unknown-field]",
            "f:3:17: error[unknown-name]"
        ]
    );
}

#[test]
fn the_text_is_underlined_and_a_suggestion_made() {
    let shown = report(&with_pool("blance: random")).render(false);
    assert!(shown.contains("did you mean `balance`?"), "{shown}");
    assert!(shown.contains("^^^^^^"), "{shown}");
    assert!(shown.contains("--> f:4:28"), "{shown}");
}

#[test]
fn json_is_a_subset_and_variables_are_replaced() {
    let text = "{\"listeners\":{\"web\":{\"bind\":\"127.0.0.1:${PORT}\"}},\n\t\"pools\":{\"app\":{\"servers\":[\"${HOST:-b}:1\"]}},\"routes\":[{\"to\":\"app\"}]}";
    let sources = [Source { name: "f".into(), text: text.into() }];
    let config =
        load(&sources, &|name| (name == "PORT").then(|| "8080".to_owned())).unwrap().config;
    assert_eq!(config.listeners[0].bind[0].port(), 8080);
    assert_eq!(config.pools[0].servers[0].address.to_string(), "b:1");
}

#[test]
fn several_files_are_read_as_one_and_may_not_say_the_same_twice() {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let first = source(
        "1.yaml",
        "listeners: { web: { bind: \":80\" } }\nroutes: [ { to: a } ]\npools: { a: { servers: \"a:1\" } }",
    );
    let second = source(
        "2.yaml",
        "routes: [ { match: { path: /b }, to: b } ]\npools: { b: { servers: \"b:1\" } }",
    );
    let config = load(&[first.clone(), second], &|_| None).unwrap().config;
    assert_eq!((config.routes.len(), config.pools.len()), (2, 2));
    let clash = load(&[first, source("2.yaml", "pools: { a: { servers: \"c:1\" } }")], &|_| None)
        .unwrap_err();
    let shown = clash.render(false);
    assert!(
        shown.contains("`a` is given twice")
            && shown.contains("1.yaml:3:10")
            && shown.contains("2.yaml:1:10"),
        "{shown}"
    );
}

#[test]
fn ten_thousand_routes_are_read_and_checked() {
    let routes: String = (0..10_000)
        .map(|n| format!("  - {{ match: {{ host: h{n}.example, path: /p{n} }}, to: app }}\n"))
        .collect();
    let sources = [Source { name: "f".into(), text: with_routes(&routes) }];
    assert_eq!(load(&sources, &|_| None).unwrap().config.routes.len(), 10_000);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (from, to) in ('a'..='h').zip('b'..='i') {
        text.push_str(&format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(", ")));
    }
    assert!(report(&text).compact().contains("too large"), "{}", report(&text).compact());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        report(&text).render(false);
    }

    #[test]
    fn no_change_of_a_good_file_makes_it_panic(at in 0_usize..400, insert in "[\\[\\]{}:,\"'&*!|>%@`# \\n\\-a-z0-9]{0,3}", remove in 0_usize..5) {
        let mut text = with_routes("  - { match: { host: a.b, path: [/x, { regex: \"^y\" }], not: { method: GET } }, to: { split: { app: 1 } } }\n  - { redirect: { to: \"/${path.rest}\" } }\n");
        let start = at.min(text.len());
        let end = (start + remove).min(text.len());
        text.replace_range(start..end, &insert);
        report(&text).render(false);
    }
}

#[test]
fn every_place_begins_and_ends_between_characters() {
    let long = format!("a: 1\n{}: 1\n", "é".repeat(19) + "x" + &"é".repeat(9));
    for text in ["a: &x [1, \u{3e2}\u{11}", "é: [\u{3e2}", "\u{feff}a: [", long.as_str()] {
        let report = report(text);
        assert!(!report.is_empty(), "{text}");
        for diagnostic in &report.diagnostics {
            let span = diagnostic.span.unwrap_or_default();
            let shown = text.get(span.start as usize..span.end as usize);
            assert!(shown.is_some(), "{text}: {diagnostic:?}");
        }
    }
}
