//! Policies: named rules that listeners and routes apply. One file for the settings of each kind;
//! [`PolicyKind`] is the complete list.

mod access;
mod access_log;
mod concurrency_limit;
mod document;
mod fields;
mod rate_limit;

pub use access::*;
pub use access_log::*;
pub use concurrency_limit::*;
pub use document::*;
pub use fields::*;
pub use rate_limit::*;

/// A named rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its key in the file.
    pub name: String,
    /// What it does.
    pub kind: PolicyKind,
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyKind {
    /// `fields`: edit the fields of requests and responses.
    Fields(FieldEdits),
    /// `access_log`: a line for each exchange.
    AccessLog(AccessLog),
    /// `rate_limit`: so many requests in so much time.
    RateLimit(RateLimit),
    /// `access`: who may come in, by network.
    Access(Access),
    /// `concurrency_limit`: so many requests at a time.
    ConcurrencyLimit(ConcurrencyLimit),
}
