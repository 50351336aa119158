//! How a server is chosen, and the tables of hashing.

use super::empty;
use crate::diagnostic::Diagnostic;
use crate::model::{
    Balance, ConsistentHash, HashKey, HashKind, HashTable, IpHash, PeakEwma, Prefix,
};
use crate::option::{BALANCE, CONSISTENT, EWMA, HASH_KEY, IP_HASH, Kind, POOL};
use crate::read::{Findings, Options, choice_of, first_line, text};
use crate::tree::{Node, Value};

pub(super) fn read(options: &Options<'_>, found: &mut Findings) -> Balance {
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
        Some((key, node)) if key.text == "ip_hash" => Balance::IpHash(ip_hash(node, found)),
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
        "ip_hash" => Balance::IpHash(ip_hash(&empty(), found)),
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

fn ip_hash(node: &Node, found: &mut Findings) -> IpHash {
    let options = Options::read(node, &IP_HASH, found);
    IpHash { prefix: prefix(&options, found), table: table(&options, found) }
}

/// How much of an address counts.
pub(super) fn prefix(options: &Options<'_>, found: &mut Findings) -> Prefix {
    let bits = |key: &str, most: u8, found: &mut Findings| {
        options.count(key, found).and_then(|bits| u8::try_from(bits).ok()).unwrap_or(most)
    };
    Prefix { ipv4: bits("ipv4", 32, found), ipv6: bits("ipv6", 128, found) }
}

pub(super) fn table(options: &Options<'_>, found: &mut Findings) -> HashTable {
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
            "connection" => HashKey::Connection,
            _ => {
                found.push(
                    Diagnostic::error("bad-value", node.span, format!("`{text}` is no key"))
                        .help("write `client_ip`, `connection`, `path`, or `{ header: NAME }`, `{ cookie: NAME }`, `{ query: NAME }`"),
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
