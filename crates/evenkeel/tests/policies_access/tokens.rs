//! `jwt`, over each version of HTTP: signed by an issuer of the test's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::Stage;
use crate::quic::Site;
use crate::support::{Backend, Proxy, Then, reply, wait_for, with_listener};

struct Issuer {
    kid: &'static str,
    key: EcdsaKeyPair,
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn in_an_hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600
}

impl Issuer {
    fn new(kid: &'static str) -> Self {
        Self { kid, key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn public(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    fn set(&self) -> String {
        let (x, y) = self.public()[1..].split_at(32);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "alg": "ES256",
            "x": encode(x), "y": encode(y),
        }] })
        .to_string()
    }

    fn token(&self, claims: &Value) -> String {
        let head = json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid });
        let text = format!("{}.{}", part(&head), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// One that is good, of this subject.
    fn good(&self, subject: &str) -> String {
        let claims = json!({
            "sub": subject, "iss": "https://issuer.example/", "aud": ["shop"], "exp": in_an_hour(),
            "realm": { "roles": ["a", "b"] },
        });
        format!("Bearer {}", self.token(&claims))
    }
}

fn stage(issuer: &Issuer, more: &str) -> Stage {
    let site = Site::new();
    std::fs::write(site.directory.0.join("keys.json"), issuer.set()).unwrap();
    let policy = format!(
        "{{ jwt: {{ jwks: $DIR/keys.json, issuer: \"https://issuer.example/\", audience: shop, \
         claims: {{ sub: x-user, realm.roles: x-roles }}, {more} }} }}"
    );
    Stage::with(site, &policy, "")
}

#[test]
fn a_good_token_lets_in_and_its_claims_are_told_to_servers_by_nobody_else() {
    let issuer = Issuer::new("a");
    let stage = stage(&issuer, "pass: false");
    let token = issuer.good("alice");
    let fields = [
        ("authorization", token.as_str()),
        ("x-user", "root"),
        ("x_roles", "root"),
        ("X.User", "root"),
    ];
    let fields = fields.map(|(name, value)| (name, value));
    let lower = [fields[0], fields[1], fields[2]];
    assert_eq!(stage.status(&lower), 200);
    assert_eq!(stage.status(&lower), 200, "remembered");
    for request in stage.app.received() {
        assert_eq!(request.fields("x-user"), ["alice"]);
        assert_eq!(request.fields("x-roles"), ["a,b"]);
        assert!(!request.head.contains("root"), "{}", request.head);
        assert_eq!(request.field("authorization"), None);
    }
}

#[test]
fn a_bad_token_lets_nobody_in_rfc_8725_3() {
    let (issuer, other) = (Issuer::new("a"), Issuer::new("a"));
    let stage = stage(&issuer, "");
    let claims = |iss: &str, aud: &str, exp: u64| json!({ "sub": "root", "iss": iss, "aud": aud, "exp": exp });
    let good = claims("https://issuer.example/", "shop", in_an_hour());
    // Signed as if the public key were a secret.
    let head = json!({ "alg": "HS256", "kid": "a" });
    let text = format!("{}.{}", part(&head), part(&good));
    let key = hmac::Key::new(hmac::HMAC_SHA256, issuer.public());
    let confused =
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()).as_ref()));
    let none = format!("{}.{}.", part(&json!({ "alg": "none", "kid": "a" })), part(&good));
    for (what, token) in [
        ("of another key", other.token(&good)),
        ("of another issuer", issuer.token(&claims("https://evil.example/", "shop", in_an_hour()))),
        (
            "for somebody else",
            issuer.token(&claims("https://issuer.example/", "bank", in_an_hour())),
        ),
        ("out of time", issuer.token(&claims("https://issuer.example/", "shop", 1_000_000))),
        ("of a confused algorithm", confused),
        ("of no algorithm", none),
        ("no token at all", "x.y.z".to_owned()),
    ] {
        let answer = stage.get("/", &[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!(
            answer.field("www-authenticate"),
            Some("Bearer error=\"invalid_token\""),
            "{what}"
        );
    }
    assert_eq!(stage.get("/", &[]).field("www-authenticate"), Some("Bearer"));
    assert_eq!(stage.app.count(), 0);
}

#[test]
fn where_a_token_is_not_required_nobody_can_say_what_a_token_would() {
    let issuer = Issuer::new("a");
    let stage = stage(&issuer, "required: false");
    assert_eq!(stage.status(&[("x-user", "root"), ("x_user", "root")]), 200);
    assert!(stage.app.received().iter().all(|request| !request.head.contains("root")));
    assert_eq!(stage.status(&[("authorization", "Bearer x.y.z")]), 401);
}

/// Serves a set of keys that can be exchanged; and how often it was asked.
fn authority(first: String) -> (Backend, Arc<Mutex<Option<String>>>, Arc<AtomicUsize>) {
    let set = Arc::new(Mutex::new(Some(first)));
    let asked = Arc::new(AtomicUsize::new(0));
    let (served, count) = (set.clone(), asked.clone());
    let backend = Backend::start(move |_, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        match &*served.lock().unwrap() {
            Some(set) => {
                let length = set.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                reply(stream, head + set);
            }
            None => reply(stream, "HTTP/1.1 500 Away\r\nContent-Length: 0\r\n\r\n"),
        }
        Then::Close
    });
    (backend, set, asked)
}

#[test]
fn keys_of_a_url_are_exchanged_without_a_refused_request_and_no_flood_asks_for_them() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let (authority, set, asked) = authority(old.set());
    let policy = format!("{{ jwt: {{ jwks: \"http://{}/keys\" }} }}", authority.address);
    let stage = Stage::with(Site::new(), &policy, "");
    let status = |token: &str| stage.status(&[("authorization", token)]);
    assert_eq!(status(&old.good("alice")), 200, "they were fetched before the first request");
    *set.lock().unwrap() = Some(new.set());
    assert_eq!(status(&new.good("alice")), 200, "a key that is not known is asked for");
    assert_eq!(status(&old.good("alice")), 401, "and one that is gone is not believed any more");
    *set.lock().unwrap() = None;
    for _ in 0..5 {
        assert_eq!(status(&Issuer::new("nobody").good("root")), 401);
    }
    let count = asked.load(Ordering::SeqCst);
    assert!(count <= 4, "asked {count} times");
    assert_eq!(status(&new.good("alice")), 200, "what was known stays");
}

#[test]
fn until_keys_have_been_fetched_nobody_comes_in() {
    let issuer = Issuer::new("a");
    let (authority, set, _) = authority(issuer.set());
    *set.lock().unwrap() = None;
    let policy = format!("{{ jwt: {{ jwks: \"http://{}/keys\" }} }}", authority.address);
    let stage = Stage::with(Site::new(), &policy, "");
    let token = issuer.good("alice");
    let fields = [("authorization", token.as_str())];
    let answer = stage.get("/", &fields);
    assert_eq!((answer.status, answer.field("x-evenkeel-reason")), (503, Some("auth_unavailable")));
    *set.lock().unwrap() = Some(issuer.set());
    let says = "fetched and in force";
    wait_for("the keys", || stage.proxy.log().iter().any(|line| line.contains(says)));
    assert_eq!(stage.status(&fields), 200);
}

#[test]
fn a_claim_decides_on_the_route_and_a_field_of_the_same_name_does_not() {
    let issuer = Issuer::new("a");
    let site = Site::new();
    std::fs::write(site.directory.0.join("keys.json"), issuer.set()).unwrap();
    let app = Backend::named("app");
    let listener = format!("{}    policies: [p]\n", site.listener());
    let routes = "routes:\n  - match: { claim: { sub: alice } }\n    respond: { body: for alice }\n  \
                  - match: { claim: { realm.roles: b } }\n    respond: { body: for b }\n";
    let config = with_listener(&[&app], &listener).replace("routes:\n", routes);
    let keys = site.directory.0.join("keys.json");
    let policy =
        format!("policies:\n  p: {{ jwt: {{ jwks: {}, required: false }} }}\n", keys.display());
    let proxy = Proxy::start(&format!("{config}{policy}"));
    let stage = Stage { site, proxy, app };
    let body = |fields: &[(&str, &str)]| {
        let answers =
            crate::versions::ask(&stage.site, stage.proxy.addresses[0], "GET", "/", fields);
        answers.map(|answer| String::from_utf8(answer.body).unwrap())
    };
    let (alice, bob) = (issuer.good("alice"), issuer.good("bob"));
    assert_eq!(body(&[("authorization", &alice)]), ["for alice"; 3]);
    assert_eq!(body(&[("authorization", &bob)]), ["for b"; 3]);
    assert_eq!(body(&[("sub", "alice"), ("claim", "alice")]), ["app"; 3]);
}
