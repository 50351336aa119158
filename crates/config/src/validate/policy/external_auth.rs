//! `external_auth`.

use crate::diagnostic::Diagnostic;
use crate::model::{ExternalAuth, PoolId};
use crate::option::EXTERNAL_AUTH;
use crate::read::{Findings, Options, text};
use crate::tree::Node;
use crate::validate::Scope;
use crate::validate::matching::absolute;
use crate::validate::policy::field_names;

pub(super) fn read(node: &Node, scope: &Scope, found: &mut Findings) -> ExternalAuth {
    let options = Options::read(node, &EXTERNAL_AUTH, found);
    let pool = options.node("pool").and_then(|node| {
        let name = text(node, found)?;
        scope.pools.find(name, node.span, found)
    });
    let path = match options.entry("path") {
        Some((_, node)) => text(node, found).and_then(|path| absolute(path, node.span, found)),
        None => None,
    };
    let names = |key: &str, default: &[&str], found: &mut Findings| match options.node(key) {
        Some(node) => field_names(node, found),
        None => default.iter().map(|name| (*name).to_owned()).collect(),
    };
    let send = names("send", &["authorization", "cookie"], found);
    let remember = options.duration("remember", found);
    let remember_by = match options.node("remember_by") {
        Some(node) => field_names(node, found),
        None => send.clone(),
    };
    if let Some(forgotten) = send.iter().find(|name| !remember_by.contains(name))
        && !remember.is_zero()
    {
        let span = options.span_of("remember_by");
        found.push(
            Diagnostic::warning(
                "cache-confusion",
                span,
                format!("the server sees `{forgotten}`, but its word holds whatever that is"),
            )
            .help(format!("add `{forgotten}` to `remember_by`, or do not send it")),
        );
    }
    ExternalAuth {
        pool: PoolId(pool.unwrap_or_default()),
        path: path.unwrap_or_else(|| "/".into()),
        timeout: options.duration("timeout", found),
        copy: names("copy", &[], found),
        answer: names("answer", &["www-authenticate", "location", "set-cookie"], found),
        fail_open: options.choice("without_answer", found) == Some("allow"),
        send,
        remember,
        remember_by,
    }
}
