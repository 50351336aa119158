//! C. Lines, names, values, the request line (RFC 9112 §2.2, §3, §5), and row I2.

use super::*;

#[test]
fn c1_bare_lf_is_refused() {
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(parse(head).unwrap_err(), RequestError::BadLineEnd, "{head:?}");
    }
}

#[test]
fn c2_bare_cr_is_refused() {
    for head in [
        "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(parse(head).unwrap_err(), RequestError::BadRequestLine, "{head:?}");
    }
    for head in [
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHo\rst: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n",
    ] {
        assert_eq!(parse(head).unwrap_err(), RequestError::BadFieldValue, "{head:?}");
    }
}

#[test]
fn c3_control_characters_are_refused_everywhere() {
    for control in (0..0x20_u8).chain([0x7f]) {
        let control = char::from(control);
        refused(start_line(&format!("GE{control}T / HTTP/1.1")), 400);
        refused(start_line(&format!("GET /{control} HTTP/1.1")), 400);
        refused(with(&[&format!("X{control}: y")]), 400);
        if control != '\t' {
            refused(with(&[&format!("X: {control}y")]), 400);
        }
    }
    let head = parse(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\ty\r\n\r\n").unwrap();
    assert_eq!(head.fields.len(), 2);
}

#[test]
fn c4_to_c9_a_field_line_is_a_token_a_colon_and_a_value() {
    for line in [
        ": x",
        ":",
        "Name : v",
        "Name\t: v",
        "Name",
        "Na me: v",
        "Na(me: v",
        "{\"a\": 1}",
        "Tranſfer-Encoding: chunked",
        "\u{212a}eep-Alive: x",
        "Näme: v",
        "\u{85}x: y",
        "@: y",
    ] {
        assert_eq!(with(&[line]).unwrap_err(), RequestError::BadFieldName, "{line}");
    }
    for lines in [
        ["Transfer-Encoding:", " chunked"],
        ["Expect:", "\t100-continue"],
        ["X: y", " "],
        ["X: y", "\t: z"],
    ] {
        assert_eq!(post(&lines).unwrap_err(), RequestError::FoldedField, "{lines:?}");
    }
    let first = "GET / HTTP/1.1\r\n Host: a\r\n\r\n";
    assert_eq!(parse(first).unwrap_err(), RequestError::FoldedField);
    refused(parse("GET / HTTP/1.1\r\nHost: a\r\n\r\rX: y\r\n\r\n"), 400);
}

#[test]
fn c11_and_c12_versions() {
    for version in [
        "HTTP/1.10",
        "HTTP/01.1",
        "http/1.1",
        "HTTP/4294967297.1",
        "HTTP/1.1 x",
        "HTTP/1.",
        "HTTP/",
        "HTTP/1,1",
        "HTTP/+1.1",
        "HTTPS/1.1",
        "HTTP/1.1\t",
        "HTTP/1.x",
        "",
    ] {
        refused(start_line(&format!("GET / {version}")), 400);
    }
    refused(start_line("GET /"), 400);
    for version in ["HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        refused(start_line(&format!("GET / {version}")), 505);
    }
    for (version, expected) in [
        ("HTTP/1.0", Version::Http10),
        ("HTTP/1.1", Version::Http11),
        ("HTTP/1.2", Version::Http11), // RFC 9110 §2.5
        ("HTTP/1.9", Version::Http11),
    ] {
        assert_eq!(start_line(&format!("GET / {version}")).unwrap().version, expected);
    }
}

#[test]
fn c13_methods() {
    for method in ["", "G(T", "GET,", "get", "Get", "GÉT", "\"GET\"", &"A".repeat(37)] {
        refused(start_line(&format!("{method} / HTTP/1.1")), 400);
    }
    refused(start_line(&format!("{} / HTTP/1.1", "A".repeat(2000))), 414);
    for method in ["PROPFIND", "M-SEARCH", "BASELINE-CONTROL", "X_Y.Z!".to_uppercase().as_str()] {
        let head = start_line(&format!("{method} / HTTP/1.1")).unwrap();
        assert_eq!((head.method, head.method_text.len()), (Method::Other, method.len()));
    }
}

#[test]
fn c14_the_request_line_has_two_single_spaces() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET\u{b}/ HTTP/1.1",
        "GET /\u{c}HTTP/1.1",
        "GET HTTP/1.1",
        "GET",
        "GET ",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1\t",
    ] {
        refused(start_line(line), 400);
    }
}

#[test]
fn c15_a_long_line_is_414_and_a_long_head_is_431() {
    let target = |length: usize| format!("GET /{} HTTP/1.1", "a".repeat(length));
    let longest = LIMITS.line - "GET / HTTP/1.1\r\n".len();
    assert!(start_line(&target(longest)).is_ok());
    refused(start_line(&target(longest + 1)), 414);
    refused(start_line(&target(20_000)), 414);
    let line = |length: usize| format!("X: {}", "a".repeat(length));
    let longest = LIMITS.head - "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    assert!(with(&[&line(longest)]).is_ok());
    refused(with(&[&line(longest + 1)]), 431);
}

#[test]
fn c15_a_head_over_the_limit_is_refused_before_it_is_complete() {
    let mut head = RequestHead::default();
    let bytes = [b'A'; LIMITS.line + 1];
    assert_eq!(head.parse(&bytes[..LIMITS.line], &LIMITS), Ok(Parse::Partial));
    assert_eq!(head.parse(&bytes, &LIMITS), Err(RequestError::LineTooLong));
}

#[test]
fn c16_too_many_fields_are_431() {
    assert!(with(&["a: b"; LIMITS.fields - 1]).is_ok());
    assert_eq!(with(&["a: b"; LIMITS.fields]).unwrap_err(), RequestError::TooManyFields);
    refused(with(&["a: b"; 1001]), 431);
}

#[test]
fn c17_two_empty_lines_first_are_ignored_and_no_more() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for count in 0..=2 {
        let input = format!("{}{head}", "\r\n".repeat(count));
        let mut parsed = RequestHead::default();
        let length = parsed.parse(input.as_bytes(), &LIMITS);
        assert_eq!(length, Ok(Parse::Complete(input.len())), "they count as bytes of the head");
        parse(input).unwrap();
    }
    refused(parse(format!("\r\n\r\n\r\n{head}")), 400);
}

#[test]
fn c18_other_protocols_are_refused_at_once() {
    refused(parse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    for first in [b"\x16\x03\x01\x02".as_slice(), b"\0", b"\x80", b" ", b"\t", b"(", b"\rx"] {
        let mut head = RequestHead::default();
        let error = head.parse(first, &LIMITS).unwrap_err();
        assert_eq!(error.status(), 400, "{first:?}");
    }
}

#[test]
fn c19_what_follows_a_head_is_not_looked_at() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\0\xff garbage \n";
    let mut head = RequestHead::default();
    assert_eq!(head.parse(input, &LIMITS), Ok(Parse::Complete(27)));
}

#[test]
fn c22_lists_of_commas_do_no_harm() {
    let commas = ",".repeat(500);
    assert!(with(&[&format!("Accept-Encoding: {commas}"), &format!("TE: {commas}")]).is_ok());
    refused(with(&[&format!("Connection: {commas}")]), 400);
}

#[test]
fn i2_names_that_servers_may_read_as_trusted_ones_are_refused() {
    for name in ["X_Forwarded_For", "X-Forwarded_Proto", "X.Forwarded.For", "content_length"] {
        let error = with(&[&format!("{name}: 1")]).unwrap_err();
        assert_eq!(error, RequestError::AmbiguousFieldName, "{name}");
    }
    assert!(with(&["my_field: 1", "a.b: 2"]).is_ok());
}
