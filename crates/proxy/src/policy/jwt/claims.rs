//! Claims of a token: whether they hold now (RFC 7519 §4.1), and how they are told to servers. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel_config::model;
use serde_json::Value;

use super::Claims;

/// What must hold of claims.
pub(super) struct Rules {
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway: Duration,
}

impl Rules {
    pub(super) fn new(settings: &model::Jwt) -> Self {
        Self {
            issuers: settings.issuers.clone(),
            audiences: settings.audiences.clone(),
            leeway: settings.leeway,
        }
    }

    /// Whether a token with these is good now. One that never ends is none (RFC 8725 leaves it to us).
    pub(super) fn hold(&self, claims: &Claims, now: SystemTime) -> Result<(), ()> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(()),
        };
        let ends = time("exp")?.ok_or(())?;
        let is_on_time =
            now < ends + leeway && time("nbf")?.is_none_or(|from| from <= now + leeway);
        let is_of = self.issuers.is_empty() || has(claims.get("iss"), &self.issuers, false);
        let is_for = self.audiences.is_empty() || has(claims.get("aud"), &self.audiences, true);
        if is_on_time && is_of && is_for { Ok(()) } else { Err(()) }
    }
}

/// Whether a claim is one of these, or, if it may be a list, has one of them.
fn has(claim: Option<&Value>, wanted: &[String], may_be_list: bool) -> bool {
    let is_wanted = |value: &Value| wanted.iter().any(|wanted| value == wanted.as_str());
    match claim {
        Some(Value::Array(list)) if may_be_list => list.iter().any(is_wanted),
        Some(value) => is_wanted(value),
        None => false,
    }
}

/// A claim as a field's value: a text, a number, or several with commas between them. What could be
/// taken for something else is not told at all.
pub(super) fn told(value: &Value) -> Option<String> {
    match value {
        Value::Array(list) => {
            let parts: Option<Vec<String>> =
                list.iter().map(|value| single(value).filter(|text| !text.contains(','))).collect();
            Some(parts?.join(","))
        }
        value => single(value),
    }
}

fn single(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        _ => return None,
    };
    let is_plain = text.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
    (is_plain && text.len() <= 4096 && text.trim() == text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(issuers: &[&str], audiences: &[&str]) -> Rules {
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Rules { issuers: all(issuers), audiences: all(audiences), leeway: Duration::from_secs(30) }
    }

    fn holds(rules: &Rules, claims: Value) -> bool {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        rules.hold(claims.as_object().unwrap(), now).is_ok()
    }

    #[test]
    fn a_token_has_its_time_give_or_take_what_clocks_are_apart_rfc_7519_4_1_4_and_5() {
        let rules = rules(&[], &[]);
        for (claims, is_good) in [
            (json!({ "exp": 1_000_001 }), true),
            (json!({ "exp": 999_971 }), true),
            (json!({ "exp": 999_970 }), false),
            (json!({ "exp": 2_000_000, "nbf": 1_000_030 }), true),
            (json!({ "exp": 2_000_000, "nbf": 1_000_031 }), false),
            (json!({}), false),
            (json!({ "exp": "2000000" }), false),
            (json!({ "exp": 2_000_000, "nbf": null }), false),
        ] {
            assert_eq!(holds(&rules, claims.clone()), is_good, "{claims}");
        }
    }

    #[test]
    fn issuer_and_audience_are_those_that_are_wanted_rfc_7519_4_1_1_and_3() {
        let rules = rules(&["a", "b"], &["shop"]);
        for (iss, aud, is_good) in [
            (json!("a"), json!("shop"), true),
            (json!("b"), json!(["x", "shop"]), true),
            (json!("c"), json!("shop"), false),
            (json!(["a"]), json!("shop"), false),
            (json!("a"), json!(["x"]), false),
            (json!("a"), Value::Null, false),
        ] {
            let claims = json!({ "exp": 2_000_000, "iss": iss, "aud": aud });
            assert_eq!(holds(&rules, claims.clone()), is_good, "{claims}");
        }
        assert!(!holds(&rules, json!({ "exp": 2_000_000 })));
    }

    #[test]
    fn claims_are_told_only_if_they_cannot_be_taken_for_something_else() {
        for (value, text) in [
            (json!("alice"), Some("alice")),
            (json!(["a", "b"]), Some("a,b")),
            (json!(7), Some("7")),
            (json!("a\r\nx-admin: 1"), None),
            (json!(["a,b"]), None),
            (json!(" a"), None),
            (json!({ "a": 1 }), None),
        ] {
            assert_eq!(told(&value).as_deref(), text, "{value}");
        }
    }
}
