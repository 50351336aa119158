//! `security_fields`.

use super::fields::is_name;
use crate::model::{Frame, SecurityFields};
use crate::option::SECURITY_FIELDS;
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::{Node, Value};
use crate::validate::empty;

pub(super) fn read(node: &Node, found: &mut Findings) -> SecurityFields {
    let empty = empty();
    let node = match &node.value {
        Value::Scalar { text, .. } if text == "default" => &empty,
        Value::Scalar { text, .. } => {
            let message = format!("`{text}` is not `default`, nor a map of options");
            found.error("bad-value", node.span, message);
            &empty
        }
        _ => node,
    };
    let options = Options::read(node, &SECURITY_FIELDS, found);
    let mut value = |key: &str| {
        let text = options.text(key, found).unwrap_or_default();
        if text.bytes().any(|b| !(b' '..=b'~').contains(&b)) {
            found.error(
                "bad-value",
                options.span_of(key),
                "a field value is one line of plain ASCII",
            );
        }
        text.trim().to_owned()
    };
    let (referrer, permissions, csp) = (value("referrer"), value("permissions"), value("csp"));
    let mut remove = vec!["server".to_owned(), "x-powered-by".to_owned()];
    if let Some(node) = options.node("remove") {
        remove.clear();
        for node in one_or_many(node) {
            if let Some(name) = text(node, found)
                && is_name(name, node.span, found)
            {
                remove.push(name.to_ascii_lowercase());
            }
        }
    }
    SecurityFields {
        hsts: options.duration("hsts", found),
        nosniff: options.bool("nosniff", found),
        frame: match options.choice("frame", found) {
            Some("same_origin") => Frame::SameOrigin,
            Some("off") => Frame::Off,
            _ => Frame::Deny,
        },
        referrer,
        permissions,
        csp,
        remove,
        replace: options.bool("replace", found),
    }
}
