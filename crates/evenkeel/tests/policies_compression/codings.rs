//! Which coding is used for whom, and for what (RFC 9110 §8.4, §12.5.3).

use crate::spoken::{ALL, Version};
use crate::support::{Backend, Then, reply};
use crate::{compressing, decode, holding, text};

const HTML: &str = "Content-Type: text/html; charset=utf-8\r\n";

#[test]
fn a_client_gets_the_coding_it_prefers_over_every_version() {
    let body = text(300_000);
    let backend = holding(HTML, &body);
    let proxy = compressing(&backend, "{}");
    for version in ALL {
        for (accepts, coding) in [
            ("gzip, br, zstd", "zstd"),
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("br;q=0.5, gzip;q=0.9", "gzip"),
            ("*", "zstd"),
            ("*;q=0.1, zstd;q=0", "br"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
        ] {
            let said = proxy.get(version, "/", &[("accept-encoding", accepts)]);
            assert_eq!(said.status, 200);
            assert_eq!(said.field("content-encoding"), coding, "{version:?} {accepts}");
            assert_eq!(said.field("vary"), "accept-encoding");
            assert_eq!(said.field("content-length"), "");
            assert!(said.body.len() < body.len() / 5, "{}", said.body.len());
            assert!(decode(coding, &said.body) == body, "{version:?} {accepts}");
        }
    }
}

#[test]
fn a_client_that_accepts_no_coding_gets_it_as_it_is_and_caches_are_told() {
    // RFC 9110 §12.5.5: whoever else asks may get another.
    let body = text(50_000);
    let backend = holding(&format!("{HTML}ETag: \"a\"\r\n"), &body);
    let proxy = compressing(&backend, "{}");
    for version in ALL {
        for fields in [
            &[][..],
            &[("accept-encoding", "")],
            &[("accept-encoding", "gzip;q=0")],
            &[("accept-encoding", "deflate, identity")],
            &[("accept-encoding", "gzip;q=0.5, identity")],
            &[("accept-encoding", "gzip"), ("cache-control", "no-transform")],
        ] {
            let said = proxy.get(version, "/", fields);
            assert!(said.body == body, "{version:?} {fields:?}");
            assert_eq!((said.field("content-encoding"), said.field("etag")), ("", "\"a\""));
            assert_eq!(said.field("vary"), "accept-encoding");
            assert_eq!(said.field("content-length"), "50000");
        }
    }
}

#[test]
fn what_a_server_coded_itself_passes_untouched() {
    // RFC 9110 §8.4: never twice.
    for coding in ["gzip", "br", "zstd", "deflate", "aes128gcm", "gzip, gzip"] {
        let fields = format!("{HTML}Content-Encoding: {coding}\r\nETag: \"a\"\r\nDigest: x\r\n");
        let body = text(20_000);
        let backend = holding(&fields, &body);
        let proxy = compressing(&backend, "{}");
        let said = proxy.get(Version::H1, "/", &[("accept-encoding", "gzip, br, zstd")]);
        assert!(said.body == body);
        assert_eq!((said.field("content-encoding"), said.field("etag")), (coding, "\"a\""));
        assert_eq!(said.field("digest"), "x");
    }
}

#[test]
fn only_types_that_become_shorter_are_compressed() {
    let body = text(20_000);
    for (kind, is_coded) in [
        ("text/css", true),
        ("application/json", true),
        ("application/problem+json;charset=utf-8", true),
        ("image/svg+xml", true),
        ("TEXT/HTML", true),
        ("image/png", false),
        ("application/octet-stream", false),
        ("application/grpc", false),
        ("application/jsonx", false),
    ] {
        let backend = holding(&format!("Content-Type: {kind}\r\n"), &body);
        let proxy = compressing(&backend, "{}");
        let said = proxy.get(Version::H1, "/", &[("accept-encoding", "gzip")]);
        let coding = if is_coded { "gzip" } else { "" };
        assert_eq!(said.field("content-encoding"), coding, "{kind}");
        assert_eq!(said.field("vary").is_empty(), !is_coded, "{kind}");
        assert!(decode(coding, &said.body) == body, "{kind}");
    }
    let nameless = holding("", &body);
    let proxy = compressing(&nameless, "{ types: \"*\" }");
    let said = proxy.get(Version::H1, "/", &[("accept-encoding", "gzip")]);
    assert_eq!(said.field("content-encoding"), "", "nobody said what it is");
}

#[test]
fn preference_types_and_sizes_are_settings() {
    let body = text(500);
    let backend = holding("Content-Type: image/png\r\n", &body);
    let settings = "{ encodings: [gzip, br], types: image/*, min_size: 500, levels: { gzip: 9 } }";
    let proxy = compressing(&backend, settings);
    let said = proxy.get(Version::H1, "/", &[("accept-encoding", "zstd, br, gzip")]);
    assert_eq!(said.field("content-encoding"), "gzip");
    assert!(decode("gzip", &said.body) == body);
    let proxy = compressing(&backend, "{ types: \"*\", min_size: 501 }");
    let said = proxy.get(Version::H1, "/", &[("accept-encoding", "gzip")]);
    assert_eq!(said.field("content-encoding"), "", "it is too short");
}

#[test]
fn every_level_gives_back_what_went_in() {
    let body = text(400_000);
    let backend = holding(HTML, &body);
    for (gzip, br, zstd) in [(1, 0, 1), (3, 2, 5), (7, 6, 9), (9, 9, 12)] {
        let levels = format!("{{ levels: {{ gzip: {gzip}, br: {br}, zstd: {zstd} }} }}");
        let proxy = compressing(&backend, &levels);
        for coding in ["gzip", "br", "zstd"] {
            let said = proxy.get(Version::H1, "/", &[("accept-encoding", coding)]);
            assert_eq!(said.field("content-encoding"), coding);
            assert!(decode(coding, &said.body) == body, "{coding} {levels}");
        }
    }
}

#[test]
fn a_client_of_http_1_0_gets_it_as_it_is() {
    let body = text(20_000);
    let backend = holding(HTML, &body);
    let proxy = compressing(&backend, "{}");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    let response = client.response();
    assert!(response.body == body);
    assert_eq!(response.field("content-encoding"), None);
    assert_eq!(response.field("vary"), Some("accept-encoding"));
    assert_eq!(response.field("content-length"), Some("20000"));
}

#[test]
fn a_connection_goes_on_after_a_compressed_answer() {
    let body = text(20_000);
    let backend = holding(HTML, &body);
    let proxy = compressing(&backend, "{}");
    let mut client = proxy.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n");
        let response = client.response();
        assert!(response.complete && decode("br", &response.body) == body);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn what_has_no_content_is_left_alone() {
    for (status, more) in
        [(204, ""), (205, "Content-Length: 0\r\n"), (200, "Content-Length: 0\r\n")]
    {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Type: text/html\r\n{more}\r\n");
        let backend = Backend::replying(answer);
        let proxy = compressing(&backend, "{ min_size: 0B }");
        for version in ALL {
            let said = proxy.get(version, "/", &[("accept-encoding", "gzip")]);
            assert_eq!((said.status, said.field("content-encoding")), (status, ""));
            assert!(said.body.is_empty());
        }
    }
}

#[test]
fn an_answer_to_head_has_the_fields_of_one_to_get() {
    // RFC 9110 §9.3.2.
    let body = text(20_000);
    let backend = holding(&format!("{HTML}ETag: \"a\"\r\nAccept-Ranges: bytes\r\n"), &body);
    let proxy = compressing(&backend, "{}");
    for version in ALL {
        let mut all = ["GET", "HEAD"].map(|method| {
            let said = proxy.ask(version, method, "/", &[("accept-encoding", "gzip")], None);
            let is_own = |name: &str| ["date", "x-request-id", "transfer-encoding"].contains(&name);
            (
                said.fields.into_iter().filter(|(name, _)| !is_own(name)).collect::<Vec<_>>(),
                said.body,
            )
        });
        all.iter_mut().for_each(|(fields, _)| fields.sort());
        assert_eq!(all[0].0, all[1].0, "{version:?}");
        assert!(all[0].0.contains(&("content-encoding".to_owned(), "gzip".to_owned())));
        assert!(!all[0].1.is_empty() && all[1].1.is_empty());
    }
}

#[test]
fn errors_of_servers_are_compressed_like_any_content() {
    let body = text(20_000);
    let head = format!("HTTP/1.1 404 Not Found\r\n{HTML}Content-Length: {}\r\n\r\n", body.len());
    let backend = Backend::replying([head.as_bytes(), &body].concat());
    let proxy = compressing(&backend, "{}");
    let said = proxy.get(Version::H2, "/", &[("accept-encoding", "zstd")]);
    assert_eq!((said.status, said.field("content-encoding")), (404, "zstd"));
    assert!(decode("zstd", &said.body) == body);
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let body = text(20_000);
    let head = format!("HTTP/1.1 200 OK\r\n{HTML}Content-Length: {}\r\n\r\n", 2 * body.len());
    let backend = Backend::start(move |_, stream| {
        reply(stream, &head);
        reply(stream, &body);
        Then::Close
    });
    let proxy = compressing(&backend, "{}");
    for version in ALL {
        let said = proxy.get(version, "/", &[("accept-encoding", "gzip")]);
        assert!(!said.complete, "{version:?}");
    }
}
