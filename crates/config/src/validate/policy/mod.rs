//! Policies: which kind one is. What may be written for each kind is in a file of its own.

mod access;
mod access_log;
mod concurrency_limit;
mod fields;
mod limit_key;
mod rate_limit;

use crate::model::{FieldEdits, Policy, PolicyKind};
use crate::option::POLICY;
use crate::read::{Findings, Options};
use crate::tree::{Key, Node};
use crate::validate::{Scope, tls};

pub(super) fn read(key: &Key, node: &Node, scope: &Scope, found: &mut Findings) -> Policy {
    let _ = scope;
    let owner = format!("policies.{}", key.text);
    let options = Options::read(node, &POLICY, found);
    let kind = match options.only(found) {
        Some((key, node)) => match key.text.as_str() {
            "access_log" => PolicyKind::AccessLog(access_log::read(node, found)),
            "rate_limit" => PolicyKind::RateLimit(rate_limit::read(node, found)),
            "access" => PolicyKind::Access(access::read(node, &owner, found)),
            "concurrency_limit" => {
                PolicyKind::ConcurrencyLimit(concurrency_limit::read(node, found))
            }
            _ => PolicyKind::Fields(fields::read(node, found)),
        },
        None => PolicyKind::Fields(FieldEdits::default()), // a mistake, and noted
    };
    Policy { name: key.text.clone(), kind }
}

/// A file of this option; where it is named is kept, for what is wrong in it.
fn file(options: &Options<'_>, key: &str, owner: &str, found: &mut Findings) -> Option<String> {
    let path = tls::file(options, key, owner, found)?;
    Some(path.to_string_lossy().into_owned())
}
