//! `Cookie` values (RFC 6265 §5.4): name and value pairs, in one pass.

use crate::syntax::trim;

/// The pairs of a `Cookie` field, in order; pieces without `=` are skipped.
pub fn pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value.split(|byte| *byte == b';').filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (name, rest) = pair.split_at(at);
        Some((trim(name), trim(rest.get(1..).unwrap_or_default())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_order_without_white_space() {
        let pairs: Vec<_> = pairs(b"a=b; c = d ;e=f=g;\th=\"i j\"").collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"a", b"b"), (b"c", b"d"), (b"e", b"f=g"), (b"h", b"\"i j\"")];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn c21_odd_cookies_end() {
        assert_eq!(pairs(b";a").count(), 0);
        assert_eq!(pairs(b"=").collect::<Vec<_>>(), [(b"".as_slice(), b"".as_slice())]);
        assert_eq!(pairs(b"").count(), 0);
        assert_eq!(pairs(&b"a=b;".repeat(10_000)).count(), 10_000);
    }
}
