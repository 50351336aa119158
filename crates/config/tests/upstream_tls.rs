//! How pools and their checks are meant to speak TLS, from what is written.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use evenkeel_config::model::{PoolProtocol, PoolTls, Probe, TlsVersion};
use evenkeel_config::{Config, Source, effective, load};

fn config(text: &str) -> Config {
    let source = Source { name: "f".into(), text: text.into() };
    let read = |source: Source| match load(&[source], &|_| None) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{}", report.compact()),
    };
    let config = read(source);
    let again = read(Source { name: "effective".into(), text: effective(&config) });
    assert_eq!(config, again, "what is written out is read as the same");
    config
}

fn with_pool(pool: &str) -> Config {
    config(&format!(
        "listeners: {{ web: {{ bind: \":80\" }} }}\nroutes: [ {{ to: app }} ]\npools:\n  app: {{ {pool} }}\n"
    ))
}

fn tls_of_check(config: &Config) -> Option<&PoolTls> {
    match &config.pools[0].health.as_ref().unwrap().probe {
        Probe::Http(probe) => probe.tls.as_ref(),
        Probe::Grpc(probe) => probe.tls.as_ref(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_written_as_https_are_spoken_to_over_tls_at_port_443() {
    let config = with_pool("servers: [\"https://app.internal\", \"https://10.0.0.1:8443/\"]");
    let pool = &config.pools[0];
    assert_eq!(pool.tls, Some(PoolTls::default()));
    assert!(pool.tls.as_ref().unwrap().verify, "verified unless the file says otherwise");
    let servers: Vec<_> = pool.servers.iter().map(|server| server.address.to_string()).collect();
    assert_eq!(servers, ["app.internal:443", "10.0.0.1:8443"]);
    let beside = with_pool("servers: [\"https://a\", \"b:8443\"]");
    assert_eq!(beside.pools[0].tls, Some(PoolTls::default()));
    assert_eq!(with_pool("servers: [\"http://a\"]").pools[0].tls, None);
    let sides = with_pool("servers: [\"https://a\"], tls: { sni: b.example }");
    assert_eq!(sides.pools[0].tls.as_ref().unwrap().sni.as_deref(), Some("b.example"));
}

#[test]
fn a_pool_says_whom_it_trusts_what_it_shows_and_what_it_speaks() {
    let config = with_pool(
        "servers: [\"a:1\"], protocol: auto, tls: { ca: ca.pem, client: { cert: c.pem, key: c.key }, min_version: 1.3 }",
    );
    let pool = &config.pools[0];
    let tls = pool.tls.as_ref().unwrap();
    assert_eq!(tls.ca, Some("ca.pem".into()));
    assert_eq!(tls.client.as_ref().unwrap().key, std::path::PathBuf::from("c.key"));
    assert_eq!(tls.min_version, TlsVersion::V13);
    assert_eq!(pool.protocol, PoolProtocol::Auto);
    assert_eq!(with_pool("servers: [\"a:1\"]").pools[0].protocol, PoolProtocol::H1);
}

#[test]
fn checks_speak_as_the_pool_does_unless_they_say_otherwise() {
    let pool = "servers: [\"a:1\"], tls: { ca: ca.pem, sni: a.example }";
    let whole = with_pool(pool).pools[0].tls.clone();
    for check in ["/healthz", "{ http: /healthz }", "{ https: /healthz }", "grpc", "{ grpc: {} }"] {
        let config = with_pool(&format!("{pool}, health: {check}"));
        assert_eq!(tls_of_check(&config), whole.as_ref(), "{check}");
    }
    for check in ["{ http: { tls: false } }", "{ grpc: { tls: false } }"] {
        let config = with_pool(&format!("{pool}, health: {check}"));
        assert_eq!(tls_of_check(&config), None, "{check}");
    }
    let config = with_pool(&format!("{pool}, health: {{ http: {{ tls: {{ sni: b.example }} }} }}"));
    let expected = PoolTls { sni: Some("b.example".into()), ..whole.clone().unwrap() };
    assert_eq!(tls_of_check(&config), Some(&expected), "what is not written is the pool's");
    let plain = with_pool("servers: [\"a:1\"], health: /healthz");
    assert_eq!(tls_of_check(&plain), None);
    let alone = with_pool("servers: [\"a:1\"], health: { https: /healthz }");
    assert_eq!(tls_of_check(&alone), Some(&PoolTls::default()));
}

#[test]
fn names_for_the_authority_are_kept_once_and_in_lower_case() {
    let config = config(
        "listeners: { web: { bind: \":443\", tls: { acme: [Shop.example, shop.example., www.shop.example] } } }
acme: { storage: /var/lib/acme, contact: \"mailto:ops@shop.example\", challenge: tls-alpn-01 }
routes: [ { respond: {} } ]
",
    );
    let names = &config.listeners[0].tls.as_ref().unwrap().acme;
    assert_eq!(names, &["shop.example", "www.shop.example"]);
    let acme = config.acme.unwrap();
    assert_eq!(acme.contact, ["ops@shop.example"]);
    assert!(acme.directory.starts_with("https://"));
}
