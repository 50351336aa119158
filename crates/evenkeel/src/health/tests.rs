//! Every kind of check against real servers: what counts as well, and what is said of the others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evenkeel_config::model::{
    BodyTest, CommandProbe, Exchange, GrpcProbe, HealthCheck, HttpProbe, JsonStep, JsonTest,
    Pattern, PoolTls, Probe,
};

use super::probe::{Aim, Miss, Prepared, Probed, Shop};

const TIMEOUT: Duration = Duration::from_secs(60);

fn aim(address: SocketAddr) -> Aim {
    Aim {
        pool: "app".into(),
        server: address.to_string().into(),
        host: address.ip().to_string().into(),
        addresses: [address].into(),
        header: None,
    }
}

fn check(probe: Probe, timeout: Duration) -> Arc<HealthCheck> {
    Arc::new(HealthCheck {
        probe,
        interval: Duration::from_secs(5),
        timeout,
        rise: 2,
        fall: 3,
        interval_changing: Duration::from_secs(1),
        interval_down_max: Duration::from_secs(30),
        port: None,
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn make_within(timeout: Duration, probe: Probe, aim: &Aim) -> Probed {
    let prepared = Prepared::new(check(probe, timeout), None, Shop::default());
    runtime().block_on(prepared.make(aim))
}

fn make(probe: Probe, address: SocketAddr) -> Probed {
    make_within(TIMEOUT, probe, &aim(address))
}

fn failed(why: &str) -> Probed {
    Err(Miss::Failed(why.into()))
}

/// Reads a request head of each connection, sends this, and closes.
fn server(response: impl Into<Vec<u8>>) -> SocketAddr {
    recording_server(response).0
}

fn recording_server(
    response: impl Into<Vec<u8>>,
) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let response = response.into();
    let (send, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (send, response) = (send.clone(), response.clone());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                let _ = stream.write_all(&response);
                let _ = send.send(String::from_utf8_lossy(&head).into_owned());
            });
        }
    });
    (address, received)
}

/// Where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Takes connections (the kernel does) and never says a word.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn http(body: Vec<BodyTest>) -> HttpProbe {
    HttpProbe {
        tls: None,
        method: "GET".into(),
        path: "/health?deep=1".into(),
        host: None,
        headers: vec![],
        status: vec![200..=299],
        body,
        body_max: 1024,
    }
}

fn get(probe: HttpProbe) -> Probe {
    Probe::Http(Box::new(probe))
}

fn json(member: &str, equals: &str) -> BodyTest {
    BodyTest::Json(JsonTest { path: vec![JsonStep::Member(member.into())], equals: equals.into() })
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn an_http_check_is_one_request_that_says_who_asks() {
    let (address, received) = recording_server(ok(""));
    assert_eq!(make(get(http(vec![])), address), Ok(()));
    let head = received.recv_timeout(TIMEOUT).unwrap().to_lowercase();
    assert!(head.starts_with("get /health?deep=1 http/1.1\r\n"), "{head}");
    for line in [&format!("host: {address}"), "connection: close", "user-agent: evenkeel-health"] {
        assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {head}");
    }
}

#[test]
fn an_http_check_sends_the_host_and_headers_it_is_told() {
    let (address, received) = recording_server(ok(""));
    let mut probe = http(vec![]);
    probe.method = "HEAD".into();
    probe.host = Some("app.example".into());
    probe.headers = vec![("X-Token".into(), "a b".into()), ("User-Agent".into(), "me".into())];
    assert_eq!(make(get(probe), address), Ok(()));
    let head = received.recv_timeout(TIMEOUT).unwrap().to_lowercase();
    assert!(head.starts_with("head /health"), "{head}");
    for line in ["host: app.example", "x-token: a b", "user-agent: me"] {
        assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {head}");
    }
    assert!(!head.contains("evenkeel-health"), "{head}");
}

#[test]
fn a_status_outside_the_ranges_is_a_failure_and_a_redirect_is_not_followed() {
    let broken = server("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(make(get(http(vec![])), broken), failed("HTTP 500"));
    let elsewhere = server(ok(""));
    let moved = server(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(make(get(http(vec![])), moved), failed("HTTP 302"));
    let mut tolerant = http(vec![]);
    tolerant.status = vec![200..=299, 302..=302];
    assert_eq!(make(get(tolerant), moved), Ok(()));
}

#[test]
fn the_body_must_be_as_expected() {
    let connected = || get(http(vec![json("db", "connected")]));
    assert_eq!(make(connected(), server(ok(r#"{"db":"connected"}"#))), Ok(()));
    let lost = server(ok(r#"{"db":"lost"}"#));
    assert_eq!(make(connected(), lost), failed(r#"$.db is "lost", not "connected""#));
    let page = make(connected(), server(ok("<html>\n")));
    assert!(matches!(&page, Err(Miss::Failed(why)) if why.contains("is no JSON")), "{page:?}");

    let contains = |text: &str| get(http(vec![BodyTest::Contains(text.into())]));
    assert_eq!(make(contains("db=ok"), server(ok("cache=ok db=ok"))), Ok(()));
    let without = make(contains("db=ok"), server(ok("db=\x1b[31mdead")));
    assert_eq!(without, failed("`db=ok` is not in the body `db=\\u{1b}[31mdead`"));

    let pattern = Pattern(regex::bytes::Regex::new("^(ok|fine)$").unwrap());
    let regex = || get(http(vec![BodyTest::Regex(pattern.clone())]));
    assert_eq!(make(regex(), server(ok("fine"))), Ok(()));
    assert_eq!(make(regex(), server(ok("bad"))), failed("/^(ok|fine)$/ is not in the body `bad`"));
}

#[test]
fn nothing_beyond_the_cap_is_read_of_an_endless_body() {
    let endless = "HTTP/1.1 200 OK\r\n\r\n".to_string() + &"x".repeat(100_000) + "needle";
    let endless = server(endless);
    let needle = make(get(http(vec![BodyTest::Contains("needle".into())])), endless);
    let Err(Miss::Failed(why)) = needle else { panic!("{needle:?}") };
    assert!(why.starts_with("`needle` is not in the first 1024 bytes of the body `xxx"), "{why}");
    let json = make(get(http(vec![json("db", "up")])), endless);
    assert_eq!(json, failed("the body is longer than 1024"));
    let start = make(get(http(vec![BodyTest::Contains("xxx".into())])), endless);
    assert_eq!(start, Ok(()));
}

#[test]
fn a_response_cut_short_is_a_failure() {
    let cut = server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"db\":1}");
    let probed = make(get(http(vec![json("db", "x")])), cut);
    assert!(matches!(probed, Err(Miss::Failed(_))), "{probed:?}");
    let nothing = make(get(http(vec![])), server(""));
    assert_eq!(nothing, failed("closed before the response was complete"));
    let garbage = make(get(http(vec![])), server("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
    assert!(
        matches!(&garbage, Err(Miss::Failed(w)) if w.contains("no HTTP response")),
        "{garbage:?}"
    );
}

#[test]
fn slower_than_the_timeout_is_a_failure_wherever_the_time_goes() {
    let short = Duration::from_millis(100);
    let (_listener, address) = silent();
    for probe in [
        get(http(vec![])),
        Probe::Tcp(Exchange { send: None, expect: Some(b"x".to_vec()) }),
        Probe::Grpc(GrpcProbe::default()),
        get(HttpProbe { tls: Some(tls()), ..http(vec![]) }),
    ] {
        let probed = make_within(short, probe, &aim(address));
        assert_eq!(probed, failed("no answer within 100ms"));
    }
    let trickle = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = trickle.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = trickle.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    });
    let probed = make_within(short, get(http(vec![])), &aim(address));
    assert_eq!(probed, failed("no answer within 100ms"), "interim responses without end");
}

#[test]
fn a_refused_connection_is_a_failure_and_the_next_address_is_tried() {
    for probe in
        [get(http(vec![])), Probe::Tcp(Exchange::default()), Probe::Grpc(GrpcProbe::default())]
    {
        assert_eq!(make(probe, nobody()), failed("connection refused"));
    }
    let two = Aim { addresses: [nobody(), server(ok(""))].into(), ..aim(nobody()) };
    assert_eq!(make_within(TIMEOUT, get(http(vec![])), &two), Ok(()));
}

#[test]
fn a_tcp_check_needs_the_connection_and_what_is_expected() {
    let (_listener, address) = silent();
    assert_eq!(make(Probe::Tcp(Exchange::default()), address), Ok(()));

    let exchange = |expect: &[u8]| {
        let send = Some(b"PING\r\n\r\n".to_vec());
        Probe::Tcp(Exchange { send, expect: Some(expect.to_vec()) })
    };
    let redis = server("+PONG\r\n");
    assert_eq!(make(exchange(b"+PONG"), redis), Ok(()));
    assert_eq!(make(exchange(b"+OK"), redis), failed("got `+PONG` without `+OK`"));
    assert_eq!(make(exchange(b"+OK"), server("")), failed("closed before `+OK` came"));
    let flood = server(vec![b'x'; 1 << 20]);
    let probed = make(exchange(b"+OK"), flood);
    assert!(matches!(&probed, Err(Miss::Failed(why)) if why.len() < 300), "{probed:?}");
}

#[test]
fn what_is_expected_may_come_in_pieces() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in b"220 ready" {
            stream.write_all(&[*byte]).unwrap();
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let _ = stream.read(&mut [0]);
    });
    let expect = Some(b"0 re".to_vec());
    assert_eq!(make(Probe::Tcp(Exchange { send: None, expect }), address), Ok(()));
}

#[test]
fn a_udp_check_needs_an_answer_and_knows_at_once_that_nobody_listens() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; 100];
        while let Ok((n, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(b"noise", from);
            let _ = socket.send_to(&[b"echo ", &datagram[..n]].concat(), from);
        }
    });
    let exchange = |expect: &str| {
        Probe::Udp(Exchange { send: Some(b"hi".to_vec()), expect: Some(expect.into()) })
    };
    assert_eq!(make(exchange("echo hi"), address), Ok(()));
    let short = Duration::from_millis(100);
    let other = make_within(short, exchange("other"), &aim(address));
    assert_eq!(other, failed("no answer within 100ms"));
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(make(exchange("x"), gone), failed("connection refused"));
}

fn shell(script: &str) -> Probe {
    let argv = ["sh", "-c", script].map(String::from).to_vec();
    Probe::Command(CommandProbe { argv, env: vec![("TOKEN".into(), "a b".into())] })
}

#[test]
fn a_command_is_judged_by_its_exit_status_and_told_whom_to_check() {
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let script = r#"[ "$EVENKEEL_POOL $EVENKEEL_SERVER $EVENKEEL_ADDRESS $EVENKEEL_HOST $EVENKEEL_PORT $TOKEN" = \
        "app 127.0.0.1:8080 127.0.0.1 127.0.0.1 8080 a b" ] && [ -z "$HOME$CARGO_PKG_NAME" ]"#;
    assert_eq!(make(shell(script), address), Ok(()));
    let said = make(shell("echo out; echo no lock >&2; exit 3"), address);
    assert_eq!(said, failed("exit status 3: no lock"));
    assert_eq!(make(shell("kill -9 $$"), address), failed("killed by signal 9"));
    let flood = make(shell("yes | head -c 1000000; exit 1"), address);
    assert!(matches!(&flood, Err(Miss::Failed(why)) if why.len() < 1000), "{flood:?}");
    let probe = CommandProbe { argv: vec!["/no/such/program".into()], env: vec![] };
    let missing = make(Probe::Command(probe), address);
    assert!(matches!(&missing, Err(Miss::NotMade(_))), "{missing:?}");
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_what_it_started_and_leaves_no_zombie() {
    let directory = std::env::temp_dir().join(format!("evenkeel-command-{}", std::process::id()));
    let script = format!("sleep 60 & echo $! $$ > {}; wait", directory.display());
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let probed = make_within(Duration::from_secs(2), shell(&script), &aim(address));
    assert_eq!(probed, failed("no end of the program within 2s"));
    let ids = std::fs::read_to_string(&directory).unwrap();
    std::fs::remove_file(&directory).unwrap();
    for (n, id) in ids.split_whitespace().enumerate() {
        let begun = evenkeel_runtime::now();
        loop {
            // The program itself is waited for; what it started is collected by process 1.
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
            match stat {
                Err(_) => break,
                Ok(stat) if n == 0 && stat.contains(") Z ") => break,
                Ok(stat) => assert!(begun.elapsed() < TIMEOUT, "{stat}"),
            }
        }
    }
}

#[test]
fn a_command_that_leaves_children_with_its_output_is_not_waited_for() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let begun = evenkeel_runtime::now();
    assert_eq!(make(shell("sleep 30 & exit 0"), address), Ok(()));
    assert_eq!(make(shell("sleep 30 & echo bad; exit 1"), address), failed("exit status 1: bad"));
    assert!(begun.elapsed() < Duration::from_secs(25));
}

#[test]
fn at_most_eight_commands_run_at_a_time() {
    let shop = Shop::default();
    let count = std::env::temp_dir().join(format!("evenkeel-count-{}", std::process::id()));
    std::fs::create_dir_all(&count).unwrap();
    let place = count.display();
    let script =
        format!("mkdir {place}/$$; ls {place} | wc -l; sleep 0.1; rmdir {place}/$$; exit 1");
    let prepared = Arc::new(Prepared::new(check(shell(&script), TIMEOUT), None, shop));
    let most = AtomicUsize::new(0);
    runtime().block_on(async {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let prepared = prepared.clone();
            let aim = aim(SocketAddr::from(([127, 0, 0, 1], 1)));
            all.spawn(async move { prepared.make(&aim).await });
        }
        while let Some(made) = all.join_next().await {
            let Err(Miss::Failed(why)) = made.unwrap() else { panic!("it ends with 1") };
            let n = why.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap();
            most.fetch_max(n, Ordering::Relaxed);
        }
    });
    std::fs::remove_dir_all(&count).unwrap();
    assert!((1..=8).contains(&most.load(Ordering::Relaxed)), "{most:?}");
}

fn tls() -> PoolTls {
    PoolTls { verify: false, ..PoolTls::default() }
}

/// A TLS server for this name, and its certificate in a file.
fn tls_server(name: &str, alpn: &[&[u8]], response: Vec<u8>) -> (SocketAddr, tempfile::File) {
    let made = rcgen::generate_simple_self_signed([name.to_string()]).unwrap();
    let ca = tempfile::File::with(&made.cert.pem());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let mut request = [0; 4096];
            if tls.read(&mut request).is_ok() {
                let _ = tls.write_all(&response);
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    (address, ca)
}

/// A file that goes away.
mod tempfile {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(super) struct File(pub(super) PathBuf);

    impl File {
        pub(super) fn with(text: &str) -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("evenkeel-health-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        pub(super) fn path(&self) -> String {
            self.0.display().to_string()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

#[test]
fn an_https_check_verifies_the_certificate_unless_told_not_to() {
    let (address, ca) = tls_server("app.example", &[], ok("").into_bytes());
    let ask = |tls: PoolTls| make(get(HttpProbe { tls: Some(tls), ..http(vec![]) }), address);
    let (sni, ca) = (Some("app.example".to_string()), Some(ca.path().into()));
    let trusting = PoolTls { sni: sni.clone(), ca: ca.clone(), ..PoolTls::default() };
    assert_eq!(ask(trusting), Ok(()));
    let by_address = PoolTls { ca, ..PoolTls::default() };
    assert_eq!(ask(by_address), failed("certificate is not for `127.0.0.1`"));
    let system = PoolTls { sni: sni.clone(), ..PoolTls::default() };
    assert_eq!(ask(system), failed("certificate is signed by nobody trusted"));
    assert_eq!(ask(tls()), Ok(()));
    let missing = PoolTls { sni, ca: Some("/no/such/file".into()), ..PoolTls::default() };
    assert!(matches!(ask(missing), Err(Miss::NotMade(_))));
    let plain = server(ok(""));
    let https = get(HttpProbe { tls: Some(tls()), ..http(vec![]) });
    let probed = make_within(Duration::from_millis(200), https, &aim(plain));
    assert!(matches!(probed, Err(Miss::Failed(_))), "{probed:?}");
}

/// A message, and `grpc-status` with `grpc-message`.
type GrpcAnswer = (Vec<u8>, Option<(&'static str, &'static str)>);

/// A gRPC server that answers like this.
fn grpc_server(answer: fn(service: &[u8]) -> GrpcAnswer) -> SocketAddr {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::header::{HeaderMap, HeaderValue};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let (tell, told) = std::sync::mpsc::channel();
    let serve = async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = move |request: hyper::Request<hyper::body::Incoming>| async move {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                assert_eq!(request.headers()["content-type"], "application/grpc");
                let message = request.into_body().collect().await.unwrap().to_bytes();
                let (body, status) = answer(&message);
                let mut trailers = HeaderMap::new();
                if let Some((status, message)) = status {
                    trailers.insert("grpc-status", HeaderValue::from_static(status));
                    trailers.insert("grpc-message", HeaderValue::from_static(message));
                }
                let only_trailers = body.is_empty();
                let body = Full::new(Bytes::from(body)).with_trailers({
                    let trailers = trailers.clone();
                    async move { (!only_trailers).then_some(Ok(trailers)) }
                });
                let mut response = hyper::Response::new(body);
                if only_trailers {
                    *response.headers_mut() = trailers;
                }
                Ok::<_, std::convert::Infallible>(response)
            };
            let service = hyper::service::service_fn(service);
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    };
    std::thread::spawn(move || runtime().block_on(serve));
    told.recv_timeout(TIMEOUT).unwrap()
}

fn grpc(service: &str) -> Probe {
    Probe::Grpc(GrpcProbe { service: service.into(), authority: None, tls: None })
}

#[test]
fn a_grpc_check_wants_serving() {
    let address = grpc_server(|message| match message {
        [0, 0, 0, 0, 0] => (vec![0, 0, 0, 0, 2, 8, 1], Some(("0", ""))),
        [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'b'] => (vec![0, 0, 0, 0, 2, 8, 2], Some(("0", ""))),
        [0, 0, 0, 0, 3, 0x0a, 1, b'?'] => (vec![], Some(("12", "unknown service"))),
        [0, 0, 0, 0, 3, 0x0a, 1, b'n'] => (vec![], Some(("5", ""))),
        [0, 0, 0, 0, 3, 0x0a, 1, b's'] => (vec![0, 0, 0, 0, 2, 8, 1], None),
        _ => (b"\0\0\0\0\x05<html".to_vec(), Some(("0", ""))),
    });
    assert_eq!(make(grpc(""), address), Ok(()));
    assert_eq!(make(grpc("a.b"), address), failed("gRPC: NOT_SERVING"));
    let unimplemented = "gRPC: UNIMPLEMENTED: the server has no grpc.health.v1.Health service \
                         (unknown service)";
    assert_eq!(make(grpc("?"), address), failed(unimplemented));
    let unknown = "gRPC: NOT_FOUND: the server does not know this service";
    assert_eq!(make(grpc("n"), address), failed(unknown));
    assert_eq!(make(grpc("s"), address), failed("the answer has no grpc-status"));
    assert_eq!(make(grpc("garbage"), address), failed("the answer is no HealthCheckResponse"));
}

#[test]
fn a_server_that_speaks_no_http_2_is_no_grpc_server() {
    let probed = make(grpc(""), server(ok("")));
    assert!(matches!(&probed, Err(Miss::Failed(_))), "{probed:?}");
    let (address, _) = tls_server("app.example", &[b"http/1.1"], vec![]);
    let probe = GrpcProbe { tls: Some(tls()), ..GrpcProbe::default() };
    let probed = make(Probe::Grpc(probe), address);
    assert!(matches!(&probed, Err(Miss::Failed(_))), "{probed:?}");
    let (address, _) = tls_server("app.example", &[], vec![]);
    let probe = GrpcProbe { tls: Some(tls()), ..GrpcProbe::default() };
    let without = "the server does not speak HTTP/2 (ALPN h2)";
    assert_eq!(make(Probe::Grpc(probe), address), failed(without));
}
