//! `rewrite`: path, query and host as servers get them. Whatever a client sends and a template makes of
//! it, the result is a normal path below one slash, and a query, of visible ASCII.

use std::borrow::Cow;

use evenkeel_codec::{RequestError, host, path, query};
use evenkeel_config::model::{self, PathRewrite, QueryRewrite};

use super::template::{self, Place, Said, encode, is_path_byte, is_unreserved};
use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::{self, Exchange};

/// Longest target that is made; many servers take no longer one.
const TARGET_MAX: usize = 16 * 1024;

pub(super) struct Rewrite(model::Rewrite);

impl Rewrite {
    pub(super) fn compile(settings: &model::Rewrite) -> Self {
        Self(settings.clone())
    }

    fn apply(&self, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
        if exchange.path() == b"*" {
            return Ok(()); // it is about the server, not about anything on it (RFC 9112 §3.2.4)
        }
        let before = exchange.changed.as_ref().and_then(|changes| changes.target.as_deref());
        let (path, sent) = match before.map(split) {
            Some(target) => target,
            None => {
                let query = exchange.head.target.query;
                (exchange.path(), query.map(|query| query.of(exchange.buffer.all())))
            }
        };
        let mut target = Vec::with_capacity(path.len() + 32);
        match self.path(exchange, path)? {
            Cow::Borrowed(path) => target.extend_from_slice(path),
            Cow::Owned(path) => target = path,
        }
        write_query(&mut target, exchange, sent, &self.0.query);
        if target.len() > TARGET_MAX {
            return Err(Failure::new(Reason::BadPath("rewritten_path_too_long")));
        }
        let host = self.host(exchange)?;
        let changes = exchange.changes();
        changes.target = Some(target);
        changes.host = host.or_else(|| changes.host.take());
        Ok(())
    }

    fn path<'p>(&self, exchange: &Exchange<'_>, path: &'p [u8]) -> Result<Cow<'p, [u8]>, Failure> {
        let made = match &self.0.path {
            None => return Ok(Cow::Borrowed(path)),
            Some(PathRewrite::Prefix { from, to }) => {
                let rest = path.strip_prefix(from.as_bytes());
                match rest.filter(|rest| rest.is_empty() || rest.first() == Some(&b'/')) {
                    Some(rest) => [to.as_bytes(), rest].concat(),
                    None => return Ok(Cow::Borrowed(path)),
                }
            }
            Some(PathRewrite::Set(template)) => {
                let mut made = Vec::with_capacity(64);
                template::write(&mut made, template, exchange, Place::Path, Said::default());
                made
            }
            Some(PathRewrite::Regex { pattern, to }) => {
                match pattern.0.replace_all(path, to.as_bytes()) {
                    Cow::Borrowed(_) => return Ok(Cow::Borrowed(path)),
                    Cow::Owned(made) => made,
                }
            }
        };
        normal(exchange, &made).map(Cow::Owned)
    }

    fn host(&self, exchange: &Exchange<'_>) -> Result<Option<Vec<u8>>, Failure> {
        let Some(template) = &self.0.host else { return Ok(None) };
        let mut made = Vec::with_capacity(64);
        template::write(&mut made, template, exchange, Place::Field, Said::default());
        match host::parse(&made) {
            Some(_) => Ok(Some(made)),
            None => Err(Failure::new(Reason::BadRequest(RequestError::BadHost))),
        }
    }
}

impl Policy for Rewrite {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        match self.apply(exchange) {
            Ok(()) => Verdict::Pass,
            Err(failure) => Verdict::Refuse(failure),
        }
    }
}

fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => {
            let (path, query) = target.split_at_checked(at).unwrap_or_default();
            (path, query.get(1..))
        }
        None => (target, None),
    }
}

/// The path in normal form, as if the client had sent it; it begins with exactly one slash, since
/// `//name` may be taken for a host.
fn normal(exchange: &Exchange<'_>, made: &[u8]) -> Result<Vec<u8>, Failure> {
    if made.len() > TARGET_MAX {
        return Err(Failure::new(Reason::BadPath("rewritten_path_too_long")));
    }
    let slashes = made.iter().take_while(|byte| **byte == b'/').count();
    let mut clean = vec![b'/'];
    let may_stand = |byte: u8| is_path_byte(byte) && byte != b'?';
    encode(&mut clean, made.get(slashes..).unwrap_or_default(), may_stand);
    let Some(listener) = exchange.listener() else { return Ok(clean) };
    let mut out = Vec::with_capacity(clean.len());
    match path::normalise(&clean, &exchange::path_rules(listener), &mut out) {
        Ok(path::Normalised::Unchanged) => Ok(clean),
        Ok(path::Normalised::Changed) => {
            let slashes = out.iter().take_while(|byte| **byte == b'/').count();
            out.drain(..slashes.saturating_sub(1));
            Ok(out)
        }
        Err(error) => Err(Failure::new(Reason::BadPath(error.reason()))),
    }
}

fn write_query(
    target: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    sent: Option<&[u8]>,
    edits: &QueryRewrite,
) {
    let mut separator = b'?';
    if edits.is_none() {
        if let Some(query) = sent {
            target.push(separator);
            target.extend_from_slice(query);
        }
        return;
    }
    let is = |names: &[String], name: &[u8]| names.iter().any(|one| one.as_bytes() == name);
    let pieces = sent.unwrap_or_default().split(|byte| *byte == b'&');
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
        let name = query::decode(name);
        let is_kept = edits.keep.as_ref().is_none_or(|keep| is(keep, &name));
        let is_set = edits.set.iter().any(|(set, _)| set.as_bytes() == &*name);
        if is_kept && !is_set && !is(&edits.remove, &name) {
            target.push(separator);
            target.extend_from_slice(piece);
            separator = b'&';
        }
    }
    for (name, value) in &edits.set {
        target.push(separator);
        encode(target, name.as_bytes(), is_unreserved);
        target.push(b'=');
        template::write_encoded(target, value, exchange);
        separator = b'&';
    }
}
