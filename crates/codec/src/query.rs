//! Query parameters, as forms write them.

use std::borrow::Cow;

/// The parameters of a query, in order, as sent; one without `=` has an empty value.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()).map(|piece| {
        let at = memchr::memchr(b'=', piece).unwrap_or(piece.len());
        let (name, rest) = piece.split_at(at);
        (name, rest.get(1..).unwrap_or_default())
    })
}

/// Without percent-escapes and with `+` as a space; what is no escape stays.
pub fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        match (byte, rest) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_in_order_as_sent() {
        let parameters: Vec<_> = parameters(b"a=b&c&=d&&e=f=g&h%3D=%26").collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"b"), (b"c", b""), (b"", b"d"), (b"e", b"f=g"), (b"h%3D", b"%26")];
        assert_eq!(parameters, expected);
        assert_eq!(super::parameters(b"").count(), 0);
    }

    #[test]
    fn escapes_are_decoded_once_and_what_is_none_stays() {
        for (text, decoded) in [
            ("plain", "plain"),
            ("a+b%20c", "a b c"),
            ("%41%6a", "Aj"),
            ("%2541", "%41"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%%41", "%A"),
            ("%+1", "% 1"),
        ] {
            assert_eq!(decode(text.as_bytes()), decoded.as_bytes(), "{text}");
        }
        assert!(matches!(decode(b"plain"), Cow::Borrowed(_)));
    }
}
