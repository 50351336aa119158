//! Group E: paths made comparable before anything is decided by them (RFC 3986 §2.1, §6.2.2).
//!
//! Elsewhere: E4 waits for rewrites of the path; for E11, nothing is cached, so there is no default
//! that a suffix could trick.

use evenkeel_tools::row::Row;

use crate::{Setting, check, judge, judge_with};

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn refused(target: &str, reason: &str) -> Row {
    Row::refused(request(target), 400, reason)
}

/// It is forwarded as `seen`.
fn forwarded(target: &str, seen: &str) -> Row {
    let line = format!("GET {seen} HTTP/1.1");
    Row::forwarded(request(target)).and(format!("it is {seen}"), move |seen| seen.line() == line)
}

/// A rule forbids what is below `/admin`.
fn guarded(listener: &'static str) -> Setting {
    let rule = "  - { match: { path: /admin }, respond: { status: 403, body: no } }\n";
    Setting { listener, routes: rule.into(), ..Setting::default() }
}

fn denied(target: &str) -> Row {
    Row::new(request(target), 403)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e01_dot_segments_and_double_slashes() {
    // RFC 3986 §5.2.4: resolved before the match, and what is matched is what is forwarded
    let same = [
        "/pub/../admin",
        "/./admin",
        "//admin",
        "/a//../admin",
        "/admin/.",
        "/admin/x/..",
        "/../../admin",
        "/a/b/../../admin//x",
        "///./..//admin",
    ];
    let through = [
        ("/admin/../pub", "/pub"),
        ("/admin/..", "/"),
        ("/a/./b", "/a/b"),
        ("/a//b/", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/..", "/"),
        ("/...", "/..."),
        ("/a/.b/..c", "/a/.b/..c"),
        ("/a?/../admin", "/a?/../admin"),
        ("http://a/pub/../x", "/x"),
    ];
    let through = through.map(|(target, seen)| forwarded(target, seen));
    judge_with(&guarded(""), same.map(denied).into_iter().chain(through)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e02_escaped_separators() {
    // RFC 3986 §2.2, §2.4: refused unless the listener says otherwise; nothing is decoded twice
    let slashes = ["/pub%2fadmin", "/pub%2Fadmin", "/pub%5cadmin", "/%2e%2e%2fadmin", "/a/%2F"];
    let slashes = slashes.map(|target| refused(target, "encoded_slash_in_path"));
    let dots = ["/pub/%2e%2e/admin", "/%2E/admin", "/x/%2e./admin", "/%61dmin", "/%2561/../admin"];
    let twice = [("/a%252fb", "/a%252fb"), ("/%252e%252e/admin", "/%252e%252e/admin")];
    let twice = twice.map(|(target, seen)| forwarded(target, seen));
    let rows = slashes.into_iter().chain(dots.map(denied)).chain(twice);
    judge_with(&guarded(""), rows).await;

    let kept =
        [("/pub%2fadmin", "/pub%2Fadmin"), ("/..%2fadmin", "/..%2Fadmin"), ("/a%5cb", "/a%5Cb")];
    let kept = kept.map(|(target, seen)| forwarded(target, seen));
    judge_with(&guarded(", path: { encoded_slash: keep }"), kept).await;

    let decoded = ["/%2fadmin", "/pub%2f..%2fadmin", "/pub/..%5cadmin", "/%2e%2e%2Fadmin"];
    let decoded = decoded.map(denied).into_iter();
    let through = [("/a%2fb", "/a/b"), ("/a%252fb", "/a%252fb")];
    let through = through.map(|(target, seen)| forwarded(target, seen));
    let decode = guarded(", path: { encoded_slash: decode }");
    judge_with(&decode, decoded.chain(through)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e03_parameters() {
    // RFC 3986 §3.3: some servers take them off before they resolve dot segments
    let bad =
        ["/pub/..;/admin", "/pub/..;x=1/admin", "/.;/admin", "/pub/%2e%2e;/admin", "/..%3b/x"];
    let bad = bad.map(|target| refused(target, "dot_segment_with_parameter"));
    let kept = ["/x;y=1", "/x;y/z", "/a;/b", "/x/...;y"].map(|target| forwarded(target, target));
    judge_with(&guarded(""), bad.into_iter().chain(kept)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_what_is_left_of_a_path_begins_with_one_slash() {
    // RFC 9112 §3.2.1; RFC 3986 §4.2: `//evil` would be another host
    let routes = [
        "  - { match: { path: /api }, redirect: \"${path.rest}\" }\n",
        "  - { match: { path: /new }, redirect: \"/v2${path.rest}\" }\n",
        "  - { match: { path: /same }, redirect: \"/${path.rest}\" }\n",
        "  - { match: { path: { regex: evil } }, redirect: \"${path}?y\" }\n",
    ]
    .concat();
    let leads = |target: &str, location: &'static str| {
        Row::new(request(target), 308).and(format!("it leads to {location}"), move |seen| {
            seen.answers[0].head.field("location") == Some(location)
        })
    };
    let setting = Setting { routes: routes.clone(), ..Setting::default() };
    judge_with(
        &setting,
        [
            leads("/api/x", "/x"),
            leads("/api", "/"),
            leads("/api/", "/"),
            leads("/api//there.com", "/there.com"),
            leads("/new", "/v2"),
            leads("/new//x", "/v2/x"),
            leads("/same/there.com", "/there.com"),
            leads("/same", "/"),
            leads("//evil.com", "/evil.com?y"),
        ],
    )
    .await;
    let unmerged = ", path: { merge_slashes: false }";
    let setting = Setting { routes, listener: unmerged, ..Setting::default() };
    judge_with(
        &setting,
        [
            leads("/api//there.com", "/there.com"),
            leads("/api///there.com", "/there.com"),
            leads("/new//x", "/v2//x"),
            leads("/same//there.com", "/there.com"),
            leads("//evil.com", "/evil.com?y"),
            leads("///evil.com//", "/evil.com//?y"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e06_every_kind_of_match_says_the_same() {
    // An exact path, an expression and a prefix for the same path: whatever its spelling, and
    // whether it needs normalising or not
    let mut routes = String::new();
    for (host, path) in [
        ("exact", "{ exact: /Admin/x }"),
        ("regex", "{ regex: \"^/Admin/x$\" }"),
        ("prefix", "{ prefix: /Admin/x }"),
    ] {
        routes += &format!(
            "  - {{ match: {{ host: {host}, path: {path} }}, respond: {{ status: 403, body: no }} }}\n"
        );
    }
    let setting = Setting { routes, ..Setting::default() };
    let hits = [
        "/Admin/x",
        "//Admin/x",
        "/./Admin/./x",
        "/%41dmin/x",
        "/y/../Admin//x",
        "/Admin/%78",
        "/Admin/x?y",
    ];
    let misses = [
        "/admin/x",
        "/ADMIN/X",
        "/Admin/X",
        "/Admin",
        "/Admin/xx",
        "/Admin;y/x",
        "/Admin/x;y",
        "/Admin%20/x",
        "/Admin/x%3F",
        "/Admin%252Fx",
        "/y/Admin/x",
    ];
    let ask = |host: &str, target: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut rows = Vec::new();
    for host in ["exact", "regex", "prefix"] {
        rows.extend(hits.map(|target| Row::new(ask(host, target), 403)));
        rows.extend(misses.map(|target| Row::forwarded(ask(host, target))));
        rows.push(Row::refused(ask(host, "/Admin\\x"), 400, "backslash_in_path"));
    }
    judge_with(&setting, rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e07_escapes_that_are_none_and_nul() {
    // RFC 3986 §2.1; RFC 3629 §3
    let bad = [
        ("/%zz", "bad_path_escape"),
        ("/%", "bad_path_escape"),
        ("/a%4", "bad_path_escape"),
        ("/%u002f", "bad_path_escape"),
        ("/%%2f", "bad_path_escape"),
        ("/%00", "control_character_in_path"),
        ("/a%00.css", "control_character_in_path"),
        ("/%1f", "control_character_in_path"),
        ("/%7F", "control_character_in_path"),
        ("/%c0%af", "overlong_utf8_in_path"),
        ("/%c1%9c", "overlong_utf8_in_path"),
        ("/%e0%80%af", "overlong_utf8_in_path"),
        ("/%f0%80%80%af", "overlong_utf8_in_path"),
    ];
    let bad = bad.map(|(target, reason)| refused(target, reason));
    let kept = [("/%C3%A4", "/%C3%A4"), ("/%c3%a4", "/%C3%A4"), ("/%20?%zz%", "/%20?%zz%")];
    judge(bad.into_iter().chain(kept.map(|(target, seen)| forwarded(target, seen)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_dot_segments_that_are_half_escaped() {
    // CVE-2021-41773
    let all = ["/cgi/.%2e/admin", "/cgi/%2e./admin", "/cgi/%2E%2e/admin", "/cgi/.%2e/.%2e/admin"];
    let past = forwarded("/cgi/.%2e/x", "/x");
    judge_with(&guarded(""), all.map(denied).into_iter().chain([past])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e09_expressions_take_linear_time() {
    // RFC 9110 §17.5
    let routes = [
        "  - { match: { path: { regex: \"^/(a+)+$\" } }, respond: { status: 403, body: no } }\n",
        "  - { match: { path: { regex: \"^/(x|xx|xxx)*(x*)*y$\" } }, respond: { status: 404, body: no } }\n",
    ]
    .concat();
    let listener = ", limits: { request_line: 128KiB, head: 256KiB }";
    let setting = Setting { routes, listener, ..Setting::default() };
    let long = |text: &str, end| format!("/{}{end}", text.repeat(64 * 1024));
    judge_with(
        &setting,
        [
            Row::new(request(&long("a", "")), 403),
            Row::new(request(&long("x", "y")), 404),
            forwarded(&long("a", "!"), &long("a", "!")),
            forwarded(&long("x", "z"), &long("x", "z")),
        ],
    )
    .await;
}

#[test]
fn e09_expressions_have_a_size() {
    for pattern in ["a".repeat(1024 * 1024), "(a{1000}){1000}".into(), "[a-z]{999999}".into()] {
        let config = format!(
            "listeners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes:\n  - {{ match: {{ path: {{ regex: \"{pattern}\" }} }}, respond: {{ body: x }} }}\n"
        );
        let (code, said) = check(&config);
        let shown: String = said.chars().take(300).collect();
        assert_eq!(code, Some(78), "{shown}");
        assert!(shown.contains("size limit"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_fields_of_our_own_are_not_taken_from_a_client() {
    // RFC 9110 §17.2
    let fields = ["X-Evenkeel-Original-Path", "x-evenkeel-reason", "X-EVENKEEL-", "x-evenkeel-a_b"];
    judge(fields.map(|name| {
        Row::forwarded(format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: /admin\r\nX-Even: y\r\n\r\n"))
            .and("it is taken off", |seen| !seen.wire().to_lowercase().contains("evenkeel"))
            .and("others stay", |seen| seen.has("x-even", "y"))
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e11_suffixes_mean_nothing() {
    let targets = [
        ("/account/x.css", "/account/x.css"),
        ("/account%3fx.css", "/account%3Fx.css"),
        ("/account%23", "/account%23"),
        ("/account%23x.css", "/account%23x.css"),
        ("/account;x.css", "/account;x.css"),
        ("/account/%0Bx", ""),
    ];
    let rows = targets.map(|(target, seen)| match seen {
        "" => refused(target, "control_character_in_path"),
        _ => forwarded(target, seen),
    });
    // A server may take it for a slash: refused, not guessed.
    let raw = ["/a\\b", "/\\", "/a\\..\\admin"].map(|target| refused(target, "backslash_in_path"));
    judge(rows.into_iter().chain(raw)).await;
}
