//! `body`: rules for the content of requests.

/// Rules for the content of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRules {
    /// Longest content that is taken, bytes.
    pub max: u64,
}
