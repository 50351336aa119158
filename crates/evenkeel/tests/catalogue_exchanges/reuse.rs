//! G: interim and early responses, pipelining, and which connections may serve another request
//! (RFC 9110 §10.1.1, §15.2; RFC 9112 §9).

use std::time::Duration;

use evenkeel_tools::oracle::Case;

use crate::endless_server::endless;
use crate::stage::{CANARY, Stage, one_worker};
use crate::support::{Backend, Client, Proxy, Then, reply, simple, wait_for, with_pool};

/// Another client's request is answered as the first of a connection of its own.
fn canary_is_alone(proxy: &Proxy, backend: &Backend) {
    let response = proxy.get("/canary");
    let received = backend.received().into_iter().rfind(|one| one.target() == "/canary").unwrap();
    assert_eq!((response.text().as_str(), received.turn), ("canary", 0));
}

/// Answers `/canary` so, and everything else otherwise, as soon as its head is there.
fn answering(other: &'static str) -> Backend {
    Backend::on_head(move |request, stream| {
        match request.target() {
            "/canary" => reply(stream, CANARY),
            "/smuggled" => {
                // Late enough to be taken for the answer to whatever was asked meanwhile.
                std::thread::sleep(Duration::from_millis(100));
                reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen");
            }
            _ => reply(stream, other),
        }
        Then::Keep
    })
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn g01_a_refused_expectation_ends_the_use_of_both_connections() {
    // RFC 9110 §10.1.1: whether such a server goes on to read the body cannot be known.
    let backend = answering("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    let proxy = one_worker(&backend);
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        SMUGGLED.len()
    );
    // The body that was not asked for is not sent.
    let mut client = proxy.connect();
    client.send(&head);
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (417, Some("close")));
    client.try_send(SMUGGLED);
    assert!(client.is_closed());
    assert_eq!(backend.count(), 1);
    canary_is_alone(&proxy, &backend);
    // Nor is one that was sent all the same another client's request or answer.
    let mut client = proxy.connect();
    client.send(format!("{head}{SMUGGLED}"));
    assert_eq!(client.response().status, 417);
    canary_is_alone(&proxy, &backend);
}

#[test]
fn g02_an_expectation_is_understood_whole_or_refused() {
    // RFC 9110 §10.1.1
    let refused = |name, bytes: &'static str, statuses: &'static [u16]| Case {
        name,
        bytes: bytes.as_bytes(),
        statuses,
        reach: 0,
    };
    Stage::new().judge(&[
        refused("y 100-continue", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\nContent-Length: 1\r\n\r\nx", &[417]),
        refused("a list", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 1\r\n\r\nx", &[417]),
        refused("two lines", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", &[417]),
        refused("folded", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect:\r\n 100-continue\r\nContent-Length: 1\r\n\r\nx", &[400]),
        refused("empty", "GET /echo HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", &[417]),
        refused("parameters", "GET /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue;q=1\r\n\r\n", &[417]),
        Case {
            name: "without a body",
            bytes: b"GET /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\nOPTIONS /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            statuses: &[200],
            reach: 2,
        },
    ]);
}

#[test]
fn g02_who_waits_for_a_continue_that_never_comes_is_let_go() {
    let backend = Backend::on_head(|_, stream| {
        let ended = matches!(std::io::Read::read(stream, &mut [0; 1]), Ok(0) | Err(_));
        assert!(ended, "not a byte of the body");
        Then::Close
    });
    let proxy = Proxy::start(&with_pool(&[&backend], "    timeouts: { first_byte: 200ms }\n"));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().status, 504);
    assert!(client.is_closed());
}

#[test]
fn g03_an_expectation_of_http_1_0_is_ignored() {
    // RFC 9110 §10.1.1
    let backend = Backend::named("only");
    let proxy = one_worker(&backend);
    let response =
        proxy.ask("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((response.status, response.text().as_str()), (200, "only"));
    assert_eq!(backend.only().field("expect"), None);
}

/// The statuses of interim responses that a client is shown, and of the final one.
fn shown(proxy: &Proxy, request: &str) -> (Vec<u16>, u16) {
    let mut client = proxy.connect();
    client.send(request);
    let mut interim = Vec::new();
    loop {
        match client.response().status {
            status @ 100..=199 => interim.push(status),
            status => return (interim, status),
        }
    }
}

#[test]
fn g04_interim_responses_are_bounded_in_number_and_in_bytes() {
    // RFC 9110 §15.2: 16 of them, 64 KiB in all.
    let backend = Backend::start(|request, stream| {
        let target = request.target().to_owned();
        let mut words = target.trim_start_matches('/').split('/');
        let (status, count, bytes) = (words.next().unwrap(), words.next(), words.next());
        let number = |word: Option<&str>| word.map_or(0, |word| word.parse().unwrap());
        let padding = "x".repeat(number(bytes));
        let one = format!("HTTP/1.1 {status} X\r\nX-Pad: {padding}\r\nContent-Length: 7\r\n\r\n");
        for _ in 0..number(count) {
            use std::io::Write;
            if stream.write_all(one.as_bytes()).is_err() {
                return Then::Close;
            }
        }
        reply(stream, CANARY);
        Then::Keep
    });
    let proxy = one_worker(&backend);
    for (target, interim, status) in [
        ("103/16/0", 16, 200),
        ("103/17/0", 16, 502),
        ("102/16/4000", 16, 200),
        ("103/16/4096", 15, 502),
        ("104/2/40000", 1, 502),
        ("100/16/0", 0, 200), // nobody expected it
        ("100/1000000/0", 0, 502),
        ("103/1000000/100", 16, 502),
        ("199/1/0", 1, 200),
    ] {
        let request = format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let (seen, last) = shown(&proxy, &request);
        assert_eq!((seen.len(), last), (interim, status), "{target}");
        if status == 502 {
            assert_eq!(proxy.get("/canary").text(), "canary");
            assert_eq!(backend.received().last().unwrap().turn, 0, "{target}: not used again");
        }
        // HTTP/1.0 knows no interim responses.
        let request = format!("GET /{target} HTTP/1.0\r\n\r\n");
        assert_eq!(shown(&proxy, &request), (vec![], status), "{target}");
    }
}

#[test]
fn g06_a_response_before_the_end_of_the_request_ends_the_use_of_both_connections() {
    // RFC 9112 §9.3, §9.5: what follows of the body is nobody's request.
    for response in [
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig",
        "HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbig\r\n0\r\n\r\n",
    ] {
        let backend = answering(response);
        let proxy = one_worker(&backend);
        let chunk = format!("{:x}\r\n{SMUGGLED}\r\n", SMUGGLED.len());
        for (fields, begin, rest) in [
            ("Content-Length: 1000", "", SMUGGLED),
            ("Content-Length: 1000", "first", SMUGGLED),
            ("Transfer-Encoding: chunked", "", chunk.as_str()),
            ("Transfer-Encoding: chunked", "1\r\nx\r\n", chunk.as_str()),
        ] {
            let mut client = proxy.connect();
            client.send(format!("POST /upload HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{begin}"));
            let early = client.response();
            assert_eq!((early.text().as_str(), early.complete), ("big", true));
            assert_eq!(early.field("connection"), Some("close"));
            client.try_send(rest);
            canary_is_alone(&proxy, &backend);
            assert!(client.is_closed());
        }
        let targets: Vec<_> = backend.received().iter().map(|r| r.target().to_owned()).collect();
        assert!(!targets.contains(&"/smuggled".into()), "{targets:?}");
    }
}

#[test]
fn g07_bytes_on_an_idle_connection_are_nobodys() {
    // RFC 9112 §9.2: they have arrived before the next request is written.
    let streams = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let opened = streams.clone();
    let backend = Backend::start(move |request, stream| {
        let id = request.field("x-id").unwrap_or("none").to_owned();
        opened.lock().unwrap().push(stream.try_clone().unwrap());
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id}", id.len()));
        Then::Keep
    });
    let proxy = one_worker(&backend);
    let ask = |id| {
        proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nConnection: close\r\n\r\n"))
    };
    assert_eq!((ask("first").text(), ask("second").text()), ("first".into(), "second".into()));
    assert_eq!(backend.received().last().unwrap().turn, 1, "an idle connection is used again");
    for poison in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen", "H", "\r\n", "\0"] {
        reply(streams.lock().unwrap().last_mut().unwrap(), poison);
        assert_eq!(ask("next").text(), "next", "{poison:?}");
        assert_eq!(backend.received().last().unwrap().turn, 0, "{poison:?}");
    }
}

/// What a client does in the middle of its request.
type Ending = fn(&mut Client);

#[test]
fn g09_a_request_that_breaks_off_ends_both_connections() {
    // RFC 9112 §9.5: the server must not wait for the rest, nor take the next request for it.
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = ended.clone();
    let backend = Backend::on_head(move |request, stream| {
        if request.target() == "/canary" {
            reply(stream, CANARY);
            return Then::Keep;
        }
        let mut body = Vec::new();
        let _ = std::io::Read::read_to_end(stream, &mut body); // to its end, or a reset
        assert!(!body.ends_with(b"0\r\n\r\n"), "never a clean end");
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Then::Close
    });
    let proxy = Proxy::start(&format!(
        "workers: 1\n{}",
        simple(&[&backend]).replace(
            "bind: 127.0.0.1:0\n",
            "bind: 127.0.0.1:0\n    timeouts: { body_idle: 150ms }\n"
        )
    ));
    let head =
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let endings: [(&str, Ending, u16); 4] = [
        ("a reset", |client| crate::support::reset(&client.stream), 0),
        ("a close", |client| client.end(), 0),
        ("a bad chunk", |client| client.send("XX\r\n"), 400),
        ("silence", |_| {}, 408),
    ];
    for (turn, (name, end, status)) in endings.into_iter().enumerate() {
        let mut client = proxy.connect();
        client.send(head);
        wait_for("the head to arrive", || {
            backend.received().iter().filter(|r| r.target() == "/upload").count() > turn
        });
        end(&mut client);
        if status > 0 {
            assert_eq!(client.response().status, status, "{name}");
            assert!(client.is_closed(), "{name}");
        }
        drop(client);
        wait_for("the server to be told", || {
            ended.load(std::sync::atomic::Ordering::SeqCst) > turn
        });
        let response = proxy.get("/canary");
        assert_eq!(response.text(), "canary", "{name}");
    }
}

#[test]
fn g10_a_client_that_leaves_in_the_middle_of_a_response_leaves_nothing_behind() {
    // RFC 9112 §9.5
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (backend, heard) = endless(begin, "5\r\nhello\r\n".to_owned());
    let proxy = one_worker(&backend);
    for with_reset in [true, false] {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.bytes(12), b"HTTP/1.1 200");
        if with_reset {
            crate::support::reset(&client.stream);
        }
        drop(client);
        heard.recv_timeout(crate::support::LIMIT).expect("the server to be told");
        canary_is_alone(&proxy, &backend);
    }
}

#[test]
fn g18_a_connection_that_a_client_has_signed_in_on_serves_nobody_else() {
    // NTLM and Negotiate sign in the connection, not the request (RFC 4559 §6): who is given it
    // next would be taken for the one who signed in.
    let backend = Backend::start(|request, stream| {
        let challenge = match request.target() {
            "/ntlm" => "401 U\r\nWWW-Authenticate: NTLM\r\n",
            "/negotiate" => "401 U\r\nWWW-Authenticate: Basic realm=\"a, b\", negotiate\r\n",
            "/second" => "401 U\r\nWWW-Authenticate: Digest x\r\nWWW-Authenticate: NTLM TlRM\r\n",
            "/basic" => "401 U\r\nWWW-Authenticate: Basic realm=x\r\n",
            _ => "200 OK\r\n",
        };
        reply(stream, format!("HTTP/1.1 {challenge}Content-Length: 6\r\n\r\ncanary"));
        Then::Keep
    });
    let proxy = one_worker(&backend);
    for (target, credentials, is_alone) in [
        ("/", "", false),
        ("/basic", "Authorization: Basic eDp5\r\n", false),
        ("/", "Authorization: NTLMish x\r\n", false),
        ("/ntlm", "", true),
        ("/negotiate", "", true),
        ("/second", "", true),
        ("/", "Authorization: NTLM TlRMTVNTUAAD\r\n", true),
        ("/", "authorization: nEGOTIATE YII\r\n", true),
    ] {
        proxy.ask(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\n{credentials}Connection: close\r\n\r\n"
        ));
        let signed_in = backend.received().pop().unwrap().connection;
        assert_eq!(proxy.get("/canary").text(), "canary");
        let canary = backend.received().pop().unwrap().connection;
        assert_eq!(canary != signed_in, is_alone, "{target} {credentials}");
    }
}
