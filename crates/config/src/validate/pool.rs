//! Pools: the whole of one, and what of it has no file of its own.

use super::{
    affinity, balance, discovery, empty, health, layer4, resilience, server, upstream_tls,
};
use crate::diagnostic::Diagnostic;
use crate::model::{HostRewrite, KeepAlive, Pool, PoolTimeouts};
use crate::option::{KEEP_ALIVE, POOL, POOL_TIMEOUTS};
use crate::read::{Findings, Options};
use crate::tree::{Key, Node};

pub(super) fn read(key: &Key, node: &Node, found: &mut Findings) -> Pool {
    let options = Options::read(node, &POOL, found);
    let empty = empty();
    let part = |name: &str| options.node(name).unwrap_or(&empty);
    let (servers, schemes) = server::read_all(&options, key, found);
    let tls = upstream_tls::of_pool(&options, &key.text, &schemes, found);
    let owner = format!("pools.{}", key.text);
    let check = options.node("health");
    let health = check.and_then(|node| health::read(node, tls.as_ref(), &owner, found));
    let pool = Pool {
        name: key.text.clone(),
        balance: balance::read(&options, found),
        servers,
        discover: options.node("discover").and_then(|node| discovery::read(node, found)),
        host: host(&options, found),
        protocol: upstream_tls::protocol(&options, tls.is_some(), found),
        tls,
        proxy_protocol: layer4::proxy_protocol_out(&options, found),
        timeouts: timeouts(part("timeouts"), found),
        keep_alive: keep_alive(part("keep_alive"), found),
        health,
        outlier: options
            .switched("outlier", &crate::option::OUTLIER, found)
            .map(|options| resilience::outlier(&options, found)),
        breaker: resilience::breaker(part("breaker"), found),
        queue: resilience::queue(part("queue"), found),
        slow_start: options.duration("slow_start", found),
        panic_threshold: options.share("panic_threshold", found),
        retry: resilience::retry(part("retry"), found),
        hedge: options
            .switched("hedge", &crate::option::HEDGE, found)
            .map(|options| resilience::hedge(&options, found)),
        sticky: options.node("sticky").and_then(|node| affinity::read(node, &key.text, found)),
    };
    doubt(&pool, &options, key, found);
    pool
}

/// What can be used, but probably is not meant.
fn doubt(pool: &Pool, options: &Options<'_>, key: &Key, found: &mut Findings) {
    if pool.servers.is_empty()
        && options.node("discover").is_none()
        && options.is_empty_of("servers")
    {
        let message =
            format!("pool `{}` has no servers: requests to it are answered with 503", key.text);
        found.push(
            Diagnostic::warning("empty-pool", key.span, message).help(
                "give it `servers` or `discover`, unless they are added or register themselves at runtime",
            ),
        );
    }
    if pool.panic_threshold > 0.5 {
        let message = format!(
            "below {}% of healthy servers unhealthy ones get requests too",
            pool.panic_threshold * 100.0
        );
        found.push(
            Diagnostic::warning("panic-threshold", options.span_of("panic_threshold"), message)
                .help("it is meant for the case that checks are wrong about nearly all; 0 is off"),
        );
    }
    resilience::doubt(pool, options, found);
}

fn host(options: &Options<'_>, found: &mut Findings) -> HostRewrite {
    let written = options.text("host", found).unwrap_or_default();
    match written.as_str() {
        "preserve" | "" => HostRewrite::Preserve,
        "server" => HostRewrite::Server,
        name if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) => {
            HostRewrite::Set(name.to_owned())
        }
        name => {
            let span = options.node("host").map(|node| node.span).unwrap_or_default();
            found.error(
                "bad-value",
                span,
                format!("`{name}` is neither `preserve`, `server` nor a host name"),
            );
            HostRewrite::Preserve
        }
    }
}

fn timeouts(node: &Node, found: &mut Findings) -> PoolTimeouts {
    let options = Options::read(node, &POOL_TIMEOUTS, found);
    PoolTimeouts {
        connect: options.duration("connect", found),
        first_byte: options.duration("first_byte", found),
        idle: options.duration("idle", found),
        tunnel: options.duration("tunnel", found),
    }
}

fn keep_alive(node: &Node, found: &mut Findings) -> KeepAlive {
    let options = Options::read(node, &KEEP_ALIVE, found);
    KeepAlive {
        idle_max: options.count("idle_max", found).unwrap_or(0) as u32,
        idle: options.duration("idle", found),
        age_max: options.duration("age_max", found),
    }
}
