//! Past attacks and mishaps through the canary oracle: whatever one client sends, in whatever
//! pieces, another client's next request over the same connections gets its own answer.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use evenkeel_tools::faultd::{Faultd, Options};
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
async fn smuggling_attempts_touch_nobody_else() {
    let (backend, proxy) = behind(Options::default(), "").await;
    let oracle = Oracle { proxy: proxy.addresses[0], backend };
    let bad = |name, bytes: &'static str, statuses: &'static [u16]| Case {
        name,
        bytes: bytes.as_bytes(),
        statuses,
        reach: 0,
    };
    let cases = [
        bad("A1 length and coding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", &[400]),
        bad("A2 vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", &[400]),
        bad("A5 coding on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
        bad("A7 equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", &[400]),
        bad("A12 hidden field", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 20\r\n\r\n", &[400]),
        bad("C1 bare line feed", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", &[400]),
        bad("C7 folded coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", &[400]),
        bad("D1 two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
        bad("F2 nominated length", "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello", &[400]),
        bad("F12 TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", &[405]),
        Case {
            name: "A22 request behind a body",
            bytes: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            statuses: &[200],
            reach: 2,
        },
        Case {
            name: "B10 extensions",
            bytes: b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\r\n",
            statuses: &[400],
            reach: 0,
        },
        Case {
            name: "F9 upgrade with a body",
            bytes: b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
            statuses: &[200],
            reach: 1,
        },
    ];
    let mut wrong = Vec::new();
    for case in &cases {
        wrong.extend(oracle.judge(case).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
