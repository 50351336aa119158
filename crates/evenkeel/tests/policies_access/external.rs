//! `external_auth`, over each version of HTTP.

use crate::Stage;
use crate::quic::Site;
use crate::support::{Backend, Gate, Then, reply};

/// Lets `Bearer good` in as alice.
fn authority() -> Backend {
    Backend::start(|request, stream| {
        match request.field("authorization") {
            Some("Bearer good") => reply(
                stream,
                "HTTP/1.1 204 No Content\r\nX-User: alice\r\nX-Internal: secret\r\n\r\n",
            ),
            Some("Bearer broken") => {
                reply(stream, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
            }
            _ => reply(
                stream,
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nX-Internal: secret\r\n\
                 Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nnever\r\n0\r\n\r\n",
            ),
        }
        Then::Keep
    })
}

fn stage(auth: &Backend, more: &str) -> Stage {
    let pool = format!("  auth:\n    servers: [{}]\n", auth.address);
    let policy =
        format!("{{ external_auth: {{ pool: auth, path: /verify, copy: x-user, {more} }} }}");
    Stage::with(Site::new(), &policy, &pool)
}

#[test]
fn a_yes_lets_in_with_what_it_says_and_a_no_is_given_to_the_client() {
    let auth = authority();
    let stage = stage(&auth, "");
    let no = stage.get("/", &[("x-user", "root")]);
    assert_eq!((no.status, no.field("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(no.field("x-internal"), None);
    assert!(no.body.ends_with(b"never"), "{:?}", String::from_utf8_lossy(&no.body));
    assert_eq!(stage.app.count(), 0);
    let fields = [("authorization", "Bearer good"), ("x-user", "root"), ("x_user", "root")];
    assert_eq!(stage.get("/a/../b%41?q=1", &fields).status, 200);
    for request in stage.app.received() {
        assert_eq!(request.fields("x-user"), ["alice"]);
        assert!(!request.head.contains("root") && !request.head.contains("internal"));
        assert_eq!(request.target(), "/bA?q=1");
    }
    let asked = auth.received().pop().unwrap();
    assert_eq!(asked.line(), "GET /verify HTTP/1.1");
    assert_eq!(asked.field("x-forwarded-uri"), Some("/bA?q=1"), "what servers get is asked about");
    assert_eq!(asked.field("x-forwarded-method"), Some("GET"));
    assert_eq!(asked.field("host"), Some("localhost"));
    assert_eq!(asked.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.field("x-user"), None, "only what is to be sent is sent");
}

#[test]
fn without_an_answer_nobody_comes_in_unless_that_is_wanted() {
    let auth = authority();
    let stage = stage(&auth, "");
    let broken = [("authorization", "Bearer broken")];
    let answer = stage.get("/", &broken);
    assert_eq!((answer.status, answer.field("x-evenkeel-reason")), (503, Some("auth_unavailable")));
    assert_eq!(stage.app.count(), 0);
    let open = self::stage(&auth, "without_answer: allow");
    let fields = [("authorization", "Bearer broken"), ("x-user", "root")];
    assert_eq!(open.status(&fields), 200);
    assert!(open.app.received().iter().all(|request| request.field("x-user").is_none()));
}

#[test]
fn an_answer_is_waited_for_no_longer_than_it_may_take() {
    let gate = Gate::default();
    let held = gate.clone();
    let auth = Backend::start(move |_, stream| {
        held.pass();
        reply(stream, "HTTP/1.1 204 No Content\r\n\r\n");
        Then::Keep
    });
    let stage = stage(&auth, "timeout: 100ms");
    assert_eq!(stage.get("/", &[]).field("x-evenkeel-reason"), Some("auth_unavailable"));
    gate.open();
}

#[test]
fn a_word_holds_for_the_same_request_of_the_same_client_alone() {
    let auth = authority();
    let stage = stage(&auth, "remember: 1h");
    let good = [("authorization", "Bearer good")];
    for _ in 0..3 {
        assert_eq!(stage.status(&good), 200);
    }
    assert_eq!(auth.count(), 1, "three requests over each version, and one question");
    assert_eq!(stage.get("/other", &good).status, 200);
    assert_eq!(auth.count(), 2);
    assert_eq!(stage.status(&[("authorization", "Bearer bad")]), 401);
    assert_eq!(auth.count(), 3);
    assert_eq!(stage.status(&good), 200);
    assert!(stage.app.received().iter().all(|request| request.field("x-user") == Some("alice")));
}
