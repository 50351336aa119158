//! The process as an operator meets it: what signals do, what the logs hold, how it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_types, reason = "test code outside the workers")]

mod support;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use support::{Backend, Directory, Proxy, Then, reply, simple, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A backend that answers when told to.
fn patient() -> (Backend, std::sync::mpsc::Sender<()>) {
    let (release, released) = channel();
    let released: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(released));
    let backend = Backend::start(move |_, stream| {
        released.lock().unwrap().recv().unwrap();
        reply(stream, OK);
        Then::Keep
    });
    (backend, release)
}

fn says(proxy: &Proxy, words: &str) -> bool {
    proxy.log().iter().any(|line| line.contains(words))
}

#[test]
fn sigterm_finishes_what_is_in_progress_and_takes_nothing_new() {
    let (backend, release) = patient();
    let mut proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request to arrive", || backend.count() == 1);
    proxy.signal("-TERM");
    wait_for("the drain to begin", || says(&proxy, "draining"));
    wait_for("the listener to close", || std::net::TcpStream::connect(proxy.addresses[0]).is_err());
    release.send(()).unwrap();
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert_eq!(response.field("connection"), Some("close"), "RFC 9112 §9.6");
    assert!(client.is_closed());
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(says(&proxy, "ended"));
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let backend = Backend::replying(OK);
    let mut proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().status, 200);
    proxy.signal("-INT");
    assert!(client.is_closed());
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn the_drain_has_a_deadline() {
    let (backend, _release) = patient();
    let config = simple(&[&backend]) + "shutdown: { drain: 300ms, drain_tunnels: 300ms }\n";
    let mut proxy = Proxy::start(&config);
    let mut client = proxy.connect();
    client.send("GET /never HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request to arrive", || backend.count() == 1);
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (backend, _release) = patient();
    let mut proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    client.send("GET /never HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request to arrive", || backend.count() == 1);
    proxy.signal("-TERM");
    wait_for("the drain to begin", || says(&proxy, "draining"));
    assert!(proxy.is_running());
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(says(&proxy, "second signal"));
}

#[test]
fn sighup_is_told_of_and_changes_nothing() {
    let backend = Backend::replying(OK);
    let proxy = Proxy::start(&simple(&[&backend]));
    proxy.signal("-HUP");
    wait_for("a warning", || says(&proxy, "SIGHUP"));
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn sigusr1_opens_log_files_again() {
    let backend = Backend::replying(OK);
    let directory = Directory::new();
    let (path, moved) = (directory.0.join("access.log"), directory.0.join("access.log.1"));
    let config = simple(&[&backend])
        .replace("listeners:\n  web:\n", "listeners:\n  web:\n    policies: [log]\n")
        + &format!("policies:\n  log: {{ access_log: {{ to: {} }} }}\n", path.display());
    let proxy = Proxy::start(&config);
    let holds = |file: &std::path::Path, words: &str| {
        std::fs::read_to_string(file).is_ok_and(|text| text.contains(words))
    };
    assert_eq!(proxy.get("/before").status, 200);
    wait_for("the first line", || holds(&path, "/before"));
    std::fs::rename(&path, &moved).unwrap();
    proxy.signal("-USR1");
    wait_for("a new file", || path.exists());
    assert_eq!(proxy.get("/after").status, 200);
    wait_for("the second line", || holds(&path, "/after"));
    assert!(!holds(&moved, "/after") && !holds(&path, "/before"));
}

#[test]
fn lines_of_the_last_moment_are_written() {
    let backend = Backend::replying(OK);
    let mut proxy = Proxy::start_with(&simple(&[&backend]), &["--access-log=json"]);
    for n in 0..50 {
        assert_eq!(proxy.get(&format!("/{n}")).status, 200);
    }
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    wait_for("every line", || proxy.output().len() >= 50);
    for line in proxy.output() {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["status"], 200, "{line}");
    }
}

#[test]
fn the_process_log_is_json_on_request() {
    let backend = Backend::replying(OK);
    let proxy = Proxy::start_with(&simple(&[&backend]), &["--log-format", "json"]);
    wait_for("it to serve", || says(&proxy, "serving"));
    for line in proxy.log() {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[test]
fn workers_are_as_many_as_asked_for_and_share_a_port() {
    let backend = Backend::replying(OK);
    let proxy = Proxy::start_with(&simple(&[&backend]), &["--workers", "3"]);
    wait_for("it to serve", || says(&proxy, "workers=3"));
    assert_eq!(proxy.addresses.len(), 1, "{:?}", proxy.addresses);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
}
