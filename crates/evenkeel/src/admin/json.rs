//! Reading JSON of requests: strictly (a name given twice is a mistake, not a choice), and with the
//! place of everything, so that a mistake is shown where it was written. What may be written is the
//! business of `shape`.

use std::fmt;
use std::ops::Range;

use evenkeel_config::{Diagnostic, Report, Source, Span};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How a request's body is called in messages.
pub(crate) const NAME: &str = "request body";

/// A step on the way into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array.
    Item(usize),
}

/// Which part of a member a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its name.
    Key,
    /// Its value.
    Value,
}

/// The value that `text` is.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn read(text: &str) -> Result<Value, Report> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map(|Strict(value)| value).map_err(|error| {
        let at = offset(text, error.line(), error.column());
        let told = error.to_string();
        let told = told.split(" at line ").next().unwrap_or_default();
        let (code, message) = match told.strip_prefix("twice: ") {
            Some(name) => ("duplicate-key", format!("`{name}` is given twice")),
            None => ("syntax", format!("this is not valid JSON: {told}")),
        };
        report(text, vec![Diagnostic::error(code, span(at..at + 1), message).label("here")])
    })
}

/// Findings about `text`, as `check` shows those about a file.
pub(crate) fn report(text: &str, findings: Vec<Diagnostic>) -> Report {
    Report::new(findings, &[Source { name: NAME.into(), text: text.to_owned() }])
}

/// A range of the request's body.
pub(crate) fn span(range: Range<usize>) -> Span {
    let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { source: 0, start: at(range.start), end: at(range.end) }
}

/// Where in `text`, which is valid, the part is that `steps` lead to; else the last part on the way
/// that is there.
pub(crate) fn locate(text: &str, steps: &[Step], part: Part) -> Range<usize> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    scanner.space();
    let (mut key, mut start) = (None, scanner.at);
    for step in steps {
        match scanner.enter(step) {
            Some(name) => (key, start) = (name, scanner.at),
            None => break,
        }
    }
    match (part, key) {
        (Part::Key, Some(key)) => key,
        _ => {
            scanner.at = start;
            scanner.value();
            let whole = start..scanner.at;
            // Of a structure only its first character is shown.
            let is_structure = text.get(whole.clone()).is_some_and(|v| v.starts_with(['{', '[']));
            if is_structure { start..start + 1 } else { whole }
        }
    }
}

/// Byte offset of a line and column (from 1; 0 is before the first character).
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len().saturating_sub(1))
}

/// Walks over JSON that is known to be valid.
struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    /// From a structure to the value that `step` names in it; the range of its name if it has one.
    fn enter(&mut self, step: &Step) -> Option<Option<Range<usize>>> {
        let open = self.peek();
        if !matches!((open, step), (b'{', Step::Key(_)) | (b'[', Step::Item(_))) {
            return None;
        }
        self.at += 1;
        for index in 0.. {
            self.space();
            if matches!(self.peek(), b'}' | b']' | 0) {
                return None;
            }
            let mut name = None;
            if open == b'{' {
                name = Some(self.string());
                self.space();
                self.at += 1; // the colon
                self.space();
            }
            let is_it = match (step, &name) {
                (Step::Key(wanted), Some(range)) => self.is_string(range, wanted),
                (Step::Item(wanted), _) => *wanted == index,
                _ => false,
            };
            if is_it {
                return Some(name);
            }
            self.value();
            self.space();
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        None
    }

    fn is_string(&self, range: &Range<usize>, wanted: &str) -> bool {
        let written = self.bytes.get(range.clone()).unwrap_or_default();
        serde_json::from_slice::<String>(written).is_ok_and(|name| name == wanted)
    }

    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(self.bytes.len());
        start..self.at
    }

    fn value(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                0 => return,
                b'"' => drop(self.string()),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => {
                    while !matches!(self.peek(), 0 | b',' | b'}' | b']' | b':')
                        && !self.peek().is_ascii_whitespace()
                    {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return;
            }
        }
    }
}

/// A value in which no object has two members of one name.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(de::Error::custom(format_args!("twice: {name}")));
            }
            let Strict(value) = members.next_value()?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "a": [1, {"x\"y": true, "z": "}"}],
  "b": {"c": null}
}"#;

    fn at(steps: &[Step], part: Part) -> &'static str {
        &TEXT[locate(TEXT, steps, part)]
    }

    fn key(name: &str) -> Step {
        Step::Key(name.into())
    }

    #[test]
    fn everything_is_found_where_it_was_written() {
        assert_eq!(at(&[key("b"), key("c")], Part::Key), "\"c\"");
        assert_eq!(at(&[key("b"), key("c")], Part::Value), "null");
        assert_eq!(at(&[key("a"), Step::Item(1), key("z")], Part::Value), "\"}\"");
        assert_eq!(at(&[key("a"), Step::Item(1), key("x\"y")], Part::Key), r#""x\"y""#);
        assert_eq!(at(&[key("a"), Step::Item(0)], Part::Value), "1");
        assert_eq!(at(&[key("b"), key("none")], Part::Value), "{", "the last part that is there");
        assert_eq!(at(&[], Part::Value), "{");
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_line_and_column() {
        for (text, place, code) in [
            ("{\n  \"a\": }", "2:8", "syntax"),
            ("{\"a\": 1,\n \"a\": 2}", "2:4", "duplicate-key"),
            ("", "1:1", "syntax"),
            ("{} x", "1:4", "syntax"),
            ("{\"a\":1e999}", "1:10", "syntax"),
        ] {
            let told = read(text).unwrap_err().compact();
            assert!(told.starts_with(&format!("request body:{place}: error[{code}]")), "{told}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&("[".repeat(100) + &"]".repeat(100))).is_ok());
    }
}
