//! Secrets: tokens and keys. No message shows one.

use crate::diagnostic::Diagnostic;
use crate::model::{HIDDEN, Secret, SecretKey};
use crate::read::{Findings, text};
use crate::tree::{Node, Value};

const SHORTEST: usize = 16;
const LONGEST: usize = 4096;

/// A text that is long enough not to be guessed, as a field value can carry it (RFC 6750, 2.1).
pub(super) fn secret(node: &Node, found: &mut Findings) -> Option<Secret> {
    let written = readable(node, found)?;
    let fault = match written.len() {
        ..SHORTEST => format!("a secret has at least {SHORTEST} characters"),
        length if length > LONGEST => format!("a secret has at most {LONGEST} characters"),
        _ if !written.bytes().all(|b| (0x21..=0x7e).contains(&b)) => {
            "a secret is visible ASCII without spaces".to_owned()
        }
        _ => return Some(Secret::new(written, variable(node))),
    };
    found.push(
        Diagnostic::error("bad-secret", node.span, fault)
            .help("`openssl rand -hex 32` makes a good one"),
    );
    None
}

/// What another program asks for: it decides how long that has to be.
pub(super) fn password(node: &Node, found: &mut Findings) -> Option<Secret> {
    Some(Secret::new(readable(node, found)?, variable(node)))
}

/// 32 bytes, as hexadecimal digits or as base64 (RFC 4648).
pub(super) fn key(node: &Node, found: &mut Findings) -> Option<SecretKey> {
    let bytes = key_of(readable(node, found)?.trim());
    if bytes.is_none() {
        found.push(
            Diagnostic::error("bad-secret", node.span, "this is not a key of 32 bytes").help(
                "write 64 hexadecimal digits (`openssl rand -hex 32`) or base64 (`openssl rand -base64 32`)",
            ),
        );
    }
    bytes.map(|bytes| SecretKey::new(bytes, variable(node)))
}

/// 32 bytes, written as hexadecimal digits or as base64.
pub fn key_of(text: &str) -> Option<[u8; 32]> {
    hexadecimal(text).or_else(|| base64(text))
}

fn readable<'t>(node: &'t Node, found: &mut Findings) -> Option<&'t str> {
    let written = text(node, found)?;
    if written == HIDDEN {
        found.push(
            Diagnostic::error(
                "hidden-secret",
                node.span,
                "this only stands for a secret that is not shown",
            )
            .help("write the secret, or better a variable: `\"${NAME}\"`"),
        );
        return None;
    }
    // A variable that is not set has been noted.
    let is_unset = written.is_empty() && variable(node).is_some();
    (!is_unset).then_some(written)
}

fn variable(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar { variable, .. } => variable.as_deref().map(str::to_owned),
        _ => None,
    }
}

fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

/// 43 digits of six bits, and a `=` or none; with `+/` or `-_`.
fn base64(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('=').unwrap_or(text);
    if digits.len() != 43 {
        return None;
    }
    let mut bytes = Vec::with_capacity(33);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_hexadecimal_and_in_base64() {
        let bytes: [u8; 32] =
            std::array::from_fn(|at| (at as u8).wrapping_mul(37).wrapping_add(200));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hexadecimal(&hex), Some(bytes));
        assert_eq!(hexadecimal(&hex.to_uppercase()), Some(bytes));
        assert_eq!(base64("yO0SN1yBpsvwFTpfhKnO8xg9Yoes0fYbQGWKr9T5HkM="), Some(bytes));
        assert_eq!(base64("yO0SN1yBpsvwFTpfhKnO8xg9Yoes0fYbQGWKr9T5HkM"), Some(bytes));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &"A".repeat(42), &"é".repeat(32)]
        {
            assert!(hexadecimal(text).is_none() && base64(text).is_none(), "{text}");
        }
    }
}
