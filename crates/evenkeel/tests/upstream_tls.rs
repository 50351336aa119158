//! TLS to servers: who a server must prove to be, what is said when it cannot, and that connections
//! over TLS are kept, resumed, timed and blamed like any other.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use support::authority::{Authority, Issued, client};
use support::{Directory, LIMIT, Proxy, wait_for};

/// What a server does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Keep,
    /// With `close_notify`.
    Close,
    /// The connection ends as if somebody else had cut it.
    Cut,
}

/// A server that speaks TLS.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl Server {
    fn start(config: ServerConfig) -> Self {
        Self::answering(config, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", End::Keep)
    }

    fn answering(config: ServerConfig, answer: &'static str, end: End) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            resumed: Arc::default(),
            requests: Arc::default(),
            names: Arc::default(),
        };
        let (connections, resumed) = (server.connections.clone(), server.resumed.clone());
        let (requests, names) = (server.requests.clone(), server.names.clone());
        let config = Arc::new(config);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let session = ServerConnection::new(config.clone()).unwrap();
                let (resumed, requests, names) = (resumed.clone(), requests.clone(), names.clone());
                std::thread::spawn(move || {
                    converse(stream, session, answer, end, |session, request| {
                        if let Some(request) = request {
                            return requests.lock().unwrap().push(request);
                        }
                        names.lock().unwrap().push(session.server_name().map(str::to_owned));
                        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
                            resumed.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                });
            }
        });
        server
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// `tell` is called once after the handshake, and with the head of each request.
fn converse(
    mut tcp: TcpStream,
    mut session: ServerConnection,
    answer: &str,
    end: End,
    tell: impl Fn(&ServerConnection, Option<String>),
) {
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    tcp.set_nodelay(true).unwrap();
    while session.is_handshaking() {
        if session.complete_io(&mut tcp).is_err() {
            let _ = session.write_tls(&mut tcp); // the alert
            return;
        }
    }
    tell(&session, None);
    let mut pending = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
                break pending.drain(..at + 4).collect::<Vec<u8>>();
            }
            let mut buffer = [0; 4096];
            match rustls::Stream::new(&mut session, &mut tcp).read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(read) => pending.extend_from_slice(&buffer[..read]),
            }
        };
        tell(&session, Some(String::from_utf8_lossy(&head).into_owned()));
        let mut stream = rustls::Stream::new(&mut session, &mut tcp);
        if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
        match end {
            End::Keep => {}
            End::Cut => return,
            End::Close => {
                session.send_close_notify();
                let _ = session.write_tls(&mut tcp);
                return;
            }
        }
    }
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// A proxy before these servers; `tls` is what the pool says about it.
fn proxy(servers: &[SocketAddr], tls: &str, more: &str) -> Proxy {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    Proxy::start(&format!(
        "workers: 1\nlisteners:\n  web:\n    bind: 127.0.0.1:0\nroutes:\n  - to: app\npools:\n  app:\n    servers: [{}]\n    balance: round_robin\n    tls: {tls}\n{more}",
        servers.join(", ")
    ))
}

/// An authority, its file, and where that is.
fn trusted() -> (Authority, String, Directory) {
    let directory = Directory::new();
    let authority = Authority::new("Trusted");
    let path = authority.write(&directory.0, "ca.pem").display().to_string();
    (authority, path, directory)
}

/// What a client is told, and what the process log says about the server.
fn failure(proxy: &Proxy, status: u16, reason: &str) -> String {
    let response = proxy.get("/");
    assert_eq!((response.status, response.reason()), (status, reason));
    let mut line = None;
    wait_for("a line in the log", || {
        line = proxy.log().into_iter().find(|line| line.contains("server failed"));
        line.is_some()
    });
    let line = line.unwrap();
    assert!(line.contains(reason), "{line}");
    line
}

#[test]
fn a_server_is_asked_for_by_the_name_its_certificate_has_to_be_for() {
    let (authority, ca, _directory) = trusted();
    let server = Server::start(authority.issue(&["app.example"]).server(BOTH, None));
    let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\", sni: app.example }}"), "");
    let response = proxy.get("/");
    assert_eq!((response.status, response.text()), (200, "ok".into()));
    assert_eq!(server.names.lock().unwrap()[0].as_deref(), Some("app.example"));
}

#[test]
fn a_server_without_a_name_is_known_by_its_address() {
    let (authority, ca, _directory) = trusted();
    let server = Server::start(authority.issue(&["127.0.0.1"]).server(BOTH, None));
    let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), "");
    assert_eq!(proxy.get("/").status, 200);
    // RFC 6066 §3: literal addresses are not permitted in the extension.
    assert_eq!(server.names.lock().unwrap()[0], None);
}

#[test]
fn a_certificate_that_nobody_trusted_has_signed_is_refused_by_default() {
    let (authority, ca, _directory) = trusted();
    let own = Server::start(Issued::by_nobody(&["127.0.0.1"]).server(BOTH, None));
    let stranger = Authority::new("Trusted"); // the same name does not help
    let other = Server::start(stranger.issue(&["127.0.0.1"]).server(BOTH, None));
    for server in [&own, &other] {
        for tls in ["true".to_owned(), format!("{{ ca: \"{ca}\" }}")] {
            let proxy = proxy(&[server.address], &tls, "");
            let line = failure(&proxy, 502, "upstream_tls_untrusted");
            assert!(line.contains("signed by nobody who is trusted"), "{line}");
            assert!(line.contains(&server.address.to_string()), "{line}");
        }
    }
    assert_eq!(own.count() + other.count(), 0, "nothing was sent to them");
    drop(authority);
}

#[test]
fn whoever_answers_is_the_server_if_the_file_says_so() {
    let server = Server::start(Issued::by_nobody(&["else.example"]).server(BOTH, None));
    let proxy = proxy(&[server.address], "{ verify: false }", "");
    assert_eq!(proxy.get("/").status, 200);
    assert!(proxy.log().iter().any(|line| line.contains("whoever answers is taken")));
}

#[test]
fn a_certificate_that_has_expired_or_is_not_valid_yet_is_told_with_its_day() {
    let (authority, ca, _directory) = trusted();
    let years = |from: i32, to: i32| {
        authority.issue_with(&["127.0.0.1"], |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 2);
            params.not_after = rcgen::date_time_ymd(to, 3, 4);
        })
    };
    for (issued, said) in [
        (years(2001, 2002), "expired on Mon, 04 Mar 2002 00:00:00 GMT"),
        (years(2090, 2091), "not valid before Mon, 02 Jan 2090 00:00:00 GMT"),
    ] {
        let server = Server::start(issued.server(BOTH, None));
        let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), "");
        let line = failure(&proxy, 502, "upstream_tls_expired");
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn a_certificate_for_another_name_is_told_with_both_names() {
    let (authority, ca, _directory) = trusted();
    let issued = authority.issue(&["one.example", "two.example"]);
    let server = Server::start(issued.server(BOTH, None));
    let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\", sni: three.example }}"), "");
    let line = failure(&proxy, 502, "upstream_tls_name");
    for name in ["`three.example`", "`one.example`", "`two.example`"] {
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn a_server_that_wants_a_client_certificate_gets_the_one_of_the_pool() {
    let (authority, ca, directory) = trusted();
    let clients = Authority::new("Clients");
    let (cert, key) = clients.issue(&["us.example"]).write(&directory.0, "us");
    let (cert, key) = (cert.display(), key.display());
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let issued = authority.issue(&["127.0.0.1"]);
        let server = Server::start(issued.server(versions, Some(&clients)));
        let with = format!("{{ ca: \"{ca}\", client: {{ cert: \"{cert}\", key: \"{key}\" }} }}");
        assert_eq!(proxy(&[server.address], &with, "").get("/").status, 200, "{versions:?}");
        let without = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), "");
        let line = failure(&without, 502, "upstream_tls_handshake");
        assert!(line.contains("client certificate"), "{line}");
    }
}

#[test]
fn a_server_that_speaks_only_an_older_version_is_taken_unless_the_pool_wants_more() {
    let (authority, ca, _directory) = trusted();
    let server = Server::start(authority.issue(&["127.0.0.1"]).server(&[&TLS12], None));
    let older = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), "");
    assert_eq!(older.get("/").status, 200);
    let newer = proxy(&[server.address], &format!("{{ ca: \"{ca}\", min_version: 1.3 }}"), "");
    let line = failure(&newer, 502, "upstream_tls_handshake");
    assert!(line.contains("tls.min_version"), "{line}");
}

#[test]
fn a_handshake_that_never_ends_is_over_with_the_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let proxy = proxy(&[address], "true", "    timeouts: { connect: 200ms }\n");
    let line = failure(&proxy, 504, "upstream_tls_timeout");
    assert!(line.contains("handshake within `timeouts.connect`"), "{line}");
    drop(silent);
}

#[test]
fn a_server_that_speaks_no_tls_is_told_so() {
    let plain = support::Backend::on_head(|_, _| support::Then::Close);
    let garbage = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = garbage.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in garbage.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            open.push(stream);
        }
    });
    let proxy = proxy(&[address], "true", "");
    let line = failure(&proxy, 502, "upstream_tls_handshake");
    assert!(line.contains("no TLS"), "{line}");
    assert_eq!(plain.count(), 0);
}

#[test]
fn a_connection_is_kept_for_many_requests_though_tickets_arrive_on_it() {
    let (authority, ca, _directory) = trusted();
    let mut config = authority.issue(&["127.0.0.1"]).server(BOTH, None);
    config.send_tls13_tickets = 4; // RFC 8446 §4.6.1: at any time after the handshake
    let server = Server::start(config);
    let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), "");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(server.count(), 20);
    assert_eq!(server.connections(), 1, "tickets are no answer to anything");
}

#[test]
fn a_session_is_resumed_where_connections_are_not_kept() {
    let (authority, ca, _directory) = trusted();
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let server = Server::start(authority.issue(&["127.0.0.1"]).server(versions, None));
        let more = "    keep_alive: { idle_max: 0 }\n";
        let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), more);
        for _ in 0..4 {
            assert_eq!(proxy.get("/").status, 200);
        }
        assert_eq!(server.connections(), 4);
        assert!(server.resumed.load(Ordering::SeqCst) >= 2, "{versions:?}");
    }
}

#[test]
fn another_server_is_asked_where_one_has_a_bad_certificate() {
    let (authority, ca, _directory) = trusted();
    let bad = Server::start(Issued::by_nobody(&["127.0.0.1"]).server(BOTH, None));
    let good = Server::start(authority.issue(&["127.0.0.1"]).server(BOTH, None));
    let more = "    outlier: { consecutive: 3 }\n";
    let proxy = proxy(&[bad.address, good.address], &format!("{{ ca: \"{ca}\" }}"), more);
    for _ in 0..20 {
        let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(proxy.ask(body).status, 200, "nothing of it was sent to the bad one");
    }
    assert_eq!((bad.count(), good.count()), (0, 20));
    assert!(bad.connections() < 10, "it is left alone like one that refuses connections");
}

#[test]
fn a_response_that_ends_with_the_connection_ends_with_close_notify() {
    let (authority, ca, _directory) = trusted();
    let issued = authority.issue(&["127.0.0.1"]);
    let ask = |answer, end| {
        let server = Server::answering(issued.server(BOTH, None), answer, end);
        let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), "");
        let response = proxy.get("/");
        (response.status, response.complete, response.text())
    };
    const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nhalf";
    const WITH_LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";
    assert_eq!(ask(UNTIL_CLOSE, End::Close), (200, true, "half".into()));
    // RFC 9112 §9.8: else anybody on the way could cut it off unnoticed.
    let (status, complete, _) = ask(UNTIL_CLOSE, End::Cut);
    assert!(status == 502 || !complete, "{status} {complete}");
    assert_eq!(ask(WITH_LENGTH, End::Cut), (200, true, "well".into()));
}

#[test]
fn checks_go_the_way_that_requests_go() {
    let (authority, ca, _directory) = trusted();
    let server = Server::start(authority.issue(&["app.example"]).server(BOTH, None));
    let more = "    health: { http: /healthz, interval: 100ms, timeout: 100ms }\n";
    let more = more.replace("timeout: 100ms", "timeout: 10s");
    let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\", sni: app.example }}"), &more);
    wait_for("a check over TLS", || {
        server.requests.lock().unwrap().iter().any(|head| head.starts_with("GET /healthz "))
    });
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn other_authorities_are_trusted_once_the_file_has_changed_and_old_connections_are_left() {
    let (authority, ca, directory) = trusted();
    let server = Server::start(authority.issue(&["127.0.0.1"]).server(BOTH, None));
    let proxy = proxy(&[server.address], &format!("{{ ca: \"{ca}\" }}"), "");
    assert_eq!(proxy.get("/").status, 200);
    let other = Authority::new("Other");
    std::fs::write(directory.0.join("next.pem"), &other.pem).unwrap();
    std::fs::rename(directory.0.join("next.pem"), &ca).unwrap();
    proxy.signal("-HUP");
    wait_for("the new authority alone to be trusted", || {
        proxy.get("/").reason() == "upstream_tls_untrusted"
    });
}

#[test]
fn what_came_in_encrypted_goes_out_encrypted() {
    let (authority, ca, directory) = trusted();
    let server = Server::start(authority.issue(&["app.example"]).server(BOTH, None));
    let (cert, key) = authority.issue(&["shop.example"]).write(&directory.0, "shop");
    let proxy = Proxy::start(&format!(
        "listeners:\n  web:\n    bind: 127.0.0.1:0\n    protocols: h1\n    tls: {{ certificates: {{ cert: \"{}\", key: \"{}\" }} }}\nroutes:\n  - to: app\npools:\n  app:\n    servers: [\"{}\"]\n    tls: {{ ca: \"{ca}\", sni: app.example }}\n",
        cert.display(),
        key.display(),
        server.address,
    ));
    let config = client(authority.roots(), &[b"http/1.1"]);
    let name = "shop.example".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    let mut tcp = TcpStream::connect(proxy.addresses[0]).unwrap();
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut tcp);
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\nok") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&buffer[..read]);
    }
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let request = server.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.contains("x-forwarded-proto: https\r\n"), "{request}");
}
