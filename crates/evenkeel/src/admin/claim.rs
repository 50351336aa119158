//! What a registration token may claim: pools, addresses, and requests. Pure. A route is within the
//! claim only if no request outside the claim can match it; everything that cannot be shown to be
//! within is refused, with the reason.

use std::net::{IpAddr, SocketAddr};

use evenkeel_config::model::{HostMatch, Match, PathMatch, Registration};
use evenkeel_config::precedence::expand;

use super::guard::Peer;

/// Whether it may join or make this pool.
pub(crate) fn pool(registration: &Registration, name: &str) -> Result<(), String> {
    let is_it = |pattern: &String| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    };
    match registration.pools.iter().any(is_it) {
        true => Ok(()),
        false => Err(format!("`{}` may not join a pool `{name}`", registration.name)),
    }
}

/// Whether it may register this address: one it may claim, or its own.
pub(crate) fn address(
    registration: &Registration,
    written: &str,
    peer: Peer,
) -> Result<SocketAddr, String> {
    let address: SocketAddr = written
        .parse()
        .map_err(|_| format!("`{written}` is not an address and port like 10.0.0.7:8080"))?;
    let ip = address.ip().to_canonical();
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        return Err(format!("nothing can be reached at `{written}`"));
    }
    let own = match peer {
        Peer::Remote(peer) => ip == peer.to_canonical(),
        Peer::Local => ip.is_loopback(), // whoever opens the Unix socket is on this machine
    };
    let claimed = match registration.addresses.is_empty() {
        true => own,
        false => registration.addresses.iter().any(|network| network.contains(&ip)),
    };
    match claimed {
        true => Ok(SocketAddr::new(ip, address.port())),
        false => Err(format!(
            "`{}` may not register {}: {}",
            registration.name,
            ip,
            why(registration, peer)
        )),
    }
}

fn why(registration: &Registration, peer: Peer) -> String {
    match (registration.addresses.is_empty(), peer) {
        (false, _) => "it is in none of its `addresses`".into(),
        (true, Peer::Remote(own)) => {
            format!("it registers from {} and has no `addresses`", IpAddr::to_canonical(&own))
        }
        (true, Peer::Local) => {
            "over the Unix socket and without `addresses` only loopback addresses are its own"
                .into()
        }
    }
}

/// Whether no request outside the claim can match this.
pub(crate) fn route(registration: &Registration, matches: &Match) -> Result<(), String> {
    let Some(alternatives) = expand(matches) else {
        return Err("this match stands for too many alternatives".into());
    };
    alternatives.iter().try_for_each(|terms| alternative(registration, terms))
}

/// All of `terms` must hold, so one host within the claim is enough, and one path; any further
/// condition, `not` included, only makes it narrower.
fn alternative(registration: &Registration, terms: &[&Match]) -> Result<(), String> {
    let hosts = || {
        terms.iter().filter_map(|term| match *term {
            Match::Host(host) => Some(host),
            _ => None,
        })
    };
    if !hosts().any(|host| registration.hosts.iter().any(|claim| has_host(claim, host))) {
        let claim = list(registration.hosts.iter().map(show_host));
        return Err(match hosts().next() {
            Some(host) => {
                format!("host `{}` is outside what may be claimed: {claim}", show_host(host))
            }
            None => format!("without `host` it would match every host; claimed may be: {claim}"),
        });
    }
    if registration.paths.iter().any(|claim| prefix(claim).is_empty())
        || registration.paths.is_empty()
    {
        return Ok(());
    }
    let paths = || {
        terms.iter().filter_map(|term| match *term {
            Match::Path(path) => Some(path),
            _ => None,
        })
    };
    if paths().any(|path| registration.paths.iter().any(|claim| has_path(prefix(claim), path))) {
        return Ok(());
    }
    let claim = list(registration.paths.iter().cloned());
    Err(match paths().next() {
        Some(PathMatch::Regex(pattern)) => format!(
            "path expression `{}` could match outside what may be claimed: {claim}",
            pattern.0.as_str()
        ),
        Some(PathMatch::Exact(path) | PathMatch::Prefix(path)) => {
            format!("path `{path}` is outside what may be claimed: {claim}")
        }
        None => format!("without `path` it would match every path; claimed may be: {claim}"),
    })
}

fn has_host(claim: &HostMatch, host: &HostMatch) -> bool {
    let below = |name: &str, parent: &str| {
        name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    };
    match (claim, host) {
        (HostMatch::Exact(claim), HostMatch::Exact(host)) => claim == host,
        (HostMatch::Exact(_), HostMatch::Wildcard(_)) => false,
        (HostMatch::Wildcard(claim), HostMatch::Exact(host)) => below(host, claim),
        (HostMatch::Wildcard(claim), HostMatch::Wildcard(host)) => {
            claim == host || below(host, claim)
        }
    }
}

/// As routes have it: without a slash at the end.
fn prefix(claim: &str) -> &str {
    claim.trim_end_matches('/')
}

fn has_path(claim: &str, path: &PathMatch) -> bool {
    let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = path else { return false };
    // Where listeners decode slashes or clients write escapes in another way, the same letters may
    // be another path; only what has one spelling is compared.
    !path.contains(['%', '\\', ';'])
        && path.strip_prefix(claim).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !path.split('/').any(|segment| segment == "." || segment == "..")
}

fn show_host(host: &HostMatch) -> String {
    match host {
        HostMatch::Exact(name) => name.clone(),
        HostMatch::Wildcard(parent) => format!("*.{parent}"),
    }
}

fn list(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests;
