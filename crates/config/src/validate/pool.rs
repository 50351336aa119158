//! Pools.

use std::net::SocketAddr;
use std::time::Duration;

use super::empty;
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{
    Address, Balance, Breaker, Budget, ConsistentHash, FailureRate, HashKey, HashKind, HashTable,
    HostRewrite, IpHash, KeepAlive, Outlier, PeakEwma, Pool, PoolTimeouts, Prefix, Queue, Retry,
    RetryOn, Server,
};
use crate::option::{
    BALANCE, CONSISTENT, EWMA, HASH_KEY, KEEP_ALIVE, Kind, POOL, POOL_TIMEOUTS, RETRY, SERVER,
    TABLE,
};
use crate::read::{Findings, Options, choice_of, first_line, one_or_many, text};
use crate::tree::{Key, Node, Value};

const PREFIX: Prefix = Prefix { ipv4: 32, ipv6: 64 };

pub(super) fn read(key: &Key, node: &Node, found: &mut Findings) -> Pool {
    let options = Options::read(node, &POOL, found);
    let empty = empty();
    let part = |name: &str| options.node(name).unwrap_or(&empty);
    Pool {
        name: key.text.clone(),
        balance: balance(&options, found),
        servers: servers(&options, key, found),
        host: host(&options, found),
        timeouts: timeouts(part("timeouts"), found),
        keep_alive: keep_alive(part("keep_alive"), found),
        discover: None,
        health: None,
        outlier: Some(Outlier {
            consecutive: 5,
            rate: Some(FailureRate {
                share: 0.5,
                requests_min: 20,
                window: Duration::from_secs(10),
            }),
            mark_down: None,
            eject: Duration::from_secs(5),
            eject_max: Duration::from_secs(300),
            ejected_max: 0.5,
        }),
        breaker: Breaker::default(),
        queue: Queue { max: 1000, timeout: Duration::from_secs(1) },
        slow_start: Duration::from_secs(10),
        panic_threshold: 0.1,
        retry: Retry {
            attempts: Options::read(part("retry"), &RETRY, found)
                .count("attempts", found)
                .unwrap_or(0) as u32,
            on: RetryOn { connect: true, reset: true, timeout: false, statuses: Vec::new() },
            non_idempotent: false,
            try_timeout: None,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            budget: Budget { ratio: 0.2, min: 3 },
        },
        hedge: None,
        sticky: None,
    }
}

fn servers(options: &Options<'_>, key: &Key, found: &mut Findings) -> Vec<Server> {
    let nodes = options.node("servers").map(one_or_many).unwrap_or_default();
    let mut all: Vec<(Server, Span)> = Vec::new();
    for node in nodes {
        let Some((server, span)) = server(node, found) else { continue };
        if let Some((_, first)) = all.iter().find(|(known, _)| known.address == server.address) {
            found.push(
                Diagnostic::error(
                    "duplicate-server",
                    span,
                    format!("`{}` is in this pool twice", server.address),
                )
                .also(*first, "first here")
                .help("give it more weight instead"),
            );
            continue;
        }
        all.push((server, span));
    }
    if nodes.is_empty() && options.node("servers").is_some() {
        found.error("missing-field", key.span, format!("pool `{}` has no servers", key.text));
    }
    if !all.is_empty() && all.iter().all(|(server, _)| server.weight == 0) {
        let message =
            format!("every server of pool `{}` has weight 0: none takes a request", key.text);
        found.error("bad-value", key.span, message);
    }
    all.into_iter().map(|(server, _)| server).collect()
}

fn server(node: &Node, found: &mut Findings) -> Option<(Server, Span)> {
    if let Value::Scalar { text, .. } = &node.value {
        let address = address(text, node.span, found)?;
        return Some((Server { address, weight: 1, priority: 0, check: None }, node.span));
    }
    let options = Options::read(node, &SERVER, found);
    let weight = options.count("weight", found).unwrap_or(1) as u32;
    let node = options.node("address")?;
    let address = address(text(node, found)?, node.span, found)?;
    Some((Server { address, weight, priority: 0, check: None }, node.span))
}

/// `host:port`, also as `http://host[:port]`.
pub(crate) fn address(written: &str, span: Span, found: &mut Findings) -> Option<Address> {
    let wrong = |help: &str| {
        Diagnostic::error("bad-value", span, format!("`{written}` is not a server's address"))
            .help(help)
    };
    if written.starts_with("https://") {
        found.push(wrong("TLS to servers is not available yet; write `http://…` or `host:port`"));
        return None;
    }
    let bare = written.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let text = bare.unwrap_or(written);
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            found.push(wrong("a server has a port from 1 to 65535"));
            return None;
        }
        return Some(Address::Socket(address));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().ok()),
        None if bare.is_some() => (text, Some(80)),
        None => (text, None),
    };
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    match (is_name, port) {
        (true, Some(port)) if port > 0 => match name.parse() {
            Ok(ip) => Some(Address::Socket(SocketAddr::new(ip, port))),
            Err(_) => Some(Address::Name(name.to_ascii_lowercase(), port)),
        },
        (true, None) if !text.contains(':') => {
            found.push(wrong(&format!("it needs a port: `{name}:80`")));
            None
        }
        _ if text.contains('/') => {
            found.push(wrong("an address has no path: rewriting belongs to routes"));
            None
        }
        _ => {
            found.push(wrong(
                "write it like `10.0.0.1:8080`, `[2001:db8::1]:8080` or `app.internal:8080`",
            ));
            None
        }
    }
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

fn balance(options: &Options<'_>, found: &mut Findings) -> Balance {
    let Some(node) = options.node("balance") else { return named("p2c_ewma", found) };
    if let Value::Scalar { text, .. } = &node.value {
        if text == "consistent_hash" {
            found.push(
                Diagnostic::error("bad-value", node.span, "`consistent_hash` needs a key")
                    .help("write `balance: { consistent_hash: { key: { header: x-user } } }`"),
            );
            return named("p2c", found);
        }
        let kinds =
            POOL.options.iter().find(|option| option.key == "balance").map(|option| option.kind);
        let words = match kinds {
            Some(Kind::OneOf([Kind::Choice(words), ..])) => *words,
            _ => &[],
        };
        return named(choice_of(text, words, node.span, found).unwrap_or("p2c"), found);
    }
    match Options::read(node, &BALANCE, found).only(found) {
        Some((key, node)) if key.text == "p2c_ewma" => Balance::PeakEwma(ewma(node, found)),
        Some((key, node)) if key.text == "ip_hash" => {
            let options = Options::read(node, &TABLE, found);
            Balance::IpHash(IpHash { prefix: PREFIX, table: table(&options, found) })
        }
        Some((_, node)) => {
            let options = Options::read(node, &CONSISTENT, found);
            let key = hash_key(&options, found);
            Balance::ConsistentHash(ConsistentHash { key, table: table(&options, found) })
        }
        None => named("p2c", found),
    }
}

fn named(name: &str, found: &mut Findings) -> Balance {
    match name {
        "round_robin" => Balance::RoundRobin,
        "weighted_round_robin" => Balance::WeightedRoundRobin,
        "least_connections" => Balance::LeastConnections,
        "random" => Balance::Random,
        "p2c" => Balance::PowerOfTwo,
        "ip_hash" => Balance::IpHash(IpHash {
            prefix: PREFIX,
            table: table(&Options::read(&empty(), &TABLE, found), found),
        }),
        _ => Balance::PeakEwma(ewma(&empty(), found)),
    }
}

fn ewma(node: &Node, found: &mut Findings) -> PeakEwma {
    let options = Options::read(node, &EWMA, found);
    PeakEwma {
        decay: options.duration("decay", found),
        failure_penalty: options.duration("failure_penalty", found),
    }
}

fn table(options: &Options<'_>, found: &mut Findings) -> HashTable {
    let kind = match options.choice("table", found) {
        Some("ring") => HashKind::Ring,
        _ => HashKind::Maglev,
    };
    HashTable { kind, bounded_load: options.number("bounded_load", found) }
}

fn hash_key(options: &Options<'_>, found: &mut Findings) -> HashKey {
    let Some(node) = options.node("key") else { return HashKey::ClientIp };
    if let Value::Scalar { text, .. } = &node.value {
        return match text.as_str() {
            "client_ip" => HashKey::ClientIp,
            "path" => HashKey::Path,
            _ => {
                found.push(
                    Diagnostic::error("bad-value", node.span, format!("`{text}` is no key"))
                        .help("write `client_ip`, `path`, or `{ header: NAME }`, `{ cookie: NAME }`, `{ query: NAME }`"),
                );
                HashKey::ClientIp
            }
        };
    }
    let Some((key, node)) = Options::read(node, &HASH_KEY, found).only(found) else {
        return HashKey::ClientIp;
    };
    let name = text(node, found).unwrap_or_default().to_owned();
    if name.is_empty() {
        found.error("bad-value", first_line(node.span), "a name is needed here");
    }
    match key.text.as_str() {
        "header" => HashKey::Header(name.to_ascii_lowercase()),
        "cookie" => HashKey::Cookie(name),
        _ => HashKey::Query(name),
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
