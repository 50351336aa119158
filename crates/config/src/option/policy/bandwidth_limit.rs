//! Options of `bandwidth_limit`.

use super::{KEY, MEMORY, MISSING, MISSING_DOC};
use crate::option::Absent::{Is, Means};
use crate::option::Kind::Size;
use crate::option::{CIDR, Object, opt};

pub(crate) static BANDWIDTH_LIMIT: Object = Object {
    name: "bandwidth_limit",
    doc: "So many bytes a second, each way; beyond, both sides wait. Tunnels are not slowed down.",
    options: &[
        opt(
            "download",
            Size(1024, 1 << 40),
            Means("not limited"),
            "Bytes of responses a second, as `1MiB/s`.",
        ),
        opt(
            "upload",
            Size(1024, 1 << 40),
            Means("not limited"),
            "Bytes of request bodies a second.",
        ),
        opt("burst", Size(0, 1 << 40), Is("64KiB"), "Bytes at once, before the rate holds."),
        opt(
            "key",
            KEY,
            Means("each request has rates of its own"),
            "Whose requests share the rates. Several make one key together.",
        ),
        opt("missing", MISSING, Is("share"), MISSING_DOC),
        opt("allow", CIDR, Means("nobody"), "Clients that are not limited."),
        opt(
            "memory",
            MEMORY,
            Is("1MiB"),
            "Most memory that keys take: 17 bytes for each, each way. Where they do not fit, a new key shares with the one that has moved least.",
        ),
    ],
};
