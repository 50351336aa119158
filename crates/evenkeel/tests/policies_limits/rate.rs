//! `rate_limit`.

use std::time::{Duration, Instant};

use crate::support::{self, Backend, Client, Proxy, simple};
use crate::{Stage, WAYS, Way, together};

#[test]
fn a_client_has_one_limit_whatever_it_speaks_and_is_told_when_to_come_again() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, "{ rate_limit: { rate: 3/h } }");
    for (way, left) in WAYS.into_iter().zip([2, 1, 0]) {
        let answer = stage.get(way);
        assert_eq!((answer.status, &answer.body[..]), (200, &b"app"[..]), "{way:?}");
        // draft-ietf-httpapi-ratelimit-headers-10 §3, §4
        assert_eq!(answer.field("ratelimit-policy"), "\"limit\";q=3;w=3600");
        let told = answer.field("ratelimit");
        assert!(told.starts_with(&format!("\"limit\";r={left};t=")), "{told}");
    }
    for way in WAYS {
        let answer = stage.get(way);
        assert_eq!((answer.status, answer.field("x-evenkeel-reason")), (429, "rate_limited"));
        // RFC 6585 §4, RFC 9110 §10.2.3
        let after: u64 = answer.field("retry-after").parse().unwrap();
        assert!((1..=1200).contains(&after), "{after}");
        assert!(answer.field("ratelimit").starts_with("\"limit\";r=0;t="));
    }
    assert_eq!(backend.count(), 3, "no server has seen what was refused");
}

#[test]
fn the_rate_comes_back_with_time() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, "{ rate_limit: { rate: 5/s, burst: 1 } }");
    let begun = Instant::now();
    assert_eq!(stage.get(Way::H1).status, 200);
    support::wait_for("the next one to pass", || stage.get(Way::H1).status == 200);
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
}

#[test]
fn windows_count_too() {
    for algorithm in ["fixed_window", "sliding_window"] {
        let backend = Backend::named("app");
        let policy = format!("{{ rate_limit: {{ rate: 2/h, algorithm: {algorithm} }} }}");
        let stage = Stage::new(&backend, &policy);
        let statuses = WAYS.map(|way| stage.get(way).status);
        assert_eq!(statuses, [200, 200, 429], "{algorithm}");
    }
}

#[test]
fn a_key_is_made_of_what_it_is_configured_of() {
    let backend = Backend::named("app");
    let policy =
        "{ rate_limit: { rate: 1/h, key: [{ header: X-Key }, { cookie: c }, { query: q }] } }";
    let stage = Stage::new(&backend, policy);
    let ask = |key: &str, cookie: &str, query: &str| {
        let cookie = format!("a=b; c={cookie}");
        stage.ask(Way::H1, &format!("/?q={query}"), &[("x-key", key), ("cookie", &cookie)]).status
    };
    assert_eq!(ask("k", "c", "q"), 200);
    assert_eq!(ask("k", "c", "q"), 429);
    assert_eq!([ask("l", "c", "q"), ask("k", "d", "q"), ask("k", "c", "r")], [200; 3]);
    assert_eq!(ask("k", "c", "%71"), 429, "another spelling is no other value");
    assert_eq!([stage.get(Way::H1).status, stage.get(Way::H2).status], [200, 429], "they share");
}

#[test]
fn who_lacks_the_key_may_be_left_alone() {
    let backend = Backend::named("app");
    let policy = "{ rate_limit: { rate: 1/h, key: { header: x-key }, missing: skip } }";
    let stage = Stage::new(&backend, policy);
    assert_eq!(WAYS.map(|way| stage.get(way).status), [200; 3]);
    let keyed = |way| stage.ask(way, "/", &[("x-key", "a")]).status;
    assert_eq!(WAYS.map(keyed), [200, 429, 429]);
}

#[test]
fn networks_may_be_left_alone() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, "{ rate_limit: { rate: 1/h, allow: [127.0.0.0/8] } }");
    let answers = WAYS.map(|way| stage.get(way));
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200; 3]);
    assert_eq!(answers[0].field("ratelimit"), "");
}

#[test]
fn a_dry_run_refuses_nobody_and_logs_whom_it_would() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, "{ rate_limit: { rate: 1/h, dry_run: true } }");
    for way in WAYS {
        let answer = stage.get(way);
        assert_eq!((answer.status, answer.field("ratelimit")), (200, ""), "{way:?}");
    }
    support::wait_for("a line about it", || {
        stage.proxy.log().iter().any(|line| line.contains("dry run") && line.contains("limit"))
    });
}

#[test]
fn each_of_several_limits_counts_and_is_told_of() {
    let backend = Backend::named("app");
    let policies = "  each: { rate_limit: { rate: 2/h } }\n  all: { rate_limit: { rate: 10/h, key: global } }\n";
    let stage = Stage::with(&backend, policies, "each, all");
    let mut client = Client::connect(stage.plain());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = client.response();
    assert_eq!(response.fields("ratelimit-policy"), ["\"each\";q=2;w=3600", "\"all\";q=10;w=3600"]);
    assert_eq!([stage.get(Way::H2).status, stage.get(Way::H3).status], [200, 429]);
}

#[test]
fn a_reload_that_changes_nothing_about_a_limit_forgets_nothing_and_another_rate_goes_on() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, "{ rate_limit: { rate: 2/h } }");
    assert_eq!(WAYS.map(|way| stage.get(way).status), [200, 200, 429]);
    let config = std::fs::read_to_string(stage.proxy.file()).unwrap();
    stage.proxy.reload(&format!("watch: false\n{config}"));
    assert_eq!(stage.get(Way::H1).status, 429);
    stage.reload(&backend, "{ rate_limit: { rate: 2/h, burst: 3 } }");
    assert_eq!(WAYS.map(|way| stage.get(way).status), [200, 429, 429], "one more than before");
}

#[test]
fn all_workers_together_let_no_more_pass_than_the_rate_and_the_burst() {
    let backend = Backend::named("app");
    let config = format!(
        "workers: 4\n{}policies:\n  limit: {{ rate_limit: {{ rate: 100/s, burst: 50 }} }}\n",
        simple(&[&backend]).replace("- to: app", "- { to: app, policies: limit }"),
    );
    let proxy = Proxy::start(&config);
    let address = proxy.addresses[0];
    let begun = Instant::now();
    let passed = together((0..16).map(|_| async move {
        tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(address);
            let statuses = (0..100).map(|_| {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client.response().status
            });
            statuses.filter(|status| *status == 200).count()
        })
        .await
        .unwrap()
    }));
    let most = 50.0 + 100.0 * begun.elapsed().as_secs_f64();
    let passed: usize = passed.iter().sum();
    assert!((50..=most as usize).contains(&passed), "{passed} of {most}");
}

#[test]
fn a_call_of_grpc_that_is_refused_is_told_so() {
    let backend = Backend::named("app");
    let stage = Stage::new(&backend, "{ rate_limit: { rate: 1/h } }");
    let call =
        || stage.ask(Way::H2, "/s/m", &[("content-type", "application/grpc"), ("te", "trailers")]);
    call();
    let refused = call();
    assert_eq!((refused.status, refused.field("grpc-status")), (200, "14"));
    assert_eq!(refused.field("grpc-message"), "rate_limited");
}
