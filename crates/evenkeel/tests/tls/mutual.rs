//! Clients that show certificates, and what servers are told about them.

use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::authority::{Authority, Issued, replace};
use crate::client::{BOTH, ONLY_12, ONLY_13, TlsClient, config, get};
use crate::support::{Backend, Directory, Proxy, Then, reply, wait_for, with_listener};

struct Stage {
    authority: Authority,
    clients: Authority,
    proxy: Proxy,
    backend: Backend,
    directory: Directory,
}

impl Stage {
    /// With these words in `client_auth` besides `ca`.
    fn set(more: &str) -> Self {
        Self::with(more, "", |_, _| {})
    }

    fn with(more: &str, listener: &str, prepare: impl FnOnce(&Authority, &Directory)) -> Self {
        let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
        let directory = Directory::new();
        prepare(&clients, &directory);
        let ca = directory.0.join("clients.pem");
        replace(&ca, &clients.pem);
        let files = authority.issue(&["shop.example"]).write(&directory.0, "shop");
        let more = more.replace("DIR", &directory.0.display().to_string());
        let tls = format!(
            "    tls: {{ certificates: [{files}], client_auth: {{ ca: {}{more} }} }}\n{listener}",
            ca.display()
        );
        let backend = Backend::named("a");
        let proxy = Proxy::start(&with_listener(&[&backend], &tls));
        Self { authority, clients, proxy, backend, directory }
    }

    fn get(
        &self,
        versions: crate::client::Versions<'_>,
        who: Option<&Issued>,
    ) -> std::io::Result<String> {
        let config = Arc::new(config(&self.authority, versions, who));
        get(self.proxy.addresses[0], "shop.example", &config)
    }
}

#[test]
fn nobody_enters_without_a_certificate_of_the_right_authority() {
    let stage = Stage::set("");
    let known = stage.clients.issue(&["alice"]);
    let stranger = Authority::new("others").issue(&["alice"]);
    for versions in [ONLY_12, ONLY_13] {
        assert_eq!(stage.get(versions, Some(&known)).unwrap(), "HTTP/1.1 200 OK");
        assert!(stage.get(versions, None).is_err());
        assert!(stage.get(versions, Some(&stranger)).is_err());
    }
    wait_for("a word about it", || {
        stage.proxy.log().iter().any(|line| line.contains("no TLS session"))
    });
    assert_eq!(stage.backend.count(), 2);
}

#[test]
fn where_it_is_optional_none_is_fine_and_a_bad_one_is_not() {
    let stage = Stage::set(", mode: optional");
    assert_eq!(stage.get(BOTH, None).unwrap(), "HTTP/1.1 200 OK");
    assert_eq!(stage.backend.only().field("x-client-cert-subject"), None);
    let stranger = Authority::new("others").issue(&["alice"]);
    assert!(stage.get(BOTH, Some(&stranger)).is_err());
    let known = stage.clients.issue(&["alice"]);
    assert_eq!(stage.get(BOTH, Some(&known)).unwrap(), "HTTP/1.1 200 OK");
}

#[test]
fn servers_are_told_who_it_is_and_clients_cannot_say_so() {
    // Not even a trusted peer: here it is this listener that asks for certificates.
    let stage = Stage::with(
        ", forward: [details, certificate, chain]",
        "    trusted_proxies: 127.0.0.1\n",
        |_, _| {},
    );
    let alice = stage.clients.issue(&["alice.example"]);
    let config = Arc::new(config(&stage.authority, BOTH, Some(&alice)));
    let mut client = TlsClient::connect(stage.proxy.addresses[0], "shop.example", &config).unwrap();
    let lies = [
        "X-Client-Cert-Subject: CN=root",
        "x_client_cert_subject: CN=root",
        "X-Client-Cert-Role: admin",
        "Client-Cert: :AAAA:",
        "CLIENT_CERT: :AAAA:",
        "Client-Cert-Chain: :AAAA:",
        "X-Forwarded-Client-Cert: Subject=\"CN=root\"",
        "X-SSL-Client-Verify: SUCCESS",
    ];
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", lies.join("\r\n"));
    client.ask(&request).unwrap();
    let received = stage.backend.only();
    assert_eq!(received.field("x-client-cert-subject"), Some("CN=alice.example"));
    assert_eq!(received.field("x-client-cert-issuer"), Some("CN=clients"));
    assert_eq!(received.field("x-client-cert-san"), Some("DNS:alice.example"));
    assert_eq!(
        received.field("x-client-cert-serial"),
        Some(format!("{:04x}", alice.serial).as_str())
    );
    assert_eq!(received.field("x-client-cert-fingerprint").map(str::len), Some(64));
    let encoded: String = alice.pem.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(received.field("client-cert"), Some(format!(":{encoded}:").as_str()));
    for name in [
        "x-client-cert-role",
        "client-cert-chain",
        "x-forwarded-client-cert",
        "x_client_cert_subject",
        "client_cert",
    ] {
        assert_eq!(received.field(name), None, "{name}");
    }
}

#[test]
fn a_certificate_that_is_revoked_is_refused_and_so_is_its_ticket() {
    let stage = Stage::with(", crl: DIR/revoked.pem", "", |clients, directory| {
        replace(&directory.0.join("revoked.pem"), &clients.revoke(&[]));
    });
    let alice = stage.clients.issue(&["alice"]);
    let config = Arc::new(config(&stage.authority, BOTH, Some(&alice)));
    let address = stage.proxy.addresses[0];
    get(address, "shop.example", &config).unwrap();
    let mut again = TlsClient::connect(address, "shop.example", &config).unwrap();
    again.get().unwrap();
    assert!(again.is_resumed(), "or this proves nothing");
    replace(&stage.directory.0.join("revoked.pem"), &stage.clients.revoke(&[alice.serial]));
    wait_for("the list to be in force", || get(address, "shop.example", &config).is_err());
    let bob = stage.clients.issue(&["bob"]);
    assert_eq!(stage.get(BOTH, Some(&bob)).unwrap(), "HTTP/1.1 200 OK");
    // A list that becomes bad opens nothing.
    replace(
        &stage.directory.0.join("revoked.pem"),
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    );
    wait_for("a word about it", || {
        stage.proxy.log().iter().any(|line| line.contains("what was in force stays"))
    });
    assert!(get(address, "shop.example", &config).is_err());
}

#[test]
fn l14_without_its_authorities_a_listener_does_not_open() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let files = authority.issue(&["shop.example"]).write(&directory.0, "shop");
    replace(&directory.0.join("empty.pem"), "");
    replace(&directory.0.join("none.pem"), "nothing here\n");
    for ca in ["nowhere.pem", "empty.pem", "none.pem"] {
        let text = format!(
            "listeners: {{ web: {{ bind: \"127.0.0.1:0\", tls: {{ certificates: [{files}], client_auth: {{ ca: {}/{ca} }} }} }} }}\nroutes: [ {{ respond: {{}} }} ]\nadmin: {{ bind: off }}\n",
            directory.0.display()
        );
        let file = directory.0.join("evenkeel.yaml");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{ca}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(ca), "{ca}");
    }
}

#[test]
fn l12_an_endless_chain_ends_its_own_handshake_alone() {
    let stage = Stage::set("");
    let alice = stage.clients.issue(&["alice"]);
    let chain = std::iter::repeat_n(alice.der.clone(), 1000).collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(stage.authority.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(ONLY_12)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, alice.key_der())
        .unwrap();
    assert!(get(stage.proxy.addresses[0], "shop.example", &Arc::new(config)).is_err());
    assert_eq!(stage.get(BOTH, Some(&alice)).unwrap(), "HTTP/1.1 200 OK");
    assert_eq!(stage.backend.count(), 1);
}

/// Waits until the connection has ended: it is asked nothing meanwhile.
fn ends(client: &mut TlsClient) -> bool {
    let mut byte = [0];
    matches!(std::io::Read::read(&mut client.stream, &mut byte), Ok(0) | Err(_))
}

#[test]
fn connections_admitted_by_other_rules_end_after_the_exchange_in_progress() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let directory = Directory::new();
    replace(&directory.0.join("clients.pem"), &clients.pem);
    let files = authority.issue(&["shop.example"]).write(&directory.0, "shop");
    let backend = Backend::start(|request, stream| {
        if request.target() == "/slow" {
            std::thread::sleep(std::time::Duration::from_millis(800));
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let with = |tls: &str| with_listener(&[&backend], tls);
    let open = format!("    tls: {{ certificates: [{files}] }}\n");
    let ca = directory.0.join("clients.pem");
    let closed = format!(
        "    tls: {{ certificates: [{files}], client_auth: {{ ca: {} }} }}\n",
        ca.display()
    );
    let proxy = Proxy::start(&with(""));
    let mut plain = proxy.connect();
    plain.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(plain.response().status, 200);
    let mut busy = proxy.connect();
    busy.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request", || backend.count() == 2);
    proxy.reload(&with(&open));
    assert!(plain.is_closed());
    assert_eq!(busy.response().status, 200);
    assert!(busy.is_closed());

    let anybody = Arc::new(config(&authority, BOTH, None));
    let connect = || TlsClient::connect(proxy.addresses[0], "shop.example", &anybody).unwrap();
    let mut stranger = connect();
    assert_eq!(stranger.get().unwrap(), "HTTP/1.1 200 OK");
    proxy.reload(&format!("{}\nwatch: true\n", with(&open).trim_end()));
    assert_eq!(stranger.get().unwrap(), "HTTP/1.1 200 OK"); // nothing of the kind has changed
    proxy.reload(&with(&closed));
    assert!(ends(&mut stranger));
    let alice = Arc::new(config(&authority, BOTH, Some(&clients.issue(&["alice"]))));
    let mut known = TlsClient::connect(proxy.addresses[0], "shop.example", &alice).unwrap();
    assert_eq!(known.get().unwrap(), "HTTP/1.1 200 OK");
    proxy.reload(&with(&open)); // who was let in by more is let in by less
    assert_eq!(known.get().unwrap(), "HTTP/1.1 200 OK");
}

#[test]
fn a_session_does_not_outlive_the_certificate_it_began_with() {
    let stage = Stage::set("");
    for versions in [ONLY_13, ONLY_12] {
        let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3);
        let alice = stage.clients.issue_with(&["alice"], |params| params.not_after = soon.into());
        let config = Arc::new(config(&stage.authority, versions, Some(&alice)));
        let connect = || TlsClient::connect(stage.proxy.addresses[0], "shop.example", &config);
        assert!(connect().unwrap().get().is_ok());
        wait_for("the end of the certificate", || {
            std::time::SystemTime::now() > soon + std::time::Duration::from_secs(1)
        });
        let again = connect().and_then(|mut client| client.get());
        assert!(again.is_err(), "{again:?}");
    }
    wait_for("a word about it", || {
        stage.proxy.log().iter().any(|line| line.contains("that has expired since"))
    });
}
