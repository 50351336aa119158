//! `body`.

use crate::model::BodyRules;
use crate::option::BODY;
use crate::read::{Findings, Options};
use crate::tree::Node;

pub(super) fn read(node: &Node, found: &mut Findings) -> BodyRules {
    let options = Options::read(node, &BODY, found);
    BodyRules { max: options.size("max", found).unwrap_or(u64::MAX) }
}
