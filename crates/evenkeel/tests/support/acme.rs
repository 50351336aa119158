//! A small ACME authority (RFC 8555): it checks signatures and nonces, connects back to see whether a
//! name is the client's, and signs what it is asked to. Names are looked up nowhere: the test says
//! where the authority finds ports 80 and 443.
#![allow(dead_code, unreachable_pub, missing_docs)] // as in the rest of the support
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, signature};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest};

use crate::support::authority::{Authority, provider};
use crate::support::{self, LIMIT};

/// The authority, running.
pub struct AcmeServer {
    state: Arc<State>,
}

struct State {
    /// Signs what is issued, and the authority's own certificate.
    authority: Authority,
    url: String,
    /// Connections are closed at once.
    down: AtomicBool,
    orders: AtomicUsize,
    issued: AtomicUsize,
    lifetime: Mutex<Duration>,
    found: Mutex<Found>,
    data: Mutex<Data>,
}

/// Where the authority finds who it asks.
#[derive(Clone, Copy, Default)]
pub struct Found {
    pub port_80: Option<SocketAddr>,
    pub port_443: Option<SocketAddr>,
}

#[derive(Default)]
struct Data {
    nonces: HashSet<String>,
    count: usize,
    /// By account URL: the raw public key and its thumbprint.
    accounts: HashMap<String, (Vec<u8>, String)>,
    orders: Vec<OrderData>,
}

struct OrderData {
    name: String,
    account: String,
    token: String,
    status: &'static str,
    complaint: Option<String>,
    chain: Option<String>,
}

impl AcmeServer {
    pub fn start() -> Self {
        let authority = Authority::new("Test ACME");
        let own = authority.issue(&["127.0.0.1"]);
        let config = Arc::new(own.server(&[&rustls::version::TLS13], None));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            authority,
            url: format!("https://{address}"),
            down: AtomicBool::new(false),
            orders: AtomicUsize::new(0),
            issued: AtomicUsize::new(0),
            lifetime: Mutex::new(Duration::from_secs(90 * 24 * 3600)),
            found: Mutex::default(),
            data: Mutex::default(),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                if shared.down.load(Ordering::SeqCst) {
                    continue;
                }
                let (state, config) = (shared.clone(), config.clone());
                std::thread::spawn(move || {
                    let session = rustls::ServerConnection::new(config).unwrap();
                    serve(&state, session, tcp);
                });
            }
        });
        Self { state }
    }

    /// The section `acme` of a configuration, in one line.
    pub fn section(&self, storage: &std::path::Path, ca: &std::path::Path, more: &str) -> String {
        std::fs::write(ca, &self.state.authority.pem).unwrap();
        format!(
            "acme: {{ directory: \"{}/directory\", storage: \"{}\", ca: \"{}\", contact: ops@shop.example{more} }}\n",
            self.state.url,
            storage.display(),
            ca.display(),
        )
    }

    /// Whom clients trust that trust this authority.
    pub fn roots(&self) -> rustls::RootCertStore {
        self.state.authority.roots()
    }

    pub fn find(&self, found: Found) {
        *self.state.found.lock().unwrap() = found;
    }

    pub fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    pub fn set_lifetime(&self, lifetime: Duration) {
        *self.state.lifetime.lock().unwrap() = lifetime;
    }

    pub fn orders(&self) -> usize {
        self.state.orders.load(Ordering::SeqCst)
    }

    pub fn issued(&self) -> usize {
        self.state.issued.load(Ordering::SeqCst)
    }

    pub fn accounts(&self) -> usize {
        self.state.data.lock().unwrap().accounts.len()
    }
}

/// What is answered: status, `Location`, content type, content.
type Answer = (u16, Option<String>, &'static str, String);

fn serve(state: &State, mut session: rustls::ServerConnection, mut tcp: TcpStream) {
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut tcp);
    let mut request = Vec::new();
    let (head, body) = loop {
        let mut buffer = [0; 8192];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
        let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..at]).into_owned();
        let length = support::field_values(&head, "content-length")
            .first()
            .map_or(0, |value| value.parse::<usize>().unwrap());
        if request.len() >= at + 4 + length {
            break (head, request[at + 4..].to_vec());
        }
    };
    let mut line = head.split(' ');
    let (method, path) = (line.next().unwrap(), line.next().unwrap());
    let (status, location, kind, content) = match answer(state, method, path, &body) {
        Ok(answer) => answer,
        Err((kind, detail)) => {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            let problem = json!({ "type": kind, "detail": detail, "status": 403 });
            (403, None, "application/problem+json", problem.to_string())
        }
    };
    let nonce = state.nonce();
    let location = location.map(|url| format!("Location: {url}\r\n")).unwrap_or_default();
    let content = if method == "HEAD" { String::new() } else { content };
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nReplay-Nonce: {nonce}\r\n{location}Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{content}",
        content.len()
    );
    session.send_close_notify();
    let _ = session.write_tls(&mut tcp);
}

type Refusal = (&'static str, String);

fn answer(state: &State, method: &str, path: &str, body: &[u8]) -> Result<Answer, Refusal> {
    const JSON: &str = "application/json";
    let url = |path: &str| format!("{}{path}", state.url);
    match (method, path) {
        ("GET", "/directory") => {
            let directory = json!({
                "newNonce": url("/nonce"),
                "newAccount": url("/account"),
                "newOrder": url("/order"),
            });
            return Ok((200, None, JSON, directory.to_string()));
        }
        ("HEAD", "/nonce") => return Ok((200, None, JSON, String::new())),
        ("POST", _) => {}
        _ => return Err(("malformed", format!("{method} {path}"))),
    }
    let signed = state.open(&url(path), body)?;
    let mut parts = path.trim_start_matches('/').split('/');
    let (what, number) = (parts.next().unwrap_or_default(), parts.next());
    let number: Option<usize> = number.and_then(|number| number.parse().ok());
    match (what, number) {
        ("account", None) => {
            Ok((201, Some(signed.account), JSON, json!({"status": "valid"}).to_string()))
        }
        ("order", None) => {
            let name = signed.payload["identifiers"][0]["value"].as_str().unwrap().to_owned();
            state.orders.fetch_add(1, Ordering::SeqCst);
            let token = state.nonce();
            let mut data = state.data.lock().unwrap();
            let (account, status) = (signed.account, "pending");
            let order = OrderData { name, account, token, status, complaint: None, chain: None };
            data.orders.push(order);
            let number = data.orders.len() - 1;
            let shown = state.order(&data.orders[number], number);
            Ok((201, Some(url(&format!("/order/{number}"))), JSON, shown))
        }
        ("authz", Some(number)) => {
            let data = state.data.lock().unwrap();
            Ok((200, None, JSON, state.authorization(&data.orders[number], number)))
        }
        ("http", Some(number)) | ("tls", Some(number)) => {
            let (name, token, account) = {
                let data = state.data.lock().unwrap();
                let order = &data.orders[number];
                (order.name.clone(), order.token.clone(), order.account.clone())
            };
            let thumb = state.data.lock().unwrap().accounts[&account].1.clone();
            let found = state.wait_for_found();
            let judged = match what {
                "http" => by_http(found.port_80.unwrap(), &name, &token, &thumb),
                _ => by_tls(found.port_443.unwrap(), &name, &token, &thumb),
            };
            let mut data = state.data.lock().unwrap();
            let order = &mut data.orders[number];
            match judged {
                Ok(()) => order.status = "ready",
                Err(complaint) => {
                    order.status = "invalid";
                    order.complaint = Some(complaint);
                }
            }
            let challenge = json!({ "type": kind_of(what), "url": url(path), "token": token, "status": "processing" });
            Ok((200, None, JSON, challenge.to_string()))
        }
        ("order", Some(number)) => {
            let data = state.data.lock().unwrap();
            Ok((200, None, JSON, state.order(&data.orders[number], number)))
        }
        ("finalize", Some(number)) => {
            let csr = B64.decode(signed.payload["csr"].as_str().unwrap()).unwrap();
            let mut data = state.data.lock().unwrap();
            let order = &mut data.orders[number];
            if order.status != "ready" {
                return Err(("orderNotReady", order.status.to_owned()));
            }
            order.chain = Some(state.issue(&order.name, &csr));
            order.status = "valid";
            Ok((200, None, JSON, state.order(order, number)))
        }
        ("cert", Some(number)) => {
            let data = state.data.lock().unwrap();
            let chain = data.orders[number].chain.clone().unwrap();
            Ok((200, None, "application/pem-certificate-chain", chain))
        }
        _ => Err(("malformed", path.to_owned())),
    }
}

fn kind_of(what: &str) -> &'static str {
    if what == "http" { "http-01" } else { "tls-alpn-01" }
}

struct Signed {
    account: String,
    payload: Value,
}

impl State {
    fn nonce(&self) -> String {
        let mut data = self.data.lock().unwrap();
        data.count += 1;
        let nonce = B64.encode(digest::digest(
            &digest::SHA256,
            format!("{}{}", self.url, data.count).as_bytes(),
        ));
        data.nonces.insert(nonce.clone());
        nonce
    }

    fn wait_for_found(&self) -> Found {
        let mut found = Found::default();
        support::wait_for("the test to say where ports are", || {
            found = *self.found.lock().unwrap();
            found.port_80.is_some() || found.port_443.is_some()
        });
        found
    }

    /// RFC 8555 §6.2 to §6.5.
    fn open(&self, url: &str, body: &[u8]) -> Result<Signed, Refusal> {
        let malformed = |what: &str| ("malformed", what.to_owned());
        let jws: Value = serde_json::from_slice(body).map_err(|_| malformed("no JSON"))?;
        let text = |key: &str| jws[key].as_str().unwrap_or_default().to_owned();
        let decode = |text: &str| B64.decode(text).map_err(|_| malformed("no base64"));
        let protected: Value = serde_json::from_slice(&decode(&text("protected"))?).unwrap();
        if protected["url"] != url || protected["alg"] != "ES256" {
            return Err(malformed("url or alg"));
        }
        let nonce = protected["nonce"].as_str().unwrap_or_default();
        if !self.data.lock().unwrap().nonces.remove(nonce) {
            return Err(("badNonce", nonce.to_owned()));
        }
        let (account, key) = match &protected["jwk"] {
            Value::Null => {
                let account = protected["kid"].as_str().unwrap_or_default().to_owned();
                let known = self.data.lock().unwrap().accounts.get(&account).cloned();
                let (key, _) = known.ok_or(("accountDoesNotExist", account.clone()))?;
                (account, key)
            }
            jwk => {
                let coordinate = |key: &str| jwk[key].as_str().unwrap_or_default().to_owned();
                let (x, y) = (coordinate("x"), coordinate("y"));
                let key = [&[4][..], &decode(&x)?, &decode(&y)?].concat();
                // RFC 7638 §3.
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                let thumb = B64.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
                let account = format!("{}/account/{thumb}", self.url);
                let mut data = self.data.lock().unwrap();
                data.accounts.insert(account.clone(), (key.clone(), thumb));
                (account, key)
            }
        };
        let message = format!("{}.{}", text("protected"), text("payload"));
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key)
            .verify(message.as_bytes(), &decode(&text("signature"))?)
            .map_err(|_| malformed("the signature is wrong"))?;
        let payload = decode(&text("payload"))?;
        let payload = match payload.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&payload).unwrap(),
        };
        Ok(Signed { account, payload })
    }

    fn order(&self, order: &OrderData, number: usize) -> String {
        let url = &self.url;
        let mut shown = json!({
            "status": order.status,
            "identifiers": [{ "type": "dns", "value": order.name }],
            "authorizations": [format!("{url}/authz/{number}")],
            "finalize": format!("{url}/finalize/{number}"),
        });
        if order.chain.is_some() {
            shown["certificate"] = format!("{url}/cert/{number}").into();
        }
        shown.to_string()
    }

    fn authorization(&self, order: &OrderData, number: usize) -> String {
        let status = match order.status {
            "pending" | "invalid" => order.status,
            _ => "valid",
        };
        let challenge = |kind: &str| {
            let mut challenge = json!({
                "type": kind_of(kind),
                "url": format!("{}/{kind}/{number}", self.url),
                "token": order.token,
                "status": status,
            });
            if let Some(complaint) = &order.complaint {
                challenge["error"] = json!({
                    "type": "urn:ietf:params:acme:error:unauthorized",
                    "detail": complaint,
                    "status": 403,
                });
            }
            challenge
        };
        json!({
            "identifier": { "type": "dns", "value": order.name },
            "status": status,
            "challenges": [challenge("http"), challenge("tls")],
        })
        .to_string()
    }

    fn issue(&self, name: &str, csr: &[u8]) -> String {
        let (_, request) = X509CertificationRequest::from_der(csr).unwrap();
        let info = &request.certification_request_info;
        let key = PublicKey(info.subject_pki.subject_public_key.data.to_vec());
        let lifetime = *self.lifetime.lock().unwrap();
        self.issued.fetch_add(1, Ordering::SeqCst);
        self.authority.issue_for(name, &key, SystemTime::now(), lifetime)
    }
}

/// That of a request.
struct PublicKey(Vec<u8>);

impl rcgen::PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// RFC 8555 §8.3.
fn by_http(address: SocketAddr, name: &str, token: &str, thumb: &str) -> Result<(), String> {
    let mut client = support::Client::connect(address);
    client.send(format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    ));
    let response = client.response();
    match response.status == 200 && response.text().trim_end() == format!("{token}.{thumb}") {
        true => Ok(()),
        false => Err(format!("{} {}", response.status, response.text())),
    }
}

/// RFC 8737 §3.
fn by_tls(address: SocketAddr, name: &str, token: &str, thumb: &str) -> Result<(), String> {
    let seen = Arc::new(Seen::default());
    let builder = rustls::ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(seen.clone());
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), server).unwrap();
    let mut tcp = TcpStream::connect(address).map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut tcp).map_err(|error| error.to_string())?;
    }
    if session.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("acme-tls/1 was not agreed on".into());
    }
    let der = seen.0.lock().unwrap().clone().ok_or("no certificate")?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().unwrap().ok_or("no name")?;
    let expected = x509_parser::extensions::GeneralName::DNSName(name);
    if names.value.general_names != [expected] {
        return Err(format!("{:?}", names.value));
    }
    let proof = digest::digest(&digest::SHA256, format!("{token}.{thumb}").as_bytes());
    let shown = certificate.extensions().iter().find(|extension| {
        extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31" && extension.critical
    });
    match shown.is_some_and(|shown| shown.value.ends_with(proof.as_ref())) {
        true => Ok(()),
        false => Err("it does not show the key authorization".into()),
    }
}

/// Looks at a certificate and believes it.
#[derive(Debug, Default)]
struct Seen(Mutex<Option<Vec<u8>>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some(certificate.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
