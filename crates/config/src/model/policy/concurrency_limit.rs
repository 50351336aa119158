//! `concurrency_limit`: so many requests at a time.

use ipnet::IpNet;

use super::KeyRule;

/// So many requests at a time, for each key.
#[derive(Clone, Debug, PartialEq)]
pub struct ConcurrencyLimit {
    /// At least 1.
    pub max: u32,
    /// Who has one of his own.
    pub key: KeyRule,
    /// Clients that are not limited.
    pub allow: Vec<IpNet>,
    /// Nobody is refused; what would have been is counted and logged.
    pub dry_run: bool,
    /// Most bytes that keys take; 1 MiB.
    pub memory: u64,
}
