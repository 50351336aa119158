//! The access log: a line for each exchange, in JSON and in text, that nothing a client sends can
//! break out of.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use support::{Backend, Proxy, simple};

fn logging(backend: &Backend, settings: &str) -> Proxy {
    let config = simple(&[backend])
        .replace("bind: 127.0.0.1:0\n", "bind: 127.0.0.1:0\n    policies: log\n")
        + &format!("policies: {{ log: {{ access_log: {settings} }} }}\n");
    Proxy::start(&config)
}

#[test]
fn a_json_line_says_what_happened() {
    let backend = Backend::named("only");
    let proxy = logging(&backend, "{}");
    proxy.ask("GET /x/../y?q=\"1\" HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[2Jevil\r\nConnection: close\r\n\r\n".replace('\x1b', ""));
    proxy.ask("NONSENSE\r\n\r\n");
    support::wait_for("both lines", || proxy.output().len() == 2);
    let mut lines: Vec<serde_json::Value> =
        proxy.output().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["status"].as_u64()); // each worker hands over its own
    let line = &lines[0];
    for (name, value) in [
        ("method", "GET"),
        ("path", "/y"),
        ("query", "q=\"1\""),
        ("host", "a"),
        ("client", "127.0.0.1"),
        ("pool", "app"),
        ("listener", "web"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!((line["status"].as_u64(), line["tries"].as_u64()), (Some(200), Some(1)));
    assert_eq!(line["server"], backend.address.to_string());
    assert_eq!(line["request_id"], backend.only().field("x-request-id").unwrap());
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        (lines[1]["status"].as_u64(), lines[1]["reason"].as_str()),
        (Some(400), Some("bad_request_line"))
    );
}

#[test]
fn a_text_line_stays_one_line() {
    // I10
    let backend = Backend::named("only");
    let proxy = logging(&backend, "{ format: text }");
    proxy.ask("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    support::wait_for("the line", || !proxy.output().is_empty());
    let line = &proxy.output()[0];
    assert!(
        line.contains("\"GET a/a\" 200") && line.contains(&backend.address.to_string()),
        "{line}"
    );
}

#[test]
fn failures_are_logged_whatever_the_sample() {
    let backend = Backend::named("only");
    let proxy = logging(&backend, "{ sample: 0 }");
    for _ in 0..10 {
        proxy.get("/");
    }
    proxy.get("/%zz");
    support::wait_for("the line", || !proxy.output().is_empty());
    assert_eq!(proxy.output().len(), 1);
    assert!(proxy.output()[0].contains("bad_path_escape"));
}

#[test]
fn the_process_log_says_which_server_failed_and_how_once_in_a_while() {
    let backend = Backend::start(|_, _| support::Then::Close);
    let proxy = Proxy::start(&format!("workers: 1\n{}", simple(&[&backend])));
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 502);
    }
    support::wait_for("the line", || proxy.log().iter().any(|line| line.contains("server failed")));
    let lines: Vec<String> =
        proxy.log().into_iter().filter(|line| line.contains("server failed")).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for word in
        ["WARN", "pool=app", &format!("server={}", backend.address), "reason=upstream_closed"]
    {
        assert!(lines[0].contains(word), "{word}: {}", lines[0]);
    }
}
