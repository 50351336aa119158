//! NTLM and Negotiate sign in a connection, not a request (RFC 4559 §6): whoever is given that
//! connection next would act as the client that signed in. Owns how to tell; not what comes of it.

use evenkeel_codec::{Known, ResponseHead, syntax};

use crate::http::exchange::Exchange;

const SCHEMES: [&[u8]; 2] = [b"ntlm", b"negotiate"];

/// Whether the client is signing in on the server's connection, or is asked to.
pub(crate) fn is_bound(exchange: &Exchange<'_>, response: &ResponseHead, bytes: &[u8]) -> bool {
    let mut credentials = exchange.head.values(exchange.buffer.all(), Known::Authorization);
    if credentials.any(has_scheme) {
        return true;
    }
    let is_challenge = |name: &[u8]| name.eq_ignore_ascii_case(b"www-authenticate");
    // A list of challenges; a comma inside of one only makes more to look at.
    response.status == 401
        && response
            .fields
            .iter()
            .filter(|field| is_challenge(field.name.of(bytes)))
            .any(|field| syntax::list(field.value.of(bytes)).any(has_scheme))
}

fn has_scheme(value: &[u8]) -> bool {
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    SCHEMES.iter().any(|bound| bound.eq_ignore_ascii_case(scheme))
}
