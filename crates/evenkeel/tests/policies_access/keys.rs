//! `api_key`, over each version of HTTP.

use crate::Stage;

const KEY: &str = "partner-key-0123456789";

fn policy(more: &str) -> String {
    format!("{{ api_key: {{ keys: {{ partner: {KEY} }}, {more} }} }}")
}

#[test]
fn a_key_lets_in_and_its_owner_is_told_to_servers() {
    let stage = Stage::new(&policy("owner_field: x-owner"));
    assert_eq!(stage.status(&[]), 401);
    assert_eq!(stage.status(&[("x-api-key", "partner-key-012345678X")]), 401);
    assert_eq!(stage.status(&[("x-api-key", KEY), ("x-api-key", "another-key-0123456")]), 401);
    assert_eq!(stage.app.count(), 0);
    let fields = [("x-api-key", KEY), ("x-owner", "root"), ("x_owner", "root")];
    assert_eq!(stage.status(&fields), 200);
    for request in stage.app.received() {
        assert_eq!(request.fields("x-owner"), ["partner"]);
        assert!(!request.head.contains("root") && !request.head.contains(KEY), "{}", request.head);
    }
}

#[test]
fn a_key_may_be_in_the_query_or_a_cookie() {
    let stage = Stage::new(&policy("from: { query: key }"));
    assert_eq!(stage.get(&format!("/?a=1&key={KEY}"), &[]).status, 200);
    assert_eq!(stage.get(&format!("/?key=x&key={KEY}"), &[]).status, 401);
    assert_eq!(stage.status(&[("x-api-key", KEY)]), 401);
    stage.reload(&policy("from: { cookie: key }"));
    assert_eq!(stage.status(&[("cookie", &format!("a=b; key={KEY}"))]), 200);
    assert_eq!(stage.status(&[("cookie", "a=b")]), 401);
}
