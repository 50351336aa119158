//! `concurrency_limit`.

use super::limit_key;
use crate::model::ConcurrencyLimit;
use crate::option::CONCURRENCY_LIMIT;
use crate::read::{Findings, Options};
use crate::tree::Node;
use crate::validate::listener::networks;

pub(super) fn read(node: &Node, found: &mut Findings) -> ConcurrencyLimit {
    let options = Options::read(node, &CONCURRENCY_LIMIT, found);
    ConcurrencyLimit {
        max: options.small("max", found),
        key: limit_key::read(&options, found),
        allow: networks(options.node("allow"), found),
        dry_run: options.bool("dry_run", found),
        memory: options.size("memory", found).unwrap_or_default(),
    }
}
