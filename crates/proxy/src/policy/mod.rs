//! Policies: one file each, and this enum is the complete list. Settings only; a chain is put
//! together when the snapshot is compiled, so that a route pays for nothing it does not use.

use evenkeel_config::model::{self, PolicyKind};

mod fields;

pub(crate) use fields::Edits;

use crate::access_log::Logging;

/// What can be done to an exchange on its way.
enum Policy {
    Fields(fields::Fields),
}

/// The policies of a listener or of a route, in the order configured.
#[derive(Default)]
pub struct Chain {
    policies: Box<[Policy]>,
    /// Whether exchanges are logged, and how; the last one configured counts.
    pub(crate) logging: Option<Logging>,
}

impl Chain {
    /// Puts a chain together.
    pub fn compile<'c>(policies: impl Iterator<Item = &'c model::Policy>) -> Self {
        let mut chain = Vec::new();
        let mut logging = None;
        for policy in policies {
            match &policy.kind {
                PolicyKind::Fields(edits) => {
                    chain.push(Policy::Fields(fields::Fields::compile(edits)));
                }
                PolicyKind::AccessLog(log) => logging = Some(Logging::compile(log)),
            }
        }
        Self { policies: chain.into(), logging }
    }

    /// Edits of the request's fields, in order.
    pub(crate) fn request_edits(&self) -> impl Iterator<Item = &Edits> {
        self.policies.iter().map(|policy| match policy {
            Policy::Fields(fields) => &fields.request,
        })
    }

    /// Edits of the response's fields, in order.
    pub(crate) fn response_edits(&self) -> impl Iterator<Item = &Edits> {
        self.policies.iter().map(|policy| match policy {
            Policy::Fields(fields) => &fields.response,
        })
    }

    /// Nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}
