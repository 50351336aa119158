//! O: what a client or a server can make us spend (RFC 9110 §17.5). Deadlines, minimum rates and
//! descriptors are proved in `tests/limits.rs`.

use std::fmt::Write as _;

use crate::support::{
    Backend, Client, Proxy, Then, reply, reset, simple, wait_for, with_listener, with_pool,
};

#[test]
fn o02_names_that_collide_or_nominate_each_other_are_bounded() {
    // Nothing a client sends is a key of a table; what is compared with each other is counted.
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let ask = |fields: &str| proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).status;
    let repeated =
        |count: usize, of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<String>();
    assert_eq!(ask(&repeated(99, &|_| "X-Same: 1\r\n".into())), 200);
    assert_eq!(ask(&repeated(100, &|_| "X-Same: 1\r\n".into())), 431);
    let options = |count| format!("Connection: {}\r\n", vec!["x-a"; count].join(", "));
    assert_eq!(ask(&options(32)), 200);
    assert_eq!(ask(&options(33)), 400);
    assert_eq!(ask(&format!("{0}{0}", options(17))), 400, "over several lines too");
    assert_eq!(ask(&format!("Connection: {}\r\n", ",".repeat(33))), 400, "empty ones count");
    let cookies = repeated(5_000, &|n| format!("c{n}=1;"));
    assert_eq!(ask(&format!("Cookie: {cookies}\r\n")), 431, "a head is at most 32 KiB");
    assert_eq!(proxy.get(&format!("/?{}", "a&".repeat(8_000))).status, 200);
    assert_eq!(proxy.get("/").text(), "only");
}

#[test]
fn o03_where_every_server_is_excluded_the_choice_comes_to_an_end() {
    // Bound, so that nobody else gets the port, but not listening.
    let sockets: Vec<socket2::Socket> = (0..40)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let (socket, any) = (socket.unwrap(), std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
            socket.bind(&any.into()).unwrap();
            socket
        })
        .collect();
    let address = |socket: &socket2::Socket| socket.local_addr().unwrap().as_socket().unwrap();
    let nobody: Vec<String> = sockets.iter().map(|socket| address(socket).to_string()).collect();
    for balance in [
        "p2c_ewma",
        "p2c",
        "least_connections",
        "round_robin",
        "weighted_round_robin",
        "random",
        "ip_hash",
    ] {
        for (servers, attempts) in [(1, 7), (3, 7), (40, 7), (40, 0)] {
            let proxy = Proxy::start(&format!(
                "listeners:\n  web:\n    bind: 127.0.0.1:0\nroutes:\n  - to: app\npools:\n  app:\n    balance: {balance}\n    retry: {{ attempts: {attempts} }}\n    servers: [{}]\n",
                nobody[..servers].iter().map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(", ")
            ));
            let response = proxy.get("/");
            assert!(matches!(response.status, 502 | 503), "{balance} {servers}: {response:?}");
        }
    }
}

#[test]
fn o08_arithmetic_is_checked_in_release_builds_too() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let release = manifest.split("[profile.release]").nth(1).unwrap();
    let release = release.split("\n[").next().unwrap();
    assert!(release.lines().any(|line| line.trim() == "overflow-checks = true"), "{release}");
}

#[test]
fn o09_connections_are_counted_down_however_they_end() {
    // A count that drifts upwards locks the client out in the end; one that drifts down wraps.
    let backend = Backend::start(|request, stream| {
        match request.target() {
            "/reset" => return Then::Reset,
            "/cut" => reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            _ => {
                reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                return Then::Keep;
            }
        }
        Then::Close
    });
    let limits = "    limits: { connections_per_ip: 4, connections: 4 }\n    timeouts: { head: 150ms, idle: 150ms }\n";
    let proxy = Proxy::start(&with_listener(&[&backend], limits));
    let ways: [fn(&mut Client); 8] = [
        |client| client.end(),
        |client| reset(&client.stream),
        |client| client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        |client| client.send("NONSENSE\r\n\r\n"),
        |client| client.send("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n"),
        |client| client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n"),
        |client| client.send("GET / HTTP/1.1\r\nHost"), // and then nothing: 408
        |client| {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            reset(&client.stream);
        },
    ];
    for round in 0..30 {
        for way in ways {
            let mut client = proxy.connect();
            way(&mut client);
            if round % 10 == 0 {
                client.rest(); // some wait for the end, most do not
            }
        }
    }
    // As many as at first are served at once: none is still counted.
    wait_for("four to be served at once", || {
        let mut clients: Vec<Client> = (0..4).map(|_| proxy.connect()).collect();
        clients.iter_mut().all(|client| {
            client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                && client.bytes(12) == b"HTTP/1.1 200"
        })
    });
}

#[test]
fn o12_memory_is_bounded_by_what_a_connection_may_hold() {
    // At most ten times what was sent, and two blocks of 16 KiB and a little for each connection.
    const CONNECTIONS: usize = 400;
    let backend = Backend::named("only");
    let proxy =
        Proxy::start(&with_listener(&[&backend], "    limits: { connections_per_ip: 5000 }\n"));
    proxy.get("/");
    let mut fields = String::new();
    for n in 0..90 {
        let _ = write!(fields, "X-{n}: {}\r\n", "y".repeat(250));
    }
    for (name, sent) in [
        ("nothing", String::new()),
        ("a byte", "G".into()),
        ("a line", "GET / HTTP/1.1\r\nHost: a\r\n".into()),
        ("tiny fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "a:\r\n".repeat(98))),
        ("a large head", format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}")),
        ("a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nx".into()),
        (
            "a chunk",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\nx".into(),
        ),
        (
            "trailers",
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}",
                "a:\r\n".repeat(99)
            ),
        ),
    ] {
        let before = proxy.memory();
        let clients: Vec<Client> = (0..CONNECTIONS)
            .map(|_| {
                let mut client = proxy.connect();
                client.send(&sent);
                client
            })
            .collect();
        // Another client is answered only after what the others sent was looked at.
        for _ in 0..20 {
            assert_eq!(proxy.get("/").text(), "only");
        }
        let grown = proxy.memory().saturating_sub(before) as usize;
        let bound = CONNECTIONS * (10 * sent.len() + 40 * 1024) + (4 << 20);
        assert!(grown < bound, "{name}: grew by {grown} bytes, bound {bound}");
        drop(clients);
    }
}

#[test]
fn o04_a_request_that_finds_no_descriptor_for_a_server_is_told_so() {
    // The accepting half is in `tests/limits.rs`.
    let backend = Backend::named("only");
    let config = with_pool(&[&backend], "    keep_alive: { idle_max: 0 }\n");
    let mut proxy = Proxy::start(&format!("workers: 1\n{config}"));
    let id = proxy.id();
    let limit = |soft: &str| {
        let nofile = format!("--nofile={soft}:");
        let arguments = ["--pid", &id.to_string(), &nofile];
        assert!(std::process::Command::new("prlimit").args(arguments).status().unwrap().success());
    };
    let mut client = proxy.connect();
    let mut ask = || {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response()
    };
    assert_eq!(ask().text(), "only");
    // Numbers are given from below: under 0 there is none, whichever are in use.
    limit("0");
    for _ in 0..3 {
        let response = ask();
        assert_eq!((response.status, response.reason()), (503, "out_of_descriptors"));
        assert_eq!(response.field("retry-after"), Some("1"));
    }
    limit("1024");
    assert_eq!(ask().text(), "only");
    assert!(proxy.is_running());
}
