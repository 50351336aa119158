//! Claims of tokens as conditions see them: found by name or by the way to them, compared as texts. Pure.

use serde_json::{Map, Value};

/// A claim by its name, or else by the way to it, with dots between the steps.
pub(crate) fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut way = name.split('.');
    let first = claims.get(way.next()?)?;
    way.try_fold(first, |value, step| value.get(step))
}

/// Whether the claim, or a member of it if it is a list, is one for which this holds.
pub(super) fn has(claim: &Value, holds: &dyn Fn(&[u8]) -> bool) -> bool {
    match claim {
        Value::Array(list) => list.iter().any(|value| is(value, holds)),
        value => is(value, holds),
    }
}

fn is(value: &Value, holds: &dyn Fn(&[u8]) -> bool) -> bool {
    match value {
        Value::String(text) => holds(text.as_bytes()),
        Value::Number(number) => holds(number.to_string().as_bytes()),
        Value::Bool(is) => holds(is.to_string().as_bytes()),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_found_by_name_first_and_else_by_the_way_to_it() {
        let claims = json!({ "a": { "b": "c" }, "x.y": 1 });
        let claims = claims.as_object().unwrap();
        assert_eq!(find(claims, "a.b"), Some(&json!("c")));
        assert_eq!(find(claims, "x.y"), Some(&json!(1)));
        assert_eq!(find(claims, "a.c"), None);
        assert_eq!(find(claims, ""), None);
    }

    #[test]
    fn a_list_has_what_one_of_its_members_is() {
        let is_admin = |text: &[u8]| text == b"admin";
        for (claim, has_it) in [
            (json!("admin"), true),
            (json!(["user", "admin"]), true),
            (json!(["user"]), false),
            (json!([["admin"]]), false),
            (json!({ "admin": true }), false),
        ] {
            assert_eq!(has(&claim, &is_admin), has_it, "{claim}");
        }
        assert!(has(&json!(7), &|text| text == b"7") && has(&json!(true), &|text| text == b"true"));
    }
}
