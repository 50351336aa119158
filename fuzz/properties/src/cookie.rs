//! Cookies: every pair is a part of what was sent, and the same pairs come back when written again.

use evenkeel_codec::cookie::pairs;

/// The input is the value of a `Cookie` field.
pub fn check(input: &[u8]) {
    let found: Vec<_> = pairs(input).collect();
    let bytes: usize = found.iter().map(|(name, value)| name.len() + value.len() + 1).sum();
    assert!(bytes <= input.len(), "more than was sent");
    let semicolons = input.iter().filter(|byte| **byte == b';').count();
    assert!(found.len() <= semicolons + 1);
    for (name, value) in &found {
        assert!(!name.contains(&b'=') && !name.contains(&b';') && !value.contains(&b';'));
        for text in [name, value] {
            let ends = [text.first(), text.last()];
            assert!(!ends.contains(&Some(&b' ')) && !ends.contains(&Some(&b'\t')));
        }
    }
    let written: Vec<Vec<u8>> =
        found.iter().map(|(name, value)| [*name, b"=", *value].concat()).collect();
    let written = written.join(b"; ".as_slice());
    assert_eq!(pairs(&written).collect::<Vec<_>>(), found);
}
