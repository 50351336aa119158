//! RFC 9111 rule by rule.

use crate::stage::Stage;

const FRESH: &str = "Cache-Control: max-age=60";

#[test]
fn rfc_9111_4_a_fresh_answer_is_given_again_without_asking_and_says_its_age() {
    let stage = Stage::new("", &[FRESH, "X-A: b"]);
    let first = stage.get("/x?q=1", &[]);
    assert_eq!(first.text(), "answer 1 to /x?q=1");
    assert_eq!(first.field("age"), None, "it is new");
    assert_eq!(first.field("cache-status"), Some("evenkeel; fwd=miss; stored"));
    let second = stage.get("/x?q=1", &[]);
    assert_eq!((second.status, second.text()), (200, first.text()));
    assert_eq!(second.field("x-a"), Some("b"));
    let age: u64 = second.field("age").unwrap().parse().unwrap();
    assert!(age < 30, "RFC 9111 §5.1: {age}");
    let status = second.field("cache-status").unwrap();
    assert!(status.starts_with("evenkeel; hit; ttl="), "RFC 9211: {status}");
    assert_eq!(second.field("content-length"), first.field("content-length"));
    assert_eq!(stage.backend.count(), 1);
}

#[test]
fn rfc_9111_3_only_what_may_be_shared_is_kept() {
    let stage = Stage::new("hit_for_miss: 0s", &[FRESH]);
    assert!(stage.is_kept("/plain", &[]));
    for (at, lines) in [
        [FRESH, "Set-Cookie: a=b"],
        ["Cache-Control: private, max-age=60", "X-A: b"],
        ["Cache-Control: no-store", "X-A: b"],
        ["Vary: *", FRESH],
        ["X-A: nothing says how long", "X-B: c"],
        ["Cache-Control: max-age=0", "X-A: stale at once, and nothing to ask with"],
    ]
    .iter()
    .enumerate()
    {
        stage.say(200, lines, "");
        assert!(!stage.is_kept(&format!("/{at}"), &[]), "{lines:?}");
    }
    for status in [400, 404, 500, 503] {
        stage.say(status, &["Cache-Control: public, max-age=60"], "");
        assert!(!stage.is_kept(&format!("/m3-{status}"), &[]), "{status}");
    }
}

#[test]
fn m3_errors_are_kept_where_that_is_configured() {
    let stage = Stage::new("statuses: { 404: 60s }", &[]);
    stage.say(404, &["X-A: b"], "");
    assert!(stage.is_kept("/x", &[]));
}

#[test]
fn rfc_9111_3_5_answers_to_who_said_who_asks_are_for_him_unless_they_are_for_all() {
    let stage = Stage::new("", &[FRESH]);
    let authorized = &["Authorization: Basic YTpi"];
    assert!(!stage.is_kept("/x", authorized));
    let other = stage.get("/x", &[]);
    assert_eq!(other.field("cache-status"), Some("evenkeel; fwd=miss; stored"));
    stage.say(200, &["Cache-Control: public, max-age=60"], "");
    assert!(stage.is_kept("/y", authorized));
}

#[test]
fn rfc_9111_4_1_each_gets_the_answer_that_was_chosen_by_his_fields() {
    let stage = Stage::new("", &[FRESH, "Vary: Accept-Language, X-A"]);
    let (german, english) = (&["Accept-Language: de"], &["Accept-Language: en"]);
    assert!(stage.is_kept("/x", german));
    assert!(stage.is_kept("/x", english));
    assert!(stage.is_kept("/x", &[]));
    assert_eq!(stage.get("/x", german).text(), "answer 1 to /x");
    assert_eq!(stage.get("/x", &["Accept-Language: DE;q=1.0"]).text(), "answer 1 to /x");
    assert_eq!(stage.get("/x", english).text(), "answer 2 to /x");
    assert_eq!(stage.backend.count(), 3);
    // What it varies by may grow.
    stage.say(200, &[FRESH, "Vary: X-B"], "");
    let both = &["Accept-Language: fr", "X-B: 1"];
    assert!(stage.is_kept("/x", both));
    let other = stage.get("/x", &["Accept-Language: fr", "X-B: 2"]).text();
    assert_eq!(other, "answer 5 to /x");
}

#[test]
fn rfc_9111_4_3_1_what_is_stale_is_asked_about_with_its_validators() {
    let lines = ["Cache-Control: no-cache", "ETag: \"v1\"", "X-Old: 1"];
    let stage = Stage::new("", &lines);
    let first = stage.get("/x", &["If-None-Match: \"other\""]);
    assert_eq!((first.status, first.text()), (200, "answer 1 to /x".into()));
    stage.say(304, &["ETag: \"v1\"", "Cache-Control: no-cache", "X-New: 2"], "");
    let second = stage.get("/x", &[]);
    let asked = stage.backend.received().pop().unwrap();
    assert_eq!(asked.field("if-none-match"), Some("\"v1\""));
    // §4.3.4: the 304 brings its fields.
    assert_eq!((second.status, second.text()), (200, first.text()));
    assert_eq!((second.field("x-old"), second.field("x-new")), (Some("1"), Some("2")));
    let status = "evenkeel; fwd=stale; fwd-status=304";
    assert_eq!(second.field("cache-status"), Some(status));
    // §4.3.3: anything else takes its place.
    stage.say(200, &lines, "");
    assert_eq!(stage.get("/x", &[]).text(), "answer 3 to /x");
    assert_eq!(stage.backend.count(), 3);
}

#[test]
fn rfc_9111_4_3_2_who_has_it_already_is_told_so() {
    let changed = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    let stage = Stage::new("", &[FRESH, "ETag: W/\"v1\"", changed, "Content-Type: text/plain"]);
    // Also the first time: the server is asked for all of it.
    let first = stage.get("/x", &["If-None-Match: \"v1\""]);
    assert_eq!((first.status, first.text()), (304, String::new()));
    assert_eq!(stage.backend.only().field("if-none-match"), None);
    for has_it in [
        "If-None-Match: \"v1\"",
        "If-None-Match: *",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        let told = stage.get("/x", &[has_it]);
        assert_eq!((told.status, told.body.len()), (304, 0), "{has_it}");
        assert_eq!(told.field("etag"), Some("W/\"v1\""));
        assert_eq!(told.field("content-type"), None, "RFC 9110 §15.4.5");
    }
    let has_not = "If-None-Match: \"v2\"";
    assert_eq!(
        stage.get("/x", &[has_not, "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT"]).status,
        200
    );
    assert_eq!(stage.backend.count(), 1);
}

#[test]
fn rfc_9110_9_3_2_a_head_is_answered_from_what_is_kept_of_a_get() {
    let stage = Stage::new("", &[FRESH]);
    assert_eq!(stage.ask("HEAD", "/x", &[]).status, 200);
    let full = stage.get("/x", &[]);
    let head = stage.ask("HEAD", "/x", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("content-length"), full.field("content-length"));
    assert_eq!(stage.backend.count(), 2, "the first HEAD, and the GET");
}

#[test]
fn rfc_9110_14_2_parts_are_made_of_what_is_whole() {
    let stage = Stage::new("", &[]);
    stage.say(200, &[FRESH, "ETag: \"v1\"", "Content-Type: text/plain"], "0123456789");
    stage.get("/x", &[]);
    let part = |lines: &[&str]| {
        let part = stage.get("/x", lines);
        (part.status, part.field("content-range").map(str::to_owned), part.text())
    };
    let is = |range: &str, text: &str| (206, Some(range.to_owned()), text.to_owned());
    assert_eq!(part(&["Range: bytes=2-4"]), is("bytes 2-4/10", "234"));
    assert_eq!(part(&["Range: bytes=-3", "If-Range: \"v1\""]), is("bytes 7-9/10", "789"));
    let whole = (200, None, "0123456789".to_owned());
    assert_eq!(part(&["Range: bytes=2-4", "If-Range: \"v2\""]), whole, "RFC 9110 §13.1.5");
    assert_eq!(part(&["Range: bytes=0-6,5-9"]), whole, "M5: they overlap");
    assert_eq!(part(&["Range: lines=1-2"]), whole);
    assert_eq!(part(&["Range: bytes=10-"]), (416, Some("bytes */10".into()), String::new()));
    let several = stage.get("/x", &["Range: bytes=0-1, 8-9"]);
    let kind = several.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let expected = format!(
        "\r\n--{boundary}\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-1/10\r\n\r\n01\
         \r\n--{boundary}\r\ncontent-type: text/plain\r\ncontent-range: bytes 8-9/10\r\n\r\n89\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!((several.status, several.text()), (206, expected));
    assert_eq!(stage.backend.count(), 1);
}

#[test]
fn rfc_9111_4_4_what_an_unsafe_request_may_have_changed_is_asked_for_again() {
    let stage = Stage::new("", &[FRESH]);
    for target in ["/x", "/y", "/z"] {
        assert!(stage.is_kept(target, &[]));
    }
    stage.say(500, &[], "");
    stage.ask("POST", "/x", &["Content-Length: 0"]);
    stage.say(200, &[FRESH], "");
    assert_eq!(stage.get("/x", &[]).text(), "answer 1 to /x", "it failed");
    let elsewhere = "Content-Location: http://other/z";
    stage.say(201, &["Location: /y", elsewhere], "");
    stage.ask("POST", "/x", &["Content-Length: 0"]);
    stage.say(200, &[FRESH], "");
    assert_eq!(stage.get("/x", &[]).text(), "answer 6 to /x");
    assert_eq!(stage.get("/y", &[]).text(), "answer 7 to /y");
    assert_eq!(stage.get("/z", &[]).text(), "answer 3 to /z", "of another origin");
}

#[test]
fn rfc_9111_5_2_1_7_a_client_may_want_only_what_is_kept() {
    let stage = Stage::new("", &[FRESH]);
    let only = &["Cache-Control: only-if-cached"];
    let refused = stage.get("/x", only);
    assert_eq!((refused.status, refused.reason()), (504, "not_cached"));
    stage.get("/x", &[]);
    assert_eq!(stage.get("/x", only).status, 200);
}

#[test]
fn rfc_9111_5_2_1_4_clients_can_make_servers_work_only_where_that_is_configured() {
    let stage = Stage::new("", &[FRESH]);
    assert!(stage.is_kept("/x", &["Cache-Control: no-cache"]));
    let stage = Stage::new("client_control: true", &[FRESH, "ETag: \"v1\""]);
    assert!(!stage.is_kept("/x", &["Cache-Control: no-cache"]));
    assert!(!stage.is_kept("/x", &["Cache-Control: min-fresh=100"]));
    assert!(stage.is_kept("/y", &["Cache-Control: max-age=30"]));
}

#[test]
fn rfc_9111_5_2_2_4_fields_that_are_not_to_be_used_again_are_not() {
    let control = "Cache-Control: max-age=60, no-cache=\"X-Once\"";
    let stage = Stage::new("", &[control, "X-Once: 1", "X-Always: 2"]);
    let first = stage.get("/x", &[]);
    assert_eq!((first.field("x-once"), first.field("x-always")), (Some("1"), Some("2")));
    let second = stage.get("/x", &[]);
    assert_eq!((second.field("x-once"), second.field("x-always")), (None, Some("2")));
    assert_eq!(stage.backend.count(), 1);
}

#[test]
fn rfc_9111_4_2_2_freshness_is_guessed_from_the_last_change() {
    let changed = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    assert!(Stage::new("", &[changed]).is_kept("/x", &[]));
    assert!(!Stage::new("heuristic_max: 0s", &[changed]).is_kept("/x", &[]));
    assert!(Stage::new("default_ttl: 60s", &["X-A: b"]).is_kept("/x", &[]));
}

#[test]
fn rfc_9111_4_2_3_an_answer_that_was_old_when_it_came_is_that_much_older() {
    let stage = Stage::new("", &[FRESH, "Age: 50"]);
    stage.get("/x", &[]);
    let age: u64 = stage.get("/x", &[]).field("age").unwrap().parse().unwrap();
    assert!((50..60).contains(&age), "{age}");
    stage.say(200, &[FRESH, "Age: 60"], "");
    assert!(!stage.is_kept("/y", &[]));
}

#[test]
fn rfc_9111_7_3_cookies_are_kept_from_others_even_where_the_answer_is_kept() {
    let stage = Stage::new("strip_cookies: true", &[FRESH, "Set-Cookie: a=b"]);
    assert_eq!(stage.get("/x", &[]).field("set-cookie"), Some("a=b"));
    assert_eq!(stage.get("/x", &[]).field("set-cookie"), None);
    assert_eq!(stage.backend.count(), 1);
}

#[test]
fn m1_answers_of_other_hosts_methods_and_queries_are_others() {
    let stage = Stage::new("", &[FRESH]);
    assert_eq!(stage.get("/x", &["Host: a"]).text(), "answer 1 to /x");
    assert_eq!(stage.get("/x", &["Host: b"]).text(), "answer 2 to /x");
    assert_eq!(stage.get("/x", &["Host: A"]).text(), "answer 1 to /x", "RFC 9110 §4.2.3");
    assert_eq!(stage.get("/x", &["Host: a:81"]).text(), "answer 3 to /x");
    assert_eq!(stage.get("/x?", &["Host: a"]).text(), "answer 4 to /x?");
    assert_eq!(stage.get("/x?b&a", &["Host: a"]).text(), "answer 5 to /x?b&a");
    assert_eq!(stage.get("/x?a&b", &["Host: a"]).text(), "answer 6 to /x?a&b");
    stage.ask("POST", "/y", &["Content-Length: 0"]);
    assert_eq!(stage.get("/y", &[]).text(), "answer 8 to /y");
    // A GET with content asks for something that the key does not know.
    stage.ask("GET", "/x", &["Host: a", "Content-Length: 0"]);
    let fat = stage.ask("GET", "/x", &["Host: a", "Transfer-Encoding: chunked\r\n\r\n0"]);
    assert_eq!(fat.field("cache-status"), Some("evenkeel; fwd=bypass"));
}

#[test]
fn m2_fields_that_choose_another_answer_cannot_poison_what_others_get() {
    let stage = Stage::new("", &[FRESH]);
    // What only proxies may say does not reach servers.
    for lie in ["X-Forwarded-Host: evil", "X-Original-URL: /evil", "X-Forwarded-Scheme: nothttps"] {
        stage.get("/x", &[lie]);
    }
    let asked = stage.backend.only();
    assert_eq!(asked.field("x-forwarded-host"), Some("test"));
    assert_eq!(asked.field("x-original-url"), None);
    // What some frameworks obey is part of the key.
    let masked = stage.get("/x", &["X-HTTP-Method-Override: DELETE"]);
    assert_eq!(masked.text(), "answer 2 to /x");
    assert_eq!(stage.get("/x", &[]).text(), "answer 1 to /x");
}

#[test]
fn the_key_can_be_told_what_counts() {
    let options = "key: { ignore_query: [utm], fields: X-Tenant, cookies: lang }, bypass: { cookies: session, fields: X-Fresh }";
    let stage = Stage::new(options, &[FRESH]);
    let first = stage.get("/x?a=1&utm=2", &[]).text();
    assert_eq!(stage.get("/x?a=1", &[]).text(), first);
    assert_eq!(stage.get("/x?a=1", &["X-Tenant: b"]).text(), "answer 2 to /x?a=1");
    assert_eq!(stage.get("/x?a=1", &["Cookie: lang=de; x=y"]).text(), "answer 3 to /x?a=1");
    assert_eq!(stage.get("/x?a=1", &["Cookie: x=z; lang=de"]).text(), "answer 3 to /x?a=1");
    assert!(!stage.is_kept("/x?a=1", &["Cookie: session=1"]));
    assert!(!stage.is_kept("/x?a=1", &["X-Fresh: 1"]));
}
