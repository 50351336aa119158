//! TLS to servers, and where certificates come from by themselves, written out.

use serde_json::{Map, Value, json};

use super::{literal, optional, path, tls};
use crate::model::{Acme, AcmeChallenge, PoolProtocol, PoolTls};

/// `tls` of a pool or a check.
pub(super) fn tls(settings: &PoolTls) -> Value {
    let mut map = Map::new();
    let ca = settings.ca.as_deref().map(path);
    map.extend(optional("ca", ca.as_deref()));
    map.extend(optional("sni", settings.sni.as_deref()));
    map.insert("verify".into(), settings.verify.into());
    let client = settings.client.as_ref().map(tls::certificate);
    map.extend(client.map(|client| ("client".to_owned(), client)));
    map.insert("min_version".into(), tls::version(settings.min_version));
    map.into()
}

/// `protocol` of a pool.
pub(super) fn protocol(protocol: PoolProtocol) -> Value {
    match protocol {
        PoolProtocol::H1 => "h1".into(),
        PoolProtocol::H2 => "h2".into(),
        PoolProtocol::Auto => "auto".into(),
        PoolProtocol::H3 => "h3".into(),
    }
}

/// The section `acme`.
pub(super) fn acme(acme: &Acme) -> Value {
    let mut map = Map::new();
    map.insert("directory".into(), literal(&acme.directory));
    let contact: Vec<Value> = acme.contact.iter().map(|mail| literal(mail)).collect();
    if !contact.is_empty() {
        map.insert("contact".into(), contact.into());
    }
    map.insert("storage".into(), literal(&path(&acme.storage)));
    if let Some(challenge) = acme.challenge {
        let word = match challenge {
            AcmeChallenge::Http01 => "http-01",
            AcmeChallenge::TlsAlpn01 => "tls-alpn-01",
        };
        map.insert("challenge".into(), json!(word));
    }
    let ca = acme.ca.as_deref().map(path);
    map.extend(optional("ca", ca.as_deref()));
    map.into()
}
