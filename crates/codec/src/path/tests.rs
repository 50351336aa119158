//! The rules of a path (RFC 3986 §6.2.2), by their names in the catalogue of past attacks.

use super::*;

const STRICT: Rules = Rules { encoded_slash: EncodedSlash::Reject, merge_slashes: true };

fn normal(path: &str, rules: Rules) -> Result<String, PathError> {
    let mut out = b"left over".to_vec();
    let normalised = normalise(path.as_bytes(), &rules, &mut out)?;
    if normalised == Normalised::Unchanged {
        return Ok(path.to_owned());
    }
    assert_ne!(out, path.as_bytes(), "changed, but the same");
    Ok(String::from_utf8(out).unwrap())
}

#[track_caller]
fn assert_normal(path: &str, expected: &str) {
    assert_eq!(normal(path, STRICT).as_deref(), Ok(expected), "{path}");
}

#[test]
fn a_normal_path_is_left_alone() {
    for path in [
        "/",
        "*",
        "/a",
        "/a/",
        "/a/b.c",
        "/a;x=1",
        "/a..b",
        "/a.",
        "/...",
        "/.a",
        "/..a",
        "/a/.b/",
        "/~a-_b",
        "/a:b@c",
        "/a%20b",
        "/%C3%A9",
        "/a=b&c+d!$'()*,",
        "/a%3Bb",
        "/%25",
        "/account%3Fx.css",
        "/account%23",
        "/a|\"<>^`{}",
    ] {
        let mut out = Vec::new();
        assert_eq!(
            normalise(path.as_bytes(), &STRICT, &mut out),
            Ok(Normalised::Unchanged),
            "{path}"
        );
    }
}

#[test]
fn e1_dot_segments_and_double_slashes_are_resolved() {
    for (path, expected) in [
        ("/pub/../admin", "/admin"),
        ("/./admin", "/admin"),
        ("//admin", "/admin"),
        ("/a//../admin", "/admin"),
        ("/a/b/../../admin", "/admin"),
        ("/../../admin", "/admin"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/..", "/"),
        ("/.", "/"),
        ("//", "/"),
        ("////a////b////", "/a/b/"),
        ("/a/./../b//.//", "/b/"),
        ("//..//a", "/a"),
    ] {
        assert_normal(path, expected);
    }
}

#[test]
fn e1_with_slashes_kept_dot_segments_still_go() {
    let rules = Rules { merge_slashes: false, ..STRICT };
    for (path, expected) in [
        ("/a//b", "/a//b"),
        ("//a", "//a"),
        ("/a//../b", "/a/b"),
        ("/a//..//../b", "/a/b"),
        ("//..", "/"),
        ("/a//", "/a//"),
    ] {
        assert_eq!(normal(path, rules).as_deref(), Ok(expected), "{path}");
    }
}

#[test]
fn e2_encoded_separators_follow_the_rule_and_are_never_decoded_twice() {
    for path in ["/a%2fb", "/a%2Fb", "/a%5cb", "/%2e%2e%2fadmin", "/a%5C..%5Cadmin"] {
        assert_eq!(normal(path, STRICT), Err(PathError::EncodedSlash), "{path}");
    }
    let keep = Rules { encoded_slash: EncodedSlash::Keep, ..STRICT };
    let decode = Rules { encoded_slash: EncodedSlash::Decode, ..STRICT };
    for (path, kept, decoded) in [
        ("/a%2fb", "/a%2Fb", "/a/b"),
        ("/a%5cb", "/a%5Cb", "/a/b"),
        ("/a%2f%2e%2e%2fb", "/a%2F..%2Fb", "/b"),
        ("/a/..%2fb", "/a/..%2Fb", "/b"),
        ("/a%2f%2fb", "/a%2F%2Fb", "/a/b"),
        ("/%252e%252e/%252f", "/%252e%252e/%252f", "/%252e%252e/%252f"),
    ] {
        assert_eq!(normal(path, keep).as_deref(), Ok(kept), "{path}");
        assert_eq!(normal(path, decode).as_deref(), Ok(decoded), "{path}");
    }
}

#[test]
fn e3_dot_segments_with_a_parameter_are_refused() {
    for path in ["/pub/..;/admin", "/..;a=b", "/.;/x", "/%2e%2e;/x", "/.%2e%3b/x", "/..%3B"] {
        assert_eq!(normal(path, STRICT), Err(PathError::DotSegmentParameter), "{path}");
    }
    assert_normal("/admin;x=1", "/admin;x=1");
    assert_normal("/a..;b", "/a..;b");
    assert_normal("/...;b", "/...;b");
}

#[test]
fn e7_bad_escapes_and_controls_are_refused() {
    for path in ["/%zz", "/%", "/%4", "/%u002f", "/% 41", "/%+1", "/a%"] {
        assert_eq!(normal(path, STRICT), Err(PathError::BadEscape), "{path}");
    }
    for path in ["/%00", "/%0d%0aX:y", "/%1f", "/%7f", "/a\0", "/a\nb", "/a\u{7f}"] {
        assert_eq!(normal(path, STRICT), Err(PathError::Control), "{path:?}");
    }
    for path in ["/%c0%af", "/%C1%9c", "/%c0%ae%c0%ae/", "/%e0%80%af", "/%f0%80%80%af"] {
        assert_eq!(normal(path, STRICT), Err(PathError::Overlong), "{path}");
    }
    assert_normal("/%e0%a4%85", "/%E0%A4%85");
    assert_normal("/%c0x%af", "/%C0x%AF");
    assert_eq!(normal("/a\\..\\b", STRICT), Err(PathError::Backslash));
}

#[test]
fn e8_half_encoded_dots_are_dots() {
    assert_normal("/cgi/.%2e/x", "/x");
    assert_normal("/cgi/%2E%2e/%2e/x", "/x");
    assert_normal("/%61%7E%2D", "/a~-");
    assert_normal("/%c3%a9", "/%C3%A9");
}

#[test]
fn an_empty_path_becomes_the_root() {
    assert_normal("", "/");
}
