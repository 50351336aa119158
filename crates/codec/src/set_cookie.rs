//! `Set-Cookie` (RFC 6265 §4.1, and what browsers do by its revision): attributes in place of others.

use crate::syntax::trim;

/// What becomes of the attributes of a cookie; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes<'c> {
    /// In place of the domain that there is; empty takes it away.
    pub domain: Option<&'c [u8]>,
    /// The path.
    pub path: Option<Path<'c>>,
    /// `Secure`.
    pub secure: Option<bool>,
    /// `HttpOnly`.
    pub http_only: Option<bool>,
    /// `SameSite`, and its value.
    pub same_site: Option<&'c [u8]>,
    /// `Partitioned`.
    pub partitioned: Option<bool>,
}

/// A change of the path.
#[derive(Clone, Copy, Debug)]
pub enum Path<'c> {
    /// This one, whatever it was.
    Set(&'c [u8]),
    /// The second in place of the first, on segment boundaries; both without a slash at their end.
    Replace(&'c [u8], &'c [u8]),
}

/// The name of the cookie that a value sets.
pub fn name(value: &[u8]) -> &[u8] {
    let pair = value.split(|byte| *byte == b';').next().unwrap_or_default();
    trim(pair.get(..memchr::memchr(b'=', pair).unwrap_or(0)).unwrap_or_default())
}

/// Writes the value with changed attributes. Name, value and whatever is not changed stay as they
/// are, and cookies keep what browsers demand of their names: one whose name begins with `__Host-` has
/// no domain, the path `/`, and is secure, as one with `__Secure-` is.
pub fn write(out: &mut Vec<u8>, value: &[u8], changes: &Changes<'_>) {
    let begins = |prefix: &[u8]| {
        name(value).get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_bound = begins(b"__host-");
    let mut changes = *changes;
    if is_bound {
        (changes.domain, changes.path) = (None, None);
    }
    if is_bound || begins(b"__secure-") {
        changes.secure = changes.secure.filter(|secure| *secure);
    }
    let mut parts = value.split(|byte| *byte == b';');
    out.extend_from_slice(trim(parts.next().unwrap_or_default()));
    for part in parts {
        let part = trim(part);
        let at = memchr::memchr(b'=', part).unwrap_or(part.len());
        let (key, rest) = part.split_at_checked(at).unwrap_or_default();
        let (key, old) = (trim(key), trim(rest.get(1..).unwrap_or_default()));
        let is = |name: &[u8]| key.eq_ignore_ascii_case(name);
        match () {
            () if part.is_empty() => {}
            () if is(b"secure") && changes.secure.is_some() => {}
            () if is(b"httponly") && changes.http_only.is_some() => {}
            () if is(b"samesite") && changes.same_site.is_some() => {}
            () if is(b"partitioned") && changes.partitioned.is_some() => {}
            () if is(b"domain") && changes.domain.is_some() => {
                let domain = changes.domain.unwrap_or_default();
                if !domain.is_empty() {
                    push(out, b"Domain=", domain);
                }
            }
            () if is(b"path") => match changes.path {
                Some(Path::Set(_)) => {}
                Some(Path::Replace(from, to)) => match replaced(old, from) {
                    Some(rest) if to.is_empty() && rest.is_empty() => push(out, b"Path=", b"/"),
                    Some(rest) => {
                        push(out, b"Path=", to);
                        out.extend_from_slice(rest);
                    }
                    None => push(out, b"", part),
                },
                None => push(out, b"", part),
            },
            () => push(out, b"", part),
        }
    }
    if let Some(Path::Set(path)) = changes.path {
        push(out, b"Path=", path);
    }
    if changes.secure == Some(true) {
        push(out, b"Secure", b"");
    }
    if changes.http_only == Some(true) {
        push(out, b"HttpOnly", b"");
    }
    if let Some(same_site) = changes.same_site {
        push(out, b"SameSite=", same_site);
    }
    if changes.partitioned == Some(true) {
        push(out, b"Partitioned", b"");
    }
}

/// What follows the prefix, if the path has it.
fn replaced<'p>(path: &'p [u8], from: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.extend_from_slice(b"; ");
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str, changes: &Changes<'_>) -> String {
        let mut out = Vec::new();
        write(&mut out, value.as_bytes(), changes);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn what_is_not_changed_stays() {
        let value = "a=b=c; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; X";
        assert_eq!(written(value, &Changes::default()), value);
        assert_eq!((name(b" a =b;c=d"), name(b"x"), name(b"")), (&b"a"[..], &b""[..], &b""[..]));
    }

    #[test]
    fn attributes_are_replaced_whatever_their_case() {
        let changes = Changes {
            domain: Some(b"b.example"),
            path: Some(Path::Set(b"/app")),
            secure: Some(true),
            http_only: Some(false),
            same_site: Some(b"Lax"),
            partitioned: Some(false),
        };
        assert_eq!(
            written(
                "s=1;DOMAIN=a.example; path = /x; HTTPONLY; samesite=None; Partitioned",
                &changes
            ),
            "s=1; Domain=b.example; Path=/app; Secure; SameSite=Lax"
        );
        assert_eq!(
            written("s=1", &Changes { path: None, ..changes }),
            "s=1; Secure; SameSite=Lax",
            "a cookie of one host stays one"
        );
    }

    #[test]
    fn a_paths_prefix_is_replaced_on_segment_boundaries() {
        let changes = |to| Changes { path: Some(Path::Replace(b"/app", to)), ..Changes::default() };
        for (value, to, expected) in [
            ("a=b; Path=/app", &b""[..], "a=b; Path=/"),
            ("a=b; Path=/app/x", b"", "a=b; Path=/x"),
            ("a=b; Path=/app/x", b"/y", "a=b; Path=/y/x"),
            ("a=b; Path=/apps", b"/y", "a=b; Path=/apps"),
            ("a=b", b"/y", "a=b"),
        ] {
            assert_eq!(written(value, &changes(to)), expected);
        }
    }

    #[test]
    fn cookies_keep_what_browsers_demand_of_their_names() {
        let changes = Changes {
            domain: Some(b"b.example"),
            path: Some(Path::Set(b"/app")),
            secure: Some(false),
            ..Changes::default()
        };
        assert_eq!(written("__Host-s=1; Path=/; Secure", &changes), "__Host-s=1; Path=/; Secure");
        assert_eq!(written("__Secure-s=1; Secure", &changes), "__Secure-s=1; Secure; Path=/app");
    }
}
