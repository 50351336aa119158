//! Group C: lines, field names and values, the request line (RFC 9112 §2.2, §3, §5).
//!
//! Elsewhere: the TLS half of C18 belongs to TLS.

use evenkeel_tools::row::Row;

use crate::support::{Backend, Proxy, simple, with_listener};
use crate::{Setting, check, judge, judge_with};

#[test]
fn c19_when_we_close_what_is_still_on_its_way_does_no_harm() {
    // RFC 9112 §9.6: a close while the client sends would destroy the response on its side
    let backend = Backend::named("only");
    let limits = "    limits: { requests_per_connection: 1 }\n";
    let proxy = Proxy::start(&with_listener(&[&backend], limits));
    let mut client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().field("connection"), Some("close"));
    assert!(client.is_closed());
    // Our half is closed; the client's is still read, so nothing is reset.
    for _ in 0..2 {
        client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_eq!(backend.count(), 1);
}

/// A GET with these field lines.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(), fields.as_ref(), b"\r\n\r\n"].concat()
}

/// A request that begins so.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_bare_lf() {
    // RFC 9112 §2.2 lets a recipient accept it; we do not
    judge(
        [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .map(|row| Row::refused(row, 400, "bad_line_end")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_bare_cr() {
    // RFC 9112 §2.2
    let fields = ["X\rY: z", "X: y\rz", "X: y\r", "X\r: y", "\rX: y", "X: y\r\r"];
    let lines = ["GET / HTTP/1.1\r", "GET /\r HTTP/1.1", "GET\r / HTTP/1.1", "\rGET / HTTP/1.1"];
    let fields = fields.map(|field| Row::refused(get(field), 400, "bad_field_value"));
    let lines = lines.map(|begin| Row::refused(line(begin), 400, "bad_request_line"));
    judge(fields.into_iter().chain(lines)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03_nul_and_other_control_characters() {
    // RFC 9110 §5.5
    let fields = ["X: y\0z", "X\0: y", "X: \0", "X: \x01", "X: \x1b[2J", "X: \x7f", "\0X: y"];
    let fields = fields.map(|field| Row::refused(get(field), 400, "bad_field_value"));
    let lines = ["GET /\0 HTTP/1.1", "GET /\x7f HTTP/1.1", "\0GET / HTTP/1.1"];
    let lines = lines.map(|begin| Row::refused(line(begin), 400, "bad_request_line"));
    judge(fields.into_iter().chain(lines)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c04_empty_name() {
    // RFC 9112 §5; CVE-2023-25725 dropped every field behind it
    judge(
        [": x", ":", ": x\r\nContent-Length: 5", "::"]
            .map(|field| Row::refused(get(field), 400, "bad_field_name")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c05_space_before_the_colon() {
    // RFC 9112 §5.1
    judge(
        ["X : y", "X\t: y", "X  : y", "Host : b", "X y: z"]
            .map(|field| Row::refused(get(field), 400, "bad_field_name")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c06_space_before_the_first_field() {
    // RFC 9112 §2.2
    judge([" X: y\r\nHost: a", "\tX: y\r\nHost: a", " \r\nHost: a", " Host: a"].map(|fields| {
        Row::refused(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"), 400, "folded_field")
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_folded_lines() {
    // RFC 9112 §5.2
    judge(
        [
            "X: y\r\n z",
            "X: y\r\n\tz",
            "X:\r\n y",
            "X: y\r\n ",
            "Transfer-Encoding:\r\n chunked",
            "Transfer-Encoding: chunked\r\n , identity",
            "Content-Length:\r\n 5",
            "Expect:\r\n 100-continue",
        ]
        .map(|field| Row::refused(get(field), 400, "folded_field")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c08_lines_without_colon() {
    // RFC 9112 §5
    let lines = ["X", "GET /x HTTP/1.1", "\"X\"", "X\r\nY: z"];
    let lines = lines.map(|field| Row::refused(get(field), 400, "bad_field_name"));
    let end = Row::refused("GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400, "bad_field_value");
    judge(lines.into_iter().chain([end])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c09_names_are_tokens_of_ascii() {
    // RFC 9110 §5.1, §5.6.2
    let names = [
        "Tran\u{17f}fer-Encoding",
        "\u{212a}eep-Alive",
        "X(y)",
        "X,Y",
        "X/Y",
        "X@Y",
        "[X]",
        "X\u{a0}",
        "\u{feff}X",
        "\u{ff28}ost",
    ];
    let names = names.map(|name| Row::refused(get(format!("{name}: z")), 400, "bad_field_name"));
    let latin = [&b"X\xe4: z"[..], b"X\x85: z", b"\xa0X: z"];
    let latin = latin.map(|field| Row::refused(get(field), 400, "bad_field_name"));
    judge(names.into_iter().chain(latin)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_white_space_is_sp_and_htab() {
    // RFC 9110 §5.6.3: not what Unicode calls so
    let refused = [
        (&b"Transfer-Encoding: \xa0chunked\x85"[..], "bad_transfer_coding"),
        (b"Transfer-Encoding: chunked\xc2\xa0", "bad_transfer_coding"),
        (b"Content-Length: \xa05", "bad_content_length"),
        (b"Content-Length: 5\xc2\x85", "bad_content_length"),
        (b"Connection: \xa0close", "bad_connection_option"),
    ];
    let refused = refused.map(|(field, reason)| Row::refused(get(field), 400, reason));
    let host = Row::refused(b"GET / HTTP/1.1\r\nHost: \xa0a\r\n\r\n", 400, "bad_host");
    let kept = Row::forwarded(get(b"X: \t\xa0y\x85 \t")).and("it is as it was", |seen| {
        let field = b"\r\nX: \xa0y\x85\r\n";
        seen.requests[0].raw.windows(field.len()).any(|bytes| bytes == field)
    });
    judge(refused.into_iter().chain([host, kept])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c16_many_tiny_fields() {
    // RFC 9110 §17.5: 100 with `Host`, whatever their size
    let fields = |count: usize| get("X: y\r\n".repeat(count - 1) + "X: y");
    let all = Row::forwarded(fields(99))
        .and("all of them are there", |seen| seen.values("x").len() == 99);
    let many = [100, 1001, 5_000].map(|count| Row::refused(fields(count), 431, "too_many_fields"));
    let large = Row::refused(fields(20_000), 431, "too_many_fields");
    judge(many.into_iter().chain([all, large])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c19_garbage_behind_a_request() {
    // RFC 9112 §9.6: the first response whole, then the refusal, then an orderly close
    let request = "GET /bytes/5000 HTTP/1.1\r\nHost: a\r\n\r\n";
    let behind = |garbage: &[u8], reason| {
        let mut row = Row::refused([request.as_bytes(), garbage].concat(), 200, reason)
            .and("the first is whole", |seen| seen.answers[0].body.len() == 5000);
        (row.reach, row.then) = (1, Some(vec![400]));
        row
    };
    judge([
        behind(b"garbage\r\n\r\n", "bad_request_line"),
        behind(b"\0\x01\x02", "bad_request_line"),
        behind(b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "bad_field_name"),
        behind(b"GET / HTTP/1.1\r\n\r\n", "bad_host"),
        behind(&[b'@'; 100_000], "bad_request_line"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c20_line_ends_in_what_is_echoed() {
    // RFC 9112 §11.1
    let setting = Setting {
        routes: [
            "  - { match: { path: /moved }, redirect: \"http://${host}${path}${query}\" }\n",
            "  - { match: { path: /rest }, redirect: \"http://b${path.rest}${query}\" }\n",
        ]
        .concat(),
        ..Setting::default()
    };
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let moved = |target: &str, location: &'static str| {
        Row::new(request(target), 308).and(format!("it leads to {location}"), move |seen| {
            let head = &seen.answers[0].head;
            head.field("location") == Some(location) && head.field("x").is_none()
        })
    };
    let echoed = [
        moved("/moved/a?%0d%0aX:%20y", "http://a/moved/a?%0d%0aX:%20y"),
        moved("/moved/%C3%A4?q=%0D", "http://a/moved/%C3%A4?q=%0D"),
        moved("/rest/%41?%0a", "http://b/A?%0a"),
    ];
    let refused = ["/moved/%0d%0aX:y", "/moved/%0a", "/rest%0dX", "/x%0d%0aX:%20y", "/%00"];
    let refused =
        refused.map(|target| Row::refused(request(target), 400, "control_character_in_path"));
    let raw = ["/moved?\x7f", "/moved?\x0b"];
    let raw = raw.map(|target| Row::refused(request(target), 400, "bad_request_line"));
    let passed = Row::forwarded(request("/x?%0d%0aX:%20y"))
        .and("it stays escaped", |seen| seen.line() == "GET /x?%0d%0aX:%20y HTTP/1.1")
        .and("it is no field", |seen| seen.values("x").is_empty());
    judge_with(&setting, echoed.into_iter().chain(refused).chain(raw).chain([passed])).await;
}

#[test]
fn c20_line_ends_in_what_a_configuration_says() {
    // A configuration may be made from what others wrote: it cannot add lines to a message either
    let config = |listener: &str, route: &str, pool: &str, policy: &str| {
        format!(
            "listeners: {{ web: {{ bind: \"127.0.0.1:0\", {listener} }} }}\nroutes:\n  - {{ {route} }}\npools: {{ app: {{ servers: [\"127.0.0.1:1\"], {pool} }} }}\npolicies: {{ edit: {{ fields: {policy} }} }}\n"
        )
    };
    for bad in ["\\r\\nX: y", "\\n", "\\r", "\\0", "\\x7f"] {
        let places = [
            ("identity: { via: \"aHERE\" }", "to: app", "", "{ request: { remove: x } }"),
            ("", "redirect: \"http://a/HERE\"", "", "{ request: { remove: x } }"),
            ("", "respond: { content_type: \"a/bHERE\" }", "", "{ request: { remove: x } }"),
            ("", "to: app", "host: \"aHERE\"", "{ request: { remove: x } }"),
            ("", "to: app", "", "{ request: { set: { x: \"aHERE\" } } }"),
            ("", "to: app", "", "{ request: { add: { \"aHERE\": b } } }"),
            ("", "to: app", "", "{ response: { add: { x: \"aHERE\" } } }"),
            ("", "to: app", "", "{ response: { set: { \"aHERE\": b } } }"),
        ];
        for (listener, route, pool, policy) in places {
            let text = config(listener, route, pool, policy);
            let (code, said) = check(&text.replace("HERE", ""));
            assert_eq!(code, Some(0), "{text} {said}");
            let (code, said) = check(&text.replace("HERE", bad));
            assert_eq!(code, Some(78), "{bad} in {text} {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c21_cookies() {
    // RFC 6265 §5.4; CVE-2022-0711: no loop, and nothing that grows with the square
    let setting = Setting {
        listener: ", limits: { head: 128KiB }",
        routes: "  - { match: { cookie: { who: me } }, respond: { status: 403, body: found } }\n"
            .into(),
        ..Setting::default()
    };
    let kept = |cookie: String| {
        Row::forwarded(get(format!("Cookie: {cookie}")))
            .and("it is as it was", move |seen| seen.has("cookie", &cookie))
    };
    let odd = [";a", "=", ";", ";;;=;=", "a", "=who", "who", "xwho=me", "a=who=me"];
    let odd = odd.map(|cookie| kept(cookie.into()));
    let many = kept("a=b; ".repeat(10_000) + "c=d");
    let found = ["who=me", "who =me", ";;=; who=me", "a=b;who=me;c"].map(str::to_owned).into_iter();
    let found = found.chain(["a=b; ".repeat(10_000) + "who=me"]);
    let found = found.map(|cookie| Row::new(get(format!("Cookie: {cookie}")), 403));
    judge_with(&setting, odd.into_iter().chain([many]).chain(found)).await;
}

#[test]
fn c21_a_response_with_many_set_cookie2() {
    for (count, status) in [(1, 200), (100, 200), (10_000, 502)] {
        let fields = "Set-Cookie2: a=b\r\n".repeat(count);
        let backend =
            Backend::replying(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
        let mut proxy = Proxy::start(&simple(&[&backend]));
        let response = proxy.get("/");
        assert_eq!(response.status, status, "{count} of them");
        let kept = if status == 200 { count } else { 0 };
        assert_eq!(response.fields("set-cookie2").len(), kept);
        assert!(proxy.is_running());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c22_lists_of_commas() {
    // RFC 9110 §5.6.1.2
    let commas = ",".repeat(40);
    let kept = ["Accept-Encoding", "Accept", "Via", "X-List", "Cache-Control"].map(|name| {
        let value = commas.clone();
        Row::forwarded(get(format!("{name}: {value}")))
            .and("it is as it was", move |seen| seen.has(name, &value))
    });
    let few = Row::forwarded(get("Connection: ,,,keep-alive,,,"));
    let many = Row::refused(get(format!("Connection: {commas}")), 400, "bad_connection_option");
    let ours = ["TE", "Upgrade", "X-Forwarded-For"].map(|name| {
        let value = commas.clone();
        Row::forwarded(get(format!("{name}: {value}")))
            .and("it is not passed on", move |seen| !seen.has(name, &value))
    });
    judge(kept.into_iter().chain(ours).chain([few, many])).await;
}
