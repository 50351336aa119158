//! `cors`: which sites' scripts may ask (Fetch, §3.3). What browsers ask beforehand is answered here, and
//! what is said about it is said here alone.

use evenkeel_codec::{Method, cors};
use evenkeel_config::model::{self, Origin};

use super::{Answered, Passing, Policy, Steps, Verdict};
use crate::http::exchange::Exchange;
use crate::http::local_reply::Reply;

const ALLOW_ORIGIN: &[u8] = b"access-control-allow-origin";
const ALLOW_CREDENTIALS: &[u8] = b"access-control-allow-credentials";
const EXPOSE: &[u8] = b"access-control-expose-headers";
/// Fields of answers that are ours to say.
const OURS: [&[u8]; 3] = [ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE];
/// Longest list of fields that is repeated to who asks for it.
const ASKED_MAX: usize = 4096;

pub(super) struct Cors {
    settings: model::Cors,
    /// Everybody is told the same.
    is_open: bool,
    methods: Vec<u8>,
    /// `None`: whatever is asked for.
    headers: Option<Vec<u8>>,
    expose: Vec<u8>,
}

impl Cors {
    pub(super) fn compile(settings: &model::Cors) -> Self {
        let any = settings.headers.iter().any(|name| name == "*");
        Self {
            is_open: settings.origins.contains(&Origin::Any),
            methods: match settings.methods.as_slice() {
                [] => b"GET, HEAD, POST".to_vec(),
                methods => methods.join(", ").into_bytes(),
            },
            headers: (!any).then(|| settings.headers.join(", ").into_bytes()),
            expose: settings.expose.join(", ").into_bytes(),
            settings: settings.clone(),
        }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.settings.origins.iter().any(|allowed| match allowed {
            Origin::Any => true,
            Origin::Exact(exact) => origin.eq_ignore_ascii_case(exact.as_bytes()),
            Origin::Below { scheme, parent } => {
                cors::is_below(origin, scheme.as_bytes(), parent.as_bytes())
            }
        })
    }

    /// The answer to what a browser asks beforehand; the origin is dealt with as for every answer.
    fn preflight(&self, exchange: &Exchange<'_>) -> Option<Reply> {
        if exchange.head.method != Method::Options {
            return None;
        }
        one(exchange, b"access-control-request-method")?;
        let origin = one(exchange, b"origin")?;
        let mut fields = Vec::with_capacity(256);
        let mut say = |name: &[u8], value: &[u8]| {
            if !value.is_empty() {
                for part in [name, b": ", value, b"\r\n"] {
                    fields.extend_from_slice(part);
                }
            }
        };
        if self.allows(origin) {
            say(b"access-control-allow-methods", &self.methods);
            match &self.headers {
                Some(headers) => say(b"access-control-allow-headers", headers),
                None => {
                    let asked = one(exchange, b"access-control-request-headers");
                    let asked = asked.filter(|asked| asked.len() <= ASKED_MAX);
                    say(b"access-control-allow-headers", asked.unwrap_or_default());
                }
            }
            let max_age = self.settings.max_age.as_secs().to_string();
            say(b"access-control-max-age", max_age.as_bytes());
            let private = one(exchange, b"access-control-request-private-network");
            if self.settings.private_network && private == Some(b"true") {
                say(b"access-control-allow-private-network", b"true");
            }
        }
        // Browsers do not keep it in a cache of answers, but others may (RFC 9110 §12.5.5).
        say(b"vary", b"access-control-request-method, access-control-request-headers");
        Some(Reply { status: 204, fields, ..Reply::default() })
    }
}

/// The value of a field that is there once.
fn one<'e>(exchange: &'e Exchange<'_>, name: &'e [u8]) -> Option<&'e [u8]> {
    let mut values = exchange.head.named(exchange.buffer.all(), name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

impl Policy for Cors {
    fn steps(&self) -> Steps {
        Steps { admit: true, respond: true, over: false }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        match self.preflight(exchange) {
            Some(reply) => Verdict::Answer(Box::new(reply)),
            None => Verdict::Pass,
        }
    }

    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        let origin = one(exchange, b"origin").filter(|origin| self.allows(origin));
        let said: Option<Vec<u8>> = match origin {
            Some(_) if self.is_open => Some(b"*".to_vec()),
            origin => origin.map(<[u8]>::to_vec),
        };
        let is_said = answer.head.is_some_and(|(head, bytes)| {
            let begins = |name: &[u8]| name.get(..14).is_some_and(is_access_control);
            head.fields.iter().any(|field| begins(field.name.of(bytes)))
        });
        let edits = &mut exchange.changes().response;
        if is_said {
            OURS.iter().for_each(|name| edits.hide(name));
        }
        if !self.is_open {
            edits.add(b"vary", b"origin"); // also where nothing is allowed: another may be
        }
        let Some(origin) = said else { return Passing::AsIs };
        edits.set(ALLOW_ORIGIN, &origin);
        if self.settings.credentials {
            edits.set(ALLOW_CREDENTIALS, b"true");
        }
        if !self.expose.is_empty() {
            edits.set(EXPOSE, &self.expose);
        }
        Passing::AsIs
    }
}

fn is_access_control(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"access-control")
}
