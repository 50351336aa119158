//! Names beside [`crate::Known`] by which servers are told who asks, for what, and through whom.
//! Servers believe them because a proxy is thought to set them; so nobody else may.

/// Whether servers may take `name` for a proxy's word on the client, and whether that depends on
/// reading `_` or `.` as `-`, which no honest proxy relies on.
pub fn of(name: &[u8]) -> Option<Spelling> {
    if !may_begin(name) || !is_claim(name) {
        return None;
    }
    let is_plain = !name.iter().any(|byte| matches!(byte, b'_' | b'.'));
    Some(if is_plain { Spelling::Plain } else { Spelling::Folded })
}

/// How a claim is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// As it is known.
    Plain,
    /// With `_` or `.` where it has `-`.
    Folded,
}

/// Whole names.
const NAMES: [&[u8]; 7] = [
    b"client-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
    b"x-client-ip",
    b"x-client-dn",
    b"x-cluster-client-ip",
    b"x-rewrite-url",
];

/// Beginnings of names. `Client-Cert` and `Client-Cert-Chain` are RFC 9440 §2.4.
const STARTS: [&[u8]; 9] = [
    b"x-evenkeel-",
    b"x-forwarded",
    b"x-real-",
    b"x-original-",
    b"x-ssl-",
    b"x-client-cert",
    b"x-client-verify",
    b"client-cert",
    b"ssl-client-",
];

/// Most fields are told apart by their first letter.
fn may_begin(name: &[u8]) -> bool {
    matches!(name, [b'x' | b'X' | b'c' | b'C' | b's' | b'S' | b't' | b'T', ..])
}

fn is_claim(name: &[u8]) -> bool {
    let begins = |start: &&[u8]| name.get(..start.len()).is_some_and(|begin| is_same(begin, start));
    STARTS.iter().any(begins) || NAMES.iter().any(|known| is_same(name, known))
}

/// Equal but for case, and for `_` and `.` where `known` has `-`.
fn is_same(name: &[u8], known: &[u8]) -> bool {
    let is_equal = |(byte, known): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(known) || (*known == b'-' && matches!(byte, b'_' | b'.'))
    };
    name.len() == known.len() && name.iter().zip(known).all(is_equal)
}

/// Whether servers may read both names as one: equal but for case, and for `_` and `.` instead of `-`.
pub fn is_spelling_of(name: &[u8], other: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b'_' | b'.' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    name.len() == other.len() && name.iter().map(folded).eq(other.iter().map(folded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_are_those_that_servers_fold() {
        for name in ["x-user.id", "X_User_ID", "x-user-id"] {
            assert!(is_spelling_of(name.as_bytes(), b"X-User-Id"), "{name}");
        }
        assert!(!is_spelling_of(b"x-user-ids", b"x-user-id"));
        assert!(!is_spelling_of(b"xuserid", b"x-user-id"));
    }

    #[test]
    fn i1_i2_and_i7_claims_are_known_in_every_spelling() {
        for (name, spelling) in [
            ("X-Forwarded-Prefix", Spelling::Plain),
            ("x-forwarded", Spelling::Plain),
            ("x_forwarded_prefix", Spelling::Folded),
            ("X-SSL.Client-Cert", Spelling::Folded),
            ("CLIENT-CERT-CHAIN", Spelling::Plain),
            ("True_Client-IP", Spelling::Folded),
        ] {
            assert_eq!(of(name.as_bytes()), Some(spelling), "{name}");
        }
        for name in
            ["", "x", "x-client-version", "client-ips", "content-type", "xx-forwarded", "x+real-ip"]
        {
            assert_eq!(of(name.as_bytes()), None, "{name}");
        }
    }
}
