//! The rows about ends of messages once more, for bodies long enough for the kernel to move them:
//! another path through the proxy, the same rules.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::stage::{CANARY, one_worker};
use crate::support::{Backend, Proxy, Then, reply, reset, wait_for};

/// Lengths of bodies: just over what is copied, and more than sockets and pipes hold.
const LENGTHS: [usize; 3] = [70_000, 1_000_000, 12_000_000];

/// Answers `/canary` so; everything else is for `script`, given the number in its path.
fn backend(
    script: impl Fn(usize, &mut std::net::TcpStream) -> Then + Send + Sync + 'static,
) -> Backend {
    Backend::on_head(move |request, stream| match request.target() {
        "/canary" => {
            reply(stream, CANARY);
            Then::Keep
        }
        target => script(target.trim_start_matches('/').parse().unwrap(), stream),
    })
}

/// Another client's request is answered as the first of a connection of its own.
fn canary_is_alone(proxy: &Proxy, backend: &Backend) {
    assert_eq!(proxy.get("/canary").text(), "canary");
    assert_eq!(backend.received().last().unwrap().turn, 0);
}

#[test]
fn h02_a_large_body_that_ends_too_early_is_never_a_clean_end() {
    for then_reset in [false, true] {
        for missing in [1, 5_000, 60_000] {
            let backend = backend(move |length, stream| {
                reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
                reply(stream, vec![b'x'; length - missing]);
                if then_reset { Then::Reset } else { Then::Close }
            });
            let proxy = one_worker(&backend);
            for length in LENGTHS {
                for version in ["1.1", "1.0"] {
                    let mut client = proxy.connect();
                    client.send(format!("GET /{length} HTTP/{version}\r\nHost: a\r\n\r\n"));
                    let response = client.response();
                    let name = format!("{length} without {missing}, {version}, {then_reset}");
                    assert!(response.status == 502 || !response.complete, "{name}");
                    assert!(response.body.len() < length, "{name}");
                    canary_is_alone(&proxy, &backend);
                }
            }
        }
    }
}

#[test]
fn g08_bytes_behind_a_large_body_are_nobodys() {
    let backend = backend(|length, stream| {
        let stolen = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        reply(stream, [head.as_bytes(), &vec![b'x'; length], stolen.as_bytes()].concat());
        Then::Keep
    });
    let proxy = one_worker(&backend);
    for length in LENGTHS {
        let response = proxy.get(&format!("/{length}"));
        assert_eq!((response.body.len(), response.complete), (length, true));
        assert!(response.body.iter().all(|byte| *byte == b'x'), "{length}");
        canary_is_alone(&proxy, &backend);
    }
}

#[test]
fn a22_bytes_behind_a_large_request_body_are_the_next_request() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let backend = Backend::start(move |request, stream| {
        seen.lock().unwrap().push((request.target().to_owned(), request.body.len()));
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        Then::Keep
    });
    let proxy = one_worker(&backend);
    for length in LENGTHS {
        let mut client = proxy.connect();
        let head = format!("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send([head.as_bytes(), &vec![b'x'; length], second.as_bytes()].concat());
        assert_eq!((client.response().status, client.response().status), (200, 200));
        let seen = std::mem::take(&mut *bodies.lock().unwrap());
        assert_eq!(seen, [("/first".to_owned(), length), ("/second".to_owned(), 0)]);
    }
}

#[test]
fn g09_a_large_upload_that_breaks_off_is_never_whole_at_the_server() {
    let read = Arc::new(Mutex::new(Vec::new()));
    let seen = read.clone();
    let backend = backend(move |_, stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all); // until the proxy ends it
        seen.lock().unwrap().push(all.len());
        Then::Close
    });
    let proxy = one_worker(&backend);
    for with_reset in [false, true] {
        for length in LENGTHS {
            let mut client = proxy.connect();
            client.send(format!(
                "PUT /{length} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ));
            client.send(vec![b'x'; length - 1]);
            if with_reset {
                reset(&client.stream);
            } else {
                client.end();
            }
            drop(client);
            wait_for("the server to be told", || !read.lock().unwrap().is_empty());
            let arrived = std::mem::take(&mut *read.lock().unwrap());
            assert!(arrived.iter().all(|n| *n < length), "{length}: {arrived:?}");
            canary_is_alone(&proxy, &backend);
        }
    }
}

#[test]
fn g06_a_response_in_the_middle_of_a_large_upload_ends_the_use_of_both_connections() {
    let backend = backend(|_, stream| {
        // What came with the head is not in the stream any more: do not wait for it.
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let _ = stream.read_exact(&mut [0; 40_000]);
        stream.set_read_timeout(Some(crate::support::LIMIT)).unwrap();
        reply(stream, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        Then::Keep
    });
    let proxy = one_worker(&backend);
    for length in LENGTHS {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /{length} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ));
        client.send(vec![b'x'; 60_000]);
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (413, "big"), "{length}");
        assert_eq!(response.field("connection"), Some("close"), "{length}");
        canary_is_alone(&proxy, &backend);
        assert!(client.is_closed(), "{length}");
    }
}

#[test]
fn g09_what_a_broken_upload_left_in_the_kernel_is_nobodys() {
    // One upload gets stuck in the pipe and breaks off; the next must not meet its bytes there.
    let (told, heard) = std::sync::mpsc::channel();
    let (break_off, gate) = std::sync::mpsc::channel();
    let (told, gate) = (Mutex::new(told), Mutex::new(gate));
    let backend = Backend::on_head(move |request, stream| {
        let length: usize = request.field("content-length").unwrap().parse().unwrap();
        if request.target() == "/stuck" {
            let _ = told.lock().unwrap().send(());
            let _ = gate.lock().unwrap().recv_timeout(crate::support::LIMIT); // reads nothing
            return Then::Reset;
        }
        let mut body = vec![0; length];
        let whole = stream.read_exact(&mut body).is_ok() && body.iter().all(|byte| *byte == b'B');
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{whole:5}"));
        Then::Close
    });
    let proxy = one_worker(&backend);
    for _ in 0..3 {
        let mut client = proxy.connect();
        client.send("PUT /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        heard.recv_timeout(crate::support::LIMIT).expect("the head to arrive");
        // As much as sockets and pipe hold, and no more.
        client.stream.set_nonblocking(true).unwrap();
        let mut refusals = 0;
        wait_for("the way to be full", || {
            let taken = std::io::Write::write(&mut client.stream, &[b'A'; 64 * 1024]);
            refusals = if taken.is_ok() { 0 } else { refusals + 1 };
            refusals > 20
        });
        break_off.send(()).unwrap();
        client.stream.set_nonblocking(false).unwrap();
        let response = client.response();
        assert_eq!(response.status, 502, "the proxy has noticed");
        let mut client = proxy.connect();
        client.send("PUT /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        // Apart from the head, so that the backend finds it in the stream.
        wait_for("the head to arrive", || backend.received().last().unwrap().target() == "/whole");
        client.send(vec![b'B'; 1_000_000]);
        assert_eq!(client.response().text(), "true ");
    }
}
