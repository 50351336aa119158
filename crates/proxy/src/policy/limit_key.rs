//! What a limit counts by: a request's key as bytes, the same on every instance. Owns how its parts are
//! put together, not where they are counted.

use std::net::IpAddr;

use evenkeel_config::model::{HashKey, KeyPart, KeyRule, Prefix};

use crate::http::exchange::Exchange;
use crate::route::key::balance_key;

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    parts: Box<[Part]>,
    skip_missing: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Client(Prefix),
    Value(HashKey),
    Route,
    Listener,
}

impl Key {
    pub(super) fn compile(rule: &KeyRule) -> Self {
        let part = |part: &KeyPart| match part {
            KeyPart::Client(prefix) => Part::Client(*prefix),
            KeyPart::Header(name) => Part::Value(HashKey::Header(name.clone())),
            KeyPart::Cookie(name) => Part::Value(HashKey::Cookie(name.clone())),
            KeyPart::Query(name) => Part::Value(HashKey::Query(name.clone())),
            KeyPart::Route => Part::Route,
            KeyPart::Listener => Part::Listener,
        };
        let parts = rule.parts.iter().map(part).collect();
        Self { parts, skip_missing: rule.skip_missing }
    }

    /// Puts the key of a request into `key`. `false` if it lacks a part, and such requests are not
    /// limited.
    pub(super) fn write(&self, exchange: &Exchange<'_>, key: &mut Vec<u8>) -> bool {
        key.clear();
        self.parts.iter().all(|part| part.write(exchange, key) || !self.skip_missing)
    }
}

impl Part {
    /// Whether the request has it.
    fn write(&self, exchange: &Exchange<'_>, key: &mut Vec<u8>) -> bool {
        let value = match self {
            Self::Client(prefix) => {
                put_network(key, exchange.client, *prefix);
                return true;
            }
            Self::Value(by) => balance_key(by, &exchange.view()),
            Self::Route => exchange.route().map(|route| route.name.as_bytes().into()),
            Self::Listener => exchange.listener().map(|l| l.config.name.as_bytes().into()),
        };
        put(key, value.as_deref());
        value.is_some()
    }
}

/// Its length first, so that no two keys of several parts are alike.
fn put(key: &mut Vec<u8>, part: Option<&[u8]>) {
    let length = part.map_or(u32::MAX, |part| u32::try_from(part.len()).unwrap_or(u32::MAX - 1));
    key.extend_from_slice(&length.to_le_bytes());
    key.extend_from_slice(part.unwrap_or_default());
}

/// An IPv4 address in an IPv6 one counts as IPv4.
pub(crate) fn put_network(key: &mut Vec<u8>, address: IpAddr, prefix: Prefix) {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(prefix.ipv4)));
            put(key, Some(&(u32::from(v4) & mask.unwrap_or(0)).to_be_bytes()));
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix.ipv6)));
            put(key, Some(&(u128::from(v6) & mask.unwrap_or(0)).to_be_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, ipv4: u8, ipv6: u8) -> Vec<u8> {
        let mut key = Vec::new();
        put_network(&mut key, address.parse().unwrap(), Prefix { ipv4, ipv6 });
        key
    }

    #[test]
    fn clients_of_one_network_are_one() {
        assert_eq!(network("192.0.2.1", 24, 64), network("192.0.2.200", 24, 64));
        assert_ne!(network("192.0.2.1", 32, 64), network("192.0.2.2", 32, 64));
        assert_eq!(network("2001:db8::1", 32, 64), network("2001:db8::ffff:0:1", 32, 64));
        assert_ne!(network("2001:db8:0:1::1", 32, 64), network("2001:db8:0:2::1", 32, 64));
        assert_eq!(network("::ffff:192.0.2.1", 32, 64), network("192.0.2.1", 32, 128));
        assert_eq!(network("192.0.2.1", 0, 0), network("198.51.100.1", 0, 0));
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        let key = |first: Option<&str>, second: Option<&str>| {
            let mut key = Vec::new();
            put(&mut key, first.map(str::as_bytes));
            put(&mut key, second.map(str::as_bytes));
            key
        };
        assert_ne!(key(Some("ab"), Some("c")), key(Some("a"), Some("bc")));
        assert_ne!(key(Some(""), Some("a")), key(None, Some("a")));
    }
}
