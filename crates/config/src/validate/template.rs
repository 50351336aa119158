//! Templates: variables are known, and known where they stand.

use crate::diagnostic::{Diagnostic, Span};
use crate::model::{PLAIN, Part, Template, Variable};
use crate::read::{Findings, first_line, text};
use crate::tree::Node;
use crate::validate::matching::is_token;

/// Longest template, in bytes; fixed contents may be as long.
const TEXT_MAX: usize = 64 * 1024;
/// Most variables in one: each costs something whenever it is written.
const VARIABLES_MAX: usize = 64;

/// Where a template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// In what is known before there is an answer.
    Request,
    /// In an answer.
    Answer,
}

/// Reads the template that a node is.
pub(crate) fn read(node: &Node, of: Of, found: &mut Findings) -> Option<Template> {
    let text = text(node, found)?;
    Some(parse(text, first_line(node.span), of, found))
}

/// Reads a template; what is wrong in it is noted and left out.
pub(crate) fn parse(text: &str, span: Span, of: Of, found: &mut Findings) -> Template {
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut rest = text;
    if text.len() > TEXT_MAX {
        found.error("bad-value", span, "a text has at most 64 KiB");
        return Template::default();
    }
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        plain.push_str(before);
        if let Some(after) = after.strip_prefix("$$") {
            plain.push('$');
            rest = after;
            continue;
        }
        let Some(inside) = after.strip_prefix("${") else {
            plain.push('$');
            rest = &after[1..];
            continue;
        };
        let Some((name, after)) = inside.split_once('}') else {
            found.push(
                Diagnostic::error("bad-value", span, "a `${` is not closed")
                    .help("a `$` that is meant as it is, is written `$$` (in a file `$$$$`)"),
            );
            return Template(parts);
        };
        // Variables of the environment were replaced before; what is left of them was meant as it is.
        if name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') {
            plain.push_str("${");
            rest = inside;
            continue;
        }
        if let Some(variable) = variable(name, span, of, found) {
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Variable(variable));
        }
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    let template = Template(parts);
    if template.variables().count() > VARIABLES_MAX {
        found.error("bad-value", span, format!("a text has at most {VARIABLES_MAX} variables"));
    }
    template
}

fn variable(name: &str, span: Span, of: Of, found: &mut Findings) -> Option<Variable> {
    if let Some((_, plain)) = PLAIN.iter().find(|(known, _)| *known == name) {
        if plain.is_of_answer() && of == Of::Request {
            let message = format!("`${{{name}}}` is known of answers only");
            found.error("bad-value", span, message);
        }
        return Some(Variable::Plain(*plain));
    }
    let is_name = |name: &str| !name.is_empty() && is_token(name);
    match name.split_once('.') {
        Some(("path", group)) if is_group(group) => Some(Variable::Group(group.to_owned())),
        Some(("query", name)) if !name.is_empty() => Some(Variable::Parameter(name.to_owned())),
        Some(("header", name)) if is_name(name) => {
            Some(Variable::Header(name.to_ascii_lowercase()))
        }
        Some(("cookie", name)) if is_name(name) => Some(Variable::Cookie(name.to_owned())),
        _ => {
            found.push(unknown(name, span, of));
            None
        }
    }
}

/// A name that a group of a regular expression can have.
fn is_group(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn unknown(name: &str, span: Span, of: Of) -> Diagnostic {
    const NAMED: [&str; 4] = ["path.NAME", "query.NAME", "header.NAME", "cookie.NAME"];
    let usable = PLAIN.iter().filter(|(_, plain)| of == Of::Answer || !plain.is_of_answer());
    let known: Vec<&str> = usable.map(|(known, _)| *known).collect();
    let message = format!("`${{{name}}}` is not known here");
    let diagnostic =
        Diagnostic::error("unknown-variable", span, message).suggest(name, known.iter().copied());
    let all: Vec<String> =
        known.iter().chain(&NAMED).map(|known| format!("${{{known}}}")).collect();
    diagnostic.help(format!("there is: {}", all.join(", ")))
}
