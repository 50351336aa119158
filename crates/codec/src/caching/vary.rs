//! `Vary` (RFC 9111 §4.1): which fields of requests choose among the answers of one URI, and what is
//! the same in them.

use super::Fields;
use crate::syntax::{is_token, list};

/// Names in one `Vary` that are followed; one with more is as if it named all.
const NAMES_MAX: usize = 16;

/// The fields that an answer was chosen by; lower case, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vary {
    names: Vec<Box<[u8]>>,
}

impl Vary {
    /// Of an answer; `None` if no other request can get it (`*`).
    pub fn of(fields: Fields<'_>) -> Option<Self> {
        let mut names = Vec::new();
        for name in fields.values(b"vary").flat_map(list).filter(|name| !name.is_empty()) {
            if !is_token(name) || name == b"*" {
                return None;
            }
            names.push(name.to_ascii_lowercase().into_boxed_slice());
        }
        names.sort_unstable();
        names.dedup();
        (names.len() <= NAMES_MAX).then_some(Self { names })
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| &**name)
    }

    /// Adds those of another.
    pub fn join(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.names.sort_unstable();
        self.names.dedup();
    }

    /// Whether it has all names of another.
    pub fn covers(&self, other: &Self) -> bool {
        other.names.iter().all(|name| self.names.contains(name))
    }
}

/// Writes what a field of these lines is compared by. Requests with the same are answered with the
/// same; a field that is not there is not an empty one.
pub fn write_selector<'v>(
    out: &mut Vec<u8>,
    name: &[u8],
    mut values: impl Iterator<Item = &'v [u8]>,
) {
    let Some(first) = values.next() else { return out.push(0) };
    out.push(1);
    let negotiates =
        matches!(name, b"accept" | b"accept-encoding" | b"accept-language" | b"accept-charset");
    if !negotiates {
        out.extend_from_slice(first);
        for value in values {
            out.extend_from_slice(b",");
            out.extend_from_slice(value);
        }
        return out.push(0);
    }
    // §4.1: what the order and the spelling of these lists are means nothing.
    let lines = std::iter::once(first).chain(values);
    let mut members: Vec<Vec<u8>> = lines.flat_map(list).map(spelled).collect();
    members.retain(|member| !member.is_empty());
    members.sort_unstable();
    members.dedup();
    for member in members {
        out.extend_from_slice(&member);
        out.push(b',');
    }
    out.push(0);
}

/// In lower case, without white space and without a weight that is the usual one.
fn spelled(member: &[u8]) -> Vec<u8> {
    let dense = member.iter().filter(|byte| !matches!(byte, b' ' | b'\t'));
    let mut dense: Vec<u8> = dense.map(u8::to_ascii_lowercase).collect();
    for usual in [b";q=1.000".as_slice(), b";q=1.00", b";q=1.0", b";q=1."] {
        if dense.ends_with(usual) {
            dense.truncate(dense.len() - usual.len());
        }
    }
    if dense.ends_with(b";q=1") {
        dense.truncate(dense.len() - b";q=1".len());
    }
    dense
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn vary(lines: &[&str]) -> Option<Vary> {
        let (head, bytes) = sample::response(200, lines);
        Vary::of(Fields { fields: &head.fields, bytes: &bytes })
    }

    fn selector(name: &str, values: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        write_selector(&mut out, name.as_bytes(), values.iter().map(|value| value.as_bytes()));
        out
    }

    #[test]
    fn rfc_9111_4_1_names_are_of_any_case_and_order_and_a_star_is_for_nobody_else() {
        let two = vary(&["vary: Accept-Encoding, X-A", "vary: x-a"]).unwrap();
        assert_eq!(two.names().collect::<Vec<_>>(), [&b"accept-encoding"[..], b"x-a"]);
        assert_eq!(Some(two), vary(&["vary: x-a,accept-encoding"]));
        assert_eq!(vary(&["vary: accept, *"]), None);
        assert_eq!(vary(&["vary: a b"]), None);
        assert!(vary(&[]).unwrap().is_empty());
        let many = (0..40).map(|n| format!("a{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(vary(&[&format!("vary: {many}")]), None);
    }

    #[test]
    fn rfc_9111_4_1_lists_of_negotiation_are_compared_by_their_meaning() {
        let same = selector("accept-encoding", &["gzip, br"]);
        assert_eq!(same, selector("accept-encoding", &["BR;q=1.0 ,gzip;q=1"]));
        assert_eq!(same, selector("accept-encoding", &["br", "gzip"]));
        assert_ne!(same, selector("accept-encoding", &["gzip;q=0, br"]));
        assert_ne!(same, selector("accept-encoding", &["gzip"]));
    }

    #[test]
    fn rfc_9111_4_1_a_field_that_is_missing_matches_only_one_that_is_missing() {
        assert_ne!(selector("x-a", &[]), selector("x-a", &[""]));
        assert_ne!(selector("x-a", &["b"]), selector("x-a", &["B"]), "unknown: compared as it is");
    }

    proptest::proptest! {
        #[test]
        fn selectors_of_several_fields_do_not_run_into_each_other(
            a in "[ -~]{0,12}", b in "[ -~]{0,12}", c in "[ -~]{0,12}", d in "[ -~]{0,12}",
        ) {
            let both = |one: &str, two: &str| {
                [selector("x-a", &[one]), selector("x-b", &[two])].concat()
            };
            proptest::prop_assert_eq!(both(&a, &b) == both(&c, &d), (a, b) == (c, d));
        }
    }
}
