//! Which of several kinds of content a client likes best (RFC 9110 §12.5.1).

use crate::syntax::{list, trim};

/// Ranges looked at; what wants more is not choosing.
const RANGES_MAX: usize = 64;

/// The place in `offered` (`type/subtype`, lower case) of what the values of `Accept` prefer: the
/// highest weight, and of several the first offered. `None` if nothing offered is acceptable.
/// Without any value everything is equally welcome.
pub fn choose<'v>(
    values: impl Iterator<Item = &'v [u8]> + Clone,
    offered: &[&str],
) -> Option<usize> {
    if values.clone().next().is_none() {
        return (!offered.is_empty()).then_some(0);
    }
    let weight = |kind: &str| weight(values.clone(), kind);
    let all = offered.iter().enumerate().map(|(at, kind)| (at, weight(kind)));
    let acceptable = all.filter(|(_, weight)| *weight > 0);
    // Of equal ones `max_by_key` takes the last.
    acceptable.rev().max_by_key(|(_, weight)| *weight).map(|(at, _)| at)
}

/// Thousandths that the most specific range gives to this kind; 0 is unacceptable.
fn weight<'v>(values: impl Iterator<Item = &'v [u8]>, kind: &str) -> u16 {
    let (mut found, mut best) = (0, 0);
    for range in values.flat_map(list).take(RANGES_MAX) {
        let mut parts = range.split(|byte| *byte == b';');
        let media = trim(parts.next().unwrap_or_default());
        let specificity = specificity(media, kind);
        if specificity > best {
            best = specificity;
            found = parts.find_map(quality).unwrap_or(1000);
        }
    }
    found
}

/// 0: the range does not stand for the kind.
fn specificity(range: &[u8], kind: &str) -> u8 {
    if range.eq_ignore_ascii_case(kind.as_bytes()) {
        return 3;
    }
    match range.strip_suffix(b"/*") {
        Some(b"*") => 1,
        Some(main) => {
            let kind = kind.split('/').next().unwrap_or_default();
            if main.eq_ignore_ascii_case(kind.as_bytes()) { 2 } else { 0 }
        }
        None => 0,
    }
}

/// The value of `q=0.5` in thousandths (RFC 9110 §12.4.2); none for other parameters.
fn quality(parameter: &[u8]) -> Option<u16> {
    let parameter = trim(parameter);
    let [b'q' | b'Q', b'=', value @ ..] = parameter else { return None };
    let digit = |at: usize| match value.get(at) {
        Some(byte) if byte.is_ascii_digit() => u16::from(byte - b'0'),
        _ => 0,
    };
    Some(match value {
        [b'1', ..] => 1000,
        [b'0', b'.', ..] => digit(2) * 100 + digit(3) * 10 + digit(4),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &[&str], offered: &[&str]) -> Option<usize> {
        choose(accept.iter().map(|value| value.as_bytes()), offered)
    }

    #[test]
    fn rfc9110_12_5_1_the_heaviest_acceptable_kind_is_chosen() {
        const OFFERED: &[&str] = &["text/html", "application/json", "text/plain"];
        for (accept, expected) in [
            (&[][..], Some(0)),
            (&["*/*"], Some(0)),
            (&["application/json"], Some(1)),
            (&["text/*;q=0.5, application/json;q=0.4"], Some(0)),
            (&["text/html;q=0.3", "text/plain; q=0.8"], Some(2)),
            (&["text/*, text/html;q=0"], Some(2)),
            (&["APPLICATION/JSON, */*;q=0.1"], Some(1)),
            (&["image/png"], None),
            (&["text/html;q=0, */*;q=0"], None),
            (&["text/html;level=1;q=0.2, text/plain;q=0.201"], Some(2)),
            (&[""], None),
        ] {
            assert_eq!(chosen(accept, OFFERED), expected, "{accept:?}");
        }
        assert_eq!(chosen(&[], &[]), None);
    }
}
