//! What goes wrong while one exchange is served stays there. Needs the feature `fault-injection`:
//! `cargo nextest run -p evenkeel --features fault-injection --test isolation`.
#![cfg(feature = "fault-injection")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::time::Duration;

use support::{Backend, Proxy, with_pool};

const PANIC: &str = "GET /lost HTTP/1.1\r\nHost: a\r\nX-Evenkeel-Fault: panic\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_panic_fails_its_own_exchange_and_no_other() {
    let backend = Backend::named("b");
    let config = with_pool(&[&backend], "    breaker: { in_flight: 4 }\n");
    let mut proxy = Proxy::start(&config.replace("listeners:", "workers: 1\nlisteners:"));
    let mut bystanders: Vec<_> = (0..4).map(|_| proxy.connect()).collect();
    for _ in 0..50 {
        let mut client = proxy.connect();
        client.send(PANIC);
        let response = client.response();
        assert_eq!((response.status, response.reason()), (500, "internal_error"));
        assert!(client.is_closed());
        for bystander in &mut bystanders {
            bystander.send(GET);
            assert_eq!(bystander.response().status, 200);
        }
    }
    assert!(proxy.is_running());
    assert_eq!(backend.count(), 200);
    let told = || -> Vec<String> {
        let is_told = |line: &String| line.contains("an exchange was lost");
        proxy.log().into_iter().filter(is_told).collect()
    };
    support::wait_for("each to be told of", || told().len() == 50);
    let names_it = |line: &String| line.contains("request_id=") && line.contains("asked to");
    assert!(told().iter().all(names_it), "{:?}", told());
    // No connection is left behind: the process ends as soon as it is asked to.
    drop(bystanders);
    proxy.signal("-TERM");
    assert!(proxy.wait().success());
}

#[test]
fn a_worker_that_spins_delays_and_loses_nothing() {
    let backend = Backend::named("b");
    let config = with_pool(&[&backend], "");
    let proxy = Proxy::start(&config.replace("listeners:", "workers: 1\nlisteners:"));
    let mut spinner = proxy.connect();
    spinner.send("GET / HTTP/1.1\r\nHost: a\r\nX-Evenkeel-Fault: spin=300\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(spinner.response().status, 200);
}
