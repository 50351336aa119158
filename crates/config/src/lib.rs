//! Text in, [`Config`] out, or every mistake at once with the place it was written.
//!
//! `source` → `tree` (everything knows its place) → `validate` (against the table in `option`) →
//! [`model`] (as meant). Pure: files and environment are given, nothing is read.
#![forbid(unsafe_code)]

use std::collections::HashMap;

pub mod diagnostic;
mod effective;
pub mod model;
mod option;
mod place;
pub mod precedence;
mod rate;
mod read;
mod reference;
mod schema;
pub mod source;
mod tree;
mod validate;

pub use diagnostic::{Diagnostic, Report, Severity, Span, closest};
pub use effective::{effective, effective_json};
pub use model::Config;
pub use place::Places;
pub use read::{duration_of as duration, show_duration};
pub use reference::reference;
pub use schema::schema;
pub use source::{Environment, Source};
pub use validate::key_of;

use read::Findings;
use tree::{Key, Node, Value};

/// A configuration that may be used, and what is doubtful about it.
#[derive(Debug)]
pub struct Loaded {
    /// As meant.
    pub config: Config,
    /// Nothing in it is an error.
    pub warnings: Report,
    /// Where it names files.
    pub places: Places,
}

/// Reads and checks a configuration given in one or several texts, which are read as one.
///
/// # Errors
/// All mistakes, never only the first.
pub fn load(sources: &[Source], environment: Environment<'_>) -> Result<Loaded, Report> {
    load_with(sources, environment, |_, _| Vec::new())
}

/// The same; `inspect` finds what is wrong in files that the configuration names. It is asked even if
/// the rest has mistakes, so that all are reported at once; what it sees has what could be read.
///
/// # Errors
/// All mistakes, never only the first.
pub fn load_with(
    sources: &[Source],
    environment: Environment<'_>,
    inspect: impl FnOnce(&Config, &Places) -> Vec<Diagnostic>,
) -> Result<Loaded, Report> {
    let mut found = Findings::default();
    let mut roots = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        roots.extend(tree::read(source, index, environment, &mut found.0));
    }
    let unreadable = found.0.iter().any(|d| d.code == "syntax");
    let root = merge(roots, &mut found);
    let config = match unreadable {
        true => None, // what could not be read would only seem to be missing
        false => Some(validate::validate(&root, &mut found)),
    };
    let Findings(mut diagnostics, places) = found;
    if let Some(config) = &config {
        diagnostics.extend(inspect(config, &places));
    }
    let report = Report::new(diagnostics, sources);
    match config {
        Some(config) if !report.has_errors() => Ok(Loaded { config, warnings: report, places }),
        _ => Err(report),
    }
}

/// One server or a list of them, as `servers` of a pool takes it: of a file that is watched, or of
/// a request to the admin listener ([`Source::json`]). Environment variables are not replaced.
///
/// # Errors
/// All mistakes. An empty text is one, so that a file half written is not taken for no servers; an
/// empty list is none.
pub fn servers(source: &Source) -> Result<Vec<model::Server>, Report> {
    let mut found = Findings::default();
    let root = tree::read(source, 0, &|_| None, &mut found.0);
    let servers = match root.filter(|node| !matches!(node.value, Value::Null)) {
        Some(root) => validate::servers(&root, &mut found),
        None => Vec::new(),
    };
    if servers.is_empty() && source.text.trim().is_empty() {
        let message = "there is no list of servers here; none at all is written `[]`";
        found.error("missing-field", Span::default(), message);
    }
    let report = Report::new(found.0, std::slice::from_ref(source));
    if report.has_errors() { Err(report) } else { Ok(servers) }
}

/// The configuration of `evenkeel run --listen ADDRESS --to URL …`: one pool, everything goes to it.
///
/// # Errors
/// When an address is none.
pub fn from_targets(listen: &str, to: &[&str]) -> Result<Config, Report> {
    load(&[source_of_targets(listen, to)], &|_| None).map(|loaded| loaded.config)
}

/// The text that [`from_targets`] reads.
pub fn source_of_targets(listen: &str, to: &[&str]) -> Source {
    let quote = |text: &str| Source::json("", &text.into()).text;
    let servers: Vec<String> = to.iter().map(|target| quote(target)).collect();
    let text = format!(
        "listeners: {{ web: {{ bind: {} }} }}\npools:\n  default:\n    servers:\n{}routes: [{{ to: default }}]\n",
        quote(listen),
        servers.iter().map(|server| format!("      - {server}\n")).collect::<String>(),
    );
    Source { name: "command line".into(), text }
}

/// Files are read as one: maps are joined key by key, lists one after the other.
fn merge(roots: Vec<Node>, found: &mut Findings) -> Node {
    let mut merged: Vec<(Key, Node)> = Vec::new();
    let mut span = Span::default();
    for root in roots {
        let entries = match root.value {
            Value::Map(entries) => entries,
            Value::Null => continue,
            _ => {
                let message = format!("a configuration is a map of options, not {}", root.kind());
                found.error("wrong-kind", read::first_line(root.span), message);
                continue;
            }
        };
        if merged.is_empty() {
            span = root.span;
        }
        for (key, node) in entries {
            match merged.iter_mut().find(|(known, _)| known.text == key.text) {
                None => merged.push((key, node)),
                Some((first, into)) => join(first, into, key, node, found),
            }
        }
    }
    Node { value: Value::Map(merged), span }
}

fn join(first: &Key, into: &mut Node, key: Key, node: Node, found: &mut Findings) {
    let twice = |key: &Key, first: &Key| {
        Diagnostic::error("duplicate-key", key.span, format!("`{}` is given twice", key.text))
            .label("again here")
            .also(first.span, "first here")
    };
    match (&mut into.value, node.value) {
        (Value::Map(into), Value::Map(more)) => {
            let known: HashMap<String, Key> =
                into.iter().map(|(key, _)| (key.text.clone(), key.clone())).collect();
            for (key, node) in more {
                match known.get(&key.text) {
                    Some(first) => found.push(twice(&key, first)),
                    None => into.push((key, node)),
                }
            }
        }
        (Value::List(into), Value::List(more)) => into.extend(more),
        (_, Value::Null) => {}
        (into @ Value::Null, value) => *into = value,
        _ => found.push(twice(&key, first)),
    }
}
