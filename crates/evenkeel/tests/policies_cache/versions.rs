//! The same over every version of HTTP, and to clients that want it in their own way.

use std::process::Command;

use crate::stage::{Stage, config};
use crate::support::{Backend, Proxy};

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn http_1_0_and_pipelined_requests_are_answered_from_it_in_order() {
    let backend = Backend::replying(ANSWER);
    let proxy = Proxy::start(&config(&[&backend], ""));
    let old = "GET /x HTTP/1.0\r\nHost: test\r\n\r\n";
    for _ in 0..2 {
        let mut client = proxy.connect();
        client.send(old);
        let answer = client.response();
        assert_eq!(answer.text(), "hello");
        assert!(client.is_closed());
    }
    let mut client = proxy.connect();
    let one = "GET /x HTTP/1.1\r\nHost: test\r\n\r\n";
    let known = "GET /x HTTP/1.1\r\nHost: test\r\nIf-None-Match: \"a\"\r\n\r\n";
    let part = "GET /x HTTP/1.1\r\nHost: test\r\nRange: bytes=1-2\r\n\r\n";
    client.send([one, known, part, one].concat());
    let all: Vec<_> = (0..4).map(|_| client.response()).collect();
    let seen: Vec<_> = all.iter().map(|answer| (answer.status, answer.text())).collect();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        seen,
        [(200, text("hello")), (304, text("")), (206, text("el")), (200, text("hello"))]
    );
    assert_eq!(backend.count(), 1);
}

#[test]
fn http_2_and_http_1_share_what_is_kept() {
    let backend = Backend::replying(ANSWER);
    let proxy = Proxy::start(&config(&[&backend], ""));
    let url = format!("http://{}/x", proxy.addresses[0]);
    for (version, number) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1")] {
        for _ in 0..2 {
            let write = "%{http_version} %{http_code} %{size_download}";
            let arguments = ["-s", version, "-o", "/dev/null", "-w", write, &url];
            let Ok(output) = Command::new("curl").args(arguments).output() else { return };
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(printed, format!("{number} 200 5"));
        }
    }
    assert_eq!(backend.count(), 1);
}

#[cfg(feature = "http3")]
#[test]
fn http_3_is_answered_from_it_too() {
    use crate::quic::{Raw, Site, run};
    use crate::support::with_listener;
    let backend = Backend::replying(ANSWER);
    let site = Site::new();
    let config = with_listener(&[&backend], &site.listener())
        .replace("- to: app", "- { to: app, policies: [store] }");
    let proxy = Proxy::start(&format!("{config}policies:\n  store: {{ cache: {{}} }}\n"));
    run(async {
        let client = Raw::dial(&site, proxy.addresses[0]).await;
        for _ in 0..3 {
            let answer = client.get("/x").await.unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
        }
    });
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_large_answer_leaves_whole_and_in_parts_to_a_client_that_takes_its_time() {
    let stage = Stage::new("", &[]);
    let body: String = (0..400_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    stage.say(200, &["Cache-Control: max-age=60"], &body);
    for _ in 0..3 {
        assert_eq!(stage.get("/x", &[]).text(), body);
    }
    let part = stage.get("/x", &["Range: bytes=100000-299999"]);
    assert_eq!(part.text(), body[100_000..300_000]);
    assert_eq!(stage.backend.count(), 1);
}
