//! The texts a configuration is read from, and `${NAME}` in them.

use crate::diagnostic::{Diagnostic, Span};

/// A file, or whatever else has a name and a text.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// As shown in messages.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

impl Source {
    /// What a program says, not a file: nothing in it is taken for an environment variable, so that
    /// whoever may change a configuration cannot ask for what is in the environment.
    pub fn json(name: impl Into<String>, value: &serde_json::Value) -> Self {
        Self { name: name.into(), text: doubled(value).to_string() }
    }
}

/// With every `$` doubled; keys are not looked at when variables are replaced.
fn doubled(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => text.replace('$', "$$").into(),
        serde_json::Value::Array(items) => items.iter().map(doubled).collect(),
        serde_json::Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), doubled(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Looks up an environment variable.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Replaces `${NAME}` and `${NAME:-default}` by what the environment says; `$$` is one `$`. Only
/// upper-case names are meant: `${host}` and the like belong to other templates. Works on single
/// values after parsing, so a variable never changes the structure of a file.
pub(crate) fn substitute(
    text: &str,
    span: Span,
    environment: Environment<'_>,
    findings: &mut Vec<Diagnostic>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        match variable(rest) {
            Some((name, default, length)) => {
                match environment(name).or_else(|| default.map(str::to_owned)) {
                    Some(value) => out.push_str(&value),
                    None => findings.push(
                        Diagnostic::error(
                            "unset-variable",
                            span,
                            format!("environment variable `{name}` is not set"),
                        )
                        .help(format!("set it, or give a default: `${{{name}:-value}}`")),
                    ),
                }
                rest = &rest[length..];
            }
            None => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The variable that `text` is, if it is one and nothing else.
pub(crate) fn whole_variable(text: &str) -> Option<&str> {
    variable(text).and_then(|(name, _, length)| (length == text.len()).then_some(name))
}

/// Name, default and length of the variable that `text` begins with.
fn variable(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let inside = text.strip_prefix("${")?;
    let end = inside.find('}')?;
    let (name, default) = match inside[..end].split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (&inside[..end], None),
    };
    let mut bytes = name.bytes();
    let first = bytes.next()?;
    let is_name = (first.is_ascii_uppercase() || first == b'_')
        && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_name.then_some((name, default, end + 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> (String, usize) {
        let environment = |name: &str| (name == "PORT").then(|| "8080".to_owned());
        let mut findings = Vec::new();
        (substitute(text, Span::default(), &environment, &mut findings), findings.len())
    }

    #[test]
    fn variables_defaults_and_dollars() {
        assert_eq!(run("0.0.0.0:${PORT}"), ("0.0.0.0:8080".into(), 0));
        assert_eq!(run("${MISSING:-x}${PORT:-y}"), ("x8080".into(), 0));
        assert_eq!(run("$$PORT $${PORT}"), ("$PORT ${PORT}".into(), 0));
        assert_eq!(run("https://${host}/x"), ("https://${host}/x".into(), 0));
        assert_eq!(run("${MISSING}").1, 1);
        assert_eq!(run("${PORT"), ("${PORT".into(), 0));
    }
}
