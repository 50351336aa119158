//! Validators, ranges and what else names the bytes of one coding.

use crate::spoken::{ALL, Version};
use crate::support::{Backend, Then, reply};
use crate::{compressing, decode, holding, text};

const GZIP: (&str, &str) = ("accept-encoding", "gzip");

#[test]
fn strong_tags_become_weak_and_what_names_the_bytes_is_gone() {
    // RFC 9110 §8.8.1; RFC 9530 §3; RFC 9110 §14.3.
    let body = text(20_000);
    let fields = "Content-Type: text/css\r\nETag: \"v,1\"\r\nVary: Origin\r\nAccept-Ranges: bytes\r\n\
                  Content-MD5: a\r\nDigest: b\r\nContent-Digest: c\r\nRepr-Digest: d\r\nX-Kept: e\r\n";
    let backend = holding(fields, &body);
    let proxy = compressing(&backend, "{}");
    for version in ALL {
        let said = proxy.get(version, "/", &[GZIP]);
        assert_eq!((said.field("etag"), said.field("x-kept")), ("W/\"v,1\"", "e"));
        assert_eq!(said.values("vary"), ["Origin", "accept-encoding"]);
        for gone in ["accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"] {
            assert_eq!(said.field(gone), "", "{gone}");
        }
        let said = proxy.get(version, "/", &[]);
        assert_eq!((said.field("etag"), said.field("accept-ranges")), ("\"v,1\"", "bytes"));
        assert_eq!(said.field("repr-digest"), "d");
    }
    let weak =
        holding("Content-Type: text/css\r\nETag: W/\"1\"\r\nVary: Accept-Encoding\r\n", &body);
    let proxy = compressing(&weak, "{}");
    let said = proxy.get(Version::H1, "/", &[GZIP]);
    assert_eq!((said.field("etag"), said.field("vary")), ("W/\"1\"", "Accept-Encoding"));
}

/// A server that compares tags letter by letter, and takes lists of them.
fn strict() -> Backend {
    let body = text(20_000);
    Backend::start(move |request, stream| {
        let named = request.fields("if-none-match").join(", ");
        if named.split(", ").any(|tag| tag == "\"v1\"") {
            reply(stream, "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
        } else {
            let length = body.len();
            let fields = "Content-Type: text/css\r\nETag: \"v1\"\r\n";
            reply(stream, format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n"));
            reply(stream, &body);
        }
        Then::Keep
    })
}

#[test]
fn a_client_that_holds_coded_content_can_ask_whether_it_is_still_good() {
    // RFC 9110 §13.1.2 (weak comparison), §15.4.5.
    let backend = strict();
    let proxy = compressing(&backend, "{}");
    for version in ALL {
        let said = proxy.get(version, "/", &[GZIP]);
        assert_eq!((said.status, said.field("etag")), (200, "W/\"v1\""));
        let said = proxy.get(version, "/", &[GZIP, ("if-none-match", "W/\"v1\"")]);
        assert_eq!((said.status, said.field("etag")), (304, "W/\"v1\""), "{version:?}");
        assert_eq!(said.field("vary"), "accept-encoding");
        // Who holds it as the server made it is told so.
        let said = proxy.get(version, "/", &[GZIP, ("if-none-match", "\"v1\"")]);
        assert_eq!((said.status, said.field("etag")), (304, "\"v1\""));
    }
    let seen = backend.received();
    assert_eq!(seen[1].field("if-none-match"), Some("W/\"v1\", \"v1\""));
    assert_eq!(seen[2].field("if-none-match"), Some("\"v1\""), "as it came");
}

#[test]
fn parts_are_never_compressed() {
    // RFC 9110 §14.2: a range is of the content as it is coded.
    let body = text(20_000);
    let fields = "Content-Type: text/css\r\nContent-Range: bytes 0-19999/40000\r\n";
    let head = format!("HTTP/1.1 206 Partial Content\r\n{fields}Content-Length: 20000\r\n\r\n");
    let backend = Backend::replying([head.as_bytes(), &body].concat());
    let proxy = compressing(&backend, "{}");
    for version in ALL {
        let said = proxy.get(version, "/", &[GZIP, ("range", "bytes=0-19999")]);
        assert_eq!((said.status, said.field("content-encoding")), (206, ""));
        assert_eq!(said.field("content-range"), "bytes 0-19999/40000");
        assert!(said.body == body);
    }
    assert_eq!(backend.received()[0].field("range"), Some("bytes=0-19999"));
}

#[test]
fn a_server_may_forbid_it() {
    // RFC 9111 §5.2.2.6.
    let body = text(20_000);
    let fields =
        "Content-Type: text/css\r\nCache-Control: max-age=1, No-Transform\r\nETag: \"a\"\r\n";
    let backend = holding(fields, &body);
    let proxy = compressing(&backend, "{}");
    let said = proxy.get(Version::H1, "/", &[GZIP]);
    assert_eq!((said.field("content-encoding"), said.field("etag")), ("", "\"a\""));
    assert!(said.body == body);
}

#[test]
fn digests_in_trailers_go_and_other_trailers_stay() {
    let body = text(20_000);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nTransfer-Encoding: chunked\r\n\r\n";
    let size = format!("{:x}\r\n", body.len());
    let tail = "\r\n0\r\nRepr-Digest: x\r\nServer-Timing: a\r\n\r\n";
    let answer = [head.as_bytes(), size.as_bytes(), &body, tail.as_bytes()].concat();
    let backend = Backend::replying(answer);
    let proxy = compressing(&backend, "{}");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nAccept-Encoding: gzip\r\n\r\n");
    let response = client.response();
    assert!(decode("gzip", &response.body) == body);
    assert_eq!(response.trailers.to_ascii_lowercase(), "server-timing: a\r\n");
}
