//! What one answer is known by (RFC 9111 §2, §4.1). Whatever servers may choose an answer by has to be
//! in it, said by the server's `Vary`, or kept from servers; or one client chooses what others get.

use evenkeel_codec::caching::{Fields, Vary, vary};
use evenkeel_codec::{Known, claims, cookie, query};
use evenkeel_config::model::CacheKey;

use super::fetch::Asked;
use crate::http::exchange::Exchange;
use crate::policy::Edits;

/// Fields by which some frameworks take a request for another one, beside those that only trusted
/// proxies may send; in lower case.
const MASKS: [&[u8]; 5] = [
    b"x-host",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-host",
];

/// Writes the key of an exchange, for answers of `pool`: first what clients see, as
/// `scheme://host/path?query`, then what else counts.
pub(super) fn write(out: &mut Vec<u8>, exchange: &Exchange<'_>, settings: &CacheKey, pool: &str) {
    let (head, bytes) = (&exchange.head, exchange.buffer.all());
    let secure = exchange.connection.is_secure();
    write_origin(out, secure, head.host.of(bytes));
    out.extend_from_slice(exchange.path());
    if let Some(query) = head.target.query {
        write_query(out, query.of(bytes), settings);
    }
    out.push(b'\n');
    out.extend_from_slice(exchange.route().map_or("", |route| &route.name).as_bytes());
    out.push(b'\n');
    out.extend_from_slice(pool.as_bytes());
    if let Some(changed) = &exchange.changed {
        for text in [&changed.target, &changed.host].into_iter().flatten() {
            out.push(b'\n');
            out.extend_from_slice(text);
        }
    }
    for field in &head.fields {
        let name = field.name.of(bytes);
        if !field.hop_by_hop && counts(exchange, field.known, name) {
            write_pair(out, name, field.value.of(bytes));
        }
    }
    let fields = Fields { fields: &head.fields, bytes };
    for name in &settings.fields {
        fields.values(name.as_bytes()).for_each(|value| write_pair(out, name.as_bytes(), value));
    }
    for name in &settings.cookies {
        if let Some(value) = cookie_of(fields, name.as_bytes()) {
            write_pair(out, name.as_bytes(), value);
        }
    }
}

/// Scheme and host as they are written in a key.
pub(super) fn write_origin(out: &mut Vec<u8>, secure: bool, host: &[u8]) {
    let (scheme, port): (&[u8], &[u8]) = match secure {
        true => (b"https://", b":443"),
        false => (b"http://", b":80"),
    };
    out.extend_from_slice(scheme);
    let host = host.strip_suffix(port).unwrap_or(host);
    out.extend(host.iter().map(u8::to_ascii_lowercase));
}

fn write_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(b'\n');
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    out.extend_from_slice(value);
}

/// Path and query as servers get them, if nothing changes them.
pub(super) fn write_target(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    out.extend_from_slice(exchange.path());
    if let Some(query) = exchange.head.target.query {
        out.push(b'?');
        out.extend_from_slice(query.of(exchange.buffer.all()));
    }
}

pub(super) fn write_query(out: &mut Vec<u8>, text: &[u8], settings: &CacheKey) {
    if settings.ignore_query.is_empty() && settings.only_query.is_none() {
        out.push(b'?');
        return out.extend_from_slice(text);
    }
    let mut separator = b'?';
    for piece in text.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
        let name = query::parameters(piece).next().map(|(name, _)| query::decode(name));
        let is = |listed: &String| name.as_deref() == Some(listed.as_bytes());
        let counts = match &settings.only_query {
            Some(only) => only.iter().any(is),
            None => !settings.ignore_query.iter().any(is),
        };
        if counts {
            out.push(separator);
            out.extend_from_slice(piece);
            separator = b'&';
        }
    }
}

/// Whether servers get this field and may take the request for another one by it.
fn counts(exchange: &Exchange<'_>, known: Known, name: &[u8]) -> bool {
    match known {
        Known::XForwardedProto | Known::XForwardedHost | Known::XForwardedPort => exchange.trusted,
        Known::Other if matches!(name, [b'x' | b'X', ..]) => {
            let is_mask = MASKS.iter().any(|mask| name.eq_ignore_ascii_case(mask));
            is_mask || exchange.trusted && claims::of(name).is_some() && !is_ours_alone(name)
        }
        _ => false,
    }
}

/// A cookie of a request.
pub(super) fn cookie_of<'a>(fields: Fields<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = fields.values(b"cookie").flat_map(cookie::pairs);
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Who differs by this is another client each time.
pub(super) fn is_ours_alone(name: &[u8]) -> bool {
    let starts = |start: &[u8]| {
        name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    [b"x-forwarded-for".as_slice(), b"x-real-ip", b"forwarded", b"x-request-id", b"via"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
        || starts(b"client-cert")
        || starts(b"x-client-")
        || starts(b"x-ssl-client")
}

/// Adds what the answers differ by.
pub(super) fn write_selectors(out: &mut Vec<u8>, by: &Vary, asked: &Asked) {
    out.push(b'\n');
    for name in by.names() {
        write_selector(out, name, asked.fields(), |write| write(&asked.edits));
    }
}

/// The same of an exchange that may be answered with one of them.
pub(super) fn write_selectors_of(out: &mut Vec<u8>, by: &Vary, exchange: &Exchange<'_>) {
    let fields = Fields { fields: &exchange.head.fields, bytes: exchange.buffer.all() };
    out.push(b'\n');
    for name in by.names() {
        write_selector(out, name, fields, |write| {
            for chain in exchange.chains() {
                chain.request_edits().for_each(&mut *write);
            }
            if let Some(changed) = &exchange.changed {
                write(&changed.request);
            }
        });
    }
}

/// As servers get the field.
fn write_selector(
    out: &mut Vec<u8>,
    name: &[u8],
    fields: Fields<'_>,
    all: impl Fn(&mut dyn FnMut(&Edits)),
) {
    let (mut is_dropped, mut lines) = (false, Vec::new());
    all(&mut |edits| {
        is_dropped |= edits.drops(name);
        lines.extend_from_slice(&edits.lines);
    });
    let own = fields.values(name).filter(|_| !is_dropped);
    let added = lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b": ")?;
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        found.eq_ignore_ascii_case(name).then_some(value)
    });
    vary::write_selector(out, name, own.chain(added));
}

/// What clients see of a key.
pub(super) fn uri(key: &[u8]) -> &[u8] {
    key.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str, settings: &CacheKey) -> String {
        let mut out = Vec::new();
        write_query(&mut out, text.as_bytes(), settings);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_whole_query_counts_unless_parameters_are_named() {
        assert_eq!(query("b=1&a=2", &CacheKey::default()), "?b=1&a=2");
        let ignore = CacheKey { ignore_query: vec!["utm".into()], ..CacheKey::default() };
        assert_eq!(query("a=1&utm=x&utm&b", &ignore), "?a=1&b");
        assert_eq!(query("u%74m=x&a=1", &ignore), "?a=1", "however it is spelled");
        let only = CacheKey { only_query: Some(vec!["id".into()]), ..CacheKey::default() };
        assert_eq!(query("x=1&id=2", &only), "?id=2");
        assert_eq!(query("x=1", &only), "");
    }

    #[test]
    fn m1_the_origin_is_scheme_host_and_port_in_one_spelling() {
        let origin = |secure, host: &str| {
            let mut out = Vec::new();
            write_origin(&mut out, secure, host.as_bytes());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(origin(false, "A.example:80"), "http://a.example");
        assert_eq!(origin(true, "a.example:443"), "https://a.example");
        assert_eq!(origin(false, "a.example:443"), "http://a.example:443");
    }
}
