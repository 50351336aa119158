//! gRPC: every kind of call with a real client and real servers (Python's grpcio), and what is made of
//! failures, deadlines and statuses. Without grpcio the tests that need it say so and do nothing;
//! `make test` gets it where it can (`EVENKEEL_GRPC_PYTHON`).
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};
use support::h2::{Asked, H2Backend, Manner, give};
use support::{Proxy, wait_for};

fn config(servers: &[SocketAddr], pool: &str) -> String {
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    format!(
        "workers: 1\nlisteners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app:\n    protocol: h2\n    balance: round_robin\n    servers: [{}]\n{pool}",
        servers.join(", ")
    )
}

/// An interpreter that has grpcio, if there is one.
fn python() -> Option<String> {
    let python = std::env::var("EVENKEEL_GRPC_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", "import grpc, grpc_health.v1.health"]).output();
    if found.is_ok_and(|found| found.status.success()) {
        return Some(python);
    }
    eprintln!(
        "SKIPPED: `{python}` has no grpcio and grpcio-health-checking; set EVENKEEL_GRPC_PYTHON"
    );
    None
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpc").join(name)
}

/// A server of Python's.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(python: &str, name: &str) -> Self {
        let mut child = Command::new(python)
            .arg(script("server.py"))
            .arg(name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = format!("127.0.0.1:{}", line.trim()).parse().unwrap();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the client's part of this name prints, after it has succeeded.
fn client(python: &str, part: &str, proxy: &Proxy) -> String {
    let address = proxy.addresses[0].to_string();
    let run =
        Command::new(python).arg(script("client.py")).args([part, &address]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{part}: {said}");
    String::from_utf8_lossy(&run.stdout).trim().to_owned()
}

/// One part of the client against one server.
fn through(part: &str) {
    let Some(python) = python() else { return };
    let server = Server::start(&python, "one");
    let proxy = Proxy::start(&config(&[server.address], ""));
    assert_eq!(client(&python, part, &proxy), "");
    assert!(!proxy.log().iter().any(|line| line.contains("server failed")));
}

#[test]
fn calls_of_every_kind_pass_with_their_metadata() {
    through("all_kinds");
}

#[test]
fn both_directions_of_a_call_flow_at_the_same_time() {
    through("talk");
}

#[test]
fn statuses_of_servers_and_deadlines_of_clients_arrive() {
    through("errors");
}

#[test]
fn the_health_service_of_a_server_can_be_asked() {
    through("health");
}

#[test]
fn calls_of_one_connection_are_shared_out_evenly_among_servers() {
    let Some(python) = python() else { return };
    let servers = ["a", "b", "c"].map(|name| Server::start(&python, name));
    let proxy = Proxy::start(&config(&[0, 1, 2].map(|at| servers[at].address), ""));
    assert_eq!(client(&python, "shares", &proxy), "a=100 b=100 c=100");
}

#[test]
fn a_failure_of_ours_is_a_status_of_grpc() {
    let Some(python) = python() else { return };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(&config(&[nobody], ""));
    assert_eq!(client(&python, "unavailable", &proxy), "UNAVAILABLE connect_refused");
}

fn call(fields: &str) -> String {
    format!(
        "POST /test.Test/Unary HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nContent-Type: application/grpc\r\n{fields}Content-Length: 5\r\n\r\n\0\0\0\0\0"
    )
}

/// Never answers.
fn silent() -> H2Backend {
    H2Backend::start(Manner::default(), |asked: Asked| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(asked);
    })
}

#[test]
fn a_calls_deadline_ends_it_and_blames_no_server() {
    let backend = silent();
    let proxy = Proxy::start(&config(&[backend.address], ""));
    let begun = Instant::now();
    let response = proxy.ask(call("grpc-timeout: 300m\r\n"));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((response.status, response.field("grpc-status")), (200, Some("4")));
    assert_eq!(response.field("content-type"), Some("application/grpc"));
    assert_eq!((response.reason(), response.body.len()), ("deadline_exceeded", 0));
    assert!(!proxy.log().iter().any(|line| line.contains("server failed")));
}

#[test]
fn a_pools_timeout_ends_a_call_before_a_longer_deadline() {
    let backend = silent();
    let proxy = Proxy::start(&config(&[backend.address], "    timeouts: { first_byte: 200ms }\n"));
    let response = proxy.ask(call("grpc-timeout: 1H\r\n"));
    assert_eq!((response.status, response.field("grpc-status")), (200, Some("4")));
    assert_eq!(response.reason(), "response_timeout");
}

#[test]
fn what_is_no_call_gets_an_ordinary_answer() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(&config(&[nobody], ""));
    let response = proxy.ask(call("").replace("application/grpc", "application/grpc-web"));
    assert_eq!((response.status, response.field("grpc-status")), (502, None));
    let response = proxy.ask(call(""));
    assert_eq!((response.status, response.field("grpc-status")), (200, Some("14")));
}

#[test]
fn a_server_that_says_unavailable_is_ejected_like_one_that_answers_503() {
    // A response of trailers alone: its head has the status, and ends the stream.
    let ill = H2Backend::start(Manner::default(), |mut asked| async move {
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "14")
            .body(())
            .unwrap();
        let _ = asked.respond.send_response(response, true);
    });
    let well = H2Backend::start(Manner::default(), |mut asked| async move {
        let response = Response::builder().header("content-type", "application/grpc");
        let Ok(mut stream) = asked.respond.send_response(response.body(()).unwrap(), false) else {
            return;
        };
        give(&mut stream, Bytes::from_static(b"\0\0\0\0\0"), false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _ = stream.send_trailers(trailers);
    });
    let proxy = Proxy::start(&config(&[ill.address, well.address], ""));
    let mut said = Vec::new();
    wait_for("the server to be ejected", || {
        let response = proxy.ask(call(""));
        assert_eq!(response.status, 200);
        said.push(response.field("grpc-status").map(str::to_owned));
        said.len() >= 20 && said[said.len() - 10..].iter().all(Option::is_none)
    });
    assert!(said.contains(&Some("14".to_owned())), "passed on as it is: {said:?}");
}

#[test]
fn a_stream_may_be_silent_for_longer_than_an_ordinary_response() {
    let backend = H2Backend::start(Manner::default(), |mut asked| async move {
        let response = Response::builder().header("content-type", "application/grpc");
        let mut stream = asked.respond.send_response(response.body(()).unwrap(), false).unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        give(&mut stream, Bytes::from_static(b"\0\0\0\0\0"), true).await;
    });
    let proxy = Proxy::start(&config(&[backend.address], "    timeouts: { idle: 300ms }\n"));
    let response = proxy.ask(call(""));
    assert_eq!((response.body.len(), response.complete), (5, true));
    let response = proxy.ask(call("").replace("application/grpc", "text/plain"));
    assert!(!response.complete, "an ordinary one may not");
}
