//! I: who the client is, is said by us alone (RFC 9110 §17.2, RFC 7239 §8); and what a client sends
//! stays inside its line of the log.

use crate::support::{Backend, Proxy, simple, wait_for, with_listener};

/// Names by which servers are told who asks, for what, and through whom.
const CLAIMS: [&str; 32] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-scheme",
    "x-forwarded-client-cert",
    "x-forwarded",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-client-ip",
    "x-client-cert",
    "x-client-verify",
    "x-client-dn",
    "x-ssl-client-cert",
    "x-ssl-cipher",
    "ssl-client-verify",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-original-forwarded-for",
    "x-rewrite-url",
    "x-evenkeel-hops",
    "x-evenkeel-client",
    "proxy",
];

/// The name with each of its separators as `-`, `_` or `.`, in four ways of upper and lower case.
fn spellings(name: &str) -> Vec<String> {
    let mut spelled = vec![String::new()];
    for letter in name.chars() {
        let ways: &[char] = if letter == '-' { &['-', '_', '.'] } else { &[letter] };
        spelled = spelled
            .iter()
            .flat_map(|start| ways.iter().map(move |way| format!("{start}{way}")))
            .collect();
    }
    let title = |name: &str| {
        let mut begins = true;
        let of = |letter: char| {
            let letter = if begins { letter.to_ascii_uppercase() } else { letter };
            begins = !letter.is_ascii_alphanumeric();
            letter
        };
        name.chars().map(of).collect::<String>()
    };
    let odd = |name: &str| {
        let of = |(at, letter): (usize, char)| {
            if at % 2 == 1 { letter.to_ascii_uppercase() } else { letter }
        };
        name.chars().enumerate().map(of).collect::<String>()
    };
    spelled
        .iter()
        .flat_map(|name| [name.clone(), name.to_uppercase(), title(name), odd(name)])
        .collect()
}

/// Appears nowhere but in what the client claims.
const SPOOF: &str = "198.51.100.66";

/// Ways in which a client may state a field.
fn requests(name: &str) -> [String; 5] {
    let head = "POST /spoof HTTP/1.1\r\nHost: a\r\n";
    let end = "Content-Length: 0\r\n\r\n";
    [
        format!("{head}{name}: {SPOOF}\r\n{end}"),
        format!("{head}{name}: {SPOOF}\r\nX-Other: 1\r\n{name}: {SPOOF}, {SPOOF}\r\n{end}"),
        format!("{head}Connection: keep-alive, {name}\r\n{name}: {SPOOF}\r\n{end}"),
        format!("{head}Connection: {name}\r\n{end}"),
        format!(
            "{head}TE: trailers\r\nTrailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{name}: {SPOOF}\r\n\r\n"
        ),
    ]
}

#[test]
fn s12_no_spelling_of_a_claim_reaches_a_server_as_the_client_sent_it() {
    // I1, I2, I6, I7: case, separators, repetition, nomination, trailers
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    let mut client = proxy.connect();
    let (mut count, mut passed) = (0, 0);
    for request in CLAIMS.iter().flat_map(|name| spellings(name)).flat_map(|name| requests(&name)) {
        client.send(&request);
        let response = client.response();
        assert!(matches!(response.status, 200 | 400 | 508), "{request}: {response:?}");
        if response.field("connection") == Some("close") {
            client = proxy.connect();
        }
        count += 1;
        passed += usize::from(response.status == 200);
    }
    assert!(count > 5_000 && passed > 1_000, "{passed} of {count}");
    let received = backend.received();
    assert_eq!(received.len(), passed);
    let leaked: Vec<String> = received
        .iter()
        .map(|request| String::from_utf8_lossy(&request.raw).into_owned())
        .filter(|raw| raw.contains(SPOOF))
        .collect();
    let first = leaked.iter().take(5).collect::<Vec<_>>();
    assert!(leaked.is_empty(), "{} of {count} leaked: {first:#?}", leaked.len());
    for request in received {
        assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"), "{}", request.head);
        assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(request.fields("x-request-id").len(), 1);
    }
}

#[test]
fn i01_a_private_address_is_a_stranger_unless_it_is_named() {
    // The client is on 127.0.0.1, as private as can be; only a configured network is believed.
    let claims = "X-Forwarded-For: 198.51.100.66\r\nX-Forwarded-Prefix: /p\r\nClient-Cert: :QQ==:\r\nX_SSL_Cipher: 1\r\n";
    for (networks, is_believed) in [("10.0.0.0/8, 192.168.0.0/16", false), ("127.0.0.1", true)] {
        let backend = Backend::named("only");
        let listener = format!("    trusted_proxies: [{networks}]\n");
        let proxy = Proxy::start(&with_listener(&[&backend], &listener));
        proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{claims}\r\n"));
        let received = backend.only();
        let chain = if is_believed { "198.51.100.66, 127.0.0.1" } else { "127.0.0.1" };
        assert_eq!(received.field("x-forwarded-for"), Some(chain));
        assert_eq!(received.field("x-forwarded-prefix"), is_believed.then_some("/p"));
        assert_eq!(received.field("client-cert"), is_believed.then_some(":QQ==:"));
        assert_eq!(received.field("x_ssl_cipher"), None, "a spelling no honest proxy uses");
    }
}

#[test]
fn i05_a_value_cannot_hide_behind_another_from_a_rule() {
    // RFC 9110 §5.2, §5.3: each line, each member and all joined are looked at.
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]).replace(
        "- to: app",
        "- { match: { header: { role: admin } }, respond: { status: 403 } }\n  - to: app",
    ));
    for (fields, status) in [
        ("Role: user\r\n", 200),
        ("Role: admin\r\n", 403),
        ("Role: user\r\nRole: admin\r\n", 403),
        ("Role: admin\r\nRole: user\r\n", 403),
        ("Role: user,admin\r\n", 403),
        ("Role: user , admin , x\r\n", 403),
        ("ROLE:\tadmin \t\r\n", 403),
        ("Role: \r\nRole: admin\r\n", 403),
        ("Connection: role\r\nRole: admin\r\n", 403), // what is nominated is still looked at
        ("Role: administrator\r\n", 200),
    ] {
        let response = proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(response.status, status, "{fields}");
    }
}

#[test]
fn i06_identity_in_trailers_is_dropped_and_other_trailers_are_not() {
    // RFC 9110 §6.5.1
    let backend = Backend::named("only");
    let proxy = Proxy::start(&simple(&[&backend]));
    proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\nAuthorization: x\r\nCookie: a=b\r\nHost: evil\r\nX-Sum: 7\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nTrue-Client-IP: 1.1.1.1\r\nX-Client-Id: 5\r\n\r\n");
    let raw = String::from_utf8_lossy(&backend.only().raw).to_lowercase();
    let trailers = raw.split("\r\n0\r\n").nth(1).unwrap();
    assert_eq!(trailers, "x-sum: 7\r\n\r\n");
}

/// Bytes that a log, a terminal or a JSON reader could take for more than text.
fn hostile_requests() -> Vec<Vec<u8>> {
    let mut requests: Vec<Vec<u8>> = Vec::new();
    // Every byte, where it is allowed and where it is not.
    for byte in 0..=255_u8 {
        let around = |before: &[u8], after: &[u8]| [before, &[byte], after].concat();
        requests.push(around(b"GET /a", b"b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        requests.push(around(b"GET /?q=", b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        requests.push(around(
            b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x",
            b"y\r\nConnection: close\r\n\r\n",
        ));
        requests.push(around(b"GET / HTTP/1.1\r\nHost: a", b"b\r\nConnection: close\r\n\r\n"));
        requests.push(around(b"GE", b"T / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        let escape = format!("GET /%{byte:02x} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        requests.push(escape.into_bytes());
    }
    for agent in [
        "\"},{\"status\":999,\"x\":\"",
        "\\",
        "\\\"",
        "\\u0000",
        "\u{202e}\u{2066}evil",
        "\u{2028}\u{2029}\u{85}",
        "\u{1f600}",
    ] {
        requests.push(
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
            )
            .into_bytes(),
        );
    }
    for agent in [b"\xff\xfe\xc0\xaf\xed\xa0\x80".as_slice(), &[0xc3; 5_000], &[b'"'; 5_000]] {
        requests.push(
            [b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: ", agent, b"\r\nConnection: close\r\n\r\n"]
                .concat(),
        );
    }
    requests
}

fn logged(format: &str) -> (usize, Vec<String>) {
    let backend = Backend::named("only");
    let config = simple(&[&backend])
        .replace("bind: 127.0.0.1:0\n", "bind: 127.0.0.1:0\n    policies: log\n")
        + &format!("policies: {{ log: {{ access_log: {{ format: {format} }} }} }}\n");
    let mut proxy = Proxy::start(&config);
    let requests = hostile_requests();
    for request in &requests {
        let mut client = proxy.connect();
        client.send(request);
        client.end();
        client.rest();
    }
    wait_for("all lines", || proxy.output().len() >= requests.len());
    assert!(proxy.is_running());
    proxy.signal("-TERM");
    assert!(proxy.wait().success());
    (requests.len(), proxy.output())
}

#[test]
fn i10_and_i11_whatever_a_client_sends_is_one_line_of_valid_json() {
    let (count, lines) = logged("json");
    assert_eq!(lines.len(), count, "a line for each exchange");
    for line in lines {
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let status = value["status"].as_u64().unwrap();
        assert!(matches!(status, 200 | 400 | 404 | 405 | 505), "{line}");
        assert!(line.len() < 16 * 1024, "{}", line.len());
    }
}

#[test]
fn i10_and_i11_whatever_a_client_sends_is_one_line_of_text() {
    let (count, lines) = logged("text");
    assert_eq!(lines.len(), count, "a line for each exchange");
    for line in lines {
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        // The address and the quote behind it come once: nothing looks like another line.
        assert!(line.split(" 127.0.0.1 \"").count() == 2, "{line}");
    }
}
