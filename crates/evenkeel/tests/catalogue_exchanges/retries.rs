//! G14, G15 and G19: a request reaches a server once, or again only where that cannot do harm
//! (RFC 9110 §9.2.2, RFC 9112 §9.3.1). That a POST is never executed twice under load is counted in
//! `tests/upstream.rs`.

use std::time::Duration;

use evenkeel_tools::faultd::{Faultd, Options};
use evenkeel_tools::load::{Load, run};

use crate::support::{Backend, Proxy, Then, reply, wait_for, with_pool};

/// The first server breaks off before a byte of the answer, after it has read this much of the
/// request's body; the second answers.
fn broken_and_whole(read: usize) -> (Backend, Backend, Proxy) {
    let broken = Backend::on_head(move |_, stream| {
        // What came with the head is not in the stream any more: do not wait for it.
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut some = vec![0; read];
        let _ = std::io::Read::read_exact(stream, &mut some);
        Then::Reset
    });
    let whole = Backend::named("whole");
    let pool = "    balance: round_robin\n    retry: { attempts: 2 }\n";
    let config = format!("workers: 1\n{}", with_pool(&[&broken, &whole], pool));
    let proxy = Proxy::start(&config);
    (broken, whole, proxy)
}

#[test]
fn g14_what_may_have_been_acted_on_is_not_sent_again() {
    // RFC 9110 §9.2.2
    for (method, is_repeated) in
        [("POST", false), ("PATCH", false), ("LOCK", false), ("PUT", true), ("DELETE", true)]
    {
        let (broken, whole, proxy) = broken_and_whole(2);
        let mut failed = 0;
        for _ in 0..2 {
            let response = proxy.ask(format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
            ));
            failed += usize::from(response.status == 502);
        }
        // The broken server is met by one of two requests at least.
        let (met, answered) = (broken.count(), whole.count());
        match is_repeated {
            true => assert!(met >= 1 && answered == 2 && failed == 0, "{method}"),
            false => assert_eq!((met, answered, failed), (1, 1, 1), "{method}"),
        }
    }
}

#[test]
fn g15_a_body_that_is_gone_is_not_sent_again_in_part() {
    // All of it or nothing: what was streamed cannot be repeated.
    let sizes = [2, 10_000, 40_000, 200_000, 2_000_000];
    for (size, read) in sizes.into_iter().flat_map(|size| [(size, 40_000), (size, 2_000_000)]) {
        let (broken, whole, proxy) = broken_and_whole(read);
        let body: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
        for _ in 0..2 {
            let mut client = proxy.connect();
            let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
            client.try_send([head.as_bytes(), &body].concat());
            let response = client.response();
            assert!(matches!(response.status, 200 | 502), "{size}: {response:?}");
        }
        assert!(broken.count() >= 1, "{size}");
        for received in whole.received() {
            assert!(received.body == body, "{size}: another body");
        }
        let arrived: usize = (0..whole.connections()).map(|n| whole.raw(n).len()).sum();
        let requests: usize = whole.received().iter().map(|received| received.raw.len()).sum();
        assert_eq!(arrived, requests, "{size}: not a byte of a part");
        assert!(size > 10_000 || whole.count() == 2, "{size}: a short one is repeated");
    }
}

#[test]
fn g19_a_request_that_met_an_idle_close_is_repeated_unseen() {
    // RFC 9112 §9.3.1; not a POST that the server may have read.
    for (method, seen, status) in [("GET", 2, 200), ("POST", 1, 502)] {
        let backend = Backend::start(|request, stream| {
            if request.turn == 0 {
                reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                return Then::Keep;
            }
            Then::Reset // as if it had been closing while the request was on its way
        });
        let proxy = Proxy::start(&format!(
            "workers: 1\n{}",
            with_pool(&[&backend], "    retry: { attempts: 0 }\n")
        ));
        assert_eq!(proxy.get("/").status, 200);
        let response = proxy.ask(format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nX-Id: second\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(response.status, status, "{method}");
        let times = backend.received().iter().filter(|r| r.field("x-id").is_some()).count();
        assert_eq!(times, seen, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g19_no_stray_502_while_the_backend_closes_idle_connections() {
    // The long form is `make no-stray-502`: 200,000 requests.
    let options = Options { idle_close: Some((0, 3_000)), ..Options::default() };
    let backend = Faultd::start("127.0.0.1:0".parse().unwrap(), options).await.unwrap();
    let config = format!(
        "listeners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes: [ {{ to: app }} ]\npools: {{ app: {{ servers: [\"{}\"] }} }}\n",
        backend.address
    );
    let proxy = tokio::task::spawn_blocking(move || Proxy::start(&config)).await.unwrap();
    let outcome = run(Load {
        address: proxy.addresses[0],
        host: "test".into(),
        target: "/echo".into(),
        method: "GET".into(),
        body: 0,
        connections: 16,
        rate: 3_000.0,
        requests: 6_000,
        duration: 2 * crate::support::LIMIT,
        close: false,
        timeout: crate::support::LIMIT,
        ..Load::default()
    })
    .await;
    assert_eq!((outcome.ok(), outcome.failed()), (6_000, 0), "{:?}", outcome.classes);
    assert!(backend.connections() > 100, "the backend closed {} times", backend.connections());
    assert!(backend.by_id().values().all(|times| *times == 1), "a request was executed twice");
}

#[test]
fn g19_a_large_upload_that_met_an_idle_close_is_repeated_while_its_body_is_with_the_client() {
    let backend = Backend::on_head(|request, stream| {
        if request.turn > 0 {
            return Then::Reset;
        }
        let length = request.field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        std::io::Read::read_exact(stream, &mut body).unwrap();
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{:7}", body.len()));
        Then::Keep
    });
    let no_retry = with_pool(&[&backend], "    retry: { attempts: 0 }\n");
    let proxy = Proxy::start(&format!("workers: 1\n{no_retry}"));
    assert_eq!(proxy.get("/").status, 200);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    wait_for("the second try", || backend.count() == 3);
    client.send(vec![b'x'; 1_000_000]);
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "1000000"));
}
