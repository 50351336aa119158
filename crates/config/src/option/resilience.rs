//! Options for servers that fail or are full: retries, hedging, ejection, breakers, queues, and
//! clients that stay with a server.

use super::Absent::{Is, Means, Required};
use super::Kind::{Bool, Choice, Count, Duration, Number, OneOf, OneOrMany, Share, Text};
use super::pool::TABLES;
use super::{DAY, HOUR, Kind, Object, Opt, opt};

pub(crate) static RETRY: Object = Object {
    name: "retry",
    doc: "Another try on another server, when it is known that the first has not acted on the request, or that acting twice does no harm.",
    options: &[
        opt(
            "attempts",
            Count(0, 7),
            Is("2"),
            "Further tries, each on another server. A kept connection that had died is replaced without counting.",
        ),
        opt(
            "on",
            OneOrMany(&OneOf(&[RETRY_WORDS, Count(400, 599)])),
            Means("`connect` and `reset`; with a `try_timeout` also `timeout`"),
            "Which failures, and which statuses of a response.",
        ),
        opt(
            "non_idempotent",
            Bool,
            Is("false"),
            "Also requests that may not be repeated (POST, PATCH) and of which a byte was sent: a server may then act twice.",
        ),
        opt(
            "try_timeout",
            Duration(1, DAY),
            Means("none"),
            "From a try's begin to its response head, as long as another try is allowed.",
        ),
        opt(
            "backoff",
            Duration(0, HOUR),
            Is("25ms"),
            "Waited before the second further try: a random time up to this, doubled for each one after. The first follows at once.",
        ),
        opt("backoff_max", Duration(0, HOUR), Is("250ms"), "Bound of the above."),
        opt(
            "budget",
            OneOf(&[Share, Kind::Object(&BUDGET)]),
            Means("its defaults"),
            "How many tries beside the first ones, hedges included, so that retries never become the load that keeps a pool down. A share alone is its `ratio`.",
        ),
    ],
};

pub(crate) const RETRY_WORDS: Kind = Choice(&[
    ("connect", "the connection was refused, or did not stand in time"),
    ("reset", "it ended before the response head"),
    ("timeout", "no response head within `try_timeout` or `first_byte`"),
]);

pub(crate) static BUDGET: Object = Object {
    name: "budget",
    doc: "At most this many tries beside first ones.",
    options: &[
        opt("ratio", Share, Is("20%"), "Share of the successful requests of the last seconds."),
        opt(
            "min",
            Count(0, 1_000_000),
            Is("3"),
            "A second, counted over five, whatever the ratio says.",
        ),
    ],
};

pub(crate) static HEDGE: Object = Object {
    name: "hedge",
    doc: "A second try of a safe request (GET, HEAD, OPTIONS) before the first has failed; the first answer wins, the other try is ended.",
    options: &[opt(
        "delay",
        Duration(1, HOUR),
        Means("the p95 of the pool's latency"),
        "After this time without a response head.",
    )],
};

pub(crate) static OUTLIER: Object = Object {
    name: "outlier",
    doc: "What real traffic says about servers. One that fails is left alone (ejected) for a while, then tried with a few requests; it comes back when they succeed, or is ejected for longer.",
    options: &[
        opt(
            "consecutive",
            Count(0, 1000),
            Is("5"),
            "Failures in a row that eject: refused, reset, timed out, truncated, malformed, 502, 503, 504. Answers to what was under way at the first of them do not count. 0 is off.",
        ),
        opt(
            "rate",
            OneOf(&[Bool, Kind::Object(&FAILURE_RATE)]),
            Is("true"),
            "A share of failed requests that ejects; every 5xx counts.",
        ),
        opt(
            "mark_down",
            Duration(1, DAY),
            Means("off"),
            "The first connection that is refused or times out ejects for this time.",
        ),
        opt(
            "eject",
            Duration(1, DAY),
            Is("5s"),
            "First ejection; each further one takes longer by this.",
        ),
        opt("eject_max", Duration(1, DAY), Is("5m"), "Bound of the above."),
        opt(
            "ejected_max",
            Share,
            Is("50%"),
            "At most this share of the pool is ejected at a time, and never the last server.",
        ),
    ],
};

const RATE_SHARE: Opt = opt("share", Share, Is("50%"), "Share of failed requests.");
const RATE_REQUESTS: Opt =
    opt("requests_min", Count(1, 1_000_000), Is("20"), "Of at least this many requests.");
const RATE_WINDOW: Opt = opt("window", Duration(100, HOUR), Is("10s"), "In this time.");

pub(crate) static FAILURE_RATE: Object = Object {
    name: "failure rate",
    doc: "A share of failed requests.",
    options: &[RATE_SHARE, RATE_REQUESTS, RATE_WINDOW],
};

const LIMIT: Kind = Count(1, 10_000_000);

pub(crate) static BREAKER: Object = Object {
    name: "breaker",
    doc: "How much a pool and each of its servers take at a time, and when they are left alone. What is beyond waits in the queue.",
    options: &[
        opt("in_flight", LIMIT, Means("no limit"), "Requests in flight to the whole pool."),
        opt("server_in_flight", LIMIT, Means("no limit"), "Requests in flight to one server."),
        opt(
            "server_connections",
            LIMIT,
            Means("no limit"),
            "Connections to one server, idle ones included, of all workers together.",
        ),
        opt(
            "errors",
            OneOf(&[Bool, Kind::Object(&ERROR_BREAKER)]),
            Is("false"),
            "Answer 503 at once while too many of the pool's answers are failures.",
        ),
        opt(
            "server_errors",
            OneOf(&[Bool, Kind::Object(&ERROR_BREAKER)]),
            Is("false"),
            "Leave a server alone while too many of its answers are failures.",
        ),
        opt(
            "adaptive",
            OneOf(&[Bool, Kind::Object(&ADAPTIVE)]),
            Is("false"),
            "Find each server's limit by its latency.",
        ),
    ],
};

pub(crate) static ERROR_BREAKER: Object = Object {
    name: "error breaker",
    doc: "Closed, open, half-open.",
    options: &[
        RATE_SHARE,
        RATE_REQUESTS,
        RATE_WINDOW,
        opt(
            "open",
            Duration(1, HOUR),
            Is("5s"),
            "How long it stays open; doubled each time it opens again at once, up to ten times this.",
        ),
        opt(
            "probes",
            Count(1, 1000),
            Is("3"),
            "Requests let through when half-open; all must succeed to close it.",
        ),
    ],
};

pub(crate) static ADAPTIVE: Object = Object {
    name: "adaptive",
    doc: "Adaptive concurrency (Gradient2): the limit of requests in flight to a server follows the ratio of its long- to its short-term latency.",
    options: &[
        opt("initial", Count(1, 1_000_000), Is("20"), "The limit at the start."),
        opt("min", Count(1, 1_000_000), Is("10"), "The least it may become."),
        opt("max", Count(1, 1_000_000), Is("1000"), "The most it may become."),
        opt(
            "tolerance",
            Number(1.0, 10.0),
            Is("1.5"),
            "Short-term latency may be this many times the long-term one.",
        ),
    ],
};

pub(crate) static QUEUE: Object = Object {
    name: "queue",
    doc: "Requests that wait for a server when all that may are at their limits.",
    options: &[
        opt(
            "max",
            Count(0, 1_000_000),
            Is("1000"),
            "Waiting requests of the pool, in all workers; 0 never waits. Beyond: 503 with `Retry-After`.",
        ),
        opt(
            "timeout",
            Duration(0, HOUR),
            Is("1s"),
            "Longest wait. Beyond: 503 with `Retry-After`.",
        ),
    ],
};

const ONE_OF: super::Absent = Means("one of the others");

pub(crate) const STICKY_WORDS: Kind = Choice(&[
    ("cookie", "by a cookie made here, with its defaults"),
    ("source", "by the client's address"),
]);

pub(crate) static STICKY: Object = Object {
    name: "sticky",
    doc: "A client stays with its server: exactly one of `cookie`, `header`, `app_cookie`, `query`, `source`. A server that drains keeps its clients and gets no new ones; when a server is down, its clients go to the next best and stay there.",
    options: &[
        opt("cookie", Kind::Object(&STICKY_COOKIE), ONE_OF, "By a cookie made here."),
        opt(
            "header",
            Text("x-user"),
            ONE_OF,
            "By consistent hashing of this field. A request without it is balanced as the pool says.",
        ),
        opt(
            "app_cookie",
            Text("JSESSIONID"),
            ONE_OF,
            "By consistent hashing of this cookie of the application's.",
        ),
        opt("query", Text("user"), ONE_OF, "By consistent hashing of this query parameter."),
        opt("source", Kind::Object(&SOURCE), ONE_OF, "By the client's network."),
        opt("table", TABLES, Is("maglev"), "Which table, where there is hashing."),
        opt(
            "bounded_load",
            Number(1.0, 10.0),
            Means("no bound"),
            "Where there is hashing: a server takes at most this factor of the mean load, then the next is asked.",
        ),
    ],
};

pub(crate) static STICKY_COOKIE: Object = Object {
    name: "sticky cookie",
    doc: "A cookie (RFC 6265) whose value is a sealed token: it tells a client nothing about servers, and lets it choose none.",
    options: &[
        opt(
            "name",
            Text("session_server"),
            Means("`evenkeel_` and the name of the pool"),
            "Its name. Pools that one client meets at one host need names of their own, or each replaces the other's cookie.",
        ),
        opt(
            "ttl",
            Duration(1000, 365 * DAY),
            Means("as long as the browser runs"),
            "How long a client keeps it, and how long it is believed.",
        ),
        opt("path", Text("/"), Is("/"), "Its `Path`."),
        opt("domain", Text("shop.example"), Means("none"), "Its `Domain`."),
        opt(
            "secure",
            OneOf(&[Choice(&[("auto", "when the client came over TLS")]), Bool]),
            Is("auto"),
            "`Secure`.",
        ),
        opt("http_only", Bool, Is("true"), "`HttpOnly`."),
        opt("same_site", SAME_SITE, Is("lax"), "`SameSite`."),
        opt(
            "keys",
            OneOrMany(&Text("${STICKY_KEY}")),
            Means("one made when the process starts: sessions end with it"),
            "32 bytes each, as 64 hexadecimal digits or as base64: `openssl rand -hex 32`. Tokens are made with the first and understood with all, so a new key is put before the old one. Instances with the same keys understand each other's cookies.",
        ),
    ],
};

const SAME_SITE: Kind = Choice(&[
    ("strict", "only with requests from the same site"),
    ("lax", "also when a link from elsewhere is followed"),
    ("none", "always; browsers want `Secure` with it"),
]);

const IPV4: Opt =
    opt("ipv4", Count(1, 32), Is("32"), "Leading bits of an IPv4 address that count.");
const IPV6: Opt =
    opt("ipv6", Count(1, 128), Is("64"), "Leading bits of an IPv6 address that count.");

pub(crate) static SOURCE: Object = Object {
    name: "source",
    doc: "The client's network. A client that moves inside it stays the same.",
    options: &[IPV4, IPV6],
};

pub(crate) static IP_HASH: Object = Object {
    name: "ip_hash",
    doc: "The client's network decides.",
    options: &[
        IPV4,
        IPV6,
        opt("table", TABLES, Is("maglev"), "Which table."),
        opt(
            "bounded_load",
            Number(1.0, 10.0),
            Means("no bound"),
            "A server takes at most this factor of the mean load, then the next is asked; 1.25 is usual.",
        ),
    ],
};

pub(crate) static DISCOVER: Object = Object {
    name: "discover",
    doc: "Where more servers are found while the process runs: exactly one of these. What was found last is kept while a source does not answer.",
    options: &[
        opt(
            "dns",
            OneOf(&[Text("app.internal:8080"), Kind::Object(&DNS)]),
            ONE_OF,
            "The addresses of a name. A text is `name:port`, or the name of SRV records.",
        ),
        opt(
            "file",
            Text("servers.yaml"),
            ONE_OF,
            "A file with a list as `servers` takes it, in YAML or JSON; taken over when it changes.",
        ),
    ],
};

pub(crate) static DNS: Object = Object {
    name: "dns",
    doc: "The addresses of a name, looked up again when their TTL is over.",
    options: &[
        opt("name", Text("app.internal"), Required, "The name."),
        opt(
            "port",
            Count(1, 65_535),
            Means("that of SRV records (RFC 2782), with their weight and priority"),
            "The servers' port; with it A and AAAA records are asked for.",
        ),
        opt(
            "resolvers",
            OneOrMany(&Text("10.0.0.2:53")),
            Means("the system's"),
            "Addresses of the resolvers to ask.",
        ),
        opt(
            "refresh_min",
            Duration(100, DAY),
            Is("1s"),
            "Least time between two look-ups, whatever the TTL says.",
        ),
        opt("refresh_max", Duration(100, DAY), Is("60s"), "Most time between two look-ups."),
    ],
};
