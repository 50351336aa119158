//! What a shared cache may store (RFC 9111 §3), and what invalidates what is stored (§4.4).

use super::{Fields, ResponseControl};
use crate::message::Method;

/// What was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// The request has an `Authorization` (§3.5).
    pub is_authorized: bool,
    /// It says `no-store`.
    pub no_store: bool,
}

/// What is configured about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// A status that is an error, and may be stored.
    pub error: bool,
    /// An answer that sets cookies; they are not stored with it.
    pub cookies: bool,
}

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Server or client said so (§5.2.1.5, §5.2.2.5).
    NoStore,
    /// It is for one client (§5.2.2.7).
    Private,
    /// To a request that said who asks, without a word that others may have it (§3.5).
    Authorized,
    /// It sets cookies: whoever got it again would be somebody else.
    SetsCookies,
    /// An error, or a part, or of a status that is not understood (§3, §3.3).
    Status,
    /// Each is only for the request that it was made for (§4.1).
    VariesByAll,
    /// Nothing says how long it may be used.
    NoLifetime,
}

/// Whether the answer to a GET may be stored, if there is a lifetime for it.
///
/// # Errors
/// Why not.
pub fn may_store(
    status: u16,
    control: &ResponseControl,
    fields: Fields<'_>,
    asked: Asked,
    allowed: Allowed,
) -> Result<(), Refusal> {
    // §5.2.2.3: who understands the status may store what others may not.
    let no_store = control.no_store && !(control.must_understand && is_understood(status));
    if no_store || asked.no_store {
        return Err(Refusal::NoStore);
    }
    if control.private {
        return Err(Refusal::Private);
    }
    if !is_understood(status) || (status >= 400 && !allowed.error) {
        return Err(Refusal::Status);
    }
    if asked.is_authorized && !is_for_all(control) {
        return Err(Refusal::Authorized);
    }
    let named = control.withheld.iter().any(|name| name == b"set-cookie");
    if fields.has(b"set-cookie") && !allowed.cookies && !named {
        return Err(Refusal::SetsCookies);
    }
    if super::Vary::of(fields).is_none() {
        return Err(Refusal::VariesByAll);
    }
    Ok(())
}

/// §3.5: even where the request said who asks.
fn is_for_all(control: &ResponseControl) -> bool {
    control.public || control.s_maxage.is_some() || control.must_revalidate
}

/// Final, whole, and nothing that belongs to one request: a 206 is a part, a 304 is about another
/// answer.
fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300..=303 | 307 | 308 | 400 | 401 | 403..=406 | 410 | 414 | 421 | 451
            | 500..=504
    )
}

/// §4.4: what an unsafe request without an error may have changed. Of `Location` and
/// `Content-Location` only what is of the same origin, or anybody could empty the cache of others.
pub fn invalidates(method: Method, status: u16) -> bool {
    let is_unknown = matches!(method, Method::Other);
    (is_unknown || !method.is_safe()) && matches!(status, 200..=399)
}

/// The path and query that a URI reference names, if it is of the same origin; `host` may have a
/// port. References relative to a path are left alone.
pub fn same_origin<'u>(uri: &'u [u8], scheme: &[u8], host: &[u8]) -> Option<&'u [u8]> {
    let uri = uri.split(|byte| *byte == b'#').next().unwrap_or_default();
    let rest = match uri.split_at_checked(scheme.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => {
            rest.strip_prefix(b":").unwrap_or(uri)
        }
        _ => uri,
    };
    if let Some(rest) = rest.strip_prefix(b"//") {
        let (authority, path) = rest.split_at_checked(host.len())?;
        if !authority.eq_ignore_ascii_case(host) {
            return None;
        }
        return match path {
            b"" => Some(b"/"),
            [b'/', ..] => Some(path),
            _ => None,
        };
    }
    rest.starts_with(b"/").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn store(status: u16, lines: &[&str], asked: Asked, allowed: Allowed) -> Result<(), Refusal> {
        let (head, bytes) = sample::response(status, lines);
        let fields = Fields { fields: &head.fields, bytes: &bytes };
        may_store(status, &ResponseControl::of(fields), fields, asked, allowed)
    }

    fn plainly(status: u16, lines: &[&str]) -> Result<(), Refusal> {
        store(status, lines, Asked::default(), Allowed::default())
    }

    #[test]
    fn rfc_9111_3_what_is_said_to_be_private_or_not_stored_is_not() {
        assert_eq!(plainly(200, &["cache-control: max-age=9"]), Ok(()));
        assert_eq!(plainly(200, &["cache-control: no-store"]), Err(Refusal::NoStore));
        assert_eq!(plainly(200, &["cache-control: private, max-age=9"]), Err(Refusal::Private));
        assert_eq!(plainly(200, &["vary: *"]), Err(Refusal::VariesByAll));
        let asked = Asked { no_store: true, ..Asked::default() };
        assert_eq!(store(200, &[], asked, Allowed::default()), Err(Refusal::NoStore));
    }

    #[test]
    fn rfc_9111_5_2_2_3_must_understand_overrides_no_store_where_the_status_is_understood() {
        let both = ["cache-control: no-store, must-understand, max-age=9"];
        assert_eq!(plainly(200, &both), Ok(()));
        assert_eq!(plainly(299, &both), Err(Refusal::NoStore));
    }

    #[test]
    fn rfc_9111_3_5_answers_to_who_said_who_asks_are_stored_only_where_that_is_allowed() {
        let asked = Asked { is_authorized: true, ..Asked::default() };
        let store = |control: &str| {
            store(200, &[&format!("cache-control: {control}")], asked, Allowed::default())
        };
        assert_eq!(store("max-age=9"), Err(Refusal::Authorized));
        for allowed in ["public", "s-maxage=9", "max-age=9, must-revalidate"] {
            assert_eq!(store(allowed), Ok(()), "{allowed}");
        }
        assert_eq!(store("max-age=9, proxy-revalidate"), Err(Refusal::Authorized));
    }

    #[test]
    fn m3_errors_are_stored_only_where_that_is_configured_and_parts_never() {
        for status in [400, 404, 500, 503] {
            let told = ["cache-control: public, max-age=9"];
            assert_eq!(plainly(status, &told), Err(Refusal::Status), "{status}");
            let allowed = Allowed { error: true, ..Allowed::default() };
            assert_eq!(store(status, &told, Asked::default(), allowed), Ok(()), "{status}");
        }
        for status in [206, 304, 299, 599] {
            let allowed = Allowed { error: true, ..Allowed::default() };
            let stored = store(status, &["cache-control: max-age=9"], Asked::default(), allowed);
            assert_eq!(stored, Err(Refusal::Status), "{status}");
        }
    }

    #[test]
    fn rfc_9111_7_3_answers_that_set_cookies_are_not_stored_unless_without_them() {
        let lines = ["cache-control: max-age=9", "set-cookie: a=b"];
        assert_eq!(plainly(200, &lines), Err(Refusal::SetsCookies));
        let allowed = Allowed { cookies: true, ..Allowed::default() };
        assert_eq!(store(200, &lines, Asked::default(), allowed), Ok(()));
        let named = ["cache-control: max-age=9, no-cache=\"set-cookie\"", "set-cookie: a=b"];
        assert_eq!(plainly(200, &named), Ok(()), "§5.2.2.4: it is left out");
    }

    #[test]
    fn rfc_9111_4_4_unsafe_requests_invalidate_unless_they_fail() {
        for method in [Method::Post, Method::Put, Method::Delete, Method::Patch, Method::Other] {
            assert!(invalidates(method, 204) && invalidates(method, 303), "{method:?}");
            assert!(!invalidates(method, 404) && !invalidates(method, 500), "{method:?}");
        }
        assert!(!invalidates(Method::Get, 200) && !invalidates(Method::Options, 200));
    }

    #[test]
    fn rfc_9111_4_4_only_uris_of_the_same_origin_are_invalidated() {
        let of = |uri: &'static str| same_origin(uri.as_bytes(), b"http", b"a.example:81");
        assert_eq!(of("/x?y#z"), Some(&b"/x?y"[..]));
        assert_eq!(of("http://A.example:81/x"), Some(&b"/x"[..]));
        assert_eq!(of("HTTP://a.example:81"), Some(&b"/"[..]));
        assert_eq!(of("//a.example:81/x"), Some(&b"/x"[..]));
        for other in ["http://a.example/x", "https://a.example:81/x", "http://a.example:811/x", "x"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
