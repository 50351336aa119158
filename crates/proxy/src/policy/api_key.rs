//! `api_key`: lets in who has a key. Keys are held as digests: what is compared tells nothing by its
//! time, and what is in memory is no key.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use evenkeel_codec::{Known, cookie, query};
use evenkeel_config::model::{self, KeySource};

use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;

/// Longest key looked at.
const KEY_MAX: usize = 4096;

/// See the module's head.
pub(super) struct ApiKey {
    from: KeySource,
    /// Owners by the SHA-256 of their keys. A look-up by digest tells by its time at most something
    /// about digests, from which there is no way to a key.
    owners: HashMap<[u8; 32], Box<str>>,
    owner_field: Option<Box<[u8]>>,
    pass: bool,
}

impl ApiKey {
    pub(super) fn compile(settings: &model::ApiKey) -> Self {
        let keys = settings.keys.iter();
        Self {
            from: settings.from.clone(),
            owners: keys
                .map(|(owner, key)| (sha256(key.expose().as_bytes()), owner.as_str().into()))
                .collect(),
            owner_field: settings.owner_field.as_ref().map(|name| name.as_bytes().into()),
            pass: settings.pass,
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref().get(..32).unwrap_or(&[0; 32]));
    out
}

/// The one value at a place; of several, nobody can say which one servers would believe.
pub(super) fn value_at(from: &KeySource, exchange: &Exchange<'_>) -> Option<Vec<u8>> {
    let (head, bytes) = (&exchange.head, exchange.buffer.all());
    let mut found: Vec<Vec<u8>> = Vec::new();
    match from {
        KeySource::Header(name) => {
            found.extend(head.named(bytes, name.as_bytes()).take(2).map(<[u8]>::to_vec));
        }
        KeySource::Cookie(name) => {
            let pairs = head.values(bytes, Known::Cookie).flat_map(cookie::pairs);
            let values = pairs.filter(|(key, _)| *key == name.as_bytes()).take(2);
            found.extend(values.map(|(_, value)| value.to_vec()));
        }
        KeySource::Query(name) => {
            let query = head.target.query.map(|query| query.of(bytes)).unwrap_or_default();
            let pairs = query::parameters(query);
            let values = pairs.filter(|(key, _)| *query::decode(key) == *name.as_bytes()).take(2);
            found.extend(values.map(|(_, value)| query::decode(value).into_owned()));
        }
    }
    match found.len() {
        1 => found.pop().filter(|value| value.len() <= KEY_MAX),
        _ => None,
    }
}

impl Policy for ApiKey {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        let owner = value_at(&self.from, exchange).and_then(|key| self.owners.get(&sha256(&key)));
        let Some(owner) = owner else {
            // RFC 9110 §15.5.2 wants a challenge; there is no registered scheme for keys.
            exchange.changes().response.set(b"www-authenticate", b"ApiKey");
            return Verdict::Refuse(Failure::new(Reason::NoCredentials));
        };
        let request = &mut exchange.changes().request;
        if let Some(field) = &self.owner_field {
            request.claim(field);
            request.add(field, owner.as_bytes());
        }
        if let (KeySource::Header(name), false) = (&self.from, self.pass) {
            request.remove(name.as_bytes());
        }
        Verdict::Pass
    }
}
