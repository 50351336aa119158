//! Hosts: exact names, then wildcards from the longest, then any. Names are compared without
//! regard to ASCII case (RFC 9110 §4.2.3) and to a trailing dot; an IPv6 address in any of its
//! spellings is the same host (RFC 5952).

use std::io::Write;
use std::net::Ipv6Addr;

use evenkeel_config::model::HostMatch;

use super::names::Names;
use super::path::Paths;

/// Longest host name (RFC 1035 §2.3.4), which is longer than any address; beyond, it is no name
/// that a configuration can have.
const NAME_MAX: usize = 253;

/// The paths of each host.
#[derive(Default)]
pub(super) struct Hosts {
    exact: Names<Paths>,
    /// By what follows `*.`.
    wildcards: Names<Paths>,
    any: Paths,
}

impl Hosts {
    /// The paths of a host of the configuration; `None` stands for any.
    pub(super) fn entry(&mut self, host: Option<&HostMatch>) -> &mut Paths {
        let mut buffer = [0; NAME_MAX];
        match host {
            None => &mut self.any,
            Some(HostMatch::Exact(name)) => {
                let name = fold(name.as_bytes(), &mut buffer).unwrap_or(name.as_bytes());
                self.exact.entry(name)
            }
            Some(HostMatch::Wildcard(parent)) => {
                let parent = fold(parent.as_bytes(), &mut buffer).unwrap_or(parent.as_bytes());
                self.wildcards.entry(parent)
            }
        }
    }

    /// Asks the paths of each host that matches `sent`, the most specific first, until one answers.
    pub(super) fn find<T>(&self, sent: &[u8], ask: impl Fn(&Paths) -> Option<T>) -> Option<T> {
        if self.exact.is_empty() && self.wildcards.is_empty() {
            return ask(&self.any);
        }
        let mut buffer = [0; NAME_MAX];
        let name = fold(sent, &mut buffer).unwrap_or_default();
        if let Some(found) = self.exact.find(name).and_then(&ask) {
            return Some(found);
        }
        if !self.wildcards.is_empty() {
            // One byte at least stands before the dot, and nothing longer than the longest behind.
            let spare = name.len().saturating_sub(self.wildcards.longest());
            let mut rest = name.get(spare.saturating_sub(1).max(1)..).unwrap_or_default();
            while let Some(dot) = memchr::memchr(b'.', rest) {
                rest = rest.get(dot + 1..).unwrap_or_default();
                if let Some(found) = self.wildcards.find(rest).and_then(&ask) {
                    return Some(found);
                }
            }
        }
        ask(&self.any)
    }
}

/// Whether the host `sent` is one that `host` stands for.
pub(super) fn is_match(host: &HostMatch, sent: &[u8]) -> bool {
    let (mut ours, mut theirs) = ([0; NAME_MAX], [0; NAME_MAX]);
    let Some(sent) = fold(sent, &mut theirs) else { return false };
    match host {
        HostMatch::Exact(name) => fold(name.as_bytes(), &mut ours) == Some(sent),
        HostMatch::Wildcard(parent) => {
            let parent = fold(parent.as_bytes(), &mut ours);
            let before = parent.and_then(|parent| sent.strip_suffix(parent));
            before.is_some_and(|before| matches!(before, [_, .., b'.']))
        }
    }
}

/// The one form in which a host is compared; `None` if it is longer than any.
fn fold<'b>(sent: &[u8], buffer: &'b mut [u8; NAME_MAX]) -> Option<&'b [u8]> {
    if let [b'[', inner @ .., b']'] = sent
        && let Some(address) = std::str::from_utf8(inner).ok().and_then(|text| text.parse().ok())
    {
        return fold_address(address, buffer);
    }
    let sent = sent.strip_suffix(b".").unwrap_or(sent);
    let name = buffer.get_mut(..sent.len())?;
    name.copy_from_slice(sent);
    name.make_ascii_lowercase();
    Some(name)
}

fn fold_address(address: Ipv6Addr, buffer: &mut [u8; NAME_MAX]) -> Option<&[u8]> {
    let mut free: &mut [u8] = buffer;
    write!(free, "[{address}]").ok()?;
    let left = free.len();
    buffer.get(..NAME_MAX.checked_sub(left)?)
}
