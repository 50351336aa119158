//! `client_certificate`.

use serde_json::{Map, Value};

use crate::effective::literal;
use crate::model::ClientCertificate;

pub(super) fn write(rules: &ClientCertificate) -> Value {
    let lists = [
        ("subjects", &rules.subjects),
        ("issuers", &rules.issuers),
        ("names", &rules.names),
        ("fingerprints", &rules.fingerprints),
    ];
    let written = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let all = written.map(|(key, list)| {
        (key.to_owned(), list.iter().map(|text| literal(text)).collect::<Vec<_>>().into())
    });
    all.collect::<Map<_, _>>().into()
}
