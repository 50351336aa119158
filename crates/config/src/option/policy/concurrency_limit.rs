//! Options of `concurrency_limit`.

use super::{KEY, KEY_DOC, MEMORY, MISSING, MISSING_DOC};
use crate::option::Absent::{Is, Means, Required};
use crate::option::Kind::{Bool, Count};
use crate::option::{CIDR, Object, opt};

pub(crate) static CONCURRENCY_LIMIT: Object = Object {
    name: "concurrency_limit",
    doc: "So many requests at a time, for each key, tunnels included; beyond: 429 with `Retry-After: 1`. All workers together.",
    options: &[
        opt("max", Count(1, 10_000_000), Required, "How many at a time."),
        opt("key", KEY, Means("`client_ip`"), KEY_DOC),
        opt("missing", MISSING, Is("share"), MISSING_DOC),
        opt("allow", CIDR, Means("nobody"), "Clients that are not limited."),
        opt(
            "dry_run",
            Bool,
            Is("false"),
            "Nobody is refused: what would have been is counted, and logged.",
        ),
        opt(
            "memory",
            MEMORY,
            Is("1MiB"),
            "Most memory that keys take: 17 bytes for each that has a request. Where they do not fit, a new key shares with the one that has the fewest.",
        ),
    ],
};
