//! Origins (RFC 6454 §6.2), as browsers send them.

use crate::host;

/// Whether `origin` is `scheme` (with its `://`), at least one label, a dot, and `parent` (a host, lower
/// case, with its port if that is not the usual one).
pub fn is_below(origin: &[u8], scheme: &[u8], parent: &[u8]) -> bool {
    let Some(start) = origin.get(..scheme.len()) else { return false };
    let Some(authority) = origin.get(scheme.len()..) else { return false };
    if !start.eq_ignore_ascii_case(scheme) || host::parse(authority).is_none() {
        return false;
    }
    let Some(cut) = authority.len().checked_sub(parent.len()) else { return false };
    let (before, end) = authority.split_at_checked(cut).unwrap_or_default();
    // What is before it is a name of labels, since the whole is.
    end.eq_ignore_ascii_case(parent) && before.len() > 1 && before.last() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_a_name_is_below_it() {
        let is = |origin: &str| is_below(origin.as_bytes(), b"https://", b"example.com");
        for origin in ["https://a.example.com", "https://a.b.example.com", "HTTPS://A.Example.COM"]
        {
            assert!(is(origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com.evil.org",
            "https://a.example.com:8443",
            "https://evil.org/.example.com",
            "https://evil.org#.example.com",
            "https://evil.org\\.example.com",
            "https://u@.example.com",
            "https://evil.org:443.example.com",
            "https://a..example.com",
        ] {
            assert!(!is(origin), "{origin}");
        }
        assert!(is_below(b"https://a.example.com:8443", b"https://", b"example.com:8443"));
    }
}
