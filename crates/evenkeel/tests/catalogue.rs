//! Past attacks and mishaps of servers through the canary oracle: whatever a server does, another
//! client's next request over the same connections gets its own answer.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use evenkeel_tools::faultd::{Faultd, Options};
use evenkeel_tools::load::{Load, run};
use evenkeel_tools::oracle::{Case, Oracle};
use support::Proxy;

async fn behind(options: Options, pool: &str) -> (Faultd, Proxy) {
    let backend = Faultd::start("127.0.0.1:0".parse().unwrap(), options).await.unwrap();
    let config = format!(
        "listeners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app:\n    servers: [\"{}\"]\n{pool}",
        backend.address
    );
    let proxy = tokio::task::spawn_blocking(move || Proxy::start(&config)).await.unwrap();
    (backend, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_servers_touch_nobody_else() {
    let (backend, proxy) = behind(Options::default(), "").await;
    let oracle = Oracle { proxy: proxy.addresses[0], backend };
    let mut wrong = Vec::new();
    for (path, statuses) in [
        ("/two-lengths", &[502_u16][..]),
        ("/length-and-chunks", &[502]),
        ("/bad-status", &[502]),
        ("/bad-field", &[502]),
        ("/garbage", &[502]),
        ("/extra", &[200]),
        ("/truncate/100/50", &[200]),
        ("/early/413", &[413]),
        ("/hints/3/echo", &[103]),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
        );
        let case = Case { name: path, bytes: request.as_bytes(), statuses, reach: 1 };
        wrong.extend(oracle.judge(&case).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stray_502_while_the_backend_closes_idle_connections() {
    // The long form is `make no-stray-502`: 200,000 requests.
    let options = Options { idle_close: Some((0, 3_000)), ..Options::default() };
    let (backend, proxy) = behind(options, "").await;
    let outcome = run(Load {
        address: proxy.addresses[0],
        host: "test".into(),
        target: "/echo".into(),
        method: "GET".into(),
        body: 0,
        connections: 16,
        rate: 3_000.0,
        requests: 6_000,
        duration: std::time::Duration::from_secs(30),
        close: false,
        timeout: std::time::Duration::from_secs(10),
        check_id: true,
    })
    .await;
    assert_eq!((outcome.ok(), outcome.failed()), (6_000, 0), "{:?}", outcome.classes);
    assert!(backend.connections() > 100, "the backend closed {} times", backend.connections());
    assert!(backend.by_id().values().all(|times| *times == 1), "a request was executed twice");
}
