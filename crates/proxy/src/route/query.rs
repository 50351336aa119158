//! Comparing query parameters as sent with names and values as meant, without decoding them into
//! a buffer.

/// Whether `sent` decodes to `plain`: the rule is that of [`evenkeel_codec::query::decode`].
pub(super) fn is_encoding_of(sent: &[u8], plain: &[u8]) -> bool {
    let mut expected = plain.iter();
    let mut rest = sent;
    while let [byte, after @ ..] = rest {
        let (decoded, behind) = match (byte, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, behind),
                _ => (b'%', after),
            },
            _ => (*byte, after),
        };
        if expected.next() != Some(&decoded) {
            return false;
        }
        rest = behind;
    }
    expected.next().is_none()
}

/// Below 16.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
