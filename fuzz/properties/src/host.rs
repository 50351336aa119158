//! Hosts: a part of what was sent, bounded, and the same when written again.

use std::net::Ipv6Addr;

use evenkeel_codec::host::parse;

/// The input is the value of a `Host` field.
pub fn check(input: &[u8]) {
    let Some(authority) = parse(input) else { return };
    let name = std::str::from_utf8(authority.name).expect("a host is ASCII");
    assert!(input.starts_with(authority.name) && !name.is_empty());
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => assert!(address.parse::<Ipv6Addr>().is_ok(), "{address}"),
        None => {
            assert!(name.len() <= 254 && !name.starts_with('.') && !name.contains(".."));
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            assert!(name.chars().all(is_name), "{name}");
        }
    }
    let written = match authority.port {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    assert_ne!(authority.port, Some(0));
    assert_eq!(parse(written.as_bytes()), Some(authority), "{written}");
    assert!(written.len() <= input.len(), "it has grown");
}
