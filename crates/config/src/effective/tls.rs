//! TLS at listeners, written out.

use serde_json::{Map, Value, json};

use super::{literal, path};
use crate::model::{CertificateFiles, ClientAuth, Listener, ListenerTls, TlsVersion};
use crate::read::show_duration;

/// What a listener has of it.
pub(super) fn of_listener(listener: &Listener) -> Map<String, Value> {
    let mut map = Map::new();
    if let Some(tls) = &listener.tls {
        map.insert("tls".into(), self::tls(tls));
    }
    let protocols = [
        ("h1", listener.protocols.h1),
        ("h2", listener.protocols.h2),
        ("h3", listener.protocols.h3),
    ];
    map.insert("protocols".into(), chosen(&protocols));
    if let Some(redirect) = &listener.redirect_https {
        let status = redirect.status.to_string();
        map.insert("redirect".into(), json!({ "port": redirect.port, "status": status }));
    }
    map
}

fn chosen(words: &[(&str, bool)]) -> Value {
    words.iter().filter(|(_, is)| *is).map(|(word, _)| json!(word)).collect()
}

fn file(file: &std::path::Path) -> Value {
    literal(&path(file))
}

fn tls(tls: &ListenerTls) -> Value {
    let mut map = Map::new();
    map.insert("min_version".into(), version(tls.min_version));
    map.insert("certificates".into(), tls.certificates.iter().map(certificate).collect());
    if !tls.acme.is_empty() {
        map.insert("acme".into(), json!(tls.acme));
    }
    map.insert("strict_names".into(), tls.strict_names.into());
    map.extend(tls.client_auth.as_ref().map(|auth| ("client_auth".to_owned(), client_auth(auth))));
    let mut tickets = Map::new();
    tickets.extend(tls.tickets.keys.as_ref().map(|keys| ("keys".to_owned(), file(keys))));
    tickets.insert("lifetime".into(), show_duration(tls.tickets.lifetime).into());
    let tickets = if tls.tickets.enabled { tickets.into() } else { json!(false) };
    map.insert("tickets".into(), tickets);
    let hsts = tls.hsts.as_ref().map_or(json!(false), |hsts| {
        json!({
            "max_age": show_duration(hsts.max_age),
            "subdomains": hsts.subdomains,
            "preload": hsts.preload,
        })
    });
    map.insert("hsts".into(), hsts);
    map.insert("early_data".into(), tls.early_data.into());
    map.into()
}

/// The oldest version that is spoken.
pub(super) fn version(version: TlsVersion) -> Value {
    match version {
        TlsVersion::V12 => "1.2".into(),
        TlsVersion::V13 => "1.3".into(),
    }
}

/// A certificate and its key.
pub(super) fn certificate(files: &CertificateFiles) -> Value {
    let mut map = Map::new();
    map.insert("cert".into(), file(&files.cert));
    map.insert("key".into(), file(&files.key));
    map.extend(files.ocsp.as_ref().map(|ocsp| ("ocsp".to_owned(), file(ocsp))));
    map.into()
}

fn client_auth(auth: &ClientAuth) -> Value {
    let forward = &auth.forward;
    let mut words = chosen(&[
        ("details", forward.details),
        ("certificate", forward.certificate),
        ("chain", forward.chain),
    ]);
    if words.as_array().is_some_and(Vec::is_empty) {
        words = json!("nothing");
    }
    let crl: Value = auth.crl.iter().map(|crl| file(crl)).collect();
    json!({
        "ca": file(&auth.ca),
        "mode": if auth.optional { "optional" } else { "required" },
        "crl": crl,
        "forward": words,
    })
}
