//! Who asks, and what they may: tokens, and what betrays a browser that was led here. Which rank an
//! operation needs is in `operations`.

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, header};
use evenkeel_config::model::{Admin, Registration};

use super::problem::Problem;

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Nothing: says no more than whether the process lives.
    Anyone,
    /// May look.
    Reader,
    /// May change everything.
    Operator,
    /// May register itself, and nothing else.
    Service,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Whoever may open the Unix socket.
    Local,
    /// An address.
    Remote(IpAddr),
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// Nobody in particular.
    Anyone,
    /// May look; the token's name.
    Reader(String),
    /// May change everything; the token's name, or `local`.
    Operator(String),
    /// May register what this says.
    Service(Box<Registration>),
}

impl Who {
    /// For the log and the history.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anyone => "anyone",
            Self::Reader(name) | Self::Operator(name) => name,
            Self::Service(registration) => &registration.name,
        }
    }

    fn may(&self, rank: Rank) -> bool {
        match rank {
            Rank::Anyone => true,
            Rank::Reader => matches!(self, Self::Reader(_) | Self::Operator(_)),
            Rank::Operator => matches!(self, Self::Operator(_)),
            Rank::Service => matches!(self, Self::Service(_)),
        }
    }
}

/// Who asks, if they may do what needs `rank`.
///
/// # Errors
/// 401 for nobody known, 403 for somebody who may not.
pub(crate) fn admit(
    settings: &Admin,
    peer: Peer,
    headers: &HeaderMap,
    rank: Rank,
) -> Result<Who, Problem> {
    refuse_browsers(headers)?;
    if rank == Rank::Anyone {
        return Ok(Who::Anyone);
    }
    let who = identify(settings, peer, headers)?;
    if who.may(rank) {
        return Ok(who);
    }
    let (what, help) = match (rank, &who) {
        (Rank::Service, _) => {
            ("is no registration token", "add one to `admin: registrations` in the configuration")
        }
        (_, Who::Service(_)) => ("may register a service and do nothing else", ""),
        _ => ("may only look", "use a token without `read_only`"),
    };
    let problem =
        Problem::new(StatusCode::FORBIDDEN, "forbidden", format!("`{}` {what}", who.name()));
    Err(if help.is_empty() { problem } else { problem.help(help) })
}

/// A page that a user visits can make the browser send requests to any address, this one included
/// (cross-site requests, DNS rebinding); nothing that is meant for this API says that it comes from
/// a page.
fn refuse_browsers(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    if site || headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "from-a-page",
            "this request comes from a web page (`Origin` or `Sec-Fetch-Site`), and pages may not ask",
        ));
    }
    match headers.get_all(header::HOST).iter().count() {
        1 => Ok(()),
        n => Err(Problem::bad("bad-host", format!("{n} `Host` fields: exactly 1 is needed"))),
    }
}

fn identify(settings: &Admin, peer: Peer, headers: &HeaderMap) -> Result<Who, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let secret = match (given.next(), given.next(), peer) {
        (None, _, Peer::Local) => return Ok(Who::Operator("local".into())),
        (None, _, Peer::Remote(_)) => return Err(unknown("a token is needed")),
        (Some(_), Some(_), _) => return Err(unknown("two `Authorization` fields")),
        (Some(value), None, _) => bearer(value.as_bytes())
            .ok_or_else(|| unknown("`Authorization` is not `Bearer TOKEN`"))?,
    };
    // All are compared, so that the time tells nothing of which one came close.
    let mut who = None;
    for token in &settings.tokens {
        if is_same(secret, token.secret.expose().as_bytes()) {
            who = Some(match token.read_only {
                true => Who::Reader(token.name.clone()),
                false => Who::Operator(token.name.clone()),
            });
        }
    }
    for registration in &settings.registrations {
        if is_same(secret, registration.secret.expose().as_bytes()) {
            who = Some(Who::Service(Box::new(registration.clone())));
        }
    }
    who.ok_or_else(|| unknown("this token is not known"))
}

fn unknown(why: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", why)
        .help("send `Authorization: Bearer TOKEN` with one of `admin: tokens` of the configuration")
        .header(header::WWW_AUTHENTICATE, "Bearer realm=\"evenkeel\"")
}

/// RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && !secret.is_empty())
        .then(|| secret.trim_ascii_start())
}

/// Takes as long wherever the difference is. An empty secret is nobody's.
fn is_same(given: &[u8], known: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != known.len() || known.is_empty());
    for (at, byte) in given.iter().enumerate() {
        let other = known.get(at % known.len().max(1)).copied().unwrap_or_default();
        differs |= std::hint::black_box(byte ^ other);
    }
    differs == 0
}

#[cfg(test)]
mod tests {
    use evenkeel_config::model::{AdminBind, AdminToken, Secret};

    use super::*;

    const REMOTE: Peer = Peer::Remote(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn settings() -> Admin {
        let token = |name: &str, read_only| AdminToken {
            name: name.into(),
            secret: Secret::new(format!("{name}-0123456789abcdef"), None),
            read_only,
        };
        Admin {
            bind: AdminBind::Off,
            tokens: vec![token("ops", false), token("eyes", true)],
            state: None,
            history: 20,
            registrations: Vec::new(),
        }
    }

    fn ask(peer: Peer, rank: Rank, fields: &[(&'static str, &str)]) -> Result<Who, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        admit(&settings(), peer, &headers, rank).map_err(|p| p.into_response().status().as_u16())
    }

    #[test]
    fn whoever_opens_the_unix_socket_may_do_everything() {
        assert!(matches!(ask(Peer::Local, Rank::Operator, &[]), Ok(Who::Operator(_))));
        let wrong = [("authorization", "Bearer nonsense-nonsense")];
        assert_eq!(ask(Peer::Local, Rank::Reader, &wrong).err(), Some(401), "a wrong one is wrong");
    }

    #[test]
    fn over_tcp_a_token_decides() {
        let ops = [("authorization", "bearer ops-0123456789abcdef")];
        let eyes = [("authorization", "Bearer eyes-0123456789abcdef")];
        assert!(ask(REMOTE, Rank::Operator, &ops).is_ok());
        assert!(ask(REMOTE, Rank::Reader, &eyes).is_ok());
        assert_eq!(ask(REMOTE, Rank::Operator, &eyes).err(), Some(403));
        assert_eq!(ask(REMOTE, Rank::Service, &ops).err(), Some(403));
        assert_eq!(ask(REMOTE, Rank::Reader, &[]).err(), Some(401));
        for wrong in ["Bearer", "Bearer ", "Basic b3Bz", "Bearer ops", "ops-0123456789abcdef"] {
            assert_eq!(ask(REMOTE, Rank::Reader, &[("authorization", wrong)]).err(), Some(401));
        }
        assert_eq!(ask(REMOTE, Rank::Reader, &[ops[0], eyes[0]]).err(), Some(401));
        assert!(ask(REMOTE, Rank::Anyone, &[]).is_ok());
    }

    #[test]
    fn what_a_page_sends_is_refused_even_locally() {
        for field in [
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("origin", "null"),
        ] {
            assert_eq!(ask(Peer::Local, Rank::Reader, &[field]).err(), Some(403), "{field:?}");
        }
        assert_eq!(ask(Peer::Local, Rank::Reader, &[("host", "other")]).err(), Some(400));
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        for (given, known) in [("ab", "abc"), ("abcabc", "abc"), ("", "abc"), ("", ""), ("a", "")] {
            assert!(!is_same(given.as_bytes(), known.as_bytes()), "{given} {known}");
        }
    }
}
