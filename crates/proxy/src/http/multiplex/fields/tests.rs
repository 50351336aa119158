//! What becomes of messages on their way between versions, section by section.

use super::*;
use evenkeel_codec::{HeadLimits, Parse, RequestContext, RequestError};
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, line: 16 * 1024, fields: 128 };

fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn text(
    method: &str,
    uri: &str,
    fields: &[(&str, &str)],
    ended: bool,
) -> Result<String, Malformed> {
    let mut out = Vec::new();
    write_request(&mut out, &request(method, uri, fields), None, ended)?;
    Ok(String::from_utf8(out).unwrap())
}

fn parse(text: &str) -> Result<RequestHead, RequestError> {
    let mut head = RequestHead::default();
    match head.parse(text.as_bytes(), &LIMITS)? {
        Parse::Complete(length) => assert_eq!(length, text.len(), "{text}"),
        Parse::Partial => panic!("{text}"),
    }
    Ok(head)
}

#[test]
fn rfc9113_8_3_1_pseudo_fields_are_the_request_line_and_the_host() {
    let got = text("GET", "https://a.test/x?y=1", &[("accept", "*/*")], true);
    assert_eq!(got.unwrap(), "GET /x?y=1 HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\n\r\n");
    let got = text("OPTIONS", "*", &[("host", "a.test")], true);
    assert_eq!(got.unwrap(), "OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n");
}

#[test]
fn d13_authority_and_host_agree_and_one_of_them_is_there() {
    let same = text("GET", "http://A.test:8080/", &[("host", "a.TEST:8080")], true).unwrap();
    assert_eq!(same.matches("host: ").count(), 1, "{same}");
    assert!(text("GET", "/", &[("host", "a.test")], true).unwrap().contains("host: a.test\r\n"));
    for (uri, hosts) in [
        ("http://a.test/", vec![("host", "b.test")]),
        ("http://a.test/", vec![("host", "a.test"), ("host", "a.test")]),
        ("http://a.test:80/", vec![("host", "a.test")]),
        ("http://a.test/", vec![("host", "")]),
        ("/", vec![]),
        ("/", vec![("host", "")]),
    ] {
        let got = text("GET", uri, &hosts, true);
        assert_eq!(got, Err(Malformed::Authority), "{uri} {hosts:?}");
    }
    // User information and the like are for the parser to refuse.
    let got = text("GET", "http://u@a.test/", &[], true).unwrap();
    assert_eq!(parse(&got).err(), Some(RequestError::BadHost));
}

#[test]
fn d15_d16_a_path_begins_with_a_slash_or_is_the_asterisk_of_options() {
    for (method, uri) in [("GET", "*"), ("POST", "*")] {
        let got = text(method, uri, &[("host", "a.test")], true);
        assert_eq!(got, Err(Malformed::Pseudo), "{method} {uri}");
    }
    for target in ["svc/Method", "@evil", "?x", "http://b.test/"] {
        let mut parts = request("GET", "http://a.test/", &[]);
        let mut uri = ::http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(Authority::from_static("a.test"));
        // Where the library takes it at all, it stays what it is or is given a slash.
        let Ok(path) = PathAndQuery::try_from(target) else { continue };
        uri.path_and_query = Some(path);
        let Ok(uri) = Uri::from_parts(uri) else { continue };
        parts.uri = uri;
        let mut out = Vec::new();
        if write_request(&mut out, &parts, None, true).is_ok() {
            assert!(out.starts_with(b"GET /"), "{target}");
        }
    }
}

#[test]
fn d6_a_scheme_is_http_or_https() {
    assert_eq!(text("GET", "ftp://a.test/", &[], true), Err(Malformed::Pseudo));
}

#[test]
fn rfc9113_8_2_2_fields_of_a_connection_are_malformed() {
    for (name, value) in [
        ("connection", "close"),
        ("connection", "x-forwarded-for"),
        ("proxy-connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, deflate"),
    ] {
        let got = text("POST", "http://a.test/", &[(name, value)], false);
        assert_eq!(got, Err(Malformed::ConnectionSpecific), "{name}: {value}");
    }
    let got = text("POST", "http://a.test/", &[("te", "trailers")], false).unwrap();
    assert!(parse(&got).unwrap().te_trailers);
}

#[test]
fn rfc9113_8_2_1_a_value_has_no_white_space_around_it() {
    for value in [" a", "a ", "\ta", "a\t", "\t"] {
        let got = text("GET", "http://a.test/", &[("x", value)], true);
        assert_eq!(got, Err(Malformed::Value), "{value:?}");
    }
    assert!(text("GET", "http://a.test/", &[("x", ""), ("y", "a\tb c")], true).is_ok());
}

#[test]
fn rfc9113_8_2_3_cookie_crumbs_are_joined() {
    let crumbs = [("cookie", "a=b"), ("x", "1"), ("cookie", "c=d"), ("cookie", "e=f")];
    let got = text("GET", "http://a.test/", &crumbs, true).unwrap();
    assert!(got.contains("\r\ncookie: a=b; c=d; e=f\r\n"), "{got}");
    assert_eq!(got.matches("cookie").count(), 1);
}

#[test]
fn a14_a15_content_is_as_long_as_announced() {
    let with = |length: &'static str, ended| {
        let got = text("POST", "http://a.test/", &[("content-length", length)], ended);
        got.map(|text| parse(&text).unwrap().body)
    };
    assert_eq!(with("50", true), Err(Malformed::ContentLength));
    assert_eq!(with("50", false), Ok(BodyLength::Exact(50)));
    assert_eq!(with("0", true), Ok(BodyLength::Exact(0)));
    for bad in ["+5", "5, 5", "", "0x5", "18446744073709551616"] {
        assert_eq!(with(bad, false), Err(Malformed::ContentLength), "{bad}");
    }
    let twice = [("content-length", "5"), ("content-length", "5")];
    assert_eq!(text("POST", "http://a.test/", &twice, false), Err(Malformed::ContentLength));
    let none = |ended| parse(&text("POST", "http://a.test/", &[], ended).unwrap()).unwrap().body;
    assert_eq!((none(true), none(false)), (BodyLength::None, BodyLength::Chunked));
}

#[test]
fn f11_connect_is_left_for_the_parser_to_refuse() {
    let got = text("CONNECT", "a.test:443", &[], false).unwrap();
    assert_eq!(parse(&got).err(), Some(RequestError::MethodNotAllowed));
}

#[test]
fn rfc8441_4_a_protocol_that_is_no_name_of_one_is_malformed() {
    let key = Key::make(&mut evenkeel_balancer::Rng::from_seed(7));
    let of = |protocol| {
        let parts = request("CONNECT", "http://test/chat", &[]);
        write_request(&mut Vec::new(), &parts, Some(Upgrade { protocol, key: &key }), false)
    };
    for protocol in [
        "",
        "websocket\r\ncontent-length: 5",
        "x\r\ntransfer-encoding: chunked",
        "x\nte: gzip",
        "a b",
        "a, b",
        "a/",
        "/1",
        "a/1/2",
        "\u{e9}",
    ] {
        assert_eq!(of(protocol), Err(Malformed::Pseudo), "{protocol:?}");
    }
    for protocol in ["websocket", "connect-udp", "h/1.1"] {
        assert_eq!(of(protocol), Ok(BodyLength::UntilClose), "{protocol:?}");
    }
}

#[test]
fn rfc8441_an_extended_connect_is_an_upgrade() {
    let key = Key::make(&mut evenkeel_balancer::Rng::from_seed(7));
    let upgrade = Upgrade { protocol: "websocket", key: &key };
    let fields = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")];
    let mut out = Vec::new();
    let parts = request("CONNECT", "https://a.test/chat", &fields);
    let body = write_request(&mut out, &parts, Some(upgrade), false).unwrap();
    assert_eq!(body, BodyLength::UntilClose);
    let got = String::from_utf8(out).unwrap();
    let head = parse(&got).unwrap();
    assert_eq!(head.method_text.of(got.as_bytes()), b"GET");
    assert_eq!(head.upgrade.map(|span| span.of(got.as_bytes())), Some(b"websocket".as_slice()));
    assert!(got.contains("\r\nsec-websocket-key: ") && got.contains("sec-websocket-version: 13"));
    let refused = write_request(
        &mut Vec::new(),
        &request("GET", "https://a.test/chat", &[]),
        Some(upgrade),
        false,
    );
    assert_eq!(refused, Err(Malformed::Pseudo), "RFC 8441 §4: only with CONNECT");
}

#[test]
fn a_request_comes_back_as_it_went() {
    let sent = "POST /x?y HTTP/1.1\r\nhost: a.test\r\nx-one: 1\r\ncookie: a=b\r\n\
                content-length: 3\r\nconnection: te\r\nte: trailers\r\n\r\n";
    let back = read_request(&parse(sent).unwrap(), sent.as_bytes(), true).unwrap();
    assert_eq!(back.uri(), "https://a.test/x?y");
    let names: Vec<_> = back.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-one", "cookie", "content-length", "te"]);
    let mut out = Vec::new();
    let body = write_request(&mut out, &back.into_parts().0, None, false).unwrap();
    assert_eq!(body, BodyLength::Exact(3));
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("POST /x?y HTTP/1.1\r\nhost: a.test\r\nx-one: 1\r\n"), "{out}");
}

#[test]
fn a_response_loses_what_is_only_of_its_connection() {
    let sent = "HTTP/1.1 200 OK\r\nserver: x\r\nconnection: close, x-hop\r\nx-hop: 1\r\n\
                keep-alive: timeout=5\r\ntransfer-encoding: chunked\r\nset-cookie: a\r\n\
                set-cookie: b\r\n\r\n";
    let mut head = ResponseHead::default();
    head.parse(sent.as_bytes(), &LIMITS, &RequestContext::default()).unwrap();
    let got = read_response(&head, sent.as_bytes(), head.status).unwrap();
    let fields: Vec<_> = got.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    let expected: [(&str, &[u8]); 3] =
        [("server", b"x"), ("set-cookie", b"a"), ("set-cookie", b"b")];
    assert_eq!(fields, expected);
}

fn response(status: u16, fields: &[(&str, &str)]) -> response::Parts {
    let mut builder = Response::builder().status(status);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

#[test]
fn a_response_is_framed_by_what_is_known_of_its_content() {
    let written = |status, fields: &[(&str, &str)], is_head, ended| {
        let mut out = Vec::new();
        let body = write_response(&mut out, &response(status, fields), is_head, ended)?;
        let text = String::from_utf8(out).unwrap();
        let mut head = ResponseHead::default();
        let context = RequestContext { is_head, offers_upgrade: false };
        let parsed = head.parse(text.as_bytes(), &LIMITS, &context).unwrap();
        assert_eq!(parsed, Parse::Complete(text.len()));
        assert_eq!(head.body, body, "{text}");
        Ok(body)
    };
    let five = [("content-length", "5")];
    assert_eq!(written(200, &five, false, false), Ok(BodyLength::Exact(5)));
    assert_eq!(written(200, &five, true, true), Ok(BodyLength::None));
    assert_eq!(written(304, &five, false, true), Ok(BodyLength::None));
    assert_eq!(written(200, &five, false, true), Err(Malformed::ContentLength));
    assert_eq!(written(200, &[], false, true), Ok(BodyLength::Exact(0)));
    assert_eq!(written(200, &[], false, false), Ok(BodyLength::Chunked));
    assert_eq!(written(204, &[], false, true), Ok(BodyLength::None));
    // Trailers need chunks, whatever the length.
    let grpc = [("content-type", "application/grpc+proto"), ("content-length", "5")];
    assert_eq!(written(200, &grpc, false, false), Ok(BodyLength::Chunked));
    assert_eq!(written(103, &[("link", "</a>")], false, false), Ok(BodyLength::None));
    // G5: an interim response is not the last; RFC 9113 §8.6: 101 is none.
    assert_eq!(written(103, &[], false, true), Err(Malformed::Status));
    assert_eq!(written(101, &[], false, false), Err(Malformed::Status));
    assert_eq!(written(600, &[], false, false), Err(Malformed::Status));
    let hop = [("connection", "close")];
    assert_eq!(written(200, &hop, false, false), Err(Malformed::ConnectionSpecific));
}

#[test]
fn a_2xx_to_an_extended_connect_is_a_101() {
    let mut out = Vec::new();
    let key = b"dGhlIHNhbXBsZSBub25jZQ==".as_slice();
    write_switch(
        &mut out,
        &response(200, &[("sec-websocket-protocol", "x")]),
        b"websocket",
        Some(key),
    )
    .unwrap();
    let mut head = ResponseHead::default();
    let context = RequestContext { is_head: false, offers_upgrade: true };
    assert_eq!(head.parse(&out, &LIMITS, &context), Ok(Parse::Complete(out.len())));
    assert_eq!(head.status, 101);
    assert!(String::from_utf8(out).unwrap().contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let refused = write_switch(&mut Vec::new(), &response(403, &[]), b"websocket", None);
    assert_eq!(refused, Err(Malformed::Status));
}

#[test]
fn trailers_are_lines_and_back() {
    let fields = read_trailers(b"grpc-status: 0\r\ngrpc-message: a b\r\nx: \r\n").unwrap();
    assert_eq!(fields.get("grpc-message").unwrap(), "a b");
    let mut out = Vec::new();
    write_trailers(&mut out, &fields).unwrap();
    assert_eq!(out, b"grpc-status: 0\r\ngrpc-message: a b\r\nx: \r\n");
    let mut bad = HeaderMap::new();
    bad.append("transfer-encoding", HeaderValue::from_static("chunked"));
    assert!(write_trailers(&mut Vec::new(), &bad).is_err());
    assert!(read_trailers(b"no colon\r\n").is_err());
}

/// Any bytes that the library takes for a value, and some that it should not.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        4 => prop::sample::select(b"\r\n\t :,;=/\x00\x7f".to_vec()),
        8 => b'a'..=b'z',
    ];
    prop::collection::vec(byte, 0..24)
}

fn name() -> impl Strategy<Value = String> {
    let known = [
        "x",
        "te",
        "host",
        "cookie",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "expect",
        "keep-alive",
        "http2-settings",
        "x-forwarded-for",
        "x_forwarded_for",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        "[a-z!#$%&'*+.^_`|~0-9-]{1,12}",
    ]
}

proptest! {
    /// Whatever a request holds, its text is one head, with one line for each field, or is refused.
    #[test]
    fn nothing_in_a_request_becomes_a_line_of_its_own(
        method in "[A-Z]{1,8}|[!-~]{1,8}",
        path in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'/'), b'!'..=b'~'], 0..24),
        host in prop::collection::vec(prop_oneof![any::<u8>(), b'a'..=b'z'], 0..12),
        fields in prop::collection::vec((name(), value()), 0..6),
        ended: bool,
        slash: bool,
    ) {
        let mut target = if slash { b"/".to_vec() } else { Vec::new() };
        target.extend(path);
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { return Ok(()) };
        let Ok(target) = PathAndQuery::from_maybe_shared(Bytes::from(target)) else { return Ok(()) };
        let mut uri = ::http::uri::Parts::default();
        if let Ok(host) = Authority::from_maybe_shared(Bytes::from(host)) {
            uri.authority = Some(host);
            uri.scheme = Some(Scheme::HTTP);
        }
        uri.path_and_query = Some(target);
        let Ok(uri) = Uri::from_parts(uri) else { return Ok(()) };
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        for (name, value) in &fields {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value);
            if let (Ok(name), Ok(value)) = (name, value) {
                request.headers_mut().append(name, value);
            }
        }
        let parts = request.into_parts().0;
        let mut text = Vec::new();
        let Ok(body) = write_request(&mut text, &parts, None, ended) else { return Ok(()) };
        let mut head = RequestHead::default();
        match head.parse(&text, &LIMITS) {
            Err(_) => {}
            Ok(Parse::Complete(length)) => {
                prop_assert_eq!(length, text.len());
                prop_assert_eq!(head.body, body);
                let crumbs = parts.headers.get_all(COOKIE).iter().count().saturating_sub(1);
                let hosts = parts.headers.get_all(HOST).iter().count();
                let coding = usize::from(body == BodyLength::Chunked);
                let lines = parts.headers.len() - crumbs - hosts + 1 + coding;
                prop_assert_eq!(head.fields.len(), lines);
                prop_assert_eq!(head.method_text.of(&text), parts.method.as_str().as_bytes());
            }
            Ok(Parse::Partial) => prop_assert!(false, "no whole head: {:?}", text),
        }
    }
}
