//! `redirect`: sends clients to the one spelling of a site's address. The host is the one that the
//! client asked for, with or without `www.`; path and query stay.

use evenkeel_codec::RequestError;
use evenkeel_config::model::{Canonical, Www};

use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::http::forwarded;
use crate::http::local_reply::Reply;

pub(super) struct Redirect(pub(super) Canonical);

impl Redirect {
    /// The answer, if the address is not spelled as it should be.
    fn answer(&self, exchange: &Exchange<'_>) -> Result<Option<Reply>, Failure> {
        let bytes = exchange.buffer.all();
        let host = exchange.head.host_name.of(bytes);
        let is_encrypted = exchange.connection.is_secure() || forwarded::was_encrypted(exchange);
        let to_https = self.0.https && !is_encrypted;
        let (www, host) = match (self.0.www, host) {
            (Www::Add, host) if takes_www(host) => (&b"www."[..], host),
            (Www::Remove, [b'w' | b'W', b'w' | b'W', b'w' | b'W', b'.', rest @ ..])
                if rest.contains(&b'.') =>
            {
                (&b""[..], rest)
            }
            _ if to_https => (&b""[..], host),
            _ => return Ok(None),
        };
        if host.is_empty() {
            // An old client that names none: what follows would be taken for it.
            return Err(Failure::new(Reason::BadRequest(RequestError::BadHost)));
        }
        let mut fields = Vec::with_capacity(128);
        let scheme: &[u8] = if to_https || is_encrypted { b"https://" } else { b"http://" };
        for part in [b"location: ", scheme, www, host] {
            fields.extend_from_slice(part);
        }
        let port = match (to_https, exchange.head.port) {
            (true, _) if self.0.port == 443 => None,
            (true, _) => Some(self.0.port),
            (false, port) => port,
        };
        if let Some(port) = port {
            fields.push(b':');
            forwarded::write_number(&mut fields, port.into());
        }
        fields.extend_from_slice(exchange.path_from(0));
        if let Some(query) = exchange.head.target.query {
            fields.push(b'?');
            fields.extend_from_slice(query.of(bytes));
        }
        fields.extend_from_slice(b"\r\n");
        Ok(Some(Reply { status: self.0.status, fields, ..Reply::default() }))
    }
}

/// A name, not an address, without `www.` and with a dot.
fn takes_www(host: &[u8]) -> bool {
    let is_address = host.first() == Some(&b'[')
        || host.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let has_www = host.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"www."));
    !host.is_empty() && !is_address && !has_www && host.contains(&b'.')
}

impl Policy for Redirect {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        match self.answer(exchange) {
            Ok(None) => Verdict::Pass,
            Ok(Some(reply)) => Verdict::Answer(Box::new(reply)),
            Err(failure) => Verdict::Refuse(failure),
        }
    }
}
