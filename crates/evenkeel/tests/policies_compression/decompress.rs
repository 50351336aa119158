//! Answers that a server coded whatever was asked for.

use crate::spoken::{ALL, Polyglot, Version};
use crate::support::Backend;
use crate::{encode, holding, text};

fn proxy(backend: &Backend, settings: &str) -> Polyglot {
    Polyglot::start(
        backend,
        "    policies: [plain, shrink]\n",
        &format!(
            "routes: [ {{ to: app }} ]\npolicies:\n  plain: {{ decompress: {settings} }}\n  shrink: {{ compress: {{}} }}\n"
        ),
    )
}

fn coded(coding: &str, body: &[u8]) -> Backend {
    let fields = format!(
        "Content-Type: text/plain\r\nContent-Encoding: {coding}\r\nETag: \"a\"\r\nRepr-Digest: x\r\n"
    );
    holding(&fields, &encode(coding, body))
}

#[test]
fn a_client_that_cannot_decode_gets_it_as_it_was() {
    let body = text(500_000);
    for coding in ["gzip", "br", "zstd"] {
        let backend = coded(coding, &body);
        let proxy = proxy(&backend, "{}");
        for version in ALL {
            for fields in [&[][..], &[("accept-encoding", "identity")]] {
                let said = proxy.get(version, "/", fields);
                assert!(said.complete && said.body == body, "{version:?} {coding}");
                assert_eq!((said.field("content-encoding"), said.field("etag")), ("", "W/\"a\""));
                assert_eq!(
                    (said.field("vary"), said.field("repr-digest")),
                    ("accept-encoding", "")
                );
            }
            let said = proxy.get(version, "/", &[("accept-encoding", coding)]);
            assert_eq!((said.field("content-encoding"), said.field("etag")), (coding, "\"a\""));
            assert!(said.body == encode(coding, &body));
        }
    }
}

#[test]
fn a_client_of_http_1_0_gets_it_until_the_connection_ends() {
    let body = text(50_000);
    let backend = coded("gzip", &body);
    let proxy = proxy(&backend, "{}");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert!(response.body == body);
    assert_eq!(response.field("content-length"), None);
}

#[test]
fn a_bomb_is_broken_off_at_its_bound_and_fills_no_memory() {
    // Reliability catalogue, H13.
    for coding in ["gzip", "br", "zstd"] {
        let backend = coded(coding, &vec![b'0'; 24 << 20]);
        let proxy = proxy(&backend, "{ max: 16MiB }");
        let before = proxy.proxy.memory();
        let said = proxy.get(Version::H1, "/", &[]);
        assert!(!said.complete && said.body.len() <= 16 << 20, "{coding}");
        let grown = proxy.proxy.memory().saturating_sub(before);
        assert!(grown < 12 << 20, "{coding}: {grown}");
    }
}

#[test]
fn what_is_not_what_it_says_is_broken_off() {
    let fields = "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n";
    let backend = holding(fields, b"not at all");
    let proxy = proxy(&backend, "{}");
    let said = proxy.get(Version::H1, "/", &[]);
    assert!(said.status >= 500 || !said.complete, "{said:?}");
}
