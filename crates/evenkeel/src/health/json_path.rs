//! One question about a JSON body: is the value at this path the one expected. Owns how a path and
//! a value are shown in the answer; reading `$.a.b` is the configuration's.

use evenkeel_config::model::{JsonStep, JsonTest};
use serde_json::Value;

/// Longest value shown in a reason, in characters.
const SHOWN_MAX: usize = 80;

/// What is wrong with `body`, if anything: `$.db is "lost", not "connected"`.
pub(super) fn complain(test: &JsonTest, body: &Value) -> Option<String> {
    let wanted = &test.equals;
    match at(body, &test.path) {
        Some(found) if equal(found, wanted) => None,
        Some(found) => Some(format!("{} is {}, not {wanted}", show(&test.path), brief(found))),
        None => Some(format!("{} is missing, not {wanted}", show(&test.path))),
    }
}

fn at<'v>(value: &'v Value, path: &[JsonStep]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match step {
        JsonStep::Member(name) => value.get(name),
        JsonStep::Index(index) => value.get(index),
    })
}

/// JSON has one kind of number: 1 is 1.0.
fn equal(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => {
            found == wanted || found.as_f64() == wanted.as_f64()
        }
        _ => found == wanted,
    }
}

fn show(path: &[JsonStep]) -> String {
    let mut text = String::from("$");
    for step in path {
        match step {
            JsonStep::Member(name) => text.extend([".", name]),
            JsonStep::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

fn brief(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        _ => {
            let text = value.to_string(); // escapes what could break a line of the log
            match text.char_indices().nth(SHOWN_MAX) {
                Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(path: &[JsonStep], equals: impl Into<Value>) -> JsonTest {
        JsonTest { path: path.to_vec(), equals: equals.into() }
    }

    fn member(name: &str) -> JsonStep {
        JsonStep::Member(name.into())
    }

    fn complaint(test: &JsonTest, body: &str) -> Option<String> {
        complain(test, &serde_json::from_str(body).unwrap())
    }

    #[test]
    fn the_value_at_the_path_is_the_one_expected() {
        let connected = test(&[member("db")], "connected");
        assert_eq!(complaint(&connected, r#"{"db": "connected", "x": 1}"#), None);
        let nested = test(&[member("pools"), JsonStep::Index(1), member("free")], 3);
        assert_eq!(complaint(&nested, r#"{"pools": [{}, {"free": 3.0}]}"#), None);
        assert_eq!(complaint(&test(&[], true), "true"), None);
    }

    #[test]
    fn what_is_there_instead_is_said() {
        let connected = test(&[member("db")], "connected");
        let said = |body: &str| complaint(&connected, body).unwrap_or_default();
        assert_eq!(said(r#"{"db": "lost"}"#), r#"$.db is "lost", not "connected""#);
        assert_eq!(said(r#"{"DB": "connected"}"#), r#"$.db is missing, not "connected""#);
        assert_eq!(said("[1]"), r#"$.db is missing, not "connected""#);
        assert_eq!(said(r#"{"db": [1, 2]}"#), r#"$.db is a list, not "connected""#);
        assert_eq!(said(r#"{"db": "a\nb"}"#), r#"$.db is "a\nb", not "connected""#);
    }

    #[test]
    fn a_long_value_is_cut() {
        let body = format!(r#"{{"db": "{}"}}"#, "é".repeat(10_000));
        let said = complaint(&test(&[member("db")], 1), &body).unwrap_or_default();
        assert!(said.chars().count() < 120, "{said}");
    }
}
