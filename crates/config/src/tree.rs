//! YAML (and with it JSON) as a tree in which everything knows where it was written.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

mod quick;
#[cfg(test)]
mod tests;

use quick::{Piece, What};

use crate::diagnostic::{Diagnostic, Span};
use crate::source::{Environment, Source, substitute, whole_variable};

/// Deepest nesting; the grammar needs a dozen.
const DEPTH_MAX: usize = 64;
/// Most values, aliases counted each time they are used: about 100,000 routes.
const NODES_MAX: usize = 2_000_000;

/// Keys of a map up to which looking at each is cheaper than a table of them.
const MAP_SMALL: usize = 16;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    /// Text; `plain` if it was not quoted; the environment variable that all of it is from.
    Scalar {
        text: String,
        plain: bool,
        variable: Option<Box<str>>,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Node {
    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads one source; `None` if nothing usable is in it.
pub(crate) fn read(
    source: &Source,
    index: u32,
    environment: Environment<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let events = match quick::pieces(&source.text) {
        Some(pieces) => Events::Quick(pieces.into_iter()),
        None => Events::parsed(&source.text),
    };
    read_events(events, source, index, environment, findings)
}

fn read_events<'r>(
    events: Events<'r>,
    source: &'r Source,
    index: u32,
    environment: Environment<'r>,
    findings: &'r mut Vec<Diagnostic>,
) -> Option<Node> {
    let mut reader = Reader {
        events,
        source: index,
        length: source.text.len(),
        environment,
        findings,
        anchors: HashMap::new(),
        nodes: 0,
    };
    reader.document().ok().flatten()
}

/// Reading cannot go on; why has been noted.
struct Stop;

/// What is written, one after the other: as the parser finds it, or in a text that needs no parser.
enum Events<'r> {
    Parsed(Box<Parser<'r, granit_parser::StrInput<'r>>>),
    Quick(std::vec::IntoIter<Piece<'r>>),
}

impl<'r> Events<'r> {
    fn parsed(text: &'r str) -> Self {
        Self::Parsed(Box::new(Parser::new_from_str(text)))
    }
}

struct Reader<'r> {
    events: Events<'r>,
    source: u32,
    length: usize,
    environment: Environment<'r>,
    findings: &'r mut Vec<Diagnostic>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'r> Reader<'r> {
    fn next(&mut self) -> Result<(Event<'r>, Span), Stop> {
        let parser = match &mut self.events {
            Events::Parsed(parser) => parser,
            Events::Quick(pieces) => {
                let Some(Piece { what, start, end }) = pieces.next() else {
                    return Ok((Event::StreamEnd, self.span(0, 0)));
                };
                let event = match what {
                    What::Scalar(text, plain) => {
                        let style =
                            if plain { ScalarStyle::Plain } else { ScalarStyle::DoubleQuoted };
                        Event::Scalar(Cow::Borrowed(text), style, 0, None)
                    }
                    What::List => Event::SequenceStart(StructureStyle::Block, 0, None),
                    What::Map => Event::MappingStart(StructureStyle::Block, 0, None),
                    What::ListEnd => Event::SequenceEnd,
                    What::MapEnd => Event::MappingEnd,
                };
                return Ok((event, self.span(start, end)));
            }
        };
        match parser.next_event() {
            Some(Ok((event, span))) => {
                let at =
                    |marker: granit_parser::Marker| marker.byte_offset().unwrap_or(marker.index());
                let span = self.span(at(span.start), at(span.end));
                Ok((event, span))
            }
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(error.marker().index());
                let span = self.span(at, at + 1);
                self.findings.push(
                    Diagnostic::error(
                        "syntax",
                        span,
                        format!("this is not valid YAML: {}", error.info()),
                    )
                    .label("here"),
                );
                Err(Stop)
            }
            None => Err(Stop),
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let clamp = |at: usize| u32::try_from(at.min(self.length)).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(start), end: clamp(end) }
    }

    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event if root.is_none() => root = Some(self.node(event, span, 0)?),
                _ => {
                    self.findings.push(Diagnostic::error(
                        "several-documents",
                        span,
                        "a file holds one document; this begins another",
                    ));
                    return Err(Stop);
                }
            }
        }
    }

    fn data(&mut self) -> Result<(Event<'r>, Span), Stop> {
        self.next()
    }

    fn node(&mut self, event: Event<'r>, span: Span, depth: usize) -> Result<Node, Stop> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            let what = if depth > DEPTH_MAX { "too deeply nested" } else { "too large" };
            self.findings.push(Diagnostic::error(
                "too-large",
                span,
                format!("this file is {what}"),
            ));
            return Err(Stop);
        }
        let before = self.nodes;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (self.scalar(text, style, span), anchor),
            Event::SequenceStart(_, anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(span, depth)?, anchor),
            Event::Alias(id) => {
                let Some((node, nodes)) = self.anchors.get(&id).cloned() else {
                    self.findings.push(Diagnostic::error(
                        "syntax",
                        span,
                        "this alias refers to itself",
                    ));
                    return Err(Stop);
                };
                self.nodes += nodes;
                (node, 0)
            }
            _ => (Node { value: Value::Null, span }, 0),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn scalar(&mut self, text: Cow<'r, str>, style: ScalarStyle, span: Span) -> Node {
        let plain = style == ScalarStyle::Plain;
        if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
            return Node { value: Value::Null, span };
        }
        if !text.contains('$') {
            let text = text.into_owned();
            return Node { value: Value::Scalar { text, plain, variable: None }, span };
        }
        let variable = whole_variable(&text).map(Box::from);
        let text = substitute(&text, span, self.environment, self.findings);
        Node { value: Value::Scalar { text, plain, variable }, span }
    }

    fn list(&mut self, begin: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.data()?;
            if matches!(event, Event::SequenceEnd) {
                let span = Span { end: span.end.max(begin.end), ..begin };
                return Ok(Node { value: Value::List(items), span });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, begin: Span, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new(); // of a map with many keys
        loop {
            let (event, span) = self.data()?;
            let key = match event {
                Event::MappingEnd => {
                    let span = Span { end: span.end.max(begin.end), ..begin };
                    return Ok(Node { value: Value::Map(entries), span });
                }
                Event::Scalar(text, ..) => Key { text: text.into_owned(), span },
                _ => {
                    self.findings.push(Diagnostic::error("syntax", span, "a key is a single word"));
                    return Err(Stop);
                }
            };
            let (event, span) = self.data()?;
            let node = self.node(event, span, depth + 1)?;
            if entries.len() == MAP_SMALL {
                seen.extend(entries.iter().map(|(key, _)| (key.text.clone(), key.span)));
            }
            let first = match entries.len() < MAP_SMALL {
                true => entries.iter().find(|(k, _)| k.text == key.text).map(|(k, _)| k.span),
                false => seen.get(&key.text).copied(),
            };
            if let Some(first) = first {
                self.findings.push(
                    Diagnostic::error(
                        "duplicate-key",
                        key.span,
                        format!("`{}` is given twice", key.text),
                    )
                    .label("again here")
                    .also(first, "first here"),
                );
                continue;
            }
            if entries.len() >= MAP_SMALL {
                seen.insert(key.text.clone(), key.span);
            }
            entries.push((key, node));
        }
    }
}
