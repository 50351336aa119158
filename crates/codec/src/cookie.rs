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
