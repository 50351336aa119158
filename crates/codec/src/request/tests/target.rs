//! D. Target and authority (RFC 9112 §3.2).

use super::*;

#[test]
fn d1_exactly_one_host() {
    refused(parse("GET / HTTP/1.1\r\n\r\n"), 400);
    refused(parse("GET http://a/ HTTP/1.1\r\n\r\n"), 400);
    for second in ["Host: a", "host: b", "HOST:"] {
        refused(with(&[second]), 400);
        refused(request("GET / HTTP/1.0", &[second]), 400);
    }
    let head = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(head.host.is_empty() && head.host_name.is_empty() && !head.persistent);
    let input = "GET http://b:81/ HTTP/1.0\r\n\r\n";
    let head = parse(input).unwrap();
    assert_eq!((head.host.of(input.as_bytes()), head.port), (b"b:81".as_slice(), Some(81)));
}

#[test]
fn d2_and_d3_host_is_a_host_and_perhaps_a_port() {
    for value in [
        "a.com, b.com",
        "",
        "u@h",
        "h/x",
        "h#",
        "h?",
        "h\\",
        "h h",
        ":",
        "h:0",
        "h:99999",
        "[::1",
        "[::1]x",
        "%00",
        "h%41",
        "hé",
        "[fe80::1%eth0]",
        "http://a",
        "a\tb",
        "*",
    ] {
        assert_eq!(host(value).unwrap_err(), RequestError::BadHost, "{value}");
    }
    refused(parse(b"GET / HTTP/1.1\r\nHost: h\xff\r\n\r\n"), 400);
    for value in ["h", "h:", "h:80", "[::1]", "[::1]:80", "1.2.3.4", "ADMIN.Example.COM."] {
        assert!(host(value).is_ok(), "{value}");
    }
}

#[test]
fn d4_the_absolute_form_and_host_must_agree() {
    let of =
        |target: &str, host: &str| parse(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(of("http://a/", "b").unwrap_err(), RequestError::HostMismatch);
    assert_eq!(of("http://a:81/", "a").unwrap_err(), RequestError::HostMismatch);
    refused(of("http://a/", ""), 400);
    assert!(of("http://A/", "a").is_ok());
    assert!(of("HTTP://a:81/x", "a:81").is_ok());
}

#[test]
fn d5_the_absolute_form_without_a_path() {
    let parse = |method: &str, target: &str| {
        let input = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        parse(&input).map(|head| {
            let query = head.target.query.map(|query| query.of(&input).to_vec());
            (head.path(&input).to_vec(), query)
        })
    };
    assert_eq!(parse("GET", "http://h").unwrap(), (b"/".to_vec(), None));
    assert_eq!(parse("GET", "http://h?x=1").unwrap(), (b"/".to_vec(), Some(b"x=1".to_vec())));
    assert_eq!(parse("GET", "http://h/p?").unwrap(), (b"/p".to_vec(), Some(b"".to_vec())));
    assert_eq!(parse("OPTIONS", "http://h").unwrap(), (b"*".to_vec(), None), "RFC 9112 §3.2.4");
    assert_eq!(parse("OPTIONS", "http://h/").unwrap(), (b"/".to_vec(), None));
    assert_eq!(parse("OPTIONS", "*").unwrap(), (b"*".to_vec(), None));
    assert_eq!(parse("GET", "/p?q?r").unwrap(), (b"/p".to_vec(), Some(b"q?r".to_vec())));
    refused(parse("GET", "http://h#f"), 400);
}

#[test]
fn d6_to_d8_other_targets_are_refused() {
    for target in [
        "ftp://a/",
        "file:///a",
        "https://a/",
        "http:/a",
        "http:a",
        "http://",
        "http:///x",
        "http://u@a/",
        "http://a:b@a/",
        "http://a\\b/",
        "foo",
        "*",
        "a:80",
        "?x",
        "://a",
        "#",
        "/#",
        "/public#/../admin",
        "/a\"\u{e9}",
        "/\u{80}",
    ] {
        assert_eq!(
            start_line(&format!("GET {target} HTTP/1.1")).unwrap_err().status(),
            400,
            "{target}"
        );
    }
    refused(start_line("OPTIONS *x HTTP/1.1"), 400);
    refused(start_line("OPTIONS *?x HTTP/1.1"), 400);
    refused(parse(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}
