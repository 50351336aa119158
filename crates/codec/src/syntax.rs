//! Small grammar rules of RFC 9110 §5.6 that several parsers need. Everything is ASCII: no rule
//! here trims or folds by Unicode.

/// A byte of a token.
const TOKEN: u8 = 1;
/// A byte of a token that some servers take for `-`.
const FOLDS: u8 = 2;

/// What each byte may be part of.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'_' | b'.' => TOKEN | FOLDS,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => TOKEN,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'^' | b'`' | b'|'
            | b'~' => TOKEN,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)] // 256 bytes, 256 classes
}

/// `tchar` (RFC 9110 §5.6.2).
pub fn is_token_byte(byte: u8) -> bool {
    class(byte) & TOKEN != 0
}

/// A non-empty token.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

/// The token at the beginning: its length, and whether it has a `_` or `.` in it.
pub(crate) fn leading_token(bytes: &[u8]) -> (usize, bool) {
    let mut all = 0;
    let length = bytes.iter().position(|byte| {
        let class = class(*byte);
        all |= class;
        class == 0
    });
    (length.unwrap_or(bytes.len()), all & FOLDS != 0)
}

/// Bytes a field value may hold (RFC 9110 §5.5): visible ASCII, SP, HTAB and obs-text.
pub fn is_field_value(bytes: &[u8]) -> bool {
    find_control(bytes).is_none()
}

/// The first byte that no field value holds: a control character other than HTAB.
pub(crate) fn find_control(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH << 7;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let x = u64::from_le_bytes(*word);
        let delete = x ^ (EACH * 0x7f);
        // Per byte: the high bit is set if it is below 0x20, or 0x7f. A borrow may set it in a
        // byte above a true one; the closer look below tells, and lets HTAB pass.
        let below = x.wrapping_sub(EACH * 0x20) & !x;
        let deletes = delete.wrapping_sub(EACH) & !delete;
        if (below | deletes) & HIGH != 0
            && let Some(at) = word.iter().copied().position(is_control)
        {
            return Some(index * 8 + at);
        }
    }
    let at = tail.iter().copied().position(is_control)?;
    Some(words.len() * 8 + at)
}

fn is_control(byte: u8) -> bool {
    byte != b'\t' && matches!(byte, 0..0x20 | 0x7f)
}

/// Without the optional white space (SP and HTAB only) around it.
pub fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list, trimmed; empty ones included, so that a caller may
/// refuse them. Quoted strings are not known here: no list the proxy reads has any.
pub fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// A decimal number of digits only; `None` if there is anything else or it does not fit.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_classed_as_the_grammar_says() {
        for byte in 0..=255_u8 {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token_byte(byte), byte.is_ascii_graphic() && !delimiter, "{byte:#x}");
            assert_eq!(is_control(byte), byte.is_ascii_control() && byte != b'\t', "{byte:#x}");
        }
    }

    #[test]
    fn the_first_control_is_found_wherever_it_is() {
        for length in 0..40 {
            for at in 0..length {
                for control in [0, 1, 8, b'\n', b'\r', 0x1f, 0x7f] {
                    let mut bytes = vec![b"\t \x80\xffaz~!"[at % 8]; length];
                    bytes[at] = control;
                    assert_eq!(find_control(&bytes), Some(at));
                    if at + 1 < length {
                        bytes[at + 1] = 0; // the first one counts
                        assert_eq!(find_control(&bytes), Some(at));
                    }
                }
            }
            assert_eq!(find_control(&vec![b'\t'; length]), None);
            assert_eq!(find_control(&vec![0x80; length]), None);
        }
    }

    #[test]
    fn c10_only_sp_and_htab_are_trimmed() {
        assert_eq!(trim(b" \t a \t"), b"a");
        assert_eq!(trim(b"\xa0a\x85"), b"\xa0a\x85");
        assert_eq!(trim(b"\x0ba\x0c"), b"\x0ba\x0c");
        assert_eq!(trim(b" \t "), b"");
    }

    #[test]
    fn a9_a_number_is_digits_and_fits() {
        assert_eq!(number(b"0005"), Some(5));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "+5", "-0", "0x10", "1_0", "5 5", "5;", "18446744073709551616", "５"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn c22_a_list_of_commas_has_empty_members() {
        assert_eq!(list(&[b','; 40]).filter(|member| member.is_empty()).count(), 41);
        assert_eq!(list(b" a ,\tb").collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
