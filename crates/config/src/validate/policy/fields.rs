//! `fields`.

use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Edits, FieldEdits, Template};
use crate::option::{EDITS, FIELDS};
use crate::read::{Findings, Options, map, one_or_many, text};
use crate::tree::Node;
use crate::validate::empty;
use crate::validate::matching::is_token;
use crate::validate::template::{self, Of};

/// Fields that frame a message, belong to one connection, or are written by the proxy itself.
const UNTOUCHABLE: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn read(node: &Node, found: &mut Findings) -> FieldEdits {
    let options = Options::read(node, &FIELDS, found);
    FieldEdits {
        request: edits(options.node("request"), Of::Request, found),
        response: edits(options.node("response"), Of::Answer, found),
    }
}

fn edits(node: Option<&Node>, of: Of, found: &mut Findings) -> Edits {
    let empty = empty();
    let options = Options::read(node.unwrap_or(&empty), &EDITS, found);
    let mut remove = Vec::new();
    for node in options.node("remove").map(one_or_many).unwrap_or_default() {
        if let Some(name) = text(node, found)
            && is_name(name, node.span, found)
        {
            remove.push(name.to_ascii_lowercase());
        }
    }
    let mut rename = Vec::new();
    for (key, node) in options.node("rename").map(|node| map(node, found)).unwrap_or_default() {
        let Some(to) = text(node, found) else { continue };
        if is_name(&key.text, key.span, found) && is_name(to, node.span, found) {
            rename.push((key.text.to_ascii_lowercase(), to.to_owned()));
        }
    }
    let mut lines = |key: &str| {
        let mut all = Vec::new();
        for (key, node) in options.node(key).map(|node| map(node, found)).unwrap_or_default() {
            if let Some(value) = value(node, of, found)
                && is_name(&key.text, key.span, found)
            {
                all.push((key.text.clone(), value));
            }
        }
        all
    };
    let (set, add) = (lines("set"), lines("add"));
    Edits { remove, rename, set, add }
}

/// The value of a field.
pub(super) fn value(node: &Node, of: Of, found: &mut Findings) -> Option<Template> {
    let text = text(node, found)?.trim_matches([' ', '\t']);
    if text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        found.error("bad-value", node.span, "a field value is one line without control characters");
        return None;
    }
    Some(template::parse(text, node.span, of, found))
}

pub(super) fn is_name(name: &str, span: Span, found: &mut Findings) -> bool {
    if !is_token(name) {
        found.error("bad-value", span, format!("`{name}` is not a field name"));
        return false;
    }
    if UNTOUCHABLE.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        found.push(
            Diagnostic::error("untouchable-field", span, format!("`{name}` cannot be edited"))
                .help("it frames the message or belongs to the connection; `pools.*.host` sets the Host"),
        );
        return false;
    }
    true
}
