//! What bodies of requests and answers look like: tables from which bodies are checked and the
//! schemas of the OpenAPI document are written. Which operation has which body is in `operations`.

use std::time::Duration;

use evenkeel_config::{Diagnostic, Report, closest, duration};
use serde_json::{Map, Value, json};

use super::json::{Part, Step, locate, report, span};

/// Longest text of a name.
pub(crate) const NAME_MAX: usize = 256;

/// What the names of the configuration's objects begin with in the OpenAPI document.
pub(crate) const CONFIG_PREFIX: &str = "config_";

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A text that is not empty and names something.
    Name,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Count(u64, u64),
    /// Any number.
    Number,
    /// `250ms`, `5s`, `1m30s`; bounds in milliseconds.
    Duration(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Names of its own.
    Shape(&'static Shape),
    /// A list of these; at most so many.
    List(&'static Self, usize),
    /// An object of the configuration, read and checked by the same code as the file.
    Config(&'static str),
    /// Whichever of these it is.
    OneOf(&'static [Self]),
    /// This or `null`.
    Maybe(&'static Self),
    /// Anything.
    Any,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) doc: &'static str,
}

/// An object.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) fields: &'static [Field],
}

/// A member that must be there.
pub(crate) const fn must(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: true, doc }
}

/// A member that may be left out.
pub(crate) const fn may(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: false, doc }
}

/// Everything that is wrong with `value`, which was read from `text`.
pub(crate) fn check(value: &Value, kind: &Kind, text: &str) -> Result<(), Report> {
    let mut checker = Checker { text, findings: Vec::new(), steps: Vec::new() };
    checker.check(value, kind);
    match checker.findings.is_empty() {
        true => Ok(()),
        false => Err(report(text, checker.findings)),
    }
}

/// Findings kept of one body; whoever has made more mistakes has sent something else.
const FINDINGS_MAX: usize = 100;

struct Checker<'t> {
    text: &'t str,
    findings: Vec<Diagnostic>,
    steps: Vec<Step>,
}

impl Checker<'_> {
    fn push(&mut self, part: Part, make: impl FnOnce(evenkeel_config::Span) -> Diagnostic) {
        if self.findings.len() < FINDINGS_MAX {
            let place = span(locate(self.text, &self.steps, part));
            self.findings.push(make(place));
        }
    }

    fn wrong(&mut self, code: &'static str, message: String) {
        self.push(Part::Value, |place| Diagnostic::error(code, place, message));
    }

    fn check(&mut self, value: &Value, kind: &Kind) {
        match (kind, value) {
            (Kind::Any | Kind::Config(_), _)
            | (Kind::Text, Value::String(_))
            | (Kind::Bool, Value::Bool(_))
            | (Kind::Number, Value::Number(_))
            | (Kind::Maybe(_), Value::Null) => {}
            (Kind::Maybe(inner), _) => self.check(value, inner),
            (Kind::Name, Value::String(name)) => match name.len() {
                1..=NAME_MAX => {}
                0 => self.wrong("bad-value", "a name cannot be empty".into()),
                n => self.wrong("bad-value", format!("a name of {n} bytes: at most {NAME_MAX}")),
            },
            (Kind::Count(least, most), Value::Number(number)) => {
                if !number.as_u64().is_some_and(|n| (*least..=*most).contains(&n)) {
                    let message = format!("{number} is not a whole number from {least} to {most}");
                    self.wrong("bad-value", message);
                }
            }
            (Kind::Duration(least, most), Value::String(text)) => {
                if let Err(message) = bounded_duration(text, *least, *most) {
                    self.wrong("bad-value", message);
                }
            }
            (Kind::Word(words), Value::String(word)) => self.word(word, words),
            (Kind::Shape(shape), Value::Object(map)) => self.object(map, shape),
            (Kind::List(inner, most), Value::Array(items)) => {
                if items.len() > *most {
                    let message = format!("{} elements: at most {most}", items.len());
                    return self.wrong("too-large", message);
                }
                for (at, item) in items.iter().enumerate() {
                    self.within(Step::Item(at), |checker| checker.check(item, inner));
                }
            }
            (Kind::OneOf(kinds), _) => match kinds.iter().find(|kind| accepts(kind, value)) {
                Some(kind) => self.check(value, kind),
                None => self.wrong_kind(value, kind),
            },
            _ => self.wrong_kind(value, kind),
        }
    }

    fn within(&mut self, step: Step, check: impl FnOnce(&mut Self)) {
        self.steps.push(step);
        check(self);
        self.steps.pop();
    }

    fn wrong_kind(&mut self, value: &Value, kind: &Kind) {
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.wrong("wrong-kind", format!("this is {is}, not {}", in_words(kind)));
    }

    fn word(&mut self, word: &str, words: &[&'static str]) {
        if !words.contains(&word) {
            let message = format!("`{word}` is none of: {}", words.join(", "));
            self.push(Part::Value, |place| {
                Diagnostic::error("bad-value", place, message).suggest(word, words.iter().copied())
            });
        }
    }

    fn object(&mut self, map: &Map<String, Value>, shape: &Shape) {
        for (name, value) in map {
            let field = shape.fields.iter().find(|field| field.name == name);
            self.within(Step::Key(name.clone()), |checker| match field {
                Some(field) => checker.check(value, &field.kind),
                None => checker.unknown(name, shape),
            });
        }
        for field in shape.fields.iter().filter(|field| field.required) {
            if !map.contains_key(field.name) {
                let message = format!("`{}` is missing: {}", field.name, field.doc);
                self.wrong("missing-field", message);
            }
        }
    }

    fn unknown(&mut self, name: &str, shape: &Shape) {
        let known: Vec<&str> = shape.fields.iter().map(|field| field.name).collect();
        self.push(Part::Key, |place| {
            let found =
                Diagnostic::error("unknown-field", place, format!("unknown field `{name}`"));
            match closest(name, known.iter().copied()) {
                Some(close) => found.label(format!("did you mean `{close}`?")),
                None => found.label("not known here").help(format!(
                    "a {} has: {}",
                    shape.name,
                    known.join(", ")
                )),
            }
        });
    }
}

fn accepts(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Text | Kind::Name | Kind::Duration(..) | Kind::Word(_) => value.is_string(),
        Kind::Bool => value.is_boolean(),
        Kind::Count(..) | Kind::Number => value.is_number(),
        Kind::Shape(_) => value.is_object(),
        Kind::List(..) => value.is_array(),
        Kind::OneOf(kinds) => kinds.iter().any(|kind| accepts(kind, value)),
        Kind::Maybe(inner) => value.is_null() || accepts(inner, value),
        Kind::Config(_) | Kind::Any => true,
    }
}

fn in_words(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::Name => "a text".into(),
        Kind::Bool => "true or false".into(),
        Kind::Count(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Number => "a number".into(),
        Kind::Duration(..) => "a time like \"30s\"".into(),
        Kind::Word(words) => format!("one of: {}", words.join(", ")),
        Kind::Shape(shape) => format!("an object ({})", shape.name),
        Kind::List(..) => "a list".into(),
        Kind::OneOf(kinds) => kinds.iter().map(in_words).collect::<Vec<_>>().join(", or "),
        Kind::Maybe(inner) => format!("{} or null", in_words(inner)),
        Kind::Config(name) => format!("a {name} as in the configuration"),
        Kind::Any => "anything".into(),
    }
}

/// A time within bounds given in milliseconds.
pub(crate) fn bounded_duration(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    let time = duration(text)?;
    match (u128::from(least)..=u128::from(most)).contains(&time.as_millis()) {
        true => Ok(time),
        false => Err(format!(
            "`{text}` is not from {:?} to {:?}",
            Duration::from_millis(least),
            Duration::from_millis(most)
        )),
    }
}

/// The JSON Schema (draft 2020-12) of a kind, with references into `#/components/schemas`.
pub(crate) fn schema(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Name => json!({ "type": "string", "minLength": 1, "maxLength": NAME_MAX }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Count(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Number => json!({ "type": "number" }),
        Kind::Duration(..) => {
            json!({ "type": "string", "pattern": "^(0|([0-9]+(ms|s|m|h|d))+)$", "examples": ["30s"] })
        }
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Shape(shape) => reference(shape.name),
        Kind::List(inner, most) => {
            json!({ "type": "array", "items": schema(inner), "maxItems": most })
        }
        Kind::Config(name) => reference(&format!("{CONFIG_PREFIX}{name}")),
        Kind::OneOf(kinds) => json!({ "anyOf": kinds.iter().map(schema).collect::<Vec<_>>() }),
        Kind::Maybe(inner) => json!({ "anyOf": [schema(inner), { "type": "null" }] }),
        Kind::Any => json!({}),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", name.replace(' ', "_")) })
}

/// Adds the schemas of every shape that `kind` mentions.
pub(crate) fn collect(kind: &Kind, into: &mut Map<String, Value>) {
    match kind {
        Kind::Shape(shape) => {
            let name = shape.name.replace(' ', "_");
            if !into.contains_key(&name) {
                into.insert(name.clone(), Value::Null); // shapes may contain themselves
                into.insert(name, of_shape(shape));
                shape.fields.iter().for_each(|field| collect(&field.kind, into));
            }
        }
        Kind::List(inner, _) | Kind::Maybe(inner) => collect(inner, into),
        Kind::OneOf(kinds) => kinds.iter().for_each(|kind| collect(kind, into)),
        _ => {}
    }
}

fn of_shape(shape: &Shape) -> Value {
    let mut properties = Map::new();
    for field in shape.fields {
        let mut property = schema(&field.kind);
        if let Value::Object(members) = &mut property {
            members.insert("description".into(), field.doc.into());
        }
        properties.insert(field.name.into(), property);
    }
    let required: Vec<&str> =
        shape.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({
        "type": "object",
        "description": shape.doc,
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::json;

    static POINT: Shape = Shape {
        name: "point",
        doc: "",
        fields: &[
            must("weight", Kind::Count(0, 1000), "its share"),
            may("mode", Kind::Word(&["graceful", "immediate"]), "how"),
            may("deadline", Kind::Duration(0, 60_000), "until when"),
        ],
    };

    fn told(text: &str) -> String {
        let value = json::read(text).unwrap();
        check(&value, &Kind::Shape(&POINT), text).unwrap_err().render(false)
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place_and_a_suggestion() {
        let text = "{\n  \"wieght\": 1,\n  \"mode\": \"gracefull\",\n  \"deadline\": \"2m\"\n}";
        let told = told(text);
        for part in [
            "request body:2:3",
            "`weight`?",
            "request body:3:11",
            "`graceful`?",
            "is missing",
            "request body:4:15",
            "^^^^",
        ] {
            assert!(told.contains(part), "{part} is missing from:\n{told}");
        }
    }

    #[test]
    fn wrong_kinds_are_named() {
        assert!(told("[]").contains("this is a list, not an object"));
        assert!(told("{\"weight\": -1}").contains("not a whole number from 0 to 1000"));
        assert!(told("{\"weight\": 1.5}").contains("not a whole number"));
        assert!(told("{\"weight\": \"5\"}").contains("this is a text"));
    }
}
