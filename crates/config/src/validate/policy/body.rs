//! `body`.

use crate::diagnostic::Diagnostic;
use crate::model::{Beyond, BodyBuffer, BodyRules};
use crate::option::{BODY, BODY_BUFFER};
use crate::read::{Findings, Options};
use crate::tree::Node;

pub(super) fn read(node: &Node, found: &mut Findings) -> BodyRules {
    let options = Options::read(node, &BODY, found);
    let rules = BodyRules {
        max: options.node("max").and_then(|_| options.size("max", found)),
        buffer: options.node("buffer").map(|node| buffer(node, found)),
    };
    if options.written().next().is_none() {
        found.push(
            Diagnostic::warning("no-effect", node.span, "this `body` rules nothing")
                .help("write `max: 10MiB`, or `buffer: {}` to receive bodies whole"),
        );
    }
    rules
}

fn buffer(node: &Node, found: &mut Findings) -> BodyBuffer {
    let options = Options::read(node, &BODY_BUFFER, found);
    let buffer = BodyBuffer {
        memory: options.size("memory", found).unwrap_or_default(),
        total: options.size("total", found).unwrap_or_default(),
        beyond: match options.choice("beyond", found) {
            Some("refuse") => Beyond::Refuse,
            _ => Beyond::Stream,
        },
    };
    if buffer.memory > buffer.total {
        let span = options.span_of("memory");
        found.push(
            Diagnostic::error("bad-value", span, "`memory` of one request is more than `total`")
                .help("`total` is for all requests together"),
        );
    }
    buffer
}
