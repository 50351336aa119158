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
