//! What is wrong, where it was written, and how it is shown. A reader of configuration never stops
//! at its first mistake: it notes a diagnostic and goes on.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::source::Source;

/// A range of bytes of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the source.
    pub source: u32,
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but something in it probably is not meant so.
    Warning,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Stable, for scripts.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// For people.
    pub message: String,
    /// Where; `None` if it concerns the whole.
    pub span: Option<Span>,
    /// What stands below the underlined text.
    pub label: String,
    /// Other places that matter, with what stands below them.
    pub related: Vec<(Span, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            related: Vec::new(),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// With text below the underlined part.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place.
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// With advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a suggestion, if one of `known` is close to what was `written`.
    pub fn suggest<'k>(self, written: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        match closest(written, known) {
            Some(close) => self.label(format!("did you mean `{close}`?")),
            None => self,
        }
    }
}

/// All findings about one configuration, with the texts they refer to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order found.
    pub diagnostics: Vec<Diagnostic>,
    sources: Vec<Source>,
    /// Of each source: where its line ends are. Without, ten thousand findings would each count
    /// the lines before them.
    line_ends: Vec<Vec<usize>>,
}

impl Report {
    /// Findings about these texts, in the order of their places.
    pub fn new(mut diagnostics: Vec<Diagnostic>, sources: &[Source]) -> Self {
        for diagnostic in &mut diagnostics {
            let related = diagnostic.related.iter_mut().map(|(span, _)| span);
            for span in diagnostic.span.iter_mut().chain(related) {
                *span = of_whole_characters(*span, sources);
            }
        }
        let place = |d: &Diagnostic| d.span.map(|span| (span.source, span.start));
        diagnostics.sort_by_key(|d| (place(d).is_none(), place(d)));
        let line_ends = |source: &Source| -> Vec<usize> {
            source.text.match_indices('\n').map(|(at, _)| at).collect()
        };
        let line_ends = match diagnostics.is_empty() {
            true => Vec::new(), // nothing will be shown
            false => sources.iter().map(line_ends).collect(),
        };
        Self { diagnostics, sources: sources.to_vec(), line_ends }
    }

    /// At least one error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// For people, with the text around each place.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&self.render_one(diagnostic, &renderer));
            text.push_str("\n\n");
        }
        text
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&*diagnostic.message).id(diagnostic.code);
        let places = diagnostic.span.map(|span| (span, diagnostic.label.as_str(), true));
        let related = diagnostic.related.iter().map(|(span, label)| (*span, label.as_str(), false));
        let places: Vec<_> = places.into_iter().chain(related).collect();
        let mut elements = group_by_source(&places);
        let mut group = title.elements(std::iter::empty::<annotate_snippets::Message<'_>>());
        for (source, places) in &mut elements {
            let Some(source) = self.sources.get(*source as usize) else { continue };
            let mut snippet = Snippet::source(&*source.text).path(&*source.name);
            for (span, label, primary) in places {
                let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                let mut annotation = kind.span(clamp(*span, &source.text));
                if !label.is_empty() {
                    annotation = annotation.label(*label);
                }
                snippet = snippet.annotation(annotation);
            }
            group = group.element(snippet);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(&**help));
        }
        renderer.render(&[group])
    }

    /// `file:line:column: error[code]: message`, a line each.
    pub fn compact(&self) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            if let Some((name, line, column)) = diagnostic.span.and_then(|span| self.place(span)) {
                let _ = write!(text, "{name}:{line}:{column}: ");
            }
            let _ = writeln!(
                text,
                "{}[{}]: {}",
                word(diagnostic.severity),
                diagnostic.code,
                diagnostic.message
            );
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let place = |span: Span| {
            self.place(span).map(|(file, line, column)| {
                serde_json::json!({ "file": file, "line": line, "column": column })
            })
        };
        let one = |d: &Diagnostic| {
            serde_json::json!({
                "severity": word(d.severity),
                "code": d.code,
                "message": d.message,
                "place": d.span.and_then(place),
                "label": d.label,
                "related": d.related.iter().map(|(span, label)| {
                    serde_json::json!({ "place": place(*span), "label": label })
                }).collect::<Vec<_>>(),
                "help": d.help,
            })
        };
        self.diagnostics.iter().map(one).collect()
    }

    /// File, line and column (from 1) of a place.
    pub fn place(&self, span: Span) -> Option<(&str, usize, usize)> {
        let source = self.sources.get(span.source as usize)?;
        let line_ends = self.line_ends.get(span.source as usize)?;
        let start = clamp(span, &source.text).start;
        let line = line_ends.partition_point(|end| *end < start);
        let begin = line.checked_sub(1).and_then(|last| line_ends.get(last)).map_or(0, |at| at + 1);
        let column = source.text.get(begin..start)?.chars().count();
        Some((&source.name, line + 1, column + 1))
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

type Place<'p> = (Span, &'p str, bool);

fn group_by_source<'p>(places: &[Place<'p>]) -> Vec<(u32, Vec<Place<'p>>)> {
    let mut groups: Vec<(u32, Vec<Place<'p>>)> = Vec::new();
    for place in places {
        match groups.iter_mut().find(|(source, _)| *source == place.0.source) {
            Some((_, group)) => group.push(*place),
            None => groups.push((place.0.source, vec![*place])),
        }
    }
    groups
}

/// A range within the text that begins and ends between characters, those it cuts included.
fn clamp(span: Span, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(span.start as usize);
    let end = text.ceil_char_boundary(span.end as usize).max(start);
    start..end
}

/// A reader counts bytes; whoever is shown a place wants to see characters.
fn of_whole_characters(span: Span, sources: &[Source]) -> Span {
    let Some(source) = sources.get(span.source as usize) else { return span };
    let range = clamp(span, &source.text);
    let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { start: at(range.start), end: at(range.end), ..span }
}

/// The known word closest to what was written, if it is close enough to be meant.
pub fn closest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase();
    let allowed = match written.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|word| (distance(&written, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.len().max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Insertions, removals, replacements and swaps of neighbours (optimal string alignment). Words of
/// a configuration are short; longer ones are no typing mistakes of them.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_what_was_meant() {
        let known = ["balance", "servers", "timeouts", "keep_alive"];
        assert_eq!(closest("blance", known), Some("balance"));
        assert_eq!(closest("sevrers", known), Some("servers"));
        assert_eq!(closest("timeout", known), Some("timeouts"));
        assert_eq!(closest("colour", known), None);
    }
}
