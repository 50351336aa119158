//! HTTP/2 over TLS: chosen by ALPN (RFC 9113 §3.2), and the same from there on.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::Authority;
use crate::request;
use crate::support::{Backend, Directory, Proxy, Then, reply, with_listener};

struct Stage {
    proxy: Proxy,
    backend: Backend,
    authority: Authority,
    directory: Directory,
}

impl Stage {
    fn new(more: &str, backend: Backend) -> Self {
        let (authority, directory) = (Authority::new("ca"), Directory::new());
        let written = authority.issue(&["shop.example"]).write(&directory.0, "shop");
        let listener = format!("    tls: {{ certificates: [{written}] }}\n{more}");
        let proxy = Proxy::start(&format!("workers: 1\n{}", with_listener(&[&backend], &listener)));
        Self { proxy, backend, authority, directory }
    }

    /// A client that offers these; its connection, and what was chosen.
    fn connect(&self, offered: &[&[u8]]) -> (Option<Vec<u8>>, Option<crate::Client>) {
        self.connect_with(offered, &h2::client::Builder::new())
    }

    fn connect_with(
        &self,
        offered: &[&[u8]],
        settings: &h2::client::Builder,
    ) -> (Option<Vec<u8>>, Option<crate::Client>) {
        let (runtime, stream) = self.shake_hands(offered);
        let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let is_h2 = chosen.as_deref() == Some(b"h2");
        (chosen, is_h2.then(|| crate::Client::over(runtime, stream, settings)))
    }

    /// A connection on which the client has said nothing but that.
    fn shake_hands(&self, offered: &[&[u8]]) -> (Runtime, TlsStream<TcpStream>) {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let runtime = crate::runtime();
        let address = self.proxy.addresses[0];
        let stream = runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("shop.example").unwrap();
            TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
        });
        (runtime, stream)
    }

    fn curl(&self, arguments: &[&str]) -> Option<String> {
        let ca = self.directory.0.join("ca.pem");
        std::fs::write(&ca, &self.authority.pem).unwrap();
        let port = self.proxy.addresses[0].port();
        let curl = Command::new("curl")
            .args(["-s", "-S", "--cacert"])
            .arg(&ca)
            .args(["--resolve", &format!("shop.example:{port}:127.0.0.1")])
            .args(arguments)
            .arg(format!("https://shop.example:{port}/x"))
            .output()
            .ok()?;
        assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
        Some(String::from_utf8_lossy(&curl.stdout).into_owned())
    }
}

fn echo() -> Backend {
    Backend::start(|request, stream| {
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
        reply(stream, &request.body);
        Then::Keep
    })
}

#[test]
fn rfc9113_3_2_h2_is_chosen_where_the_client_offers_it() {
    let stage = Stage::new("", Backend::named("one"));
    let (chosen, client) = stage.connect(&[b"http/1.1", b"h2"]);
    assert_eq!(chosen.as_deref(), Some(&b"h2"[..]));
    let answer = client.unwrap().get("/");
    assert_eq!(answer.text(), "one");
    assert_eq!(stage.backend.only().field("x-forwarded-proto"), Some("https"));
    assert_eq!(stage.connect(&[b"http/1.1"]).0.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(stage.connect(&[]).0, None);
}

#[test]
fn a_drain_during_the_preface_leaves_a_first_request_its_way() {
    let stage = Stage::new("", Backend::named("one"));
    let (runtime, mut stream) = stage.shake_hands(&[b"h2"]);
    runtime.block_on(async {
        crate::within(stream.read_exact(&mut [0; 9])).await.unwrap(); // its settings: it speaks HTTP/2
        let begun = Instant::now();
        stage.proxy.signal("-TERM");
        let _ = crate::within(stream.read_to_end(&mut Vec::new())).await;
        assert!(begun.elapsed() > Duration::from_millis(450), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_listener_decides_what_is_offered() {
    let stage = Stage::new("    protocols: [h1]\n", Backend::named("one"));
    assert_eq!(stage.connect(&[b"h2", b"http/1.1"]).0.as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn long_content_passes_both_ways_in_full_records() {
    let stage = Stage::new("", echo());
    let client = stage.connect(&[b"h2"]).1.unwrap();
    let body: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let answer = client.ask(request("POST", "/").body(()).unwrap(), &body).unwrap();
    assert!(answer.body == body, "{} bytes", answer.body.len());
}

#[test]
fn many_streams_share_a_session() {
    let stage = Stage::new("", echo());
    let client = stage.connect(&[b"h2"]).1.unwrap();
    let body = bytes::Bytes::from(vec![b'x'; 50_000]);
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let request = request("POST", "/").body(()).unwrap();
            client.runtime.spawn(crate::exchange(client.sender.clone(), request, body.clone()))
        })
        .collect();
    for asked in asked {
        let answer = client.runtime.block_on(crate::within(asked)).unwrap().unwrap();
        assert!(answer.status() == 200 && answer.body == body);
    }
}

#[test]
fn curl_speaks_http2_without_being_told() {
    let stage = Stage::new("", echo());
    let write = "%{http_version} %{http_code} %{size_download}";
    let body = "x".repeat(200_000);
    let arguments = ["-o", "/dev/null", "-w", write, "--data", &body];
    let Some(printed) = stage.curl(&arguments) else { return };
    assert_eq!(printed, "2 200 200000");
}

#[test]
fn records_that_wait_for_a_client_are_sent_once_and_in_order() {
    const LENGTH: usize = 2_000_000;
    let pattern = |seed: usize, length: usize| -> Vec<u8> {
        (0..length).map(|at| ((at / 7 + at * seed) % 251) as u8).collect()
    };
    let backend = Backend::start(move |request, stream| {
        let target = request.target().trim_start_matches('/');
        let (length, seed) = target.split_once('/').unwrap();
        let body = pattern(seed.parse().unwrap(), length.parse().unwrap());
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        reply(stream, body);
        Then::Keep
    });
    let stage = Stage::new("", backend);
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(16 << 20).initial_connection_window_size(64 << 20);
    let client = stage.connect_with(&[b"h2"], &settings).1.unwrap();
    for round in 0..2_usize {
        let lengths = (0..60).map(|seed| if seed % 10 == 0 { LENGTH } else { 10 + seed * 97 });
        let asked: Vec<_> = lengths
            .enumerate()
            .map(|(seed, length)| {
                let request = request("GET", &format!("/{length}/{seed}")).body(()).unwrap();
                let exchange = crate::exchange(client.sender.clone(), request, "".into());
                (seed, length, client.runtime.spawn(exchange))
            })
            .collect();
        // The one thread that reads the connection does not: it fills up.
        client.runtime.spawn(async move {
            tokio::task::yield_now().await;
            std::thread::sleep(std::time::Duration::from_millis(500 * round as u64));
        });
        for (seed, length, asked) in asked {
            let answer = client.runtime.block_on(crate::within(asked)).unwrap().unwrap();
            assert!(answer.body == pattern(seed, length), "{seed} of round {round}");
        }
    }
}
