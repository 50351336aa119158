//! `rate_limit` with `shared`: against a real server, which the tests start.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::support::{self, Backend};
use crate::{Stage, WAYS, Way};

/// A server of Redis, or of Valkey where that is installed.
struct Store {
    port: u16,
    child: Child,
}

impl Store {
    fn start() -> Self {
        Self::on(free_port(), &[])
    }

    fn on(port: u16, arguments: &[&str]) -> Self {
        let installed = |name: &&str| Command::new(name).arg("--version").output().is_ok();
        let name = ["valkey-server", "redis-server"].into_iter().find(installed);
        let child = Command::new(name.expect("redis-server or valkey-server"))
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = Self { port, child };
        support::wait_for("the server to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        store
    }

    fn policy(&self, rate: &str, more: &str) -> String {
        policy(self.port, rate, more)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nobody listens there, and hardly anybody will within a moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A machine that does much else may take a while to answer.
fn policy(port: u16, rate: &str, more: &str) -> String {
    format!(
        "{{ rate_limit: {{ rate: {rate}, shared: {{ server: \"127.0.0.1:{port}\", timeout: 1s{more} }} }} }}"
    )
}

#[test]
fn two_instances_share_one_limit() {
    let store = Store::start();
    let backend = Backend::named("app");
    let policy = store.policy("7/h", "");
    let stages = [Stage::new(&backend, &policy), Stage::new(&backend, &policy)];
    let mut left = 7;
    for way in WAYS {
        for stage in &stages {
            let answer = stage.get(way);
            left -= 1;
            let told = answer.field("ratelimit");
            assert_eq!(answer.status, 200, "{way:?}");
            assert!(told.starts_with(&format!("\"limit\";r={left};t=")), "{told}");
        }
    }
    assert_eq!(stages[1].get(Way::H1).status, 200);
    for stage in &stages {
        for way in WAYS {
            let answer = stage.get(way);
            let told = (answer.status, answer.field("x-evenkeel-reason"));
            assert_eq!(told, (429, "rate_limited"), "{way:?}");
            let after: u64 = answer.field("retry-after").parse().unwrap();
            assert!((1..=515).contains(&after), "{after}");
        }
    }
    assert_eq!(backend.count(), 7);
}

#[test]
fn a_shared_limit_comes_back_with_time() {
    let store = Store::start();
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, &store.policy("2/s, burst: 1", ""));
    assert_eq!(stage.get(Way::H1).status, 200);
    support::wait_for("the next one to pass", || stage.get(Way::H1).status == 200);
}

#[test]
fn other_keys_are_other_limits_and_nobody_sees_them() {
    let store = Store::start();
    let backend = Backend::named("app");
    let policy = store.policy("1/h, key: { header: x-key }", "");
    let stage = Stage::new(&backend, &policy);
    let ask = |key: &str| stage.ask(Way::H2, "/", &[("x-key", key)]).status;
    assert_eq!([ask("a"), ask("b"), ask("a")], [200, 200, 429]);
}

#[test]
fn without_the_server_each_instance_keeps_the_rate_by_itself() {
    let backend = Backend::named("app");
    let policy = policy(free_port(), "2/h", "");
    let stages = [Stage::new(&backend, &policy), Stage::new(&backend, &policy)];
    for stage in &stages {
        assert_eq!(WAYS.map(|way| stage.get(way).status), [200, 200, 429]);
    }
    support::wait_for("a line about it", || {
        stages[0].proxy.log().iter().any(|line| line.contains("shared limits: the server cannot"))
    });
}

#[test]
fn without_the_server_everybody_may_pass() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, &policy(free_port(), "1/h", ", without: allow"));
    assert_eq!(WAYS.map(|way| stage.get(way).status), [200; 3]);
}

#[test]
fn without_the_server_nobody_may_pass() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, &policy(free_port(), "1/h", ", without: refuse"));
    for way in WAYS {
        let answer = stage.get(way);
        assert_eq!((answer.status, answer.field("x-evenkeel-reason")), (503, "limit_unknown"));
        assert_eq!(answer.field("retry-after"), "1");
    }
}

#[test]
fn a_server_that_comes_back_is_asked_again() {
    let store = Store::start();
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, &store.policy("1/h", ", without: allow"));
    assert_eq!([stage.get(Way::H1).status, stage.get(Way::H1).status], [200, 429]);
    let port = store.port;
    drop(store);
    support::wait_for("the limit to be lifted", || stage.get(Way::H1).status == 200);
    assert_eq!(stage.get(Way::H1).status, 200);
    let _store = Store::on(port, &[]); // it has forgotten everything
    support::wait_for("the limit to hold again", || stage.get(Way::H1).status == 429);
    support::wait_for("a line about it", || {
        stage.proxy.log().iter().any(|line| line.contains("the server is back"))
    });
}

#[test]
fn a_server_may_want_a_password() {
    let store = Store::on(free_port(), &["--requirepass", "open sesame"]);
    let backend = Backend::named("app");
    let right = store.policy("1/h", ", without: refuse, password: open sesame, database: 3");
    let stage = Stage::new(&backend, &right);
    assert_eq!(WAYS.map(|way| stage.get(way).status), [200, 429, 429]);
    let wrong = store.policy("1/h", ", without: refuse, password: sesame");
    assert_eq!(Stage::new(&backend, &wrong).get(Way::H1).status, 503);
}
