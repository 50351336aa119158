//! `Cache-Control` (RFC 9111 §5.2), of answers and of requests. What cannot be read is taken the
//! careful way: an age that is no number is 0, a directive that repeats counts where it is strictest.

use super::Fields;
use crate::syntax::{is_token, number, trim};

/// Members looked at in one head; no honest one has so many.
const MEMBERS_MAX: usize = 64;
/// RFC 9111 §1.2.2: the greatest number of seconds that matters.
const SECONDS_MAX: u64 = 1 << 31;

/// What a server says of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseControl {
    /// Not to be stored.
    pub no_store: bool,
    /// Never used without asking the server first.
    pub no_cache: bool,
    /// For one client only.
    pub private: bool,
    /// For everybody, even where that would not be so.
    pub public: bool,
    /// Never used once it is stale.
    pub must_revalidate: bool,
    /// The same of shared caches.
    pub proxy_revalidate: bool,
    /// Stored only by who understands its status.
    pub must_understand: bool,
    /// Seconds of freshness for shared caches.
    pub s_maxage: Option<u64>,
    /// Seconds of freshness.
    pub max_age: Option<u64>,
    /// Seconds after that in which it may be used while it is renewed (RFC 5861 §3).
    pub stale_while_revalidate: Option<u64>,
    /// Seconds after that in which it is better than an error (RFC 5861 §4).
    pub stale_if_error: Option<u64>,
    /// Fields that are not to be used again without asking (§5.2.2.4), or stored (§5.2.2.7); lower
    /// case.
    pub withheld: Vec<Vec<u8>>,
}

/// What a client says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestControl {
    /// Nothing of this is to be stored.
    pub no_store: bool,
    /// Nothing that was not asked for just now.
    pub no_cache: bool,
    /// Nothing that would have to be asked for.
    pub only_if_cached: bool,
    /// Nothing older.
    pub max_age: Option<u64>,
    /// Nothing that is fresh for less than that.
    pub min_fresh: Option<u64>,
    /// Stale by that much is well enough.
    pub max_stale: Option<u64>,
}

impl ResponseControl {
    /// Of an answer's head.
    pub fn of(fields: Fields<'_>) -> Self {
        let mut control = Self::default();
        for value in fields.values(b"cache-control") {
            members(value, |name, argument| control.take(name, argument));
        }
        control
    }

    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        match &*name.to_ascii_lowercase() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.withhold(argument, |control| control.no_cache = true),
            b"private" => self.withhold(argument, |control| control.private = true),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"s-maxage" => least(&mut self.s_maxage, argument),
            b"max-age" => least(&mut self.max_age, argument),
            b"stale-while-revalidate" => least(&mut self.stale_while_revalidate, argument),
            b"stale-if-error" => least(&mut self.stale_if_error, argument),
            _ => {} // RFC 9111 §5.2.3: what is unknown is nothing
        }
    }

    /// Names fields, or means all of it. What is no list of names means all of it.
    fn withhold(&mut self, argument: Option<&[u8]>, all: impl FnOnce(&mut Self)) {
        let names = argument.unwrap_or_default().split(|byte| *byte == b',').map(trim);
        let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        if names.is_empty() || !names.iter().all(|name| is_token(name)) {
            return all(self);
        }
        self.withheld.extend(names.iter().map(|name| name.to_ascii_lowercase()));
    }
}

impl RequestControl {
    /// Of a request's head. `Pragma: no-cache` counts where there is no `Cache-Control` (§5.4).
    pub fn of(fields: Fields<'_>) -> Self {
        let mut control = Self::default();
        let mut is_said = false;
        for value in fields.values(b"cache-control") {
            is_said = true;
            members(value, |name, argument| control.take(name, argument));
        }
        if !is_said {
            for value in fields.values(b"pragma") {
                members(value, |name, _| {
                    control.no_cache |= name.eq_ignore_ascii_case(b"no-cache")
                });
            }
        }
        control
    }

    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        match &*name.to_ascii_lowercase() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => least(&mut self.max_age, argument),
            b"min-fresh" => {
                let seconds = argument.and_then(seconds).unwrap_or(SECONDS_MAX);
                self.min_fresh = Some(self.min_fresh.unwrap_or(0).max(seconds));
            }
            b"max-stale" => {
                let seconds = argument.map_or(SECONDS_MAX, |text| seconds(text).unwrap_or(0));
                self.max_stale = Some(self.max_stale.unwrap_or(SECONDS_MAX).min(seconds));
            }
            _ => {}
        }
    }
}

/// The shorter one counts; what is no number is none at all (RFC 9111 §4.2.1).
fn least(known: &mut Option<u64>, argument: Option<&[u8]>) {
    let seconds = argument.and_then(seconds).unwrap_or(0);
    *known = Some(known.unwrap_or(SECONDS_MAX).min(seconds));
}

/// RFC 9111 §1.2.2: what is too great is the greatest.
pub(super) fn seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(number(text).unwrap_or(SECONDS_MAX).min(SECONDS_MAX))
}

/// The directives of one line: names, with arguments that may be quoted (RFC 9110 §5.6.4).
fn members(value: &[u8], mut take: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut rest = value;
    for _ in 0..MEMBERS_MAX {
        let (member, after) = next_member(rest);
        let mut parts = member.splitn(2, |byte| *byte == b'=');
        let name = trim(parts.next().unwrap_or_default());
        let argument = parts.next().map(trim).map(unquoted);
        if is_token(name) {
            take(name, argument);
        }
        match after {
            Some(after) => rest = after,
            None => return,
        }
    }
}

/// Up to the next comma that is not quoted; what is behind it.
fn next_member(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                return (value.get(..at).unwrap_or_default(), value.get(at.saturating_add(1)..));
            }
            _ => {}
        }
    }
    (value, None)
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn response(lines: &[&str]) -> ResponseControl {
        let (head, bytes) = sample::response(200, lines);
        ResponseControl::of(Fields { fields: &head.fields, bytes: &bytes })
    }

    fn request(lines: &[&str]) -> RequestControl {
        let (head, bytes) = sample::request("GET", lines);
        RequestControl::of(Fields { fields: &head.fields, bytes: &bytes })
    }

    #[test]
    fn rfc_9111_5_2_directives_have_names_in_any_case_and_arguments_that_may_be_quoted() {
        let control = response(&["Cache-Control: Max-Age=\"60\" , s-maxage = 5,PUBLIC, x=\"a,b\""]);
        assert_eq!((control.max_age, control.s_maxage, control.public), (Some(60), Some(5), true));
        assert_eq!(response(&["cache-control: , ,"]), ResponseControl::default());
    }

    #[test]
    fn rfc_9111_5_2_2_4_and_7_fields_may_be_named_and_all_is_meant_where_none_is() {
        let control = response(&["cache-control: no-cache=\"Set-Cookie, X-A\", private=\"X-B\""]);
        assert!(!control.no_cache && !control.private);
        assert_eq!(control.withheld, [b"set-cookie".to_vec(), b"x-a".to_vec(), b"x-b".to_vec()]);
        for all in ["no-cache", "no-cache=\"\"", "no-cache=", "no-cache=\"a b\""] {
            assert!(response(&[&format!("cache-control: {all}")]).no_cache, "{all}");
        }
        assert!(response(&["cache-control: private=\"set-cookie"]).private, "no end of the quote");
    }

    #[test]
    fn rfc_9111_4_2_1_what_is_no_number_is_stale_and_of_two_the_shorter_counts() {
        assert_eq!(response(&["cache-control: max-age=x"]).max_age, Some(0));
        assert_eq!(response(&["cache-control: max-age=-1"]).max_age, Some(0));
        assert_eq!(response(&["cache-control: max-age"]).max_age, Some(0));
        let two = response(&["cache-control: max-age=60", "cache-control: max-age=5"]);
        assert_eq!(two.max_age, Some(5));
    }

    #[test]
    fn rfc_9111_1_2_2_numbers_that_do_not_fit_are_very_great() {
        let control = response(&["cache-control: max-age=99999999999999999999999999"]);
        assert_eq!(control.max_age, Some(SECONDS_MAX));
    }

    #[test]
    fn rfc_9111_5_2_1_and_5_4_requests_have_their_own_and_pragma_counts_alone() {
        let control = request(&["cache-control: max-stale, min-fresh=3, only-if-cached"]);
        assert_eq!((control.max_stale, control.min_fresh), (Some(SECONDS_MAX), Some(3)));
        assert!(control.only_if_cached && !control.no_cache);
        assert!(request(&["pragma: no-cache"]).no_cache);
        assert!(!request(&["pragma: no-cache", "cache-control: max-age=1"]).no_cache);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_said_is_read_without_harm(value in "[ -~]{0,200}") {
            let control = response(&[&format!("cache-control: {}", value.trim())]);
            proptest::prop_assert!(control.max_age.unwrap_or(0) <= SECONDS_MAX);
            proptest::prop_assert!(control.withheld.iter().all(|name| is_token(name)));
        }
    }
}
