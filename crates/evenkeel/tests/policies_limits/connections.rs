//! `limits.connection_rate_per_ip` of a listener.

use crate::quic::{self, Site, limited, run};
use crate::support::{Backend, Client, Proxy, with_listener};

const RATE: &str = "    limits: { connection_rate_per_ip: 3/h }\n";

#[test]
fn one_address_may_make_so_many_connections_in_so_much_time() {
    let backend = Backend::named("app");
    let proxy = Proxy::start(&with_listener(&[&backend], RATE));
    let mut first = Client::connect(proxy.addresses[0]);
    for _ in 0..5 {
        first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(first.response().status, 200, "requests are not connections");
    }
    assert_eq!([proxy.get("/").status, proxy.get("/").status], [200; 2]);
    let response = proxy.connect().response();
    assert_eq!((response.status, response.reason()), (429, "connection_rate"));
    let said = proxy.reload(&format!("watch: false\n{}", with_listener(&[&backend], RATE)));
    assert!(!said.contains("refused"), "{said}");
    assert_eq!(proxy.connect().response().status, 429, "a reload forgets nothing");
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(first.response().status, 200, "who is in stays in");
}

#[test]
fn who_makes_too_many_costs_no_handshake() {
    let backend = Backend::named("app");
    let site = Site::new();
    let listener = format!("{}{RATE}", site.listener());
    let proxy = Proxy::start(&with_listener(&[&backend], &listener));
    let address = proxy.addresses[0];
    let refused = run(async {
        let client = quic::Raw::dial(&site, address).await; // proves its address first
        assert_eq!(client.get("/").await.unwrap().status, 200);
        let client = quic::Raw::dial(&site, address).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
        let third = quic::Raw::dial(&site, address).await;
        assert_eq!(third.get("/").await.unwrap().status, 200);
        limited(site.endpoint().connect(address, "localhost").unwrap()).await
    });
    assert!(matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))), "{refused:?}");
    let mut client = Client::connect(address);
    assert!(client.is_closed(), "without a byte, of TLS or anything else");
}
