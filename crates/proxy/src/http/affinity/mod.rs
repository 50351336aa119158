//! A client stays with its server by a cookie: what a request's cookie says, keeping it from
//! servers, and setting it when the client is bound anew. Not the choice of the server; hashed
//! affinity needs nothing here.

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use aws_lc_rs::rand;
use evenkeel_balancer::hash_key;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{Known, ResponseHead, cookie, syntax};
use evenkeel_config::model::{SameSite, SecretKey, StickyCookie};
use evenkeel_runtime as runtime;

use crate::http::exchange::Exchange;
use crate::snapshot::PoolSettings;

mod token;

use token::{Claim, Tokens};

/// Cookies of our name that are looked at: a client has one, or one for each of a few paths.
const LOOKED_AT_MAX: usize = 4;

/// A pool's sticky cookie, ready to be read and set.
pub(crate) struct Stickiness {
    tokens: Tokens,
    config: StickyCookie,
    /// What follows the value in `Set-Cookie`, but for `Secure`.
    attributes: Box<str>,
}

/// The server that a client is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Hash of its key.
    pub(crate) server: u64,
    /// More than half of the binding's time is gone.
    ages: bool,
    /// It is not bound anew, whoever answers this request.
    pub(crate) stays: bool,
}

impl Stickiness {
    pub(crate) fn compile(pool: &str, config: &StickyCookie) -> Self {
        let tokens = match config.keys.as_slice() {
            [] => Tokens::new(pool, process_key()),
            keys => Tokens::new(pool, keys),
        };
        Self { tokens, attributes: attributes(config).into(), config: config.clone() }
    }

    /// Whom the client is bound to; `None` if it is new, or its cookie cannot be believed.
    pub(crate) fn read(&self, exchange: &Exchange<'_>) -> Option<Bound> {
        if plant::is(Bug::StickyForgotten) {
            return None;
        }
        let bytes = exchange.buffer.all();
        let name = self.config.name.as_bytes();
        let now = seconds();
        let claim = exchange
            .head
            .values(bytes, Known::Cookie)
            .flat_map(cookie::pairs)
            .filter(|(given, _)| *given == name)
            .take(LOOKED_AT_MAX)
            .find_map(|(_, value)| self.tokens.read(value, self.config.ttl, now))?;
        let age = now.saturating_sub(claim.issued);
        let ages = self.config.ttl.is_some_and(|ttl| age.saturating_mul(2) > ttl.as_secs());
        Some(Bound { server: claim.server, ages, stays: false })
    }

    /// Writes a `Cookie` line without our own: servers never see it, whatever they log or echo.
    pub(crate) fn write_others(&self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let own = self.config.name.as_bytes();
        let is_own = |piece: &[u8]| match memchr::memchr(b'=', piece) {
            Some(at) => piece.get(..at).is_some_and(|name| syntax::trim(name) == own),
            None => false,
        };
        let begin = out.len();
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        let mut first = true;
        for piece in value
            .split(|byte| *byte == b';')
            .filter(|piece| !is_own(piece) || plant::is(Bug::CookieReachesServers))
        {
            if first {
                out.extend_from_slice(syntax::trim(piece));
            } else {
                out.push(b';');
                out.extend_from_slice(piece);
            }
            first = false;
        }
        if first {
            out.truncate(begin);
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether this response binds its client to the server that gave it. One that cannot serve
/// (RFC 9110 §15.6) binds nobody.
pub(crate) fn binds<'s>(
    exchange: &'s Exchange<'_>,
    response: &ResponseHead,
) -> Option<&'s Stickiness> {
    let pool: &PoolSettings = exchange.generation.snapshot.pool(exchange.pool?)?;
    let stickiness = pool.stickiness.as_ref()?;
    let is_kept = exchange
        .bound
        .is_some_and(|bound| bound.stays || !bound.ages && bound.server == server(exchange))
        || exchange.bound.is_some() && plant::is(Bug::NeverRebound);
    (!is_kept && response.status < 500).then_some(stickiness)
}

/// Writes `Set-Cookie`, and keeps shared caches from giving it to others: RFC 9111 §7.3 lets them
/// store a response with `Set-Cookie`, and §3 forbids it once `private` is said, whatever else is.
pub(crate) fn write_binding(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    stickiness: &Stickiness,
    is_private: bool,
) {
    let begin = out.len();
    let _ = write!(out, "set-cookie: {}=", stickiness.config.name);
    let claim = Claim { server: server(exchange), issued: seconds() };
    if stickiness.tokens.write(out, claim).is_none() {
        return out.truncate(begin);
    }
    out.extend_from_slice(stickiness.attributes.as_bytes());
    if stickiness.config.secure.unwrap_or_else(|| is_secure(exchange)) {
        out.extend_from_slice(b"; Secure");
    }
    out.extend_from_slice(b"\r\n");
    if !is_private {
        out.extend_from_slice(b"cache-control: private\r\n");
    }
}

/// Whether a response's `Cache-Control` keeps it out of shared caches by itself (RFC 9111 §5.2.2).
pub(crate) fn is_private(value: &[u8]) -> bool {
    let keeps = |directive: &[u8]| {
        directive.eq_ignore_ascii_case(b"private") || directive.eq_ignore_ascii_case(b"no-store")
    };
    syntax::list(value).any(keeps)
}

/// Whether a field speaks to caches over the head of `Cache-Control` (RFC 9213 §2.2).
pub(crate) fn is_targeted_at_caches(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"cdn-cache-control")
}

/// Hash of the key of the server that the exchange was sent to.
fn server(exchange: &Exchange<'_>) -> u64 {
    exchange.server.as_ref().map_or(0, |known| hash_key(known.target.key.as_bytes()))
}

/// Whether the client came over TLS: here, or as far as a trusted peer says.
fn is_secure(exchange: &Exchange<'_>) -> bool {
    let bytes = exchange.buffer.all();
    let told = || exchange.head.field(bytes, Known::XForwardedProto);
    exchange.connection.is_secure()
        || exchange.trusted && told().is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"))
}

fn attributes(config: &StickyCookie) -> String {
    let mut text = format!("; Path={}", config.path);
    if let Some(domain) = &config.domain {
        text.push_str("; Domain=");
        text.push_str(domain);
    }
    if let Some(ttl) = config.ttl {
        text.push_str("; Max-Age=");
        text.push_str(&ttl.as_secs().to_string());
    }
    if config.http_only {
        text.push_str("; HttpOnly");
    }
    text.push_str(match config.same_site {
        SameSite::Strict => "; SameSite=Strict",
        SameSite::Lax => "; SameSite=Lax",
        SameSite::None => "; SameSite=None",
    });
    text
}

fn seconds() -> u64 {
    runtime::wall_clock().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

static PROCESS_KEY: OnceLock<Vec<SecretKey>> = OnceLock::new();

/// Continues the key of a predecessor; of no use once a pool has been served without a key.
pub fn continue_process_key(key: SecretKey) {
    let _ = PROCESS_KEY.set(vec![key]);
}

/// One key for all pools that have none, for as long as the process lives: a new configuration
/// leaves its sessions alone. Empty if there is no randomness.
pub fn process_key() -> &'static [SecretKey] {
    PROCESS_KEY.get_or_init(|| {
        let mut key = [0; 32];
        rand::fill(&mut key).map(|()| SecretKey::new(key, None)).into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stickiness() -> Stickiness {
        let config = StickyCookie {
            name: "evenkeel".into(),
            ttl: Some(Duration::from_secs(60)),
            path: "/".into(),
            domain: Some("example.org".into()),
            secure: None,
            http_only: true,
            same_site: SameSite::Lax,
            keys: vec![SecretKey::new([7; 32], None)],
        };
        Stickiness::compile("app", &config)
    }

    #[test]
    fn servers_see_all_cookies_but_ours_and_these_byte_for_byte() {
        for (sent, seen) in [
            ("a=b; evenkeel=x; c = d", "Cookie: a=b; c = d\r\n"),
            ("evenkeel=x; a=b;  c=d", "Cookie: a=b;  c=d\r\n"),
            ("a=b; evenkeel=x", "Cookie: a=b\r\n"),
            ("evenkeel=x", ""),
            ("evenkeel=x; evenkeel = y", ""),
            ("evenkeels=x; Evenkeel=y; evenkeel", "Cookie: evenkeels=x; Evenkeel=y; evenkeel\r\n"),
            ("a=\"b=c\";;d", "Cookie: a=\"b=c\";;d\r\n"),
        ] {
            let mut out = Vec::new();
            stickiness().write_others(&mut out, b"Cookie", sent.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), seen, "{sent}");
        }
    }

    #[test]
    fn attributes_are_those_of_the_configuration() {
        let expected = "; Path=/; Domain=example.org; Max-Age=60; HttpOnly; SameSite=Lax";
        assert_eq!(&*stickiness().attributes, expected);
    }

    #[test]
    fn a_response_is_private_if_it_says_so_for_all_of_it() {
        for (value, expected) in [
            ("private", true),
            ("max-age=60, No-Store", true),
            ("public, max-age=60", false),
            ("private=\"set-cookie\"", false), // RFC 9111 §5.2.2.7: for that field only
            ("x-private", false),
        ] {
            assert_eq!(is_private(value.as_bytes()), expected, "{value}");
        }
    }
}
