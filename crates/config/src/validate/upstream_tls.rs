//! TLS to servers, and the version of HTTP they are spoken to in.

use std::net::IpAddr;

use super::server::Schemes;
use super::tls::{certificate, file, min_version};
use crate::diagnostic::Diagnostic;
use crate::model::{PoolProtocol, PoolTls, TlsVersion};
use crate::option::{POOL_TLS, PROBE_TLS};
use crate::read::{Findings, Options};
use crate::tree::Value;

/// `tls` of the pool `name`; also what its servers' addresses say about it.
pub(super) fn of_pool(
    options: &Options<'_>,
    name: &str,
    schemes: &Schemes,
    found: &mut Findings,
) -> Option<PoolTls> {
    let owner = format!("pools.{name}");
    let tls = match options.node("tls") {
        None if schemes.https.is_some() => Some(PoolTls::default()),
        None => None,
        Some(_) => options
            .switched("tls", &POOL_TLS, found)
            .map(|options| read(&options, &owner, &PoolTls::default(), found)),
    };
    let clash = match &tls {
        Some(_) => schemes.http,
        None => schemes.https,
    };
    if let Some(clash) = clash {
        found.push(
            Diagnostic::error(
                "mixed-schemes",
                clash,
                "the servers of a pool are all spoken to over TLS, or none",
            )
            .help("write `host:port` and `tls` of the pool, or the same scheme everywhere"),
        );
    }
    tls
}

/// `tls` of a check: what is not written is as in the pool.
pub(super) fn of_probe(
    options: &Options<'_>,
    is_https: bool,
    pool: Option<&PoolTls>,
    owner: &str,
    found: &mut Findings,
) -> Option<PoolTls> {
    let base = pool.cloned().unwrap_or_default();
    let Some(node) = options.node("tls") else {
        return (is_https || pool.is_some()).then_some(base);
    };
    if let Value::Scalar { .. } = &node.value {
        let is_on = options.switched("tls", &PROBE_TLS, found).is_some();
        if is_https && !is_on {
            let message = "an `https` check is over TLS; one without is `http`";
            found.error("bad-value", node.span, message);
        }
        return is_on.then_some(base);
    }
    let options = Options::read(node, &PROBE_TLS, found);
    Some(read(&options, owner, &base, found))
}

fn read(options: &Options<'_>, owner: &str, base: &PoolTls, found: &mut Findings) -> PoolTls {
    let has = |key: &str| options.node(key).is_some();
    let client = options.node("client").and_then(|node| certificate(node, owner, found));
    let tls = PoolTls {
        ca: file(options, "ca", owner, found).or_else(|| base.ca.clone()),
        sni: options.text("sni", found).or_else(|| base.sni.clone()),
        verify: if has("verify") { options.bool("verify", found) } else { base.verify },
        client: client.or_else(|| base.client.clone()),
        min_version: match has("min_version") {
            true => min_version(options, found),
            false => base.min_version,
        },
    };
    if let Some(name) = tls.sni.as_ref().filter(|name| !is_name(name)) {
        let message = format!("`{name}` is no name that a certificate can have");
        found.error("bad-value", options.span_of("sni"), message);
    }
    if has("ca") && !tls.verify {
        let span = options.span_of("ca");
        found.push(Diagnostic::warning("no-effect", span, "`ca` is not used with `verify: false`"));
    }
    if has("verify") && !tls.verify {
        found.push(
            Diagnostic::warning(
                "unverified",
                options.span_of("verify"),
                "whoever answers is taken for the server: what is sent can be read and changed on the way",
            )
            .help("`ca: FILE` trusts an authority of your own; `sni` names what is in the certificate"),
        );
    }
    tls
}

/// A DNS name or an address.
pub(super) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.parse::<IpAddr>().is_ok() || text.len() <= 253 && text.split('.').all(is_label)
}

/// `protocol` of a pool.
pub(super) fn protocol(
    options: &Options<'_>,
    is_encrypted: bool,
    found: &mut Findings,
) -> PoolProtocol {
    let word = options.choice("protocol", found);
    if let Some(word @ ("auto" | "h3")) = word
        && !is_encrypted
    {
        let why = match word {
            "auto" => "`auto` is agreed on in the TLS handshake",
            _ => "HTTP/3 is always encrypted",
        };
        found.push(
            Diagnostic::error(
                "bad-value",
                options.span_of("protocol"),
                format!("`protocol: {word}` needs `tls`: {why}"),
            )
            .help("write `tls: true` too; `h2` works without"),
        );
    }
    match word {
        Some("h2") => PoolProtocol::H2,
        Some("auto") => PoolProtocol::Auto,
        Some("h3") => PoolProtocol::H3,
        _ => PoolProtocol::H1,
    }
}

impl Default for PoolTls {
    fn default() -> Self {
        Self { ca: None, sni: None, verify: true, client: None, min_version: TlsVersion::V12 }
    }
}
