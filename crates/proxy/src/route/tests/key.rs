//! Balancing keys.

use evenkeel_config::model::HashKey;

use super::{Sent, get};
use crate::route::key::balance_key;

fn key_of(key: &HashKey, sent: &Sent) -> Option<String> {
    let bytes = balance_key(key, &sent.view())?;
    Some(String::from_utf8(bytes.into_owned()).unwrap())
}

#[test]
fn a_key_is_what_the_request_has_first() {
    let sent = get(
        "h/cart/7?user=J%C3%B6&user=x&empty",
        &["X-User: ann", "x-user: bob", "Cookie: a=1; s=2", "Cookie: s=3"],
    );
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(key_of(&HashKey::Path, &sent), some("/cart/7"));
    assert_eq!(key_of(&HashKey::Header("x-user".into()), &sent), some("ann"));
    assert_eq!(key_of(&HashKey::Cookie("s".into()), &sent), some("2"));
    assert_eq!(key_of(&HashKey::Query("user".into()), &sent), some("Jö"));
    assert_eq!(key_of(&HashKey::Query("empty".into()), &sent), some(""));
}

#[test]
fn spellings_of_a_parameter_are_one_key() {
    let key = HashKey::Query("user id".into());
    for url in ["h/?user+id=a%20b", "h/?%75ser%20id=a+b", "h/?x=1&user+id=%61+b"] {
        assert_eq!(key_of(&key, &get(url, &[])), Some("a b".into()), "{url}");
    }
}

#[test]
fn what_is_not_there_is_no_key() {
    let sent = get("h/", &[]);
    for key in [
        HashKey::Header("x-user".into()),
        HashKey::Cookie("s".into()),
        HashKey::Query("user".into()),
        HashKey::ClientIp,
    ] {
        assert_eq!(key_of(&key, &sent), None, "{key:?}");
    }
    assert_eq!(key_of(&HashKey::Query("user".into()), &get("h/?", &[])), None);
}
