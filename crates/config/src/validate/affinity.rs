//! Clients that stay with their server.

use super::balance::{prefix, table};
use super::matching::is_token;
use super::secret::key;
use crate::diagnostic::Diagnostic;
use crate::model::{HashKey, SameSite, Sticky, StickyCookie};
use crate::option::{Kind, SOURCE, STICKY, STICKY_COOKIE, STICKY_WORDS};
use crate::read::{Findings, Options, bool_of, choice_of, first_line, one_or_many, text};
use crate::tree::{Node, Value};

const WAYS: &[&str] = &["cookie", "header", "app_cookie", "query", "source"];

pub(super) fn read(node: &Node, pool: &str, found: &mut Findings) -> Option<Sticky> {
    if let Value::Scalar { text, .. } = &node.value {
        let Kind::Choice(words) = STICKY_WORDS else { return None };
        if let Some(way @ ("header" | "app_cookie" | "query")) =
            WAYS.iter().copied().find(|way| way == text)
        {
            found.push(
                Diagnostic::error("bad-value", node.span, format!("`{way}` needs a name"))
                    .help(format!("write `sticky: {{ {way}: NAME }}`")),
            );
            return None;
        }
        return match choice_of(text, words, node.span, found)? {
            "cookie" => {
                let options = Options::defaults(&STICKY_COOKIE, node.span);
                Some(Sticky::Cookie(cookie(&options, pool, found)))
            }
            _ => {
                let options = Options::defaults(&STICKY, node.span);
                let source = Options::defaults(&SOURCE, node.span);
                Some(Sticky::Source(prefix(&source, found), table(&options, found)))
            }
        };
    }
    let options = Options::read(node, &STICKY, found);
    let table = table(&options, found);
    let (key, node) = options.only_of(WAYS, found)?;
    let mut name = || {
        let name = text(node, found)?.to_owned();
        if !is_token(&name) && (key.text != "query" || name.is_empty()) {
            found.error("bad-value", first_line(node.span), format!("`{name}` is not a name"));
            return None;
        }
        Some(name)
    };
    let by = match key.text.as_str() {
        "header" => HashKey::Header(name()?.to_ascii_lowercase()),
        "app_cookie" => HashKey::Cookie(name()?),
        "query" => HashKey::Query(name()?),
        "source" => {
            let source = Options::read(node, &SOURCE, found);
            return Some(Sticky::Source(prefix(&source, found), table));
        }
        _ => {
            for (key, _) in options.written().filter(|(k, _)| k.text != "cookie") {
                let message =
                    format!("`{}` belongs to hashing; a cookie of ours has none", key.text);
                found.push(Diagnostic::warning("no-effect", key.span, message));
            }
            let options = Options::read(node, &STICKY_COOKIE, found);
            return Some(Sticky::Cookie(cookie(&options, pool, found)));
        }
    };
    Some(Sticky::Key(by, table))
}

fn cookie(options: &Options<'_>, pool: &str, found: &mut Findings) -> StickyCookie {
    let secure = options.text("secure", found).unwrap_or_default();
    let cookie = StickyCookie {
        name: options.text("name", found).unwrap_or_else(|| own_name(pool)),
        ttl: options.duration_if_any("ttl", found),
        path: options.text("path", found).unwrap_or_default(),
        domain: options.text("domain", found),
        secure: match bool_of(&secure) {
            Ok(secure) => Some(secure),
            Err(_) if secure == "auto" => None,
            Err(_) => {
                let message = format!("`{secure}` is none of: auto, true, false");
                found.error("bad-value", options.span_of("secure"), message);
                None
            }
        },
        http_only: options.bool("http_only", found),
        same_site: match options.choice("same_site", found) {
            Some("strict") => SameSite::Strict,
            Some("none") => SameSite::None,
            _ => SameSite::Lax,
        },
        keys: options
            .node("keys")
            .map(one_or_many)
            .unwrap_or_default()
            .iter()
            .filter_map(|node| key(node, found))
            .collect(),
    };
    check(&cookie, options, found);
    cookie
}

/// One for each pool: two at one host must not replace each other's.
fn own_name(pool: &str) -> String {
    let fitting = |c: char| if is_token(c.encode_utf8(&mut [0; 4])) { c } else { '_' };
    format!("evenkeel_{}", pool.chars().map(fitting).collect::<String>())
}

fn check(cookie: &StickyCookie, options: &Options<'_>, found: &mut Findings) {
    if !is_token(&cookie.name) {
        let message = format!("`{}` is not a name of a cookie", cookie.name);
        found.error("bad-value", options.span_of("name"), message);
    }
    // RFC 6265, 4.1.1: any character but controls and `;`.
    let is_value = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b';');
    if !cookie.path.starts_with('/') || !is_value(&cookie.path) {
        let message = format!("`{}` is not a path of a cookie: it begins with `/`", cookie.path);
        found.error("bad-value", options.span_of("path"), message);
    }
    let domain = cookie.domain.as_deref().map(|domain| domain.trim_start_matches('.'));
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if let Some(domain) = domain.filter(|domain| !domain.split('.').all(is_label)) {
        let message = format!("`{domain}` is not a host name");
        found.error("bad-value", options.span_of("domain"), message);
    }
    if options.is_empty_of("keys") {
        found.push(
            Diagnostic::warning(
                "sticky-without-key",
                first_line(options.span),
                "without `keys`, clients lose their server when the process restarts",
            )
            .help("`openssl rand -hex 32` makes a key; write `keys: \"${STICKY_KEY}\"`, and the same in every instance"),
        );
    }
    if cookie.same_site == SameSite::None && cookie.secure != Some(true) {
        found.push(
            Diagnostic::warning(
                "refused-cookie",
                options.span_of("same_site"),
                "browsers refuse a cookie with `SameSite=None` that is not `Secure`",
            )
            .help("add `secure: true`"),
        );
    }
    let (is_host, is_secure) =
        (cookie.name.starts_with("__Host-"), cookie.name.starts_with("__Secure-"));
    if (is_host && (cookie.path != "/" || cookie.domain.is_some()))
        || ((is_host || is_secure) && cookie.secure != Some(true))
    {
        found.push(
            Diagnostic::warning(
                "refused-cookie",
                options.span_of("name"),
                format!("browsers refuse a cookie called `{}` that is not so", cookie.name),
            )
            .help("`__Secure-` needs `secure: true`; `__Host-` also `path: /` and no `domain`"),
        );
    }
}
