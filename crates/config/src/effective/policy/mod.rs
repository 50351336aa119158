//! Policies. Each kind is written by a file of its own.

mod access;
mod access_log;
mod concurrency_limit;
mod fields;
mod rate_limit;

use serde_json::{Value, json};

use crate::model::{Policy, PolicyKind};

pub(super) fn policy(policy: &Policy) -> Value {
    match &policy.kind {
        PolicyKind::Fields(fields) => json!({ "fields": fields::write(fields) }),
        PolicyKind::Access(access) => json!({ "access": access::write(access) }),
        PolicyKind::AccessLog(log) => json!({ "access_log": access_log::write(log) }),
        PolicyKind::ConcurrencyLimit(limit) => {
            json!({ "concurrency_limit": concurrency_limit::write(limit) })
        }
        PolicyKind::RateLimit(limit) => json!({ "rate_limit": rate_limit::write(limit) }),
    }
}
