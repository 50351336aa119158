//! TLS at listeners, the versions of HTTP they speak, and the redirect to `https`.

use std::path::PathBuf;

use super::acme;
use crate::diagnostic::Diagnostic;
use crate::model::{
    CertificateFiles, ClientAuth, ForwardedCertificate, Hsts, HttpsRedirect, ListenerTls,
    Protocols, Tickets, TlsVersion,
};
use crate::option::{CERTIFICATE, CLIENT_AUTH, HSTS, HTTPS_REDIRECT, Kind, LISTENER_TLS, TICKETS};
use crate::read::{Findings, Options, choice_of, one_or_many, text};
use crate::tree::{Node, Value};

/// TLS of the listener `name`.
pub(super) fn listener(node: &Node, name: &str, found: &mut Findings) -> ListenerTls {
    let options = Options::read(node, &LISTENER_TLS, found);
    let owner = format!("listeners.{name}");
    let nodes = options.node("certificates").map(one_or_many).unwrap_or_default();
    let tls = ListenerTls {
        min_version: min_version(&options, found),
        certificates: nodes.iter().filter_map(|n| certificate(n, &owner, found)).collect(),
        acme: acme::names(&options, found),
        strict_names: options.bool("strict_names", found),
        client_auth: options.node("client_auth").and_then(|n| client_auth(n, &owner, found)),
        tickets: tickets(&options, &owner, found),
        hsts: options.switched("hsts", &HSTS, found).map(|options| hsts(&options, found)),
        early_data: options.bool("early_data", found),
    };
    if nodes.is_empty() && tls.acme.is_empty() {
        let span = options.span_of("certificates");
        found.push(
            Diagnostic::error("no-certificate", span, "a listener with `tls` needs a certificate")
                .help("write `certificates: [{ cert: FILE, key: FILE }]`, or `acme: NAME`; `evenkeel cert self-signed NAME` makes one to try"),
        );
    }
    tls
}

/// The oldest version that is spoken.
pub(super) fn min_version(options: &Options<'_>, found: &mut Findings) -> TlsVersion {
    match options.choice("min_version", found) {
        Some("1.3") => TlsVersion::V13,
        _ => TlsVersion::V12,
    }
}

/// A certificate and its key.
pub(super) fn certificate(
    node: &Node,
    owner: &str,
    found: &mut Findings,
) -> Option<CertificateFiles> {
    let options = Options::read(node, &CERTIFICATE, found);
    let (cert, key) = (file(&options, "cert", owner, found), file(&options, "key", owner, found));
    let ocsp = file(&options, "ocsp", owner, found);
    Some(CertificateFiles { cert: cert?, key: key?, ocsp })
}

/// A file of this option; where it is named is kept, for what is wrong in it.
pub(super) fn file(
    options: &Options<'_>,
    key: &str,
    owner: &str,
    found: &mut Findings,
) -> Option<PathBuf> {
    options.node(key).and_then(|node| path(node, owner, found))
}

fn path(node: &Node, owner: &str, found: &mut Findings) -> Option<PathBuf> {
    let written = text(node, found)?;
    if written.is_empty() {
        found.error("bad-value", node.span, "the name of a file is expected here");
        return None;
    }
    found.1.note(owner, written, node.span);
    Some(written.into())
}

fn client_auth(node: &Node, owner: &str, found: &mut Findings) -> Option<ClientAuth> {
    let options = Options::read(node, &CLIENT_AUTH, found);
    let crl = options.node("crl").map(one_or_many).unwrap_or_default();
    let crl = crl.iter().filter_map(|node| path(node, owner, found)).collect();
    let optional = options.choice("mode", found) == Some("optional");
    let forward = forward(&options, found);
    Some(ClientAuth { ca: file(&options, "ca", owner, found)?, optional, crl, forward })
}

fn forward(options: &Options<'_>, found: &mut Findings) -> ForwardedCertificate {
    let Some(node) = options.node("forward") else {
        return ForwardedCertificate { details: true, ..ForwardedCertificate::default() };
    };
    let words = words(node, &CLIENT_AUTH, "forward", found);
    if words.len() > 1 && words.contains(&"nothing") {
        found.error("bad-value", node.span, "`nothing` stands alone");
    }
    ForwardedCertificate {
        details: words.contains(&"details"),
        certificate: words.contains(&"certificate"),
        chain: words.contains(&"chain"),
    }
}

/// The words written for an option that takes one or several of a choice.
fn words(
    node: &Node,
    object: &'static crate::option::Object,
    key: &str,
    found: &mut Findings,
) -> Vec<&'static str> {
    let option = object.options.iter().find(|option| option.key == key);
    let Some(Kind::OneOrMany(Kind::Choice(words))) = option.map(|option| option.kind) else {
        return Vec::new();
    };
    let nodes = one_or_many(node).iter();
    nodes.filter_map(|n| choice_of(text(n, found)?, words, n.span, found)).collect()
}

fn tickets(options: &Options<'_>, owner: &str, found: &mut Findings) -> Tickets {
    let switched = options.switched("tickets", &TICKETS, found);
    let enabled = switched.is_some();
    let tickets = switched.unwrap_or(Options::defaults(&TICKETS, options.span));
    Tickets {
        enabled,
        keys: file(&tickets, "keys", owner, found),
        lifetime: tickets.duration("lifetime", found),
    }
}

fn hsts(options: &Options<'_>, found: &mut Findings) -> Hsts {
    Hsts {
        max_age: options.duration("max_age", found),
        subdomains: options.bool("subdomains", found),
        preload: options.bool("preload", found),
    }
}

/// The versions of HTTP of a listener, encrypted or not.
pub(super) fn protocols(
    options: &Options<'_>,
    tls: Option<&ListenerTls>,
    found: &mut Findings,
) -> Protocols {
    let early = tls.is_some_and(|tls| tls.early_data);
    let protocols = match options.node("protocols") {
        None => Protocols { h1: true, h2: true, h3: false },
        Some(node) => {
            let words = words(node, options.object, "protocols", found);
            let has = |word: &str| words.contains(&word);
            if one_or_many(node).is_empty() {
                found.error("bad-value", node.span, "a listener speaks at least one protocol");
            }
            Protocols { h1: has("h1"), h2: has("h2"), h3: has("h3") }
        }
    };
    if protocols.h3 && tls.is_none() {
        let span = options.span_of("protocols");
        found.error("bad-value", span, "`h3` needs `tls`: HTTP/3 is always encrypted");
    }
    if early && !protocols.h3 {
        found.error("bad-value", options.span_of("tls"), "`early_data` needs `h3` in `protocols`");
    }
    protocols
}

/// Where a listener sends requests that are not encrypted.
pub(super) fn redirect(
    options: &Options<'_>,
    is_encrypted: bool,
    found: &mut Findings,
) -> Option<HttpsRedirect> {
    let node = options.node("redirect")?;
    if is_encrypted {
        found.push(
            Diagnostic::error(
                "bad-value",
                node.span,
                "this listener's requests are encrypted already",
            )
            .help("`redirect: https` belongs to a listener without `tls`"),
        );
    }
    if let Value::Scalar { text, .. } = &node.value {
        choice_of(text, &[("https", "")], node.span, found)?;
        return Some(HttpsRedirect { port: 443, status: 308 });
    }
    let options = Options::read(node, &HTTPS_REDIRECT, found);
    let port = options.count("port", found).and_then(|port| u16::try_from(port).ok());
    let status = if options.choice("status", found) == Some("301") { 301 } else { 308 };
    Some(HttpsRedirect { port: port.unwrap_or(443), status })
}
