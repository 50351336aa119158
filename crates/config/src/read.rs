//! From nodes to values: each function notes what is wrong and returns something usable, so that
//! one mistake never hides the next.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Span};
use crate::option::{Absent, Kind, Object};
use crate::place::Places;
use crate::tree::{Key, Node, Value};

/// What has been found wrong so far, and the places of files that are named.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Diagnostic>, pub(crate) Places);

impl Findings {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(code, span, message));
    }
}

/// A map whose keys are options of an object.
pub(crate) struct Options<'t> {
    pub(crate) object: &'static Object,
    pub(crate) span: Span,
    entries: &'t [(Key, Node)],
}

impl<'t> Options<'t> {
    /// Checks the keys of `node`. Anything but a map is a mistake and read as an empty one.
    pub(crate) fn read(node: &'t Node, object: &'static Object, found: &mut Findings) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                let message = format!("a {} is a map of options, not {}", object.name, node.kind());
                found.error("wrong-kind", node.span, message);
                &[]
            }
        };
        for (key, _) in entries {
            if !object.options.iter().any(|option| option.key == key.text) {
                let known: Vec<&str> = object.options.iter().map(|option| option.key).collect();
                let mut diagnostic = Diagnostic::error(
                    "unknown-field",
                    key.span,
                    format!("unknown field `{}`", key.text),
                )
                .suggest(&key.text, known.iter().copied());
                if diagnostic.label.is_empty() {
                    diagnostic = diagnostic.label("not known here").help(format!(
                        "a {} has: {}",
                        object.name,
                        known.join(", ")
                    ));
                }
                found.push(diagnostic);
            }
        }
        let options = Self { object, span: node.span, entries };
        for option in object.options {
            if matches!(option.default, Absent::Required) && options.node(option.key).is_none() {
                let span =
                    first_line(options.entries.first().map_or(node.span, |(key, _)| key.span));
                found.push(
                    Diagnostic::error(
                        "missing-field",
                        span,
                        format!("a {} needs `{}`", object.name, option.key),
                    )
                    .label(format!("`{}` is missing here", option.key)),
                );
            }
        }
        options
    }

    /// The defaults of an object of which a short form was written.
    pub(crate) fn defaults(object: &'static Object, span: Span) -> Self {
        Self { object, span, entries: &[] }
    }

    /// What was written for `key`, if anything was.
    pub(crate) fn node(&self, key: &str) -> Option<&'t Node> {
        self.entry(key).map(|(_, node)| node)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<(&'t Key, &'t Node)> {
        let (key, node) = self.entries.iter().find(|(k, _)| k.text == key)?;
        (!matches!(node.value, Value::Null)).then_some((key, node))
    }

    /// Which of its options were written.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&'t Key, &'t Node)> + use<'t> {
        let options = self.object.options;
        let known = move |key: &Key| options.iter().any(|option| option.key == key.text);
        self.entries.iter().filter(move |(key, _)| known(key)).map(|(key, node)| (key, node))
    }

    /// The one option that was written, of an object that wants exactly one.
    pub(crate) fn only(&self, found: &mut Findings) -> Option<(&'t Key, &'t Node)> {
        let all: Vec<_> = self.object.options.iter().map(|option| option.key).collect();
        self.only_of(&all, found)
    }

    /// The one of these options that was written, where there must be exactly one.
    pub(crate) fn only_of(
        &self,
        keys: &[&str],
        found: &mut Findings,
    ) -> Option<(&'t Key, &'t Node)> {
        let is_one = |(key, _): &(&Key, &Node)| keys.contains(&key.text.as_str());
        let written: Vec<_> = self.written().filter(is_one).collect();
        match written.as_slice() {
            [one] => Some(*one),
            [] => {
                let message = format!("a {} needs one of: {}", self.object.name, keys.join(", "));
                found.error("missing-field", first_line(self.span), message);
                None
            }
            [first, second, ..] => {
                found.push(
                    Diagnostic::error(
                        "too-many-fields",
                        second.0.span,
                        format!(
                            "a {} has one of `{}` and `{}`, not both",
                            self.object.name, first.0.text, second.0.text
                        ),
                    )
                    .also(first.0.span, "the other one"),
                );
                Some(*first)
            }
        }
    }

    fn option(&self, key: &str) -> Option<(Kind, Absent)> {
        let option = self.object.options.iter().find(|option| option.key == key)?;
        Some((option.kind, option.default))
    }

    /// The text for `key`, or its default's.
    fn text_or_default(&self, key: &str, found: &mut Findings) -> Option<(String, Span)> {
        if let Some(node) = self.node(key) {
            return text(node, found).map(|text| (text.to_owned(), node.span));
        }
        match self.option(key)?.1 {
            Absent::Is(default) => Some((default.to_owned(), self.span)),
            Absent::Required | Absent::Means(_) => None,
        }
    }

    fn parse<T>(
        &self,
        key: &str,
        found: &mut Findings,
        parse: impl Fn(Kind, &str) -> Result<T, String>,
    ) -> Option<T> {
        let kind = self.option(key)?.0;
        let (text, span) = self.text_or_default(key, found)?;
        match parse(kind, &text) {
            Ok(value) => Some(value),
            Err(message) => {
                found.error("bad-value", span, message);
                None
            }
        }
    }

    pub(crate) fn text(&self, key: &str, found: &mut Findings) -> Option<String> {
        self.text_or_default(key, found).map(|(text, _)| text)
    }

    pub(crate) fn bool(&self, key: &str, found: &mut Findings) -> bool {
        self.parse(key, found, |_, text| bool_of(text)).unwrap_or_default()
    }

    pub(crate) fn duration(&self, key: &str, found: &mut Findings) -> Duration {
        self.duration_if_any(key, found).unwrap_or_default()
    }

    /// `None` if none was written and there is no default.
    pub(crate) fn duration_if_any(&self, key: &str, found: &mut Findings) -> Option<Duration> {
        self.parse(key, found, |kind, text| {
            let duration = duration_of(text)?;
            let Kind::Duration(least, most) = kind else { return Ok(duration) };
            within(duration.as_millis(), u128::from(least), u128::from(most), text, |millis| {
                show_duration(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
            })?;
            Ok(duration)
        })
    }

    pub(crate) fn size(&self, key: &str, found: &mut Findings) -> Option<u64> {
        self.parse(key, found, |kind, text| {
            let size = size_of(text.strip_suffix("/s").unwrap_or(text))?;
            if let Kind::Size(least, most) = kind {
                within(size.into(), least.into(), most.into(), text, |n| show_size(n as u64))?;
            }
            Ok(size)
        })
    }

    pub(crate) fn count(&self, key: &str, found: &mut Findings) -> Option<u64> {
        self.parse(key, found, |kind, text| {
            let Kind::Count(least, most) = kind else { return count_of(text, 0, u64::MAX) };
            count_of(text, least, most)
        })
    }

    pub(crate) fn number(&self, key: &str, found: &mut Findings) -> Option<f64> {
        self.parse(key, found, |kind, text| {
            let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
            match kind {
                Kind::Number(least, most) if !(least..=most).contains(&number) => {
                    Err(format!("`{text}` is not between {least} and {most}"))
                }
                _ => Ok(number),
            }
        })
    }

    pub(crate) fn share(&self, key: &str, found: &mut Findings) -> f64 {
        self.parse(key, found, |_, text| share_of(text)).unwrap_or(1.0)
    }

    /// A number that fits; 0 if it was none, which has been noted.
    pub(crate) fn small(&self, key: &str, found: &mut Findings) -> u32 {
        self.small_if_any(key, found).unwrap_or_default()
    }

    /// `None` if none was written and there is no default.
    pub(crate) fn small_if_any(&self, key: &str, found: &mut Findings) -> Option<u32> {
        self.count(key, found).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// The options of `object` under `key`, which may also be switched on or off as a whole: `None`
    /// is off. Not written, it is what the table says.
    pub(crate) fn switched(
        &self,
        key: &str,
        object: &'static Object,
        found: &mut Findings,
    ) -> Option<Self> {
        let Some(node) = self.node(key) else {
            let is_on = matches!(self.option(key)?.1, Absent::Is("true"));
            return is_on.then(|| Self::defaults(object, self.span));
        };
        let Value::Scalar { text, .. } = &node.value else {
            return Some(Options::read(node, object, found));
        };
        match bool_of(text) {
            Ok(on) => on.then(|| Self::defaults(object, node.span)),
            Err(message) => {
                found.push(
                    Diagnostic::error("bad-value", node.span, message)
                        .help(format!("or write options: `{key}: {{ … }}`")),
                );
                None
            }
        }
    }

    /// Nothing is written for `key`, or nothing is in it.
    pub(crate) fn is_empty_of(&self, key: &str) -> bool {
        self.node(key).is_none_or(|node| one_or_many(node).is_empty())
    }

    /// Where `key` was written, or the whole.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.node(key).map_or(first_line(self.span), |node| first_line(node.span))
    }

    /// Which of the option's words was written.
    pub(crate) fn choice(&self, key: &str, found: &mut Findings) -> Option<&'static str> {
        let Kind::Choice(words) = self.option(key)?.0 else { return None };
        let (text, span) = self.text_or_default(key, found)?;
        choice_of(&text, words, span, found)
    }
}

/// A span that would cover many lines is cut to its beginning.
pub(crate) fn first_line(span: Span) -> Span {
    Span { end: span.end.min(span.start.saturating_add(40)), ..span }
}

/// The one of `words` that `text` is.
pub(crate) fn choice_of(
    text: &str,
    words: &'static [(&'static str, &'static str)],
    span: Span,
    found: &mut Findings,
) -> Option<&'static str> {
    let word = words.iter().map(|(word, _)| *word).find(|word| *word == text);
    if word.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        found.push(
            Diagnostic::error(
                "bad-value",
                span,
                format!("`{text}` is none of: {}", known.join(", ")),
            )
            .suggest(text, known),
        );
    }
    word
}

/// The text of a single value.
pub(crate) fn text<'t>(node: &'t Node, found: &mut Findings) -> Option<&'t str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => {
            found.error(
                "wrong-kind",
                first_line(node.span),
                format!("a single value is expected here, not {}", node.kind()),
            );
            None
        }
    }
}

/// One value or a list of them.
pub(crate) fn one_or_many(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null => &[],
        _ => std::slice::from_ref(node),
    }
}

/// The items of a list.
pub(crate) fn list<'t>(node: &'t Node, found: &mut Findings) -> &'t [Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null => &[],
        _ => {
            found.push(
                Diagnostic::error(
                    "wrong-kind",
                    first_line(node.span),
                    format!("a list is expected here, not {}", node.kind()),
                )
                .help("begin each item with `- `"),
            );
            &[]
        }
    }
}

/// The entries of a map with names chosen by the user.
pub(crate) fn map<'t>(node: &'t Node, found: &mut Findings) -> &'t [(Key, Node)] {
    match &node.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        _ => {
            found.push(
                Diagnostic::error(
                    "wrong-kind",
                    first_line(node.span),
                    format!("a map is expected here, not {}", node.kind()),
                )
                .help("give each entry a name: `name: …`"),
            );
            &[]
        }
    }
}

pub(crate) fn bool_of(text: &str) -> Result<bool, String> {
    match text {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

/// `0.01` or `1%`.
pub(crate) fn share_of(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a share: write `0.01` or `1%`");
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
        None => text.parse::<f64>().map_err(|_| wrong())?,
    };
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(wrong()) }
}

pub(crate) fn count_of(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let count: u64 = digits.parse().map_err(|_| format!("`{text}` is not a whole number"))?;
    within(count.into(), least.into(), most.into(), text, |n| n.to_string())?;
    Ok(count)
}

fn within(
    value: u128,
    least: u128,
    most: u128,
    text: &str,
    show: impl Fn(u128) -> String,
) -> Result<(), String> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("`{text}` is not between {} and {}", show(least), show(most))),
    }
}

/// `250ms`, `5s`, `1m30s`, `1h`, `7d`.
pub fn duration_of(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration: write it like `250ms`, `5s`, `1m30s` or `1h`");
    let mut total = 0_u64;
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match &rest[..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        total = number.checked_mul(millis).and_then(|n| n.checked_add(total)).ok_or_else(wrong)?;
        rest = &rest[unit..];
    }
    Ok(Duration::from_millis(total))
}

/// As [`duration_of`] reads it.
pub fn show_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    {
        if left >= millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    text
}

/// `512`, `512B`, `32KiB`, `10MB`.
pub(crate) fn size_of(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write it like `512B`, `32KiB` or `10MB`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// As [`size_of`] reads it.
pub(crate) fn show_size(size: u64) -> String {
    for (unit, bytes) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if size >= bytes && size.is_multiple_of(bytes) {
            return format!("{}{unit}", size / bytes);
        }
    }
    format!("{size}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_back_as_shown() {
        for millis in [0, 1, 250, 1000, 90_000, 3_600_000, 86_400_000, 90_061_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(duration_of(&show_duration(duration)), Ok(duration));
        }
        for size in [0, 1, 500, 1024, 32 << 10, 1 << 20, (1 << 20) + 1, 3 << 30] {
            assert_eq!(size_of(&show_size(size)), Ok(size));
        }
    }

    #[test]
    fn what_is_no_duration_or_size_is_refused() {
        for text in ["", "5", "s", "5x", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(duration_of(text).is_err(), "{text}");
        }
        for text in ["", "KiB", "1.5MiB", "1XB", "-1", "99999999999GiB"] {
            assert!(size_of(text).is_err(), "{text}");
        }
    }
}
