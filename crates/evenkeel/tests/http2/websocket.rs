//! WebSocket and other tunnels over one stream (RFC 8441), to servers that upgrade HTTP/1.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use bytes::Bytes;
use h2::ext::Protocol;
use http::Request;

use crate::Client;
use crate::support::{Backend, Proxy, Received, Then, reply, simple};

fn proxied(backend: &Backend) -> Proxy {
    Proxy::start(&format!("workers: 1\n{}", simple(&[backend])))
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2).
fn accept(key: &str) -> String {
    use base64::Engine as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Switches, then sends back what it gets until the client ends its half, and says so.
pub(crate) fn echo(request: &Received, stream: &mut TcpStream) -> Then {
    let key = request.field("sec-websocket-key").unwrap_or_default();
    reply(
        stream,
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
            accept(key)
        ),
    );
    let mut buffer = [0; 4096];
    while let Ok(read) = stream.read(&mut buffer)
        && read > 0
    {
        if stream.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"bye");
    Then::Close
}

pub(crate) fn connect(protocol: &'static str) -> Request<()> {
    Request::builder()
        .method("CONNECT")
        .uri("http://test/chat")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .extension(Protocol::from_static(protocol))
        .body(())
        .unwrap()
}

/// Waits until the settings have come, which say that the protocol may be asked for.
pub(crate) fn ready(proxy: &Proxy) -> Client {
    let client = Client::connect(proxy.addresses[0]);
    crate::support::wait_for("the settings", || {
        client.sender.is_extended_connect_protocol_enabled()
    });
    client
}

#[test]
fn rfc8441_5_a_websocket_is_opened_and_passes_bytes_and_ends_half_by_half() {
    let backend = Backend::start(echo);
    let proxy = proxied(&backend);
    let client = ready(&proxy);
    let (response, mut send) = client.begin(connect("websocket"));
    client.runtime.block_on(async {
        let response = crate::within(response).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        for gone in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
            assert!(!response.headers().contains_key(gone), "{gone}");
        }
        let mut content = response.into_body();
        for piece in ["one", "two", "three"] {
            send.send_data(Bytes::from_static(piece.as_bytes()), false).unwrap();
            let mut got = Vec::new();
            while got.len() < piece.len() {
                let data = crate::within(content.data()).await.unwrap().unwrap();
                content.flow_control().release_capacity(data.len()).unwrap();
                got.extend_from_slice(&data);
            }
            assert_eq!(got, piece.as_bytes());
        }
        send.send_data(Bytes::new(), true).unwrap();
        assert_eq!(crate::within(crate::read_all(content)).await.unwrap().0, b"bye");
    });
    let received = backend.only();
    assert_eq!(received.line(), "GET /chat HTTP/1.1");
    assert_eq!(received.field("upgrade"), Some("websocket"));
    assert_eq!(received.field("connection"), Some("upgrade"));
    assert_eq!(received.field("sec-websocket-version"), Some("13"));
    assert!(
        received.field("content-length").is_none() && received.field("transfer-encoding").is_none()
    );
}

#[test]
fn f6_f7_a_switch_without_the_proof_is_none() {
    let backend = Backend::replying(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    let proxy = proxied(&backend);
    let client = ready(&proxy);
    let (response, _send) = client.begin(connect("websocket"));
    let response = client.runtime.block_on(crate::within(response)).unwrap();
    assert_eq!(response.status(), 502);
}

#[test]
fn f4_a_success_that_is_no_switch_opens_nothing() {
    let backend = Backend::replying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = proxied(&backend);
    let client = ready(&proxy);
    let (response, _send) = client.begin(connect("websocket"));
    let response = client.runtime.block_on(crate::within(response)).unwrap();
    assert_eq!(response.status(), 502);
}

#[test]
fn a_refusal_is_passed_on() {
    let backend = Backend::replying("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let proxy = proxied(&backend);
    let client = ready(&proxy);
    let (response, _send) = client.begin(connect("websocket"));
    let response = client.runtime.block_on(crate::within(response)).unwrap();
    assert_eq!(response.status(), 403);
    let body = client.runtime.block_on(crate::within(crate::read_all(response.into_body())));
    assert_eq!(body.unwrap().0, b"no");
}

#[test]
fn f8_f10_protocols_that_would_speak_http_behind_us_are_refused() {
    let backend = Backend::start(echo);
    let proxy = proxied(&backend);
    let client = ready(&proxy);
    for protocol in ["h2c", "tls", "http"] {
        let (response, _send) = client.begin(connect(protocol));
        let response = client.runtime.block_on(crate::within(response)).unwrap();
        assert!(response.status().is_client_error(), "{protocol}: {}", response.status());
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn a_tunnel_that_breaks_off_is_an_error_of_its_stream_alone() {
    let backend = Backend::start(|request, stream| {
        if request.field("upgrade").is_none() {
            reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            return Then::Keep;
        }
        let key = accept(request.field("sec-websocket-key").unwrap());
        reply(
            stream,
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {key}\r\n\r\n"
            ),
        );
        let _ = stream.read(&mut [0; 16]);
        Then::Reset
    });
    let proxy = proxied(&backend);
    let client = ready(&proxy);
    let (response, mut send) = client.begin(connect("websocket"));
    client.runtime.block_on(async {
        let response = crate::within(response).await.unwrap();
        send.send_data("x".into(), false).unwrap();
        let error = crate::within(crate::read_all(response.into_body())).await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CONNECT_ERROR), "RFC 9113 §8.5");
    });
    assert_eq!(client.get("/").text(), "ok");
}
