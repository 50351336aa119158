//! Conditional requests (RFC 9110 §13) to what is stored: whether the client has it already.

use std::time::SystemTime;

use super::Fields;
use super::freshness::parse_date;

/// Entity tags of one request that are looked at.
const TAGS_MAX: usize = 64;

/// What tells one version of an answer from another (RFC 9110 §8.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Its `ETag`, as sent.
    pub etag: Option<&'a [u8]>,
    /// Its `Last-Modified`.
    pub last_modified: Option<SystemTime>,
    /// Its `Date`.
    pub date: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be sent.
    Send,
    /// The client has it: 304.
    NotModified,
}

impl<'a> Validators<'a> {
    /// Of an answer.
    pub fn of(fields: Fields<'a>) -> Self {
        Self {
            etag: fields.value(b"etag").filter(|tag| is_tag(tag)),
            last_modified: fields.value(b"last-modified").and_then(parse_date),
            date: fields.value(b"date").and_then(parse_date),
        }
    }

    /// There is none to ask a server with.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// What a GET or HEAD with these fields is to get of it (§13.2.2, steps 3 and 4). `If-Match` and
    /// `If-Unmodified-Since` are for servers (RFC 9111 §4.3.2), and requests with them go there.
    pub fn judge(&self, request: Fields<'_>) -> Verdict {
        let mut lines = request.values(b"if-none-match").peekable();
        if lines.peek().is_some() {
            // §13.1.2: this one counts alone, and compares weakly.
            return match lines.any(|line| self.is_among(line)) {
                true => Verdict::NotModified,
                false => Verdict::Send,
            };
        }
        let mut since = request.values(b"if-modified-since");
        let (Some(first), None) = (since.next(), since.next()) else { return Verdict::Send };
        // §13.1.3: what is no date is nothing. RFC 9111 §4.3.2: without a date of change, the date.
        match (parse_date(first), self.last_modified.or(self.date)) {
            (Some(since), Some(changed)) if changed <= since => Verdict::NotModified,
            _ => Verdict::Send,
        }
    }

    fn is_among(&self, line: &[u8]) -> bool {
        if crate::syntax::trim(line) == b"*" {
            return true; // there is a version
        }
        let Some(own) = self.etag else { return false };
        tags(line).take(TAGS_MAX).any(|tag| opaque(tag) == opaque(own))
    }

    /// Whether a range may be sent (§13.1.5): `If-Range` is of this very version, or not there.
    pub fn allows_range(&self, request: Fields<'_>) -> bool {
        let mut values = request.values(b"if-range");
        match (values.next(), values.next()) {
            (None, _) => true,
            (Some(value), None) if value.starts_with(b"\"") => {
                self.etag.is_some_and(|own| own == value) // strong comparison: §8.8.3.2
            }
            (Some(value), None) => {
                // §8.8.2.2: a date is a strong validator only a while after the change.
                let (Some(changed), Some(date)) = (self.last_modified, self.date) else {
                    return false;
                };
                let is_strong = date.duration_since(changed).is_ok_and(|d| d.as_secs() >= 1);
                is_strong && parse_date(value) == Some(changed)
            }
            _ => false,
        }
    }
}

/// A tag with its quotes, weak or not (§8.8.3).
fn is_tag(tag: &[u8]) -> bool {
    let inner = opaque(tag).strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
    inner.is_some_and(|inner| !inner.contains(&b'"'))
}

/// Without the mark of weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The tags of a list. Commas may be in them.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let tag = rest.get(start..)?;
        let quote = tag.iter().position(|byte| *byte == b'"')?;
        let after = quote.checked_add(1)?;
        let length = tag.get(after..)?.iter().position(|byte| *byte == b'"')?;
        let end = after.checked_add(length)?.checked_add(1)?;
        let (tag, behind) = tag.split_at_checked(end)?;
        rest = behind;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn stored() -> (Vec<u8>, SystemTime) {
        (b"\"v,1\"".to_vec(), parse_date(CHANGED.as_bytes()).unwrap())
    }

    fn judge(lines: &[&str]) -> Verdict {
        let (etag, changed) = stored();
        let validators = Validators { etag: Some(&etag), last_modified: Some(changed), date: None };
        let (head, bytes) = sample::request("GET", lines);
        validators.judge(Fields { fields: &head.fields, bytes: &bytes })
    }

    #[test]
    fn rfc_9110_13_1_2_if_none_match_compares_weakly_and_counts_alone() {
        for same in ["\"v,1\"", "W/\"v,1\"", "\"a\", \"v,1\"", "*", "\"a\" ,W/\"v,1\""] {
            assert_eq!(judge(&[&format!("if-none-match: {same}")]), Verdict::NotModified, "{same}");
        }
        for other in ["\"v\"", "v,1", "\"v,1", "W/\"v\", \"1\"", "\"V,1\""] {
            let since = format!("if-modified-since: {CHANGED}");
            let lines = [&format!("if-none-match: {other}"), since.as_str()];
            assert_eq!(judge(&lines), Verdict::Send, "{other}");
        }
    }

    #[test]
    fn rfc_9110_13_1_3_if_modified_since_is_a_date_or_nothing() {
        assert_eq!(judge(&[&format!("if-modified-since: {CHANGED}")]), Verdict::NotModified);
        let later = "if-modified-since: Monday, 07-Nov-94 08:49:37 GMT";
        assert_eq!(judge(&[later]), Verdict::NotModified, "the obsolete form");
        let earlier = "if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(judge(&[earlier]), Verdict::Send);
        assert_eq!(judge(&["if-modified-since: yesterday"]), Verdict::Send);
        assert_eq!(judge(&[]), Verdict::Send);
    }

    #[test]
    fn rfc_9110_13_1_5_a_range_is_sent_only_of_the_very_version() {
        let (etag, changed) = stored();
        let minute = std::time::Duration::from_secs(60);
        let (date, etag) = (Some(changed + minute), Some(&etag[..]));
        let validators = Validators { etag, last_modified: Some(changed), date };
        let weak = Validators {
            etag: Some(b"W/\"v,1\""),
            last_modified: Some(changed),
            date: Some(changed),
        };
        let allows = |validators: Validators<'_>, line: &str| {
            let (head, bytes) = sample::request("GET", &[line]);
            validators.allows_range(Fields { fields: &head.fields, bytes: &bytes })
        };
        assert!(allows(validators, "if-range: \"v,1\""));
        assert!(allows(validators, &format!("if-range: {CHANGED}")));
        assert!(allows(validators, "x: no if-range"));
        assert!(!allows(validators, "if-range: W/\"v,1\""));
        assert!(!allows(validators, "if-range: \"v2\""));
        assert!(!allows(weak, "if-range: \"v,1\""), "§8.8.3.2: strong comparison");
        assert!(!allows(weak, &format!("if-range: {CHANGED}")), "§8.8.2.2: changed just then");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_asked_is_judged_without_harm(line in "[ -~]{0,80}") {
            let _ = judge(&[&format!("if-none-match: {}", line.trim())]);
            let _ = judge(&[&format!("if-modified-since: {}", line.trim())]);
        }
    }
}
