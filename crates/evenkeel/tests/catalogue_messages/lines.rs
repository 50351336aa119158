//! Group C: lines, field names and values, the request line (RFC 9112 §2.2, §3, §5).

use crate::support::{Backend, Proxy, with_listener};

#[test]
fn c19_when_we_close_what_is_still_on_its_way_does_no_harm() {
    // RFC 9112 §9.6: a close while the client sends would destroy the response on its side
    let backend = Backend::named("only");
    let limits = "    limits: { requests_per_connection: 1 }\n";
    let proxy = Proxy::start(&with_listener(&[&backend], limits));
    let mut client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().field("connection"), Some("close"));
    assert!(client.is_closed());
    // Our half is closed; the client's is still read, so nothing is reset.
    for _ in 0..2 {
        client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_eq!(backend.count(), 1);
}
