//! What the two sides agree on, and what is said when they cannot.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use crate::authority::{Authority, Issued};
use crate::client::{BOTH, ONLY_12, ONLY_13, TlsClient, Versions, config, get};
use crate::support::admin::Admin;
use crate::support::{
    Backend, Client, Directory, LIMIT, Proxy, Then, collect, reply, wait_for, with_listener,
};

/// A proxy with these certificates and more settings of its `tls`.
fn start(certificates: &[&Issued], more: &str) -> (Proxy, Backend, Directory) {
    start_within("10s", certificates, more)
}

/// The same, where handshakes may take this long.
fn start_within(
    handshake: &str,
    certificates: &[&Issued],
    more: &str,
) -> (Proxy, Backend, Directory) {
    let directory = Directory::new();
    let written: Vec<String> = certificates
        .iter()
        .enumerate()
        .map(|(at, issued)| issued.write(&directory.0, &at.to_string()))
        .collect();
    let listener = format!(
        "    timeouts: {{ handshake: {handshake} }}\n    tls: {{ certificates: [{}]{more} }}\n",
        written.join(", ")
    );
    let backend = Backend::named("a");
    let proxy = Proxy::start(&with_listener(&[&backend], &listener));
    (proxy, backend, directory)
}

fn says(proxy: &Proxy, words: &str) {
    wait_for(words, || proxy.log().iter().any(|line| line.contains(words)));
}

#[test]
fn curl_is_served_over_tls() {
    let authority = Authority::new("ca");
    let (proxy, _backend, directory) = start(&[&authority.issue(&["shop.example"])], "");
    let ca = directory.0.join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let address = proxy.addresses[0];
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--http1.1", "--cacert"])
        .arg(&ca)
        .arg("--resolve")
        .arg(format!("shop.example:{}:127.0.0.1", address.port()))
        .arg(format!("https://shop.example:{}/", address.port()))
        .output()
        .unwrap();
    assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "a");
}

#[test]
fn both_versions_are_spoken_and_the_oldest_can_be_raised() {
    let authority = Authority::new("ca");
    let issued = authority.issue(&["shop.example"]);
    let (proxy, _backend, _directory) = start(&[&issued], "");
    for versions in [ONLY_12, ONLY_13] {
        let config = Arc::new(config(&authority, versions, None));
        let status = get(proxy.addresses[0], "shop.example", &config).unwrap();
        assert_eq!(status, "HTTP/1.1 200 OK");
    }
    let (proxy, _backend, _directory) = start(&[&issued], ", min_version: \"1.3\"");
    let old = Arc::new(config(&authority, ONLY_12, None));
    assert!(get(proxy.addresses[0], "shop.example", &old).is_err());
    says(&proxy, "no TLS session");
    let new = Arc::new(config(&authority, ONLY_13, None));
    get(proxy.addresses[0], "shop.example", &new).unwrap();
}

#[test]
fn rfc9112_9_8_a_connection_that_ends_in_order_says_so() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let certificate = authority.issue(&["shop.example"]).write(&directory.0, "0");
    let backend = Backend::start(|request, stream| {
        let length = if request.target() == "/" { "Content-Length: 3\r\n" } else { "" };
        reply(stream, format!("HTTP/1.1 200 OK\r\n{length}\r\nabc"));
        Then::Close
    });
    let listener = format!(
        "    timeouts: {{ idle: 300ms, head: 300ms }}\n    tls: {{ certificates: [{certificate}] }}\n"
    );
    let proxy = Proxy::start(&with_listener(&[&backend], &listener));
    for versions in [ONLY_12, ONLY_13] {
        let config = Arc::new(config(&authority, versions, None));
        for request in [
            "",                                                          // that never comes
            "GET / HTTP/1.1\r\nHost: test\r\n\r\n",                      // and no second one
            "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", // the last
            "GET /endless HTTP/1.0\r\nHost: test\r\n\r\n", // whose response ends with it
        ] {
            let address = proxy.addresses[0];
            let mut client = TlsClient::connect(address, "shop.example", &config).unwrap();
            client.stream.write_all(request.as_bytes()).unwrap();
            let mut rest = Vec::new();
            // Without `close_notify` this is an error.
            client.stream.read_to_end(&mut rest).unwrap_or_else(|why| panic!("{request}: {why}"));
            assert_eq!(rest.is_empty(), request.is_empty());
        }
    }
}

#[test]
fn the_key_exchange_withstands_quantum_computers_where_the_client_can() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) = start(&[&authority.issue(&["shop.example"])], "");
    let config = Arc::new(config(&authority, BOTH, None));
    let client = TlsClient::connect(proxy.addresses[0], "shop.example", &config).unwrap();
    let group = client.stream.conn.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[test]
fn l11_protocols_are_agreed_on_or_the_handshake_fails() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) = start(&[&authority.issue(&["shop.example"])], "");
    let mut speaks = config(&authority, BOTH, None);
    speaks.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = TlsClient::connect(proxy.addresses[0], "shop.example", &Arc::new(speaks)).unwrap();
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut other = config(&authority, BOTH, None);
    other.alpn_protocols = vec![b"smtp".to_vec()];
    let error = get(proxy.addresses[0], "shop.example", &Arc::new(other)).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}"); // RFC 7301 §3.2
    says(&proxy, "no TLS session");
}

#[test]
fn a_client_gets_the_certificate_for_the_name_it_asks_for() {
    let authority = Authority::new("ca");
    let first = authority.issue(&["first.example"]);
    let wild = authority.issue(&["*.shop.example"]);
    let exact = authority.issue(&["www.shop.example"]);
    let (proxy, _backend, _directory) = start(&[&first, &wild, &exact], "");
    let config = Arc::new(config(&authority, BOTH, None));
    for (name, issued) in [
        ("first.example", &first),
        ("api.shop.example", &wild),
        ("WWW.Shop.example", &exact),
        ("www.shop.example", &exact),
    ] {
        let client = TlsClient::connect(proxy.addresses[0], name, &config).unwrap();
        assert_eq!(client.shown(), issued.der.to_vec(), "{name}");
    }
    let error = get(proxy.addresses[0], "other.example", &config).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "it was shown the first: {error}");
}

#[test]
fn with_strict_names_a_name_that_no_certificate_is_for_is_refused_and_told_of() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) =
        start(&[&authority.issue(&["shop.example"])], ", strict_names: true");
    let config = Arc::new(config(&authority, BOTH, None));
    get(proxy.addresses[0], "shop.example", &config).unwrap();
    assert!(get(proxy.addresses[0], "other.example", &config).is_err());
    says(&proxy, "other.example");
}

/// A client that can check signatures by RSA alone.
fn only_rsa(authority: &Authority, versions: Versions<'_>) -> ClientConfig {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let known = provider.signature_verification_algorithms;
    let is_rsa = |scheme: &rustls::SignatureScheme| format!("{scheme:?}").starts_with("RSA");
    let mapping: Vec<_> =
        known.mapping.iter().filter(|(scheme, _)| is_rsa(scheme)).copied().collect();
    provider.signature_verification_algorithms =
        WebPkiSupportedAlgorithms { all: known.all, mapping: Box::leak(mapping.into()) };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[test]
fn of_two_certificates_for_a_name_a_client_gets_the_one_it_can_check() {
    let authority = Authority::new("ca");
    let rsa = authority.issue_rsa(&["shop.example"]);
    let ecdsa = authority.issue(&["shop.example"]);
    let (proxy, _backend, _directory) = start(&[&rsa, &ecdsa], "");
    for versions in [ONLY_12, ONLY_13] {
        let any = Arc::new(config(&authority, versions, None));
        let client = TlsClient::connect(proxy.addresses[0], "shop.example", &any).unwrap();
        assert_eq!(client.shown(), ecdsa.der.to_vec());
        let rsa_only = Arc::new(only_rsa(&authority, versions));
        let client = TlsClient::connect(proxy.addresses[0], "shop.example", &rsa_only).unwrap();
        assert_eq!(client.shown(), rsa.der.to_vec());
    }
}

#[test]
fn a_request_without_tls_is_told_so() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) = start(&[&authority.issue(&["shop.example"])], "");
    let response = proxy.get("/");
    assert_eq!((response.status, response.reason()), (400, "plaintext_on_tls_port"));
    says(&proxy, "the client speaks HTTP without TLS");
    let mut client = proxy.connect();
    client.send([0, 1, 2, 3, 4, 5, 6, 7]);
    let rest = client.rest();
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
}

/// What a client says first.
fn hello(authority: &Authority, name: &str) -> (ClientConnection, Vec<u8>) {
    let config = Arc::new(config(authority, BOTH, None));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    (connection, bytes)
}

/// Others are; on a busy machine not at the first try, if handshakes must be quick.
fn is_served(proxy: &Proxy, authority: &Authority) {
    let config = Arc::new(config(authority, BOTH, None));
    wait_for("an answer", || {
        get(proxy.addresses[0], "shop.example", &config).is_ok_and(|said| said.contains("200"))
    });
}

#[test]
fn l4_a_hello_in_pieces_is_understood() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) = start(&[&authority.issue(&["shop.example"])], "");
    // One byte in each segment, and in each record (RFC 8446 §5.1).
    for split_records in [false, true] {
        let (mut connection, whole) = hello(&authority, "shop.example");
        let mut tcp = TcpStream::connect(proxy.addresses[0]).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(LIMIT)).unwrap();
        match split_records {
            false => {
                for byte in &whole {
                    tcp.write_all(&[*byte]).unwrap();
                }
            }
            true => {
                let pieces = whole[5..].chunks(16);
                let records = pieces
                    .flat_map(|piece| [&[22, 3, 1, 0, piece.len() as u8][..], piece].concat());
                tcp.write_all(&records.collect::<Vec<u8>>()).unwrap();
            }
        }
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).unwrap();
        }
    }
    is_served(&proxy, &authority);
}

#[test]
fn l5_an_alert_instead_of_a_hello_ends_the_connection() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) =
        start_within("2s", &[&authority.issue(&["shop.example"])], "");
    let (_, whole) = hello(&authority, "shop.example");
    for begin in [0, 5, whole.len() / 2] {
        let mut client = proxy.connect();
        client.send(&whole[..begin]);
        client.send([21, 3, 3, 0, 2, 1, 0]); // close_notify
        client.rest();
    }
    is_served(&proxy, &authority);
}

#[test]
fn l10_silence_in_a_handshake_ends_it_in_time() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) =
        start_within("2s", &[&authority.issue(&["shop.example"])], "");
    let (_, whole) = hello(&authority, "shop.example");
    let mut silent = proxy.connect();
    silent.rest();
    says(&proxy, "the client said nothing");
    let mut half = proxy.connect();
    half.send(&whole[..whole.len() / 2]);
    half.rest();
    says(&proxy, "the client was too slow");
    let mut after = proxy.connect();
    after.send(&whole);
    after.rest();
    is_served(&proxy, &authority);
    let status = Admin::of(&proxy).get("/v1/status").body;
    let count = |name: &str| status[name].as_u64().unwrap();
    assert!(count("handshakes") >= 1 && count("handshakes_failed") >= 3, "{status}");
}

#[test]
fn l1_a_client_cannot_ask_for_another_handshake() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) = start(&[&authority.issue(&["shop.example"])], "");
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &proxy.addresses[0].to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = openssl.stdin.take().unwrap();
    let output = collect(openssl.stdout.take().unwrap());
    let errors = collect(openssl.stderr.take().unwrap());
    wait_for("the session", || output.lock().unwrap().iter().any(|l| l.contains("Verify return")));
    input.write_all(b"R\n").unwrap(); // `s_client` renegotiates
    wait_for("the refusal", || {
        errors.lock().unwrap().iter().any(|line| line.contains("no renegotiation"))
    });
    drop(input);
    openssl.kill().unwrap();
    openssl.wait().unwrap();
    is_served(&proxy, &authority);
}

#[test]
fn l13_a_strange_name_gets_an_alert_and_harms_nobody() {
    let authority = Authority::new("ca");
    let (proxy, _backend, _directory) = start(&[&authority.issue(&["shop.example"])], "");
    let (_, whole) = hello(&authority, "abcdefgh.example");
    let at = whole.windows(16).position(|w| w == b"abcdefgh.example").unwrap();
    for name in [&b"ab..efgh.example"[..], b"ab\0defgh.example", b".bcdefgh.example", &[0xff; 16]] {
        let mut hello = whole.clone();
        hello[at..at + 16].copy_from_slice(name);
        let said = say(proxy.addresses[0], &hello);
        assert_eq!(said.first(), Some(&21), "an alert: {said:?}");
    }
    // An address is no name (RFC 6066 §3): as if none had been asked for.
    let mut hello = whole.clone();
    hello[at..at + 16].copy_from_slice(b"127.000.000.0001");
    say(proxy.addresses[0], &hello);
    is_served(&proxy, &authority);
}

fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(address);
    client.send(bytes);
    let mut first = vec![0; 64];
    let read = client.stream.read(&mut first).unwrap_or(0);
    first.truncate(read);
    first
}

#[test]
fn what_was_agreed_on_is_in_the_access_log() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let certificate = authority.issue(&["shop.example"]).write(&directory.0, "shop");
    let backend = Backend::named("a");
    let listener = format!("    tls: {{ certificates: [{certificate}] }}\n    policies: log\n");
    let policy = "policies:\n  log: { access_log: { format: json, to: stdout } }\n";
    let proxy = Proxy::start(&format!("{}{policy}", with_listener(&[&backend], &listener)));
    is_served(&proxy, &authority);
    wait_for("the line", || !proxy.output().is_empty());
    let line = proxy.output()[0].clone();
    for part in [
        "\"tls\":\"TLSv1.3\"",
        "\"cipher\":\"TLS13_",
        "\"sni\":\"shop.example\"",
        "\"resumed\":false",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn one_connection_too_many_is_closed_without_a_word_in_the_clear() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let certificate = authority.issue(&["shop.example"]).write(&directory.0, "shop");
    let backend = Backend::named("a");
    let listener = format!(
        "    limits: {{ connections_per_ip: 1 }}\n    tls: {{ certificates: [{certificate}] }}\n"
    );
    let proxy = Proxy::start(&with_listener(&[&backend], &listener));
    let config = Arc::new(config(&authority, BOTH, None));
    let mut first = TlsClient::connect(proxy.addresses[0], "shop.example", &config).unwrap();
    assert_eq!(proxy.connect().rest(), b"");
    assert_eq!(first.get().unwrap(), "HTTP/1.1 200 OK");
}
