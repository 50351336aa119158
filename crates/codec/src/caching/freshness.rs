//! How long an answer is fresh, and how old it is (RFC 9111 §4.2).

use std::time::{Duration, SystemTime};

use super::control::seconds;
use super::{Fields, ResponseControl};

/// What is configured about answers that do not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// How long one of this status is fresh.
    pub ttl: Option<Duration>,
    /// The longest that is guessed from its age; zero: nothing is guessed.
    pub heuristic_max: Duration,
    /// Used while it is renewed, after that.
    pub stale_while_revalidate: Duration,
    /// Used in place of errors, after that.
    pub stale_if_error: Duration,
}

/// How long an answer may be used, from when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// How long it is fresh.
    pub fresh: Duration,
    /// How long after that it may be used while it is renewed.
    pub while_revalidate: Duration,
    /// How long after that it may be used if it cannot be renewed.
    pub if_error: Duration,
    /// It is never used without asking.
    pub always_asks: bool,
    /// It is never used stale, not even if the server cannot be asked.
    pub strict: bool,
    /// Said by the server, not configured or guessed.
    pub is_explicit: bool,
}

/// How an answer that came in is dated.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The clock on the wall when it came.
    pub at: SystemTime,
    /// Time between the request and the answer.
    pub delay: Duration,
}

/// Of the freshness of what changes: a tenth of how long it has not (RFC 9111 §4.2.2).
const HEURISTIC_SHARE: u32 = 10;

/// §4.2.1; `None` if nothing says how long, and nothing can be guessed.
pub fn lifetime(
    status: u16,
    control: &ResponseControl,
    fields: Fields<'_>,
    received: Received,
    defaults: &Defaults,
) -> Option<Lifetime> {
    let date = date(fields).unwrap_or(received.at);
    let explicit = explicit(control, fields, date);
    let fresh = explicit
        .or(defaults.ttl)
        .or_else(|| heuristic(status, control, fields, date, defaults.heuristic_max));
    // What is never used without asking needs no time.
    let fresh = fresh.or(control.no_cache.then_some(Duration::ZERO))?;
    let stated = |stated: Option<u64>, default| stated.map_or(default, Duration::from_secs);
    // §5.2.2.2, §5.2.2.8, §5.2.2.10: s-maxage means proxy-revalidate.
    let strict = control.must_revalidate
        || control.proxy_revalidate
        || control.s_maxage.is_some()
        || control.no_cache;
    // RFC 5861 §3, §4: what is said for itself of the times after that is meant, even so.
    let swr = control.stale_while_revalidate;
    let sie = control.stale_if_error;
    let denied = control.must_revalidate || control.proxy_revalidate || control.no_cache;
    let after = |stated_time: Option<u64>, default| match stated_time {
        _ if denied => Duration::ZERO,
        None if strict => Duration::ZERO,
        stated_time => stated(stated_time, default),
    };
    Some(Lifetime {
        fresh,
        while_revalidate: after(swr, defaults.stale_while_revalidate),
        if_error: after(sie, defaults.stale_if_error),
        always_asks: control.no_cache,
        strict,
        is_explicit: explicit.is_some(),
    })
}

/// What the server says: `s-maxage`, `max-age`, `Expires`, in this order.
fn explicit(control: &ResponseControl, fields: Fields<'_>, date: SystemTime) -> Option<Duration> {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return Some(Duration::from_secs(seconds));
    }
    let mut expires = fields.values(b"expires");
    let first = expires.next()?;
    // §5.3: what is no date is in the past, and of several none is believed.
    let at = match expires.next() {
        None => parse_date(first),
        Some(_) => None,
    };
    Some(at.and_then(|at| at.duration_since(date).ok()).unwrap_or_default())
}

/// §4.2.2: only where the status allows it (RFC 9110 §15.1) or it is public, and it has a date of
/// its last change.
fn heuristic(
    status: u16,
    control: &ResponseControl,
    fields: Fields<'_>,
    date: SystemTime,
    max: Duration,
) -> Option<Duration> {
    if max.is_zero() || !(control.public || is_heuristic(status)) {
        return None;
    }
    let changed = parse_date(fields.value(b"last-modified")?)?;
    let unchanged = date.duration_since(changed).ok()?;
    Some((unchanged / HEURISTIC_SHARE).min(max))
}

/// RFC 9110 §15.1. (206 is not stored here.)
pub fn is_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// §4.2.3: how old an answer was when it came.
pub fn initial_age(fields: Fields<'_>, received: Received) -> Duration {
    let apparent = date(fields).and_then(|date| received.at.duration_since(date).ok());
    // §5.1: of several the first; what is no number is as if it were not there.
    let stated = fields.value(b"age").and_then(|age| {
        let first = age.split(|byte| *byte == b',').next().unwrap_or_default();
        seconds(crate::syntax::trim(first))
    });
    let corrected = Duration::from_secs(stated.unwrap_or(0)).saturating_add(received.delay);
    apparent.unwrap_or_default().max(corrected)
}

fn date(fields: Fields<'_>) -> Option<SystemTime> {
    parse_date(fields.value(b"date")?)
}

/// A date of HTTP in any of its three forms (RFC 9110 §5.6.7).
pub fn parse_date(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    const NOON: &str = "Date: Sun, 06 Nov 1994 12:00:00 GMT";

    fn noon() -> SystemTime {
        parse_date(b"Sun, 06 Nov 1994 12:00:00 GMT").unwrap()
    }

    fn of(status: u16, lines: &[&str], defaults: &Defaults) -> Option<Lifetime> {
        let (head, bytes) = sample::response(status, lines);
        let fields = Fields { fields: &head.fields, bytes: &bytes };
        let received = Received { at: noon(), delay: Duration::ZERO };
        lifetime(status, &ResponseControl::of(fields), fields, received, defaults)
    }

    fn fresh(lines: &[&str]) -> Option<u64> {
        of(200, lines, &Defaults::default()).map(|lifetime| lifetime.fresh.as_secs())
    }

    #[test]
    fn rfc_9111_4_2_1_s_maxage_comes_before_max_age_and_that_before_expires() {
        let expires = "expires: Sun, 06 Nov 1994 12:00:30 GMT";
        assert_eq!(fresh(&[NOON, expires]), Some(30));
        assert_eq!(fresh(&[NOON, expires, "cache-control: max-age=20"]), Some(20));
        let both = "cache-control: max-age=20, s-maxage=10";
        assert_eq!(fresh(&[NOON, expires, both]), Some(10));
        assert_eq!(fresh(&[NOON]), None);
    }

    #[test]
    fn rfc_9111_5_3_expires_that_is_no_date_has_passed() {
        for bad in ["0", "-1", "tomorrow", "Sun, 06 Nov 1994 11:00:00 GMT"] {
            assert_eq!(fresh(&[NOON, &format!("expires: {bad}")]), Some(0), "{bad}");
        }
        let one = "expires: Sun, 06 Nov 1994 12:00:30 GMT";
        assert_eq!(fresh(&[NOON, one, one]), Some(0));
    }

    #[test]
    fn rfc_9111_4_2_2_freshness_is_guessed_only_where_that_is_allowed_and_bounded() {
        let defaults = Defaults { heuristic_max: Duration::from_secs(3600), ..Defaults::default() };
        let changed = "last-modified: Sun, 06 Nov 1994 11:50:00 GMT";
        let long_ago = "last-modified: Tue, 06 Nov 1984 11:50:00 GMT";
        let guess =
            |status, lines: &[&str]| of(status, lines, &defaults).map(|l| l.fresh.as_secs());
        assert_eq!(guess(200, &[NOON, changed]), Some(60));
        assert_eq!(guess(200, &[NOON, long_ago]), Some(3600));
        assert_eq!(guess(302, &[NOON, changed]), None);
        assert_eq!(guess(302, &[NOON, changed, "cache-control: public"]), Some(60));
        assert_eq!(guess(200, &[NOON]), None);
        assert_eq!(fresh(&[NOON, changed]), None, "switched off");
    }

    #[test]
    fn rfc_9111_4_2_3_age_is_the_greater_of_what_the_clocks_and_the_field_say() {
        let age = |lines: &[&str], late: u64, delay: u64| {
            let (head, bytes) = sample::response(200, lines);
            let fields = Fields { fields: &head.fields, bytes: &bytes };
            let at = noon() + Duration::from_secs(late);
            let received = Received { at, delay: Duration::from_secs(delay) };
            initial_age(fields, received).as_secs()
        };
        assert_eq!(age(&[NOON], 7, 0), 7);
        assert_eq!(age(&[NOON, "age: 30"], 7, 2), 32);
        assert_eq!(age(&[NOON, "age: x"], 7, 2), 7);
        assert_eq!(age(&[NOON, "age: 5, 9"], 0, 0), 5);
        assert_eq!(age(&[], 7, 3), 3);
        let ahead = "date: Sun, 06 Nov 1994 13:00:00 GMT";
        assert_eq!(age(&[ahead], 0, 0), 0, "a clock that is ahead");
    }

    #[test]
    fn rfc_9111_5_2_2_what_must_be_revalidated_is_never_used_stale() {
        let defaults = Defaults {
            stale_while_revalidate: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(6),
            ..Defaults::default()
        };
        let of = |lines: &[&str]| of(200, lines, &defaults).unwrap();
        let plain = of(&["cache-control: max-age=1"]);
        assert_eq!((plain.while_revalidate.as_secs(), plain.if_error.as_secs()), (5, 6));
        for strict in ["must-revalidate", "proxy-revalidate", "s-maxage=1", "no-cache"] {
            let strict = of(&[&format!("cache-control: max-age=1, {strict}")]);
            let after = strict.while_revalidate + strict.if_error;
            assert!(strict.strict && after.is_zero(), "{strict:?}");
        }
        assert!(of(&["cache-control: no-cache"]).always_asks);
    }

    #[test]
    fn rfc_5861_3_and_4_what_the_server_says_of_stale_answers_counts() {
        let said = "cache-control: max-age=1, stale-while-revalidate=30, stale-if-error=40";
        let said = of(200, &[said], &Defaults::default()).unwrap();
        assert_eq!((said.while_revalidate.as_secs(), said.if_error.as_secs()), (30, 40));
        let denied = "cache-control: max-age=1, stale-if-error=40, must-revalidate";
        assert!(of(200, &[denied], &Defaults::default()).unwrap().if_error.is_zero());
    }
}
