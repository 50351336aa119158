//! What becomes of requests and responses on their way (RFC 9113 §8).

use http::HeaderMap;

use crate::support::{Backend, Proxy, Then, reply, simple};
use crate::{Client, request};

fn proxied(backend: &Backend) -> Proxy {
    Proxy::start(&format!("workers: 1\n{}", simple(&[backend])))
}

#[test]
fn rfc9113_3_3_a_client_that_knows_beforehand_is_served_beside_http1() {
    let backend = Backend::named("one");
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    for turn in 0..3 {
        let answer = client.get(&format!("/{turn}"));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "one"));
        assert_eq!(answer.field("x-backend"), "one");
    }
    assert_eq!(proxy.get("/").status, 200, "HTTP/1 on the same port");
    assert_eq!(backend.received()[0].line(), "GET /0 HTTP/1.1");
    assert_eq!(backend.received()[0].field("host"), Some("test"));
    assert_eq!(backend.received()[0].field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(backend.connections(), 1, "requests of all clients share connections to servers");
}

#[test]
fn rfc9113_8_2_3_crumbs_of_a_cookie_are_put_together() {
    let backend = Backend::named("one");
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let asked = request("GET", "/").header("cookie", "a=b").header("cookie", "c=d");
    client.ask(asked.body(()).unwrap(), b"").unwrap();
    assert_eq!(backend.only().field("cookie"), Some("a=b; c=d"));
}

#[test]
fn rfc9113_8_2_2_te_trailers_is_the_only_field_of_a_connection_that_passes() {
    let backend = Backend::named("one");
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let asked = request("GET", "/").header("te", "trailers");
    client.ask(asked.body(()).unwrap(), b"").unwrap();
    assert_eq!(backend.only().field("te"), Some("trailers"));
}

#[test]
fn content_with_a_length_keeps_it_and_content_without_goes_in_chunks() {
    let backend = Backend::named("one");
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let asked = request("POST", "/known").header("content-length", "5").body(()).unwrap();
    assert_eq!(client.ask(asked, b"hello").unwrap().status(), 200);
    assert_eq!(
        client.ask(request("POST", "/unknown").body(()).unwrap(), b"hello").unwrap().status(),
        200
    );
    let received = backend.received();
    assert_eq!(received[0].field("content-length"), Some("5"));
    assert_eq!(received[1].field("transfer-encoding"), Some("chunked"));
    assert!(received.iter().all(|request| request.body == b"hello"));
}

#[test]
fn rfc9113_8_1_trailers_pass_both_ways_and_dangerous_ones_do_not() {
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\nGrpc-Status: 0\r\n\r\n",
    );
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let (response, mut send) = client.begin(request("POST", "/").body(()).unwrap());
    let answer = client.runtime.block_on(async {
        send.send_data("data".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        for (name, value) in [
            ("x-check", "1"),
            ("content-length", "50"),
            ("host", "evil"),
            ("authorization", "x"),
            ("x-forwarded-for", "9.9.9.9"),
            ("cookie", "a=b"),
        ] {
            trailers.insert(name, value.parse().unwrap());
        }
        send.send_trailers(trailers).unwrap();
        let response = crate::within(response).await.unwrap();
        crate::within(crate::read_all(response.into_body())).await.unwrap()
    });
    assert_eq!(answer.0, b"ok");
    let trailers = answer.1.unwrap();
    assert_eq!(trailers.get("x-sum").unwrap(), "7");
    assert_eq!(trailers.get("grpc-status").unwrap(), "0");
    assert_eq!(trailers.len(), 2, "{trailers:?}");
    let received = backend.only();
    let raw = String::from_utf8_lossy(&received.raw).into_owned();
    assert!(raw.ends_with("4\r\ndata\r\n0\r\nx-check: 1\r\n\r\n"), "{raw}"); // B12
}

#[test]
fn responses_keep_their_fields_but_those_of_the_connection() {
    let backend = Backend::replying(
        "HTTP/1.1 200 Fine\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Mixed: Yes\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = proxied(&backend);
    let answer = Client::connect(proxy.addresses[0]).get("/");
    let fields = answer.head.headers();
    assert_eq!(fields.get_all("set-cookie").iter().count(), 2);
    assert_eq!(answer.field("x-mixed"), "Yes");
    assert_eq!(answer.field("content-length"), "2");
    assert!(answer.trailers.is_none());
    for gone in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
        assert!(!fields.contains_key(gone), "{gone}");
    }
}

#[test]
fn what_has_no_content_ends_with_its_head() {
    let backend = Backend::start(|request, stream| {
        reply(
            stream,
            match request.target() {
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            },
        );
        Then::Keep
    });
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    for (method, path, status) in
        [("HEAD", "/head", 200), ("GET", "/204", 204), ("GET", "/304", 304), ("GET", "/0", 200)]
    {
        let answer = client.ask(request(method, path).body(()).unwrap(), b"").unwrap();
        assert_eq!((answer.status(), answer.body.len()), (status, 0), "{path}");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn rfc9110_15_2_interim_responses_pass() {
    let backend = Backend::on_head(|_, stream| {
        reply(stream, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let sender = client.sender.clone();
    client.runtime.block_on(async {
        let mut sender = crate::within(sender.ready()).await.unwrap();
        let (mut response, _) =
            sender.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
        let hints = std::future::poll_fn(|cx| response.poll_informational(cx));
        let hints = crate::within(hints).await.unwrap().unwrap();
        assert_eq!(
            (hints.status().as_u16(), hints.headers()["link"].as_bytes()),
            (103, &b"</a.css>"[..])
        );
        let response = crate::within(response).await.unwrap();
        assert_eq!(response.status(), 200);
    });
}

#[test]
fn our_own_answers_come_over_http2_too() {
    let backend = Backend::named("one");
    let proxy = Proxy::start(&format!(
        "workers: 1\nlisteners:\n  web: {{ bind: \"127.0.0.1:0\" }}\nroutes:\n\
         - {{ match: {{ path: /fixed }}, respond: {{ status: 418, body: tea }} }}\n\
         - {{ match: {{ path: /moved }}, redirect: {{ to: \"https://${{host}}${{path}}\" }} }}\n\
         - {{ match: {{ path: /one }}, to: app }}\npools:\n  app: {{ servers: [\"{}\"] }}\n",
        backend.address
    ));
    let client = Client::connect(proxy.addresses[0]);
    let fixed = client.get("/fixed");
    assert_eq!((fixed.status(), fixed.text().as_str()), (418, "tea"));
    let moved = client.get("/moved?a=b");
    assert_eq!(moved.status() / 100, 3);
    assert!(moved.field("location").starts_with("https://test/moved"), "{moved:?}");
    let none = client.get("/none");
    assert_eq!((none.status(), none.field("x-evenkeel-reason")), (404, "no_route"));
    let refused = client.get("/one/%zz");
    assert_eq!(refused.status(), 400);
    assert_eq!(client.get("/one").text(), "one", "the connection goes on");
}

#[test]
fn a_server_that_breaks_off_is_told_as_an_error_of_the_stream_alone() {
    let backend = Backend::start(|request, stream| {
        if request.target() == "/cut" {
            reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            return Then::Close;
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    });
    let proxy = proxied(&backend);
    let client = Client::connect(proxy.addresses[0]);
    let error = client.ask(request("GET", "/cut").body(()).unwrap(), b"").unwrap_err();
    assert!(error.is_reset(), "{error:?}");
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn the_access_log_names_the_version() {
    let backend = Backend::named("one");
    let proxy = Proxy::start(&format!(
        "workers: 1\nlisteners:\n  web: {{ bind: \"127.0.0.1:0\", policies: log }}\nroutes:\n  - to: app\n\
         pools:\n  app: {{ servers: [\"{}\"] }}\npolicies:\n  log: {{ access_log: {{}} }}\n",
        backend.address
    ));
    assert_eq!(Client::connect(proxy.addresses[0]).get("/two").status(), 200);
    assert_eq!(proxy.get("/one").status, 200);
    crate::support::wait_for("two lines", || proxy.output().len() >= 2);
    let lines = proxy.output();
    assert!(lines[0].contains("\"protocol\":\"HTTP/2\""), "{lines:?}");
    assert!(lines[1].contains("\"protocol\":\"HTTP/1.1\""), "{lines:?}");
}
