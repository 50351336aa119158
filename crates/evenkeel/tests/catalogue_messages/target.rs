//! Group D: targets and authorities (RFC 9112 §3.2; RFC 9110 §4.2, §7.2).
//!
//! Elsewhere: D12 belongs to TLS, D13 to D16 to HTTP/2. D17 waits for rewrites of the authority.

use std::fmt::Write as _;

use evenkeel_tools::row::Row;

use crate::{Setting, judge, judge_with};

/// A request with this line and this host.
fn request(line: &str, host: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn refused_target(line: &str) -> Row {
    Row::refused(request(line, "a"), 400, "bad_target")
}

fn refused_host(host: &str) -> Row {
    Row::refused(request("GET /", host), 400, "bad_host")
}

/// It is forwarded with this target and host.
fn forwarded(line: &str, host: &str, target: &str, forwarded_host: &'static str) -> Row {
    let expected = format!("{} {target} HTTP/1.1", line.split(' ').next().unwrap());
    Row::forwarded(request(line, host))
        .and(format!("it is {expected}"), move |seen| seen.line() == expected)
        .and(format!("the host is {forwarded_host}"), move |seen| seen.has("host", forwarded_host))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_no_host_or_two() {
    // RFC 9112 §3.2
    let bad = ["X: y", "Host: a\r\nHost: a", "Host: a\r\nHost: b", "Host: a\r\nX: y\r\nhost: a"];
    let bad = bad
        .map(|fields| Row::refused(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"), 400, "bad_host"));
    let old = Row::refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_host");
    let absolute = Row::refused("GET http://a/ HTTP/1.1\r\n\r\n", 400, "bad_host");
    judge(bad.into_iter().chain([old, absolute, refused_host("")])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_hosts_in_a_list() {
    judge(["a.com, b.com", "a.com,b.com", "a.com,", ",a.com", "a.com b.com"].map(refused_host))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d03_hosts_that_are_more_or_less_than_a_host() {
    // RFC 9110 §7.2
    let bad = [
        "u@h", "u:p@h", "h/x", "h#", "h?", "h\\", "h h", "h:0", "h:99999", "h:65536", "h:8x",
        "h:+1", "h:1:2", "[::1", "[::1]x", "[]", "::1", "%00", "h%2fx", "h\u{e4}", ".", ".h",
        "h..i", "*", "\"h\"", "h;", "http://h",
    ];
    let good = ["h:", "h:80", "h:65535", "[::1]", "[::1]:8080", "127.0.0.1", "a-b_c.d."];
    let good = good.map(|host| forwarded("GET /", host, "/", host));
    let latin = Row::refused(b"GET / HTTP/1.1\r\nHost: h\x80\r\n\r\n", 400, "bad_host");
    judge(bad.map(refused_host).into_iter().chain(good).chain([latin])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_target_and_host_that_differ() {
    // RFC 9112 §3.2.2 says that the target wins; we want them the same, but for case
    let differ = [("a", "b"), ("a:80", "a"), ("a", "a:80"), ("a:80", "a:81"), ("a.", "a")];
    let differ = differ.map(|(target, host)| {
        Row::refused(request(&format!("GET http://{target}/"), host), 400, "host_mismatch")
    });
    let same = [
        forwarded("GET http://a/x", "a", "/x", "a"),
        forwarded("GET http://A/x", "a", "/x", "A"),
        forwarded("GET http://a:8080/x", "a:8080", "/x", "a:8080"),
    ];
    judge(differ.into_iter().chain(same)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_absolute_targets_without_path() {
    // RFC 9112 §3.2.2; RFC 9110 §4.2: a rule sees the path that the server would see
    let good = [
        forwarded("GET http://a?x=1", "a", "/?x=1", "a"),
        forwarded("GET http://a", "a", "/", "a"),
        forwarded("GET http://a/?x=1", "a", "/?x=1", "a"),
        forwarded("GET HTTP://a?/b/../c", "a", "/?/b/../c", "a"),
        forwarded("OPTIONS http://a", "a", "*", "a"),
        forwarded("OPTIONS http://a/", "a", "/", "a"),
    ];
    let bad =
        ["GET http://a#f", "GET http://a?x#f", "GET http://", "GET http:///x", "GET http://?x"];
    let user = ["GET http://u@a/", "GET http://u:p@a/", "GET http://a\\b/", "GET http://a%2fb/"];
    judge(good.into_iter().chain(bad.map(refused_target)).chain(user.map(refused_target))).await;
    let root = "  - { match: { path: { exact: / } }, respond: { status: 403, body: no } }\n";
    let setting = Setting { routes: root.into(), ..Setting::default() };
    let denied = ["GET http://a", "GET http://a?x=1", "GET /", "GET /?x", "GET http://a/./"];
    let denied = denied.map(|line| Row::new(request(line, "a"), 403));
    judge_with(&setting, denied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_other_schemes() {
    // RFC 9112 §3.2.2: nothing but http comes in on a plain connection
    let schemes = ["ftp", "file", "https", "ws", "HTTPS", "httpx", "", "h\u{e4}"];
    let lines = schemes.map(|scheme| refused_target(&format!("GET {scheme}://a/")));
    let broken =
        ["GET http:/a/", "GET http:a/", "GET http//a/", "GET javascript:x", "GET mailto:a@b"];
    judge(lines.into_iter().chain(broken.map(refused_target))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_other_forms() {
    // RFC 9112 §3.2
    let bad = [
        "GET foo",
        "GET *",
        "POST *",
        "GET a:80",
        "GET ?x",
        "OPTIONS *x",
        "OPTIONS */",
        "OPTIONS *?x",
        "OPTIONS a:80",
        "GET .",
        "GET ../x",
        "GET %2Fx",
    ];
    let asterisk = forwarded("OPTIONS *", "a", "*", "a");
    judge(bad.map(refused_target).into_iter().chain([asterisk])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d08_fragments() {
    // RFC 9112 §3.2: never sent, so never understood
    judge(
        ["GET /public#/../admin", "GET /#", "GET #", "GET /x?y#z", "OPTIONS *#", "GET http://a/#"]
            .map(refused_target),
    )
    .await;
    let kept = forwarded("GET /public%23/x", "a", "/public%23/x", "a");
    judge([kept]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d09_case_and_final_dot_of_a_host_among_many() {
    // RFC 9110 §4.2.3: whatever the number of hosts; the root's dot does not count
    for count in [1, 100, 101, 10_000] {
        let mut routes = String::from(
            "  - { match: { host: admin.example.com }, respond: { status: 403, body: no } }\n",
        );
        for number in 1..count {
            let _ = writeln!(
                routes,
                "  - {{ match: {{ host: h{number}.example.com }}, respond: {{ status: 404, body: x }} }}"
            );
        }
        let setting = Setting { routes, ..Setting::default() };
        let hosts = [
            "admin.example.com",
            "ADMIN.Example.COM.",
            "Admin.example.com:80",
            "admin.example.com.:8080",
        ];
        let mut rows = Vec::from(hosts.map(|host| Row::new(request("GET /", host), 403)));
        for other in ["admin.example.co", "xadmin.example.com", "admin-example.com"] {
            rows.push(Row::forwarded(request("GET /", other)));
        }
        if count > 1 {
            rows.push(Row::new(request("GET /", &format!("H{}.EXAMPLE.com.", count - 1)), 404));
        }
        rows.iter_mut().for_each(|row| row.whole = true);
        judge_with(&setting, rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_port_is_not_part_of_the_name() {
    // RFC 9110 §4.2.3
    let route = "  - { match: { host: h }, respond: { status: 403, body: no } }\n";
    let setting = Setting { routes: route.into(), ..Setting::default() };
    let hosts = ["h", "h:", "h:80", "h:443", "h:65535", "H:0080"];
    judge_with(&setting, hosts.map(|host| Row::new(request("GET /", host), 403))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_addresses_with_a_zone() {
    // RFC 6874 is for a host's own use: no request carries one
    let hosts = ["[fe80::1%eth0]", "[fe80::1%25eth0]", "fe80::1%eth0", "[::1%]", "[::%0]:80"];
    let targets = ["GET http://[fe80::1%25eth0]/", "GET http://[::1"];
    judge(hosts.map(refused_host).into_iter().chain(targets.map(refused_target))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d18_a_redirect_leads_where_the_configuration_says() {
    // RFC 9110 §17.1: a client chooses the host only where `${host}` lets it
    let setting = Setting {
        routes: [
            "  - { match: { path: /fixed }, redirect: \"https://good.example${path}${query}\" }\n",
            "  - { match: { path: /strip }, redirect: \"https://good.example${path.rest}\" }\n",
            "  - { match: { path: /same }, redirect: \"https://${host}${path}\" }\n",
            "  - { match: { method: OPTIONS }, redirect: \"https://good.example${path}\" }\n",
        ]
        .concat(),
        ..Setting::default()
    };
    let leads = |target: &str, host: &str, location: &'static str| {
        Row::new(request(&format!("GET {target}"), host), 308)
            .and(format!("it leads to {location}"), move |seen| {
                seen.answers[0].head.field("location") == Some(location)
            })
    };
    judge_with(
        &setting,
        [
            leads("/fixed/x?http://evil", "evil", "https://good.example/fixed/x?http://evil"),
            leads("http://evil/fixed", "evil", "https://good.example/fixed"),
            leads("/strip/.evil", "evil", "https://good.example/.evil"),
            leads("/strip", "evil", "https://good.example"),
            leads("/strip//evil", "a", "https://good.example/evil"),
            leads("/strip/@evil", "a", "https://good.example/@evil"),
            leads("/same", "H.Example.:8080", "https://H.Example./same"),
            Row::refused("GET /same/evil.com HTTP/1.0\r\n\r\n", 400, "bad_host"),
            Row::new(request("OPTIONS *", "a"), 308).and("a `*` is no part of a host", |seen| {
                seen.answers[0].head.field("location") == Some("https://good.example/")
            }),
        ],
    )
    .await;
}
