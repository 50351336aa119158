//! `bandwidth_limit`: so many bytes a second.

use ipnet::IpNet;

use super::KeyRule;

/// So many bytes a second; at least one way is limited.
#[derive(Clone, Debug, PartialEq)]
pub struct BandwidthLimit {
    /// Of request bodies, from 1 KiB; not limited if `None`.
    pub upload: Option<u64>,
    /// Of responses, from 1 KiB; not limited if `None`.
    pub download: Option<u64>,
    /// Bytes at once; 64 KiB.
    pub burst: u64,
    /// Who shares the rates; each request has its own if `None`.
    pub key: Option<KeyRule>,
    /// Clients that are not limited.
    pub allow: Vec<IpNet>,
    /// Most bytes that keys take; 1 MiB.
    pub memory: u64,
}
