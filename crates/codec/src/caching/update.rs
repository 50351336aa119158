//! Heads as they are stored (RFC 9111 §3.1), and what a 304 changes about them (§3.2, §4.3.4).

use super::{Fields, ResponseControl};
use crate::known::Known;

/// Writes the lines of an answer that are stored: not those of the connection or of its framing, nor
/// what is said anew each time, nor what the server does not want to be used again.
pub fn write_stored(out: &mut Vec<u8>, fields: Fields<'_>, control: &ResponseControl) {
    for field in fields.fields.iter().filter(|field| !field.hop_by_hop) {
        let (name, value) = (field.name.of(fields.bytes), field.value.of(fields.bytes));
        if is_stored(field.known, name, control) {
            write_line(out, name, value);
        }
    }
}

/// Writes what is stored after a 304 about it: its own lines, but those of the 304 in place of the
/// ones of their names. What describes the content itself stays as it was (§3.2).
pub fn write_updated(
    out: &mut Vec<u8>,
    stored: Fields<'_>,
    new: Fields<'_>,
    control: &ResponseControl,
) {
    let replaces = |name: &[u8]| !is_about_content(name) && new.has(name);
    for field in stored.fields {
        let name = field.name.of(stored.bytes);
        if !replaces(name) {
            write_line(out, name, field.value.of(stored.bytes));
        }
    }
    for field in new.fields.iter().filter(|field| !field.hop_by_hop) {
        let name = field.name.of(new.bytes);
        if is_stored(field.known, name, control) && !is_about_content(name) {
            write_line(out, name, field.value.of(new.bytes));
        }
    }
}

fn is_stored(known: Known, name: &[u8], control: &ResponseControl) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let framing = matches!(known, Known::ContentLength | Known::TransferEncoding | Known::Trailer);
    // RFC 9111 §5.1: the age is said anew. RFC 9211: each cache adds its own word.
    let is_anew = is(b"age") || is(b"set-cookie") || is(b"set-cookie2");
    let is_withheld = control.withheld.iter().any(|withheld| is(withheld));
    // §3.1: of proxies on the way, for them alone.
    let is_proxys =
        is(b"proxy-authenticate") || is(b"proxy-authentication-info") || is(b"proxy-authorization");
    !(framing || is_anew || is_withheld || is_proxys)
}

fn is_about_content(name: &[u8]) -> bool {
    [b"content-encoding".as_slice(), b"content-type", b"content-range", b"content-length"]
        .iter()
        .any(|other| name.eq_ignore_ascii_case(other))
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn stored(lines: &[&str]) -> String {
        let (head, bytes) = sample::response(200, lines);
        let fields = Fields { fields: &head.fields, bytes: &bytes };
        let mut out = Vec::new();
        write_stored(&mut out, fields, &ResponseControl::of(fields));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc_9111_3_1_fields_of_the_connection_the_framing_and_the_moment_are_not_stored() {
        let lines = [
            "connection: x-a",
            "x-a: 1",
            "keep-alive: timeout=5",
            "proxy-authenticate: Basic",
            "content-length: 0",
            "age: 7",
            "set-cookie: a=b",
            "x-b: 2",
        ];
        assert_eq!(stored(&lines), "x-b: 2\r\n");
    }

    #[test]
    fn rfc_9111_5_2_2_4_fields_that_the_server_names_are_not_stored() {
        let control = "cache-control: no-cache=\"x-a\", private=\"x-b\"";
        assert_eq!(
            stored(&[control, "X-A: 1", "x-b: 2", "x-c: 3"]),
            format!("{control}\r\nx-c: 3\r\n")
        );
    }

    #[test]
    fn rfc_9111_4_3_4_a_304_updates_what_is_stored_but_not_what_describes_the_content() {
        let (old, old_bytes) =
            sample::response(200, &["x-a: 1", "x-a: 2", "content-type: a/b", "x-k: k"]);
        let lines = ["X-A: 3", "content-type: c/d", "content-length: 9", "age: 1", "x-new: n"];
        let (new, new_bytes) = sample::response(304, &lines);
        let new = Fields { fields: &new.fields, bytes: &new_bytes };
        let mut out = Vec::new();
        let old = Fields { fields: &old.fields, bytes: &old_bytes };
        write_updated(&mut out, old, new, &ResponseControl::of(new));
        let expected = "content-type: a/b\r\nx-k: k\r\nX-A: 3\r\nx-new: n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
