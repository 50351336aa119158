//! `geo`, and what countries are called.

use crate::diagnostic::Diagnostic;
use crate::model::Geo;
use crate::option::GEO;
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::Node;
use crate::validate::policy::{field_name, file};

pub(super) fn read(node: &Node, owner: &str, found: &mut Findings) -> Geo {
    let options = Options::read(node, &GEO, found);
    let all = |key: &str, found: &mut Findings| {
        options.node(key).map(|node| countries(node, found)).unwrap_or_default()
    };
    Geo {
        file: file(&options, "file", owner, found).unwrap_or_default(),
        country_field: field_name(&options, "country_field", found),
        allow: all("allow", found),
        deny: all("deny", found),
        unknown: options.choice("unknown", found) == Some("allow"),
    }
}

/// Two letters each (ISO 3166-1).
pub(in crate::validate) fn countries(node: &Node, found: &mut Findings) -> Vec<String> {
    let mut all = Vec::new();
    for node in one_or_many(node) {
        let Some(written) = text(node, found) else { continue };
        if written.len() == 2 && written.bytes().all(|b| b.is_ascii_alphabetic()) {
            all.push(written.to_ascii_uppercase());
        } else {
            found.push(
                Diagnostic::error("bad-value", node.span, format!("`{written}` is no country"))
                    .help("write two letters, as ISO 3166 has them: `DE`; `NO` in quotes"),
            );
        }
    }
    all
}
