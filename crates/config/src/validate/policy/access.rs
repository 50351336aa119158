//! `access`.

use crate::diagnostic::Diagnostic;
use crate::model::Access;
use crate::option::ACCESS;
use crate::read::{Findings, Options};
use crate::tree::Node;
use crate::validate::listener::networks;
use crate::validate::policy::file;

pub(super) fn read(node: &Node, owner: &str, found: &mut Findings) -> Access {
    let options = Options::read(node, &ACCESS, found);
    let allow = networks(options.node("allow"), found);
    let deny = networks(options.node("deny"), found);
    let allow_file = file(&options, "allow_file", owner, found);
    let deny_file = file(&options, "deny_file", owner, found);
    let others = match options.node("others").and_then(|_| options.choice("others", found)) {
        Some(word) => word == "allow",
        None => allow.is_empty() && allow_file.is_none(),
    };
    let says_nothing =
        ["allow", "deny", "allow_file", "deny_file"].iter().all(|key| options.node(key).is_none());
    if says_nothing {
        found.push(
            Diagnostic::error(
                "says-nothing",
                crate::read::first_line(node.span),
                "this names nobody",
            )
            .help("write `allow`, `deny`, `allow_file` or `deny_file`"),
        );
    }
    Access { allow, deny, allow_file, deny_file, others }
}
