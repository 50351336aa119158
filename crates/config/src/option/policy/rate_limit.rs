//! Options of `rate_limit`, and of the keys of all limits.

use crate::option::Absent::{Is, Means, Required};
use crate::option::Kind::{Bool, Choice, Count, Duration, OneOf, OneOrMany, Size, Text};
use crate::option::{CIDR, Kind, Object, opt};

pub(crate) static RATE_LIMIT: Object = Object {
    name: "rate_limit",
    doc: "So many requests in so much time, for each key; beyond: 429 with `Retry-After`. Exact for all workers together.",
    options: &[
        opt(
            "rate",
            Text("100/s"),
            Required,
            "How many in how much time: `100/s`, `1000/min`, `5/10s`; the time is `s`, `min`, `h`, `d` or a duration.",
        ),
        opt(
            "algorithm",
            Choice(&[
                ("token_bucket", "evenly, with a burst: never more than rate × time + burst"),
                ("fixed_window", "so many in each period; twice as many may meet at a border"),
                ("sliding_window", "so many in any period, about"),
            ]),
            Is("token_bucket"),
            "How the rate is kept.",
        ),
        opt(
            "burst",
            Count(1, 100_000_000),
            Means("as many as the rate's count"),
            "How many at once, with `token_bucket`.",
        ),
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
            "fields",
            Bool,
            Is("true"),
            "Answers say how much is left, in `RateLimit` and `RateLimit-Policy`.",
        ),
        opt("memory", MEMORY, Is("4MiB"), MEMORY_DOC),
        opt(
            "shared",
            Kind::Object(&SHARED_LIMIT),
            Means("each instance counts for itself"),
            "Several instances count together, with `token_bucket`: the policies of one name.",
        ),
    ],
};

pub(crate) static SHARED_LIMIT: Object = Object {
    name: "shared limit",
    doc: "A server of Valkey or Redis decides, in one script for each request.",
    options: &[
        opt("server", Text("10.0.0.5:6379"), Required, "Host and port."),
        opt("username", Text("evenkeel"), Means("the server's default user"), "Who logs in."),
        opt("password", Text("${VALKEY_PASSWORD}"), Means("no log-in"), "With what."),
        opt("database", Count(0, 65_535), Is("0"), "Its number."),
        opt("prefix", Text("evenkeel:"), Is("evenkeel:"), "What names of keys begin with."),
        opt(
            "timeout",
            Duration(1, 1000),
            Is("50ms"),
            "Longest time that a request waits for the decision.",
        ),
        opt(
            "without",
            Choice(&[
                ("local", "each instance keeps the whole rate by itself"),
                ("allow", "every request passes"),
                ("refuse", "no request passes: 503"),
            ]),
            Is("local"),
            "What holds while the server does not answer.",
        ),
    ],
};

pub(crate) const KEY: Kind = OneOrMany(&OneOf(&[
    Choice(&[
        ("client_ip", "the client's address; of an IPv6 address, the /64"),
        ("route", "the route"),
        ("listener", "the listener"),
        ("global", "one for everything"),
    ]),
    Kind::Object(&LIMIT_KEY),
]));

pub(crate) const KEY_DOC: &str = "Who has a limit of his own. Several make one key together.";

pub(crate) const MISSING: Kind = Choice(&[
    ("share", "all requests that lack a part of the key share one"),
    ("skip", "they are not limited"),
]);

pub(crate) const MISSING_DOC: &str =
    "What becomes of requests that lack a part of the key: the header, the cookie.";

pub(crate) const MEMORY: Kind = Size(4096, 1 << 34);

pub(crate) const MEMORY_DOC: &str = "Most memory that keys take: 17 bytes for each. Where they do not fit, a new key goes on with what the least used one has left: the limit becomes stricter, never laxer.";

pub(crate) static LIMIT_KEY: Object = Object {
    name: "limit key",
    doc: "A part of a key: exactly one of these.",
    options: &[
        opt(
            "client_ip",
            Kind::Object(&CLIENT_NETWORK),
            Means("one of the others"),
            "The client's network.",
        ),
        opt("header", Text("x-api-key"), Means("one of the others"), "A field's value."),
        opt("cookie", Text("session"), Means("one of the others"), "A cookie's value."),
        opt("query", Text("key"), Means("one of the others"), "A query parameter's value."),
    ],
};

pub(crate) static CLIENT_NETWORK: Object = Object {
    name: "client network",
    doc: "How much of an address counts.",
    options: &[
        opt("ipv4", Count(0, 32), Is("32"), "Bits of an IPv4 address."),
        opt("ipv6", Count(0, 128), Is("64"), "Bits of an IPv6 address."),
    ],
};
