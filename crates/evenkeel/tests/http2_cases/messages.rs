//! Section 8: requests, and what makes one malformed. What a request line or a field of HTTP/1 cannot
//! carry must never reach a server; the test looks at that, too.

use evenkeel_tools::frames::code::{PROTOCOL_ERROR, STREAM_CLOSED};
use evenkeel_tools::frames::{Block, Client, data, headers};

use super::Case;
use super::Expect::{Answer, Connection, Refused, Seen, Stream};
use super::seen;

const MALFORMED: super::Expect = Stream(&[PROTOCOL_ERROR]);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = exchanges();
    cases.extend(pseudo_fields());
    cases.extend(fields());
    cases.extend(lengths());
    cases
}

/// Answers that say who it was to a request that should not have been forwarded would show here.
const MARKED: &str = "/malformed";

fn bad(block: &Block) -> Block {
    block.clone()
}

fn request() -> Block {
    Block::request("GET", MARKED)
}

fn post() -> Block {
    Block::request("POST", MARKED)
}

fn send(client: &mut Client, block: &Block) -> u32 {
    client.request(&bad(block))
}

fn exchanges() -> Vec<Case> {
    vec![
        Case::new("8.1", "GET", Answer, |client| client.request(&Block::get())),
        Case::new("8.1", "HEAD has no content", Seen, |client| {
            let stream = client.request(&Block::request("HEAD", "/"));
            seen(client.answer(stream).is_ok_and(|(status, body)| status == 200 && body.is_empty()))
        }),
        Case::new("8.1", "POST", Answer, |client| {
            let stream = client.begin(&Block::request("POST", "/"));
            client.send(&data(stream, true, b"test"));
            stream
        }),
        Case::new("8.1", "POST with trailers", Answer, |client| {
            let stream = client.begin(&Block::request("POST", "/").field("trailer", "x-test"));
            client.send(&data(stream, false, b"test"));
            client.send(&headers(stream, true, &Block::new().field("x-test", "ok")));
            stream
        }),
        Case::new("8.1", "trailers that do not end the stream", MALFORMED, |client| {
            let stream = client.begin(&post());
            client.send(&data(stream, false, b"test"));
            client.send(&headers(stream, false, &Block::new().field("x-test", "ok")));
            stream
        }),
        Case::new("8.1", "a second HEADERS that does not end the stream", MALFORMED, |client| {
            let stream = client.begin(&post());
            client.send(&headers(stream, false, &post()));
            stream
        }),
        Case::new("8.1", "many requests on one connection", Seen, |client| {
            let streams: Vec<u32> = (0..50).map(|_| client.request(&Block::get())).collect();
            let last = *streams.last().unwrap();
            let mut ended = 0;
            client.until(|frame| {
                ended += usize::from(frame.kind <= 1 && frame.flags & 1 != 0);
                ended == streams.len()
            });
            seen(ended == 50 && last == 99)
        }),
        Case::new("8.5", "CONNECT with a path", MALFORMED, |client| {
            send(client, &Block::request("CONNECT", MARKED))
        }),
    ]
}

fn pseudo_fields() -> Vec<Case> {
    vec![
        Case::new("8.3", "an unknown pseudo-field", MALFORMED, |client| {
            send(client, &request().field(":test", "ok"))
        }),
        Case::new("8.3", "a response's pseudo-field", MALFORMED, |client| {
            send(client, &request().field(":status", "200"))
        }),
        Case::new("8.3", "a pseudo-field in trailers (J16)", MALFORMED, |client| {
            let stream = client.begin(&post());
            client.send(&data(stream, false, b"test"));
            client.send(&headers(stream, true, &Block::new().field(":method", "GET")));
            stream
        })
        .known(Answer, "the pseudo-field is dropped, and goes nowhere"),
        Case::new("8.3", "a pseudo-field after a field (J16)", MALFORMED, |client| {
            let block = Block::new()
                .field(":method", "GET")
                .field(":scheme", "http")
                .field("x-test", "ok")
                .field(":path", MARKED)
                .field(":authority", "test");
            send(client, &block)
        }),
        Case::new("8.3.1", "an empty :path", MALFORMED, |client| {
            send(client, &Block::request("GET", ""))
        }),
        Case::new("8.3.1", "no :method", MALFORMED, |client| {
            send(
                client,
                &Block::new()
                    .field(":scheme", "http")
                    .field(":path", MARKED)
                    .field(":authority", "test"),
            )
        }),
        Case::new("8.3.1", "no :scheme", MALFORMED, |client| {
            send(
                client,
                &Block::new()
                    .field(":method", "GET")
                    .field(":path", MARKED)
                    .field(":authority", "test"),
            )
        }),
        Case::new("8.3.1", "no :path", MALFORMED, |client| {
            send(
                client,
                &Block::new()
                    .field(":method", "GET")
                    .field(":scheme", "http")
                    .field(":authority", "test"),
            )
        }),
        Case::new("8.3.1", ":method twice (J16)", MALFORMED, |client| {
            send(client, &request().field(":method", "GET"))
        }),
        Case::new("8.3.1", ":scheme twice", MALFORMED, |client| {
            send(client, &request().field(":scheme", "http"))
        }),
        Case::new("8.3.1", ":path twice", MALFORMED, |client| {
            send(client, &request().field(":path", MARKED))
        }),
        Case::new("8.3.1", ":authority twice", MALFORMED, |client| {
            send(client, &request().field(":authority", "test"))
        }),
        Case::new("8.3.1", ":authority is not Host", MALFORMED, |client| {
            send(client, &request().field("host", "other"))
        }),
        Case::new("8.3.1", "userinfo in :authority", Refused, |client| {
            let block = Block::new()
                .field(":method", "GET")
                .field(":scheme", "http")
                .field(":path", MARKED)
                .field(":authority", "user@test");
            send(client, &block)
        }),
        Case::new("8.3.1", "neither :authority nor Host", MALFORMED, |client| {
            send(
                client,
                &Block::new()
                    .field(":method", "GET")
                    .field(":scheme", "http")
                    .field(":path", MARKED),
            )
        }),
        Case::new("8.3.1", "a space in :path", MALFORMED, |client| {
            send(client, &Block::request("GET", "/malformed HTTP/1.1"))
        }),
        Case::new("8.3.1", "a line in :path", MALFORMED, |client| {
            send(client, &Block::request("GET", "/malformed HTTP/1.1\r\nX: y\r\n\r\n"))
        }),
        Case::new("8.3.1", "a :path without a slash", MALFORMED, |client| {
            send(client, &Block::request("GET", "malformed"))
        }),
        Case::new("8.3.1", "a space in :method", MALFORMED, |client| {
            send(client, &Block::request("GET /malformed HTTP/1.1\r\n", MARKED))
        }),
        Case::new("8.3.1", "a line in :authority", MALFORMED, |client| {
            let block = Block::new()
                .field(":method", "GET")
                .field(":scheme", "http")
                .field(":path", MARKED)
                .field(":authority", "test\r\nX: y");
            send(client, &block)
        }),
        Case::new("8.3.1", "a :scheme that is none", MALFORMED, |client| {
            let block = Block::new()
                .field(":method", "GET")
                .field(":scheme", "http://a/b?")
                .field(":path", MARKED)
                .field(":authority", "test");
            send(client, &block)
        }),
    ]
}

fn fields() -> Vec<Case> {
    macro_rules! malformed {
        ($section:literal, $says:literal, $name:expr, $value:expr) => {
            Case::new($section, $says, MALFORMED, |client| {
                send(client, &request().field($name, $value))
            })
        };
    }
    vec![
        malformed!("8.2", "a field's name in capitals (J14)", "X-TEST", "ok"),
        malformed!("8.2.1", "a colon in a field's name (J14)", "x:y", "ok"),
        malformed!("8.2.1", "a space in a field's name", "x y", "ok"),
        malformed!("8.2.1", "a line in a field's name", "x\r\ny", "ok"),
        malformed!("8.2.1", "a NUL in a field's name", "x\0", "ok"),
        malformed!("8.2.1", "an empty name (J15)", "", "ok"),
        malformed!("8.2.1", "CR in a value (J14)", "x-test", "a\rb"),
        malformed!("8.2.1", "LF in a value (J14)", "x-test", "a\nb"),
        malformed!("8.2.1", "a line in a value (J14)", "x-test", "a\r\nX: y"),
        malformed!("8.2.1", "NUL in a value (J14)", "x-test", "a\0b"),
        malformed!("8.2.1", "a space before a value (J14)", "x-test", " a"),
        malformed!("8.2.1", "a space after a value (J14)", "x-test", "a "),
        malformed!("8.2.1", "tabs around a value (J15)", "x-test", "\ta\t"),
        malformed!("8.2.2", "connection", "connection", "keep-alive"),
        malformed!("8.2.2", "proxy-connection", "proxy-connection", "keep-alive"),
        malformed!("8.2.2", "keep-alive", "keep-alive", "timeout=1"),
        malformed!("8.2.2", "upgrade", "upgrade", "h2c"),
        malformed!("8.2.2", "transfer-encoding (A16)", "transfer-encoding", "chunked"),
        malformed!("8.2.2", "te other than trailers (J14)", "te", "trailers, deflate"),
        malformed!("8.2.2", "te: gzip", "te", "gzip"),
        Case::new("8.2.2", "te: trailers", Answer, |client| {
            client.request(&Block::get().field("te", "trailers"))
        }),
        Case::new("8.2.2", "te in capitals", MALFORMED, |client| {
            send(client, &request().field("te", "TRAILERS"))
        }),
        Case::new("8.2.2", "connection-specific fields in trailers", MALFORMED, |client| {
            let stream = client.begin(&post());
            client.send(&data(stream, false, b"test"));
            client.send(&headers(
                stream,
                true,
                &Block::new().field("transfer-encoding", "chunked"),
            ));
            stream
        }),
        Case::new("8.2.3", "cookies in crumbs", Answer, |client| {
            client.request(&Block::get().field("cookie", "a=b").field("cookie", "c=d"))
        }),
    ]
}

fn lengths() -> Vec<Case> {
    macro_rules! unequal {
        ($says:literal, $length:literal, $($content:literal),*) => {
            Case::new("8.1.1", $says, MALFORMED, |client| {
                let stream = client.begin(&post().field("content-length", $length));
                let pieces: &[&[u8]] = &[$($content),*];
                for (at, piece) in pieces.iter().enumerate() {
                    client.send(&data(stream, at + 1 == pieces.len(), piece));
                }
                stream
            })
        };
    }
    vec![
        Case::new("8.1.1", "content-length that is the content's", Answer, |client| {
            let stream = client.begin(&Block::request("POST", "/").field("content-length", "4"));
            client.send(&data(stream, true, b"test"));
            stream
        }),
        unequal!("content-length below the content's", "1", b"test"),
        unequal!("content-length above the content's", "50", b"test"),
        unequal!("content-length that is not the sum", "1", b"te", b"st"),
        unequal!("content-length above the sum", "5", b"te", b"st"),
        unequal!("content-length that is no number", "4x", b"test"),
        unequal!("content-length with a sign", "+4", b"test"),
        Case::new("8.1.1", "content-length twice, different", MALFORMED, |client| {
            let block = post().field("content-length", "4").field("content-length", "5");
            let stream = client.begin(&block);
            client.send(&data(stream, true, b"test"));
            stream
        }),
        Case::new("8.1.1", "content-length, but no content (A14)", MALFORMED, |client| {
            client.request(&post().field("content-length", "50"))
        }),
        Case::new("8.1.1", "content-length, ended by trailers (A14)", MALFORMED, |client| {
            let stream = client.begin(&post().field("content-length", "50"));
            client.send(&data(stream, false, b"test"));
            client.send(&headers(stream, true, &Block::new().field("x-test", "ok")));
            stream
        }),
        Case::new(
            "8.1",
            "HEADERS after the end",
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&[data(stream, true, b"x"), headers(stream, true, &post())].concat());
                stream
            },
        ),
        Case::new(
            "8.4",
            "PUSH_PROMISE of an idle stream",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&evenkeel_tools::frames::frame(5, 4, 1, &[0, 0, 0, 2]));
                1
            },
        ),
    ]
}
