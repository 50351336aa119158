//! Normal paths: as a naive reading of RFC 3986 §5.2.4 and §6.2.2 makes them, normal when made
//! normal again, never longer than stated, and decoded once.

use evenkeel_codec::path::{EncodedSlash, Normalised, Rules, normalise};

/// The first byte chooses the rules, the rest is the path.
pub fn check(input: &[u8]) {
    let Some((choice, path)) = input.split_first() else { return };
    let encoded_slash = match choice % 3 {
        0 => EncodedSlash::Reject,
        1 => EncodedSlash::Keep,
        _ => EncodedSlash::Decode,
    };
    let rules = Rules { encoded_slash, merge_slashes: choice & 8 != 0 };
    let mut out = Vec::new();
    let normal = match normalise(path, &rules, &mut out) {
        Ok(Normalised::Changed) => out.as_slice(),
        Ok(Normalised::Unchanged) => path,
        Err(_) => return,
    };
    assert!(normal.len() <= path.len() + 1, "it has grown");
    if path == b"*" {
        return assert_eq!(normal, b"*");
    }
    assert!(normal.starts_with(b"/"));
    assert!(!normal.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\'));
    for segment in normal.split(|byte| *byte == b'/') {
        let text = segment.to_ascii_lowercase();
        assert!(!matches!(text.as_slice(), b"." | b".."), "a dot segment is left");
        assert!(!contains(&text, b"%2e"), "a dot is still escaped");
    }
    assert!(!rules.merge_slashes || !contains(normal, b"//"));
    assert_eq!(Some(normal), naive(path, &rules).as_deref(), "another normal form");
    let mut again = Vec::new();
    let second = normalise(normal, &rules, &mut again);
    assert_eq!(second, Ok(Normalised::Unchanged), "a normal form has another");
}

fn contains(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}

/// One byte of a path, as written or as an escape that stays one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Plain(u8),
    Escaped(u8),
}

/// Takes the whole path apart first, then resolves it as a list of segments. `None` where an escape
/// is none.
fn naive(path: &[u8], rules: &Rules) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        at += 1;
        if *byte != b'%' {
            parts.push(Part::Plain(*byte));
            continue;
        }
        let digits = std::str::from_utf8(path.get(at..at + 2)?).ok()?;
        let value = u8::from_str_radix(digits, 16).ok()?;
        at += 2;
        let is_slash = matches!(value, b'/' | b'\\');
        parts.push(match rules.encoded_slash {
            EncodedSlash::Decode if is_slash => Part::Plain(b'/'),
            _ if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => Part::Plain(value),
            _ => Part::Escaped(value),
        });
    }
    if path.first() != Some(&b'/') {
        parts.insert(0, Part::Plain(b'/'));
    }
    Some(write(&resolve(&parts[1..], rules.merge_slashes)))
}

fn resolve(parts: &[Part], merge: bool) -> Vec<&[Part]> {
    const DOT: Part = Part::Plain(b'.');
    let segments: Vec<&[Part]> = parts.split(|part| *part == Part::Plain(b'/')).collect();
    let mut kept: Vec<&[Part]> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        let is_empty = segment.is_empty() && merge;
        if *segment == [DOT, DOT] {
            kept.pop();
        }
        if !(is_empty || *segment == [DOT] || *segment == [DOT, DOT]) {
            kept.push(segment);
        } else if is_last {
            kept.push(&[]);
        }
    }
    kept
}

fn write(segments: &[&[Part]]) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in segments {
        out.push(b'/');
        for part in *segment {
            match part {
                Part::Plain(byte) => out.push(*byte),
                Part::Escaped(value) => out.extend_from_slice(format!("%{value:02X}").as_bytes()),
            }
        }
    }
    out
}
