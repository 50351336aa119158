//! Options of pools, of their servers and of how one is chosen.

use super::Absent::{Is, Means, Required};
use super::Kind::{Bool, Choice, Count, Duration, Number, OneOf, OneOrMany, Share, Text};
use super::layer4::PROXY_PROTOCOL_OUT;
use super::{
    BREAKER, DAY, DISCOVER, HEALTH, HEALTH_WORDS, HEDGE, HOUR, IP_HASH, Kind, OUTLIER, Object,
    POOL_TLS, QUEUE, RETRY, STICKY, STICKY_WORDS, opt,
};

const ALGORITHMS: Kind = Choice(&[
    ("p2c_ewma", "of two drawn at random, the one with the smaller latency × load"),
    ("p2c", "of two drawn at random, the less loaded"),
    ("least_connections", "fewest requests in flight for its weight"),
    ("round_robin", "each in turn, weights ignored"),
    ("weighted_round_robin", "each in turn by weight, smooth, exact over a cycle"),
    ("random", "at random by weight"),
    ("ip_hash", "the client's address decides"),
]);

pub(crate) static POOL: Object = Object {
    name: "pool",
    doc: "Servers that can stand in for each other.",
    options: &[
        opt(
            "servers",
            OneOrMany(&OneOf(&[Text("10.0.0.1:8080"), Kind::Object(&SERVER)])),
            Means("none written: see `discover`"),
            "Its members: `host:port`, `http://host[:port]`, `https://host[:port]` (which is `tls: true`), or with more about them. A name is looked up, and again when its TTL is over.",
        ),
        opt(
            "discover",
            Kind::Object(&DISCOVER),
            Means("nowhere"),
            "Where more servers are found while the process runs.",
        ),
        opt(
            "balance",
            OneOf(&[ALGORITHMS, Kind::Object(&BALANCE)]),
            Is("p2c_ewma"),
            "How one of them is chosen.",
        ),
        opt(
            "host",
            Text("preserve"),
            Is("preserve"),
            "The `Host` that servers see: `preserve` the client's, the `server`'s own address, or this name.",
        ),
        opt(
            "tls",
            OneOf(&[Bool, Kind::Object(&POOL_TLS)]),
            Means("`true` if servers are written as `https://host[:port]`, else `false`"),
            "Servers are spoken to over TLS.",
        ),
        opt(
            "protocol",
            Choice(&[
                ("h1", "HTTP/1.1"),
                ("h2", "HTTP/2, over TLS or with prior knowledge"),
                ("auto", "HTTP/2 where the server takes it (ALPN), else HTTP/1.1; needs `tls`"),
                ("h3", "HTTP/3; needs `tls`"),
            ]),
            Is("h1"),
            "The version of HTTP that servers are spoken to in.",
        ),
        opt(
            "proxy_protocol",
            PROXY_PROTOCOL_OUT,
            Is("off"),
            "Connections to servers begin with a header of the PROXY protocol that says who the client is. A connection is then never used for another client.",
        ),
        opt(
            "timeouts",
            Kind::Object(&POOL_TIMEOUTS),
            Means("its defaults"),
            "How long a server may take.",
        ),
        opt(
            "keep_alive",
            Kind::Object(&KEEP_ALIVE),
            Means("its defaults"),
            "Connections kept for the next request.",
        ),
        opt(
            "retry",
            Kind::Object(&RETRY),
            Means("its defaults"),
            "Another try when a server failed.",
        ),
        opt(
            "hedge",
            OneOf(&[Bool, Kind::Object(&HEDGE)]),
            Is("false"),
            "A second try of a safe request before the first has failed.",
        ),
        opt(
            "health",
            OneOf(&[Text("/healthz"), HEALTH_WORDS, Kind::Object(&HEALTH)]),
            Means("none"),
            "Active checks. A path alone is a GET of it that must be answered with 200 to 299.",
        ),
        opt(
            "outlier",
            OneOf(&[Bool, Kind::Object(&OUTLIER)]),
            Is("true"),
            "Leave servers alone on which requests fail.",
        ),
        opt(
            "breaker",
            Kind::Object(&BREAKER),
            Means("no limits"),
            "How much the pool and each server take at a time.",
        ),
        opt(
            "queue",
            Kind::Object(&QUEUE),
            Means("its defaults"),
            "Requests that wait when all servers are at their limits.",
        ),
        opt(
            "slow_start",
            Duration(0, HOUR),
            Is("10s"),
            "How long a server that comes (back) takes to get its full share; 0 is off.",
        ),
        opt(
            "panic_threshold",
            Share,
            Is("10%"),
            "Share of the servers (of one priority) that has to be healthy, or health is ignored there: one of them may still answer. 0 never ignores it. Servers that drain or are disabled are left alone all the same.",
        ),
        opt(
            "sticky",
            OneOf(&[STICKY_WORDS, Kind::Object(&STICKY)]),
            Means("no"),
            "A client stays with its server.",
        ),
    ],
};

pub(crate) static SERVER: Object = Object {
    name: "server",
    doc: "A pool's member.",
    options: &[
        opt(
            "address",
            Text("10.0.0.1:8080"),
            Required,
            "Where it listens. A name is looked up, and again when its TTL is over.",
        ),
        opt(
            "weight",
            Count(0, 1000),
            Is("1"),
            "Its share relative to the others; 0 takes nothing.",
        ),
        opt(
            "priority",
            Count(0, 100),
            Is("0"),
            "Servers of the lowest number that has enough healthy ones take everything.",
        ),
        opt("backup", Bool, Is("false"), "The same as `priority: 1`."),
        opt("check", Text("10.0.0.1:9000"), Means("its `address`"), "Where its active checks go."),
    ],
};

pub(crate) static BALANCE: Object = Object {
    name: "balance",
    doc: "An algorithm with settings: exactly one of these.",
    options: &[
        opt(
            "p2c_ewma",
            Kind::Object(&EWMA),
            Means("one of the others"),
            "Latency × load, of two drawn at random.",
        ),
        opt(
            "ip_hash",
            Kind::Object(&IP_HASH),
            Means("one of the others"),
            "The client's network decides.",
        ),
        opt(
            "consistent_hash",
            Kind::Object(&CONSISTENT),
            Means("one of the others"),
            "A key of the request decides; a request without it goes to the less loaded of two.",
        ),
    ],
};

pub(crate) static EWMA: Object = Object {
    name: "p2c_ewma",
    doc: "Peak exponentially weighted moving average of the latency.",
    options: &[
        opt(
            "decay",
            Duration(10, HOUR),
            Is("10s"),
            "Time in which an old answer loses 63 % of its weight.",
        ),
        opt(
            "failure_penalty",
            Duration(0, HOUR),
            Is("1s"),
            "What a failed request counts as at least: failing fast must not look fast.",
        ),
    ],
};

pub(super) const TABLES: Kind = Choice(&[
    ("maglev", "65,537 slots: even, one look-up"),
    ("ring", "160 points for each unit of weight: fewest moves"),
]);

pub(crate) static CONSISTENT: Object = Object {
    name: "consistent_hash",
    doc: "Consistent hashing on a key of the request.",
    options: &[
        opt(
            "key",
            OneOf(&[
                Choice(&[
                    ("client_ip", "the client's address"),
                    (
                        "connection",
                        "addresses and ports of both ends of a connection that is not HTTP",
                    ),
                    ("path", "the path without the query"),
                ]),
                Kind::Object(&HASH_KEY),
            ]),
            Required,
            "What is hashed.",
        ),
        opt("table", TABLES, Is("maglev"), "Which table."),
        opt(
            "bounded_load",
            Number(1.0, 10.0),
            Means("no bound"),
            "A server takes at most this factor of the mean load, then the next is asked; 1.25 is usual.",
        ),
    ],
};

pub(crate) static HASH_KEY: Object = Object {
    name: "hash key",
    doc: "Exactly one of these.",
    options: &[
        opt("header", Text("x-user"), Means("one of the others"), "The value of this field."),
        opt("cookie", Text("session"), Means("one of the others"), "The value of this cookie."),
        opt(
            "query",
            Text("user"),
            Means("one of the others"),
            "The value of this query parameter.",
        ),
    ],
};

pub(crate) static POOL_TIMEOUTS: Object = Object {
    name: "pool timeouts",
    doc: "How long a server may take.",
    options: &[
        opt(
            "connect",
            Duration(1, HOUR),
            Is("3s"),
            "Until the connection stands, and its TLS session with it. Beyond: another server, or 504.",
        ),
        opt(
            "first_byte",
            Duration(1, DAY),
            Is("60s"),
            "From the end of the request to the response head. Beyond: 504.",
        ),
        opt(
            "idle",
            Duration(1, DAY),
            Is("60s"),
            "Longest silence inside a response body, and longest time in which a server takes nothing of a request.",
        ),
        opt(
            "tunnel",
            Duration(1, 30 * DAY),
            Is("1h"),
            "Longest silence of a tunnel in both directions.",
        ),
    ],
};

pub(crate) static KEEP_ALIVE: Object = Object {
    name: "keep_alive",
    doc: "Connections kept for the next request.",
    options: &[
        opt(
            "idle_max",
            Count(0, 100_000),
            Is("64"),
            "Idle connections kept for each server and worker; 0 keeps none.",
        ),
        opt(
            "idle",
            Duration(1, DAY),
            Is("50s"),
            "How long an idle one is kept. A server that says `Keep-Alive: timeout=` gets less.",
        ),
        opt(
            "age_max",
            Duration(1, 30 * DAY),
            Is("1h"),
            "Age at which a connection is not used again.",
        ),
    ],
};
