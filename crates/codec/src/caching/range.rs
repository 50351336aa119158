//! `Range` (RFC 9110 §14) of what is stored whole. Each range is compared with the length it is of;
//! many, or ones that overlap, are how servers were made to send far more than there is (§17.15).

use crate::syntax::{list, number};

/// Ranges that are answered one by one; more are answered with all of it.
const RANGES_MAX: usize = 16;

/// What a `Range` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// As if it had not been asked: not understood, or not worth it.
    All,
    /// Nothing that there is: 416.
    None,
    /// These: first byte and end, each within the length, in the order asked.
    Some(Vec<(u64, u64)>),
}

/// What `value` asks for of `length` bytes.
pub fn ranges(value: &[u8], length: u64) -> Ranges {
    let Some((unit, set)) = value.split_at_checked(b"bytes=".len()) else { return Ranges::All };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::All;
    }
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut count = 0_usize;
    for member in list(set).filter(|member| !member.is_empty()) {
        count = count.saturating_add(1);
        if count > RANGES_MAX {
            return Ranges::All;
        }
        match range(member, length) {
            Err(Unreadable) => return Ranges::All,
            Ok(Some(range)) => found.push(range),
            Ok(None) => {}
        }
    }
    if count == 0 {
        return Ranges::All;
    }
    if found.is_empty() {
        return Ranges::None;
    }
    // §15.3.7.2, §17.15: what overlaps, or is as much as there is, is sent once and whole.
    let total = found.iter().fold(0_u64, |sum, (start, end)| sum.saturating_add(end - start));
    let overlaps = |at: usize, (start, end): (u64, u64)| {
        found.iter().skip(at.saturating_add(1)).any(|other| start < other.1 && other.0 < end)
    };
    let any_overlap = found.iter().enumerate().any(|(at, range)| overlaps(at, *range));
    if found.len() > 1 && (any_overlap || total >= length) {
        return Ranges::All;
    }
    Ranges::Some(found)
}

struct Unreadable;

/// `a-b`, `a-` or `-n`; `None` if there is nothing there.
fn range(member: &[u8], length: u64) -> Result<Option<(u64, u64)>, Unreadable> {
    let dash = member.iter().position(|byte| *byte == b'-').ok_or(Unreadable)?;
    let (first, last) = member.split_at(dash);
    let last = last.get(1..).unwrap_or_default();
    let digits = |text: &[u8]| match text.iter().all(u8::is_ascii_digit) {
        true => Ok(number(text).unwrap_or(u64::MAX)), // what does not fit is beyond any end
        false => Err(Unreadable),
    };
    match (first, last) {
        (b"", b"") => Err(Unreadable),
        (b"", suffix) => {
            let suffix = digits(suffix)?.min(length);
            Ok((suffix > 0).then(|| (length - suffix, length)))
        }
        (first, last) => {
            let first = digits(first)?;
            let end = match last {
                b"" => length,
                last => {
                    let last = digits(last)?;
                    if last < first {
                        return Err(Unreadable); // §14.1.1: the whole set is invalid
                    }
                    last.saturating_add(1).min(length)
                }
            };
            Ok((first < length).then_some((first, end)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Ranges {
        ranges(value.as_bytes(), 100)
    }

    #[test]
    fn rfc_9110_14_1_2_ranges_are_of_bytes_from_both_ends() {
        for (value, range) in [
            ("bytes=0-9", (0, 10)),
            ("Bytes=90-", (90, 100)),
            ("bytes=-1", (99, 100)),
            ("bytes=-1000", (0, 100)),
            ("bytes=50-99999999999999999999999", (50, 100)),
            ("bytes=0-0,", (0, 1)),
            ("bytes=200-, 5-5", (5, 6)),
        ] {
            assert_eq!(of(value), Ranges::Some(vec![range]), "{value}");
        }
        assert_eq!(of("bytes=0-1, -1"), Ranges::Some(vec![(0, 2), (99, 100)]));
    }

    #[test]
    fn rfc_9110_14_2_what_is_not_understood_is_not_there() {
        for value in [
            "",
            "items=0-1",
            "bytes",
            "bytes=",
            "bytes=x",
            "bytes=5-4",
            "bytes=-",
            "bytes=1-2-3",
            "bytes=+1-2",
        ] {
            assert_eq!(of(value), Ranges::All, "{value}");
        }
    }

    #[test]
    fn rfc_9110_15_5_17_what_is_not_there_is_not_satisfiable() {
        for value in ["bytes=100-", "bytes=-0", "bytes=999999999999999999999-"] {
            assert_eq!(of(value), Ranges::None, "{value}");
        }
        assert_eq!(ranges(b"bytes=0-", 0), Ranges::None);
    }

    #[test]
    fn m5_many_or_overlapping_ranges_get_all_of_it_once() {
        assert_eq!(of("bytes=0-10,5-20"), Ranges::All);
        assert_eq!(of("bytes=0-,0-,0-"), Ranges::All);
        assert_eq!(of(&format!("bytes={}", "0-0,".repeat(1000))), Ranges::All);
        let many: Vec<_> = (0..40).map(|n| format!("{0}-{0}", n * 2)).collect();
        assert_eq!(of(&format!("bytes={}", many.join(","))), Ranges::All);
    }

    proptest::proptest! {
        #[test]
        fn m5_no_range_leaves_what_there_is_and_together_they_are_not_more(
            value in "(bytes=)?[0-9, -]{0,60}", length: u64,
        ) {
            if let Ranges::Some(found) = ranges(value.as_bytes(), length) {
                let mut total = 0_u64;
                for (start, end) in found {
                    proptest::prop_assert!(start < end && end <= length);
                    total += end - start;
                }
                proptest::prop_assert!(total <= length);
            }
        }
    }
}
