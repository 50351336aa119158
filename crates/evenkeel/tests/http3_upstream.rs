//! Servers that are spoken to in HTTP/3 (RFC 9114): few connections for many requests, who a server must
//! prove to be, their limits and their ends, and servers that break the rules.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "support/quic.rs"]
mod quic;
#[path = "support/h3.rs"]
mod server;
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use quic::{data, frame, headers};
use rustls::ServerConfig;
use rustls::version::TLS13;
use server::{Call, H3Server, Manner, TAKES_TUNNELS};
use support::authority::{Authority, Issued};
use support::{Backend, Client, Directory, Gate, Proxy, wait_for};

const EXCESSIVE_LOAD: u64 = 0x107;
const REQUEST_REJECTED: u64 = 0x10b;
const INTERNAL_ERROR: u64 = 0x102;

/// An authority, and where its certificate is.
struct Trust {
    authority: Authority,
    directory: Directory,
}

impl Trust {
    fn new() -> Self {
        let (authority, directory) = (Authority::new("tests"), Directory::new());
        authority.write(&directory.0, "ca.pem");
        Self { authority, directory }
    }

    fn server(&self) -> ServerConfig {
        self.authority.issue(&["127.0.0.1"]).server(&[&TLS13], None)
    }

    fn config(&self, servers: &[SocketAddr], pool: &str) -> String {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        format!(
            "workers: 1\nlisteners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app:\n    protocol: h3\n    tls: {{ ca: {}/ca.pem }}\n    servers: [{}]\n{pool}",
            self.directory.0.display(),
            servers.join(", ")
        )
    }

    fn proxy(&self, server: &H3Server) -> Proxy {
        Proxy::start(&self.config(&[server.address], ""))
    }
}

/// A server, and a proxy in front of it.
fn serve<F, A>(manner: Manner, handle: F) -> (H3Server, Proxy, Trust)
where
    F: Fn(Call) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let trust = Trust::new();
    let server = H3Server::start(trust.server(), manner, handle);
    let proxy = trust.proxy(&server);
    (server, proxy, trust)
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_request_and_its_response_are_translated_rfc_9114_4() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        let (content, trailers) = call.whole().await;
        assert!(trailers.is_empty());
        for absent in ["host", "connection", "transfer-encoding", "x-hop"] {
            assert_eq!(call.field(absent), None);
        }
        let said = [":method", ":scheme", ":authority", ":path", "x-one"]
            .map(|name| call.field(name).unwrap_or_default().to_owned());
        let text = format!("{} {}", said.join(" "), String::from_utf8_lossy(&content));
        let head = headers(&[(":status", "201"), ("x-two", "2")]);
        call.end(&[head, data(text.as_bytes())].concat()).await;
    });
    let response = proxy.ask(
        "PUT /a?b=c HTTP/1.1\r\nHost: shop.example\r\nX-One: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert_eq!((response.status, response.field("x-two")), (201, Some("2")));
    assert_eq!(response.text(), "PUT https shop.example /a?b=c 1 abcde");
}

#[test]
fn trailers_and_interim_responses_pass_rfc_9114_4_1() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        let (_, trailers) = call.whole().await;
        let sum = trailers[0].1.clone();
        let hints = headers(&[(":status", "103"), ("link", "</a.css>; rel=preload")]);
        let head = headers(&[(":status", "200")]);
        let said = [
            hints,
            head,
            data(b"con"),
            frame(0x21, b"?"),
            data(b"tent"),
            headers(&[("x-back", &sum)]),
        ];
        call.end(&said.concat()).await;
    });
    let mut client = proxy.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let interim = client.response();
    assert_eq!((interim.status, interim.field("link")), (103, Some("</a.css>; rel=preload")));
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.trailers.as_str()),
        ("content", "x-back: 42\r\n")
    );
}

#[test]
fn responses_without_content_have_none() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        let status = call.field(":path").unwrap()[1..].to_owned();
        call.end(&headers(&[(":status", &status), ("x-one", "1")])).await;
    });
    for status in ["204", "304", "200"] {
        let response = proxy.get(&format!("/{status}"));
        assert_eq!((response.status.to_string().as_str(), response.text().as_str()), (status, ""));
    }
    let mut client = proxy.connect();
    client.send("HEAD /200 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);
    client.send("GET /204 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().status, 204);
}

#[test]
fn long_content_passes_both_ways_through_small_windows() {
    let manner = Manner { window: 16 * 1024, ..Manner::default() };
    let (_server, proxy, _trust) = serve(manner, |mut call| async move {
        let (content, _) = call.whole().await;
        call.answer(&content).await;
    });
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = proxy.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    let response = client.response();
    assert!(response.status == 200 && response.body == body);
}

#[test]
fn a_server_of_another_make_is_understood() {
    let trust = Trust::new();
    let mut tls = trust.server();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(std::sync::Arc::new(crypto));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inside = runtime.enter();
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    drop(inside);
    let address = endpoint.local_addr().unwrap();
    runtime.spawn(async move {
        let quic = h3_quinn::Connection::new(endpoint.accept().await.unwrap().await.unwrap());
        let mut connection = h3::server::Connection::<_, Bytes>::new(quic).await.unwrap();
        while let Ok(Some(resolver)) = connection.accept().await {
            let (_, mut stream) = resolver.resolve_request().await.unwrap();
            let mut content = Vec::new();
            while let Some(mut piece) = stream.recv_data().await.unwrap() {
                content.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
            }
            let head = http::Response::builder().header("x-who", "other").body(()).unwrap();
            stream.send_response(head).await.unwrap();
            stream.send_data(content.into()).await.unwrap();
            stream.finish().await.unwrap();
        }
    });
    let proxy = Proxy::start(&trust.config(&[address], ""));
    for body in ["one", "two"] {
        let response = proxy.ask(post(body));
        assert_eq!((response.field("x-who"), response.text().as_str()), (Some("other"), body));
    }
}

#[test]
fn evenkeel_itself_can_be_the_server() {
    let backend = Backend::start(|request, stream| {
        let length = request.body.len();
        support::reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        support::reply(stream, &request.body);
        support::Then::Keep
    });
    let trust = Trust::new();
    trust.authority.issue(&["127.0.0.1"]).write(&trust.directory.0, "site");
    let path = trust.directory.0.display();
    let tls = format!(
        "    policies: log\n    tls: {{ certificates: {{ cert: {path}/site.pem, key: {path}/site.key }} }}\n    protocols: [h1, h2, h3]\n"
    );
    let config = support::with_listener(&[&backend], &tls);
    let inner = Proxy::start(&(config + "policies: { log: { access_log: {} } }\n"));
    let outer = Proxy::start(&trust.config(&[inner.addresses[0]], ""));
    let body = "x".repeat(1_000_000);
    for _ in 0..3 {
        assert_eq!(outer.ask(post(&body)).text(), body);
    }
    let is_over_3 = |line: &&String| line.contains("\"HTTP/3\"");
    wait_for("three lines about it", || inner.output().iter().filter(is_over_3).count() == 3);
    drop(inner);
}

fn at_once(proxy: &Proxy, count: usize, request: &str) -> Vec<Client> {
    (0..count)
        .map(|_| {
            let mut client = proxy.connect();
            client.send(request);
            client
        })
        .collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn many_requests_share_one_connection_also_while_it_is_opened() {
    let (server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        call.answer(b"ok").await;
    });
    for _ in 0..2 {
        for mut client in at_once(&proxy, 20, GET) {
            assert_eq!(client.response().status, 200);
        }
    }
    assert_eq!((server.connections(), server.requests()), (1, 40));
}

#[test]
fn a_servers_limit_of_streams_is_respected_with_more_connections() {
    let gate = Gate::default();
    let waits = gate.clone();
    let manner = Manner { streams_max: 2, ..Manner::default() };
    let (server, proxy, _trust) = serve(manner, move |mut call| {
        let gate = waits.clone();
        async move {
            while !gate.is_open() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            call.answer(b"ok").await;
        }
    });
    let clients = at_once(&proxy, 6, GET);
    wait_for("all requests at the server", || server.requests() == 6);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn a_refused_stream_is_sent_again_whatever_its_method_rfc_9114_4_1_1() {
    let (server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        match call.stream() {
            0 => call.reset(REQUEST_REJECTED),
            _ => call.answer(b"second").await,
        }
    });
    assert_eq!(proxy.ask(post("once")).text(), "second");
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_post_that_a_server_may_have_seen_is_not_sent_again() {
    let (server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        call.reset(INTERNAL_ERROR);
    });
    let response = proxy.ask(post("once"));
    assert_eq!((response.status, response.reason()), (502, "upstream_reset"));
    assert_eq!(server.requests(), 1);
}

#[test]
fn streams_from_a_goaway_on_are_sent_again_whatever_their_method_rfc_9114_5_2() {
    let (server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        if call.number == 0 && call.stream() == 4 {
            call.go_away(4).await;
            // And says nothing about the stream itself.
            return std::future::pending().await;
        }
        if call.number == 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        call.answer(format!("of {}", call.number).as_bytes()).await;
    });
    let mut first = proxy.connect();
    first.send(post("a"));
    wait_for("the first request", || server.requests() == 1);
    assert_eq!(proxy.ask(post("b")).text(), "of 1");
    assert_eq!(first.response().text(), "of 0"); // what is below goes on
    wait_for("the end of the connection that was to end", || server.open() == 1);
}

#[test]
fn goaway_loses_no_request_under_load() {
    let (server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        if call.stream() == 40 {
            call.go_away(80).await;
        }
        match call.stream() {
            80.. => call.reset(REQUEST_REJECTED),
            _ => call.answer(b"ok").await,
        }
    });
    for _ in 0..20 {
        for mut client in at_once(&proxy, 10, &post("x")) {
            assert_eq!(client.response().status, 200);
        }
    }
    assert!(server.connections() > 5, "{}", server.connections());
}

#[test]
fn a_server_that_asks_for_calm_is_told_of_rfc_9114_8_1() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        call.reset(EXCESSIVE_LOAD);
    });
    let response = proxy.ask(post("x"));
    assert_eq!((response.status, response.reason()), (503, "upstream_calm"));
}

#[test]
fn a_connection_that_breaks_fails_its_streams_and_the_next_request_gets_another() {
    let (server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        match call.number {
            0 => call.connection.close(quic::code(INTERNAL_ERROR), b""),
            _ => call.answer(b"ok").await,
        }
    });
    let response = proxy.ask(post("x"));
    assert_eq!((response.status, response.reason()), (502, "upstream_reset"));
    assert_eq!(proxy.ask(post("x")).status, 200);
    assert_eq!(server.connections(), 2);
}

#[test]
fn what_breaks_the_rules_is_no_response() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        let said = match call.field(":path").unwrap() {
            "/data-first" => data(b"x"),
            "/no-status" => headers(&[("x-one", "1")]),
            "/connection" => headers(&[(":status", "200"), ("connection", "close")]),
            "/nothing" => Vec::new(),
            "/push" => frame(5, &[0]),
            "/settings" => frame(4, &[]),
            other => panic!("{other}"),
        };
        call.end(&said).await;
    });
    for path in ["/data-first", "/no-status", "/connection", "/nothing", "/push", "/settings"] {
        let response = proxy.get(path);
        assert_eq!((response.status, response.reason()), (502, "upstream_protocol"), "{path}");
    }
}

#[test]
fn a_response_that_ends_too_soon_is_no_whole_one() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        let head = headers(&[(":status", "200"), ("content-length", "10")]);
        call.say(&[head, data(b"12345")].concat()).await;
        match call.field(":path").unwrap() {
            "/reset" => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                call.reset(INTERNAL_ERROR);
            }
            _ => call.end(&[]).await,
        }
    });
    for path in ["/short", "/reset"] {
        let mut client = proxy.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(rest.ends_with("\r\n\r\n12345"), "{rest}");
    }
}

#[test]
fn a_slow_client_stops_its_server_and_nobody_else() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        match call.field(":path").unwrap() {
            "/long" => call.answer(&vec![b'x'; 50 << 20]).await,
            _ => call.answer(b"ok").await,
        }
    });
    let before = proxy.memory();
    let _stalled: Vec<Client> = at_once(&proxy, 4, "GET /long HTTP/1.1\r\nHost: test\r\n\r\n");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(proxy.get("/short").text(), "ok");
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more");
}

#[test]
fn a_client_that_goes_away_cancels_its_stream_rfc_9114_4_1_1() {
    let cancelled = Gate::default();
    let seen = cancelled.clone();
    let (server, proxy, _trust) = serve(Manner::default(), move |call| {
        let seen = seen.clone();
        async move {
            if let Ok(Some(code)) = call.send.stopped().await {
                assert_eq!(code, quic::code(0x10c)); // H3_REQUEST_CANCELLED
                seen.open();
            }
            drop(call.receive);
        }
    });
    let mut client = proxy.connect();
    client.send(GET);
    wait_for("the request", || server.requests() == 1);
    support::reset(&client.stream);
    drop(client);
    wait_for("the cancellation", || cancelled.is_open());
}

#[test]
fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let (_server, proxy, _trust) = serve(Manner::default(), |mut call| async move {
        let _ = call.receive.stop(quic::code(0x100)); // H3_NO_ERROR (RFC 9114 §4.1)
        call.answer(b"enough").await;
    });
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "enough"));
}

#[test]
fn an_upgrade_becomes_an_extended_connect_where_the_server_takes_it_rfc_9220() {
    let manner = Manner { control: TAKES_TUNNELS, ..Manner::default() };
    let (_server, proxy, _trust) = serve(manner, |mut call| async move {
        assert_eq!(call.field(":method"), Some("CONNECT"));
        assert_eq!(call.field(":protocol"), Some("websocket"));
        assert_eq!(call.field("sec-websocket-key"), None);
        call.say(&headers(&[(":status", "200")])).await;
        while let Some((0, payload)) = server::read_frame(&mut call.receive).await {
            call.say(&data(&payload)).await;
        }
        call.end(&data(b"end")).await;
    });
    let mut client = proxy.connect();
    client.send("GET /chat HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 101);
    assert_eq!(response.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
    client.end();
    assert_eq!(client.rest(), b"end");
}

#[test]
fn an_upgrade_to_a_server_that_takes_none_is_refused_with_a_reason() {
    let (_server, proxy, _trust) =
        serve(Manner::default(), |mut call| async move { call.answer(b"ok").await });
    let response = proxy.ask("GET /chat HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_eq!((response.status, response.reason()), (501, "no_tunnel"));
}

/// For which reason a proxy that trusts the authority refuses such a server; `text` is in its log then.
fn refused(trust: &Trust, config: ServerConfig, text: &str) -> (u16, String) {
    let server = H3Server::start(config, Manner::default(), |mut call| async move {
        call.answer(b"ok").await;
    });
    let proxy = trust.proxy(&server);
    let response = proxy.get("/");
    assert_eq!(server.requests(), 0);
    wait_for(text, || proxy.log().iter().any(|line| line.contains(text)));
    (response.status, response.reason().to_owned())
}

#[test]
fn a_server_must_prove_who_it_is_as_over_tcp() {
    let trust = Trust::new();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for (issued, reason, text) in [
        (
            trust.authority.issue(&["a.example"]),
            "upstream_tls_name",
            "its certificate is not for `127.0.0.1` but for `a.example`",
        ),
        (Issued::by_nobody(&["127.0.0.1"]), "upstream_tls_untrusted", "its certificate"),
        (
            trust.authority.issue_with(&["127.0.0.1"], |params| {
                params.not_before = long_ago.into();
                params.not_after = (long_ago + Duration::from_secs(3600)).into();
            }),
            "upstream_tls_expired",
            "its certificate expired on Tue, 14 Nov 2023",
        ),
    ] {
        let (status, said) = refused(&trust, issued.server(&[&TLS13], None), text);
        assert_eq!((status, said.as_str()), (502, reason));
    }
}

#[test]
fn a_server_that_wants_a_certificate_or_speaks_something_else_is_told_of() {
    let trust = Trust::new();
    let issued = trust.authority.issue(&["127.0.0.1"]);
    let wants = issued.server(&[&TLS13], Some(&trust.authority));
    let (status, reason) = refused(&trust, wants, "CertificateRequired");
    assert_eq!((status, reason.as_str()), (502, "upstream_tls_handshake"));
    let mut other = issued.server(&[&TLS13], None);
    other.alpn_protocols = vec![b"doq".to_vec()];
    let (status, reason) = refused(&trust, other, "`protocol`");
    assert_eq!((status, reason.as_str()), (502, "upstream_tls_handshake"));
}

#[test]
fn who_does_not_answer_or_says_no_settings_is_given_up_in_time() {
    let trust = Trust::new();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mute = H3Server::start(
        trust.server(),
        Manner { control: &[], ..Manner::default() },
        |mut call| async move { call.answer(b"ok").await },
    );
    let connect = "    timeouts: { connect: 500ms }\n    retry: { attempts: 0 }\n";
    for address in [silent.local_addr().unwrap(), mute.address] {
        let proxy = Proxy::start(&trust.config(&[address], connect));
        let begun = Instant::now();
        let response = proxy.get("/");
        assert_eq!((response.status, response.reason()), (504, "connect_timeout"));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

/// Passes datagrams on between a client and `to`, until it is cut.
fn relay(to: SocketAddr, cut: Gate) -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, mut buffer) = (None, [0; 2048]);
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if cut.is_open() {
                return std::thread::park(); // the port stays taken, and says nothing
            }
            let back = if from == to { client } else { Some(to) };
            if from != to {
                client = Some(from);
            }
            if let Some(back) = back {
                let _ = socket.send_to(&buffer[..length], back);
            }
        }
    });
    address
}

#[test]
fn a_silent_server_is_given_up_with_its_streams() {
    let trust = Trust::new();
    let server = H3Server::start(trust.server(), Manner::default(), |call| async move {
        let _call = call;
        std::future::pending().await
    });
    let cut = Gate::default();
    let proxy = Proxy::start(&trust.config(&[relay(server.address, cut.clone())], ""));
    let mut client = proxy.connect();
    client.send(post("x"));
    wait_for("the request", || server.requests() == 1);
    cut.open();
    let response = client.response();
    assert_eq!((response.status, response.reason()), (504, "upstream_silent"));
}

#[test]
fn another_server_is_asked_where_one_does_not_answer() {
    let trust = Trust::new();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = H3Server::start(trust.server(), Manner::default(), |mut call| async move {
        call.answer(b"ok").await;
    });
    let servers = [silent.local_addr().unwrap(), server.address];
    let proxy = Proxy::start(&trust.config(&servers, "    timeouts: { connect: 300ms }\n"));
    for _ in 0..4 {
        assert_eq!(proxy.ask(post("x")).text(), "ok");
    }
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let trust = Trust::new();
    let server = H3Server::start(trust.server(), Manner::default(), |mut call| async move {
        call.answer(b"ok").await;
    });
    let idle = "    keep_alive: { idle: 1s }\n";
    let proxy = Proxy::start(&trust.config(&[server.address], idle));
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(server.open(), 1);
    wait_for("the end of the connection", || server.open() == 0);
    assert_eq!(proxy.get("/").text(), "ok");
}
