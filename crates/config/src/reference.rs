//! The table of options as the reference manual.

use std::fmt::Write as _;

use crate::option::{Absent, Kind, Object, ROOT};

const HEAD: &str = "# Configuration reference

This page is printed by `evenkeel reference`; it is made from the same table that checks a file.

A configuration is YAML (JSON is YAML too), in one file or in several files of a directory.
`${NAME}` is replaced by an environment variable, `${NAME:-value}` gives a default, `$$` is a `$`.
Durations are written like `250ms`, `5s` or `1m30s`, sizes like `512B`, `32KiB` or `10MB`.
`true` may also be written `on` or `yes`, and `false` `off` or `no`. Secrets are never shown: what
prints a configuration prints `${NAME}` where one came from the environment, else `<secret>`.
What is not in the tables below is an error: nothing in a file is silently ignored.

Which route wins, from the most important rule: an exact host before a wildcard before any; an exact
path before a regular expression before the longer prefix; more further conditions before fewer; what
is written first. If nothing under the most specific host matches, less specific hosts are tried.
";

/// The manual, in Markdown.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut objects: Vec<&'static Object> = Vec::new();
    collect(&ROOT, &mut objects);
    for object in objects {
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n| option | value | default | |\n|---|---|---|---|\n",
            object.name, object.doc
        );
        for option in object.options {
            let default = match option.default {
                Absent::Required => "**required**".to_owned(),
                Absent::Is("") => "empty".to_owned(),
                Absent::Is(value) => format!("`{value}`"),
                Absent::Means(words) => words.to_owned(),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {default} | {} |",
                option.key,
                show(&option.kind),
                option.doc
            );
        }
        for option in object.options {
            explain_words(&mut text, option.key, &option.kind);
        }
    }
    text
}

fn explain_words(text: &mut String, key: &str, kind: &Kind) {
    match kind {
        Kind::Choice(words) => {
            let _ = writeln!(text, "\n`{key}`:");
            for (word, meaning) in *words {
                let _ = writeln!(text, "- `{word}`: {meaning}");
            }
        }
        Kind::OneOf(kinds) => kinds.iter().for_each(|kind| explain_words(text, key, kind)),
        Kind::List(inner) | Kind::OneOrMany(inner) => explain_words(text, key, inner),
        _ => {}
    }
}

fn collect(object: &'static Object, objects: &mut Vec<&'static Object>) {
    if objects.iter().any(|known| std::ptr::eq(*known, object)) {
        return;
    }
    objects.push(object);
    for option in object.options {
        of_kind(&option.kind, objects);
    }
}

fn of_kind(kind: &'static Kind, objects: &mut Vec<&'static Object>) {
    match kind {
        Kind::List(inner) | Kind::OneOrMany(inner) | Kind::Map(inner) => of_kind(inner, objects),
        Kind::Object(object) => collect(object, objects),
        Kind::OneOf(kinds) => kinds.iter().for_each(|kind| of_kind(kind, objects)),
        _ => {}
    }
}

fn show(kind: &Kind) -> String {
    match kind {
        Kind::Text(example) => format!("text, like `{example}`"),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Duration(..) => "duration".to_owned(),
        Kind::Size(..) => "size".to_owned(),
        Kind::Rate => "size a second; 0 is off".to_owned(),
        Kind::Count(least, most) => format!("{least} to {most}"),
        Kind::Number(least, most) => format!("{least} to {most}"),
        Kind::Share => "share, like `0.01` or `1%`".to_owned(),
        Kind::Choice(_) => "one word (see below)".to_owned(),
        Kind::List(inner) => format!("list of: {}", show(inner)),
        Kind::OneOrMany(inner) => format!("{}; or a list", show(inner)),
        Kind::Map(inner) => format!("map of names to: {}", show(inner)),
        Kind::Object(object) => format!("[{}](#{})", object.name, object.name.replace(' ', "-")),
        Kind::OneOf(kinds) => kinds.iter().map(show).collect::<Vec<_>>().join("; or "),
    }
}
