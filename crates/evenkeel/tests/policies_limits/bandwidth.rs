//! `bandwidth_limit`.

use std::time::{Duration, Instant};

use crate::support::{Backend, Client, Then, reply};
use crate::{Stage, WAYS, together};

const SIZE: usize = 300 << 10;

fn large() -> Backend {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    Backend::replying([head.into_bytes(), vec![b'x'; SIZE]].concat())
}

#[test]
fn a_response_is_no_faster_than_its_rate() {
    let backend = large();
    let policy = "{ bandwidth_limit: { download: 200KiB/s, burst: 100KiB } }";
    let stage = Stage::new(&backend, policy);
    for way in WAYS {
        let begun = Instant::now();
        let answer = stage.get(way);
        assert_eq!((answer.status, answer.body.len()), (200, SIZE), "{way:?}");
        assert!(begun.elapsed() >= Duration::from_millis(900), "{way:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_request_body_is_no_faster_than_its_rate_and_its_client_is_not_blamed() {
    let backend = Backend::start(|request, stream| {
        reply(
            stream,
            format!(
                "HTTP/1.1 200 OK\r\nX-Got: {}\r\nContent-Length: 0\r\n\r\n",
                request.body.len()
            ),
        );
        Then::Keep
    });
    let policy = "{ bandwidth_limit: { upload: 200KiB/s, burst: 100KiB } }";
    let stage = Stage::new(&backend, policy);
    let begun = Instant::now();
    let mut client = Client::connect(stage.plain());
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    client.send(vec![b'x'; SIZE]);
    let response = client.response();
    assert_eq!((response.status, response.field("x-got")), (200, Some(&*SIZE.to_string())));
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn requests_of_one_key_share_its_rate() {
    let backend = large();
    let policy = "{ bandwidth_limit: { download: 600KiB/s, burst: 100KiB, key: client_ip } }";
    let stage = Stage::new(&backend, policy);
    let address = stage.plain();
    let begun = Instant::now();
    together((0..3).map(|_| async move {
        tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(address);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response().body.len(), SIZE);
        })
        .await
        .unwrap();
    }));
    assert!(begun.elapsed() >= Duration::from_millis(1200), "{:?}", begun.elapsed());
}
