//! `access`: who may come in, by network.

use ipnet::IpNet;

/// Who may come in. The most specific network that a client is in decides; of the same one in both
/// lists, `deny` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// May.
    pub allow: Vec<IpNet>,
    /// May not.
    pub deny: Vec<IpNet>,
    /// More that may.
    pub allow_file: Option<String>,
    /// More that may not.
    pub deny_file: Option<String>,
    /// Whether those may who are in no network.
    pub others: bool,
}
