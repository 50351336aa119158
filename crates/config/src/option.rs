//! The table of all options: every key once, with its kind, its default and what it is for. What
//! may be written, the JSON Schema and the reference manual all come from here; a default is read
//! by the same code that reads what users write.

/// What may be written for an option.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text; the example shows one.
    Text(&'static str),
    /// `true` or `false`.
    Bool,
    /// `250ms`, `5s`, `1m30s`; bounds in milliseconds.
    Duration(u64, u64),
    /// `512B`, `32KiB`, `10MB` or a number of bytes; bounds in bytes.
    Size(u64, u64),
    /// A size for each second; 0 is off.
    Rate,
    /// A whole number within bounds.
    Count(u64, u64),
    /// A number within bounds.
    Number(f64, f64),
    /// A share: `0.01` or `1%`.
    Share,
    /// One of these words.
    Choice(&'static [(&'static str, &'static str)]),
    /// A list of these.
    List(&'static Self),
    /// One of these, or a list of them.
    OneOrMany(&'static Self),
    /// Names chosen by the user, each with one of these.
    Map(&'static Self),
    /// Keys of their own.
    Object(&'static Object),
    /// Whichever of these it is.
    OneOf(&'static [Self]),
}

/// What holds if an option is not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent {
    /// It must be written.
    Required,
    /// It is as if this had been written.
    Is(&'static str),
    /// Described in words.
    Means(&'static str),
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Absent,
    pub(crate) doc: &'static str,
}

/// A group of options.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) options: &'static [Opt],
}

const fn opt(key: &'static str, kind: Kind, default: Absent, doc: &'static str) -> Opt {
    Opt { key, kind, default, doc }
}

use Absent::{Is, Means, Required};
use Kind::{
    Bool, Choice, Count, Duration, List, Map, Number, OneOf, OneOrMany, Rate, Share, Size, Text,
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const NAMES: Kind = OneOrMany(&Text("name"));
const CIDR: Kind = OneOrMany(&Text("10.0.0.0/8"));

pub(crate) static ROOT: Object = Object {
    name: "configuration",
    doc: "The whole file. Several files of a directory are read as one.",
    options: &[
        opt(
            "listeners",
            Map(&Kind::Object(&LISTENER)),
            Required,
            "Where connections are accepted, by name.",
        ),
        opt(
            "routes",
            List(&Kind::Object(&ROUTE)),
            Means("every request is answered with 404"),
            "What is done with a request. The most specific match wins, not the first; `evenkeel check --routes` shows the order.",
        ),
        opt(
            "pools",
            Map(&Kind::Object(&POOL)),
            Means("none"),
            "Groups of servers that can stand in for each other, by name.",
        ),
        opt(
            "policies",
            Map(&Kind::Object(&POLICY)),
            Means("none"),
            "Named rules that listeners and routes apply.",
        ),
        opt(
            "workers",
            Count(1, 1024),
            Means("one for each core"),
            "Threads that serve connections.",
        ),
        opt(
            "shutdown",
            Kind::Object(&SHUTDOWN),
            Means("its defaults"),
            "How the process ends after SIGTERM.",
        ),
    ],
};

pub(crate) static SHUTDOWN: Object = Object {
    name: "shutdown",
    doc: "After the first SIGTERM nothing new is accepted and what runs may finish; a second signal ends it at once.",
    options: &[
        opt("drain", Duration(0, HOUR), Is("30s"), "Time for requests in progress."),
        opt(
            "drain_tunnels",
            Duration(0, DAY),
            Is("5m"),
            "Time for tunnels (WebSocket and other upgrades).",
        ),
    ],
};

pub(crate) static LISTENER: Object = Object {
    name: "listener",
    doc: "Where connections are accepted, and what one client may take there.",
    options: &[
        opt(
            "bind",
            OneOrMany(&Text("0.0.0.0:80")),
            Required,
            "Addresses with port. `:80` is every IPv4 and IPv6 address; port 0 takes any free port.",
        ),
        opt(
            "trusted_proxies",
            CIDR,
            Means("nobody"),
            "Peers that may say who their client is: their `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed. From everybody else these fields are removed.",
        ),
        opt("limits", Kind::Object(&LIMITS), Means("its defaults"), "How much."),
        opt("timeouts", Kind::Object(&TIMEOUTS), Means("its defaults"), "How long."),
        opt(
            "identity",
            Kind::Object(&IDENTITY),
            Means("its defaults"),
            "What servers are told about the client.",
        ),
        opt(
            "path",
            Kind::Object(&PATH_RULES),
            Means("its defaults"),
            "How paths are made comparable before routing. What is matched is what is forwarded.",
        ),
        opt(
            "policies",
            NAMES,
            Means("none"),
            "Applied to every request, before those of the route.",
        ),
    ],
};

pub(crate) static LIMITS: Object = Object {
    name: "limits",
    doc: "How much one listener, and one client of it, may take.",
    options: &[
        opt(
            "connections",
            Count(1, 10_000_000),
            Means("two fifths of the process's limit on open files"),
            "Open connections. At the limit new ones wait in the kernel's queue.",
        ),
        opt(
            "connections_per_ip",
            Count(1, 10_000_000),
            Is("1000"),
            "Open connections of one client address (IPv6: of one /64). Beyond: 429 and a close.",
        ),
        opt("head", Size(1024, 1 << 20), Is("32KiB"), "Bytes of a request head. Beyond: 431."),
        opt(
            "request_line",
            Size(256, 1 << 20),
            Is("16KiB"),
            "Bytes of a request line. Beyond: 414.",
        ),
        opt(
            "fields",
            Count(1, 10_000),
            Is("100"),
            "Fields of a head, and of a trailer section. Beyond: 431.",
        ),
        opt("body", Size(0, u64::MAX), Means("no limit"), "Bytes of a request body. Beyond: 413."),
        opt(
            "requests_per_connection",
            Count(1, u32::MAX as u64),
            Is("100000"),
            "Requests on one connection; then it is closed.",
        ),
    ],
};

pub(crate) static TIMEOUTS: Object = Object {
    name: "listener timeouts",
    doc: "How long a client may take.",
    options: &[
        opt(
            "head",
            Duration(100, HOUR),
            Is("10s"),
            "From the accept, or on a kept connection from the first byte of a request head, to its last. Beyond: 408 and a close.",
        ),
        opt("head_rate_min", Rate, Is("500"), "Bytes a second that a head must keep up after 2 s."),
        opt(
            "body_idle",
            Duration(100, HOUR),
            Is("30s"),
            "Longest silence inside a request body. Beyond: 408 and a close.",
        ),
        opt(
            "body_rate_min",
            Rate,
            Is("1KiB"),
            "Bytes a second that a request body must keep up on average after 10 s.",
        ),
        opt(
            "send_idle",
            Duration(100, HOUR),
            Is("30s"),
            "Longest time in which a client takes nothing of a waiting response.",
        ),
        opt(
            "send_rate_min",
            Rate,
            Is("1KiB"),
            "Bytes a second that a client must take of a waiting response after 10 s.",
        ),
        opt("idle", Duration(100, DAY), Is("60s"), "A kept-alive connection without a request."),
        opt(
            "age_max",
            Duration(1000, 30 * DAY),
            Is("1h"),
            "Age at which a connection is closed after the exchange in progress.",
        ),
    ],
};

pub(crate) static IDENTITY: Object = Object {
    name: "identity",
    doc: "What servers are told about the client.",
    options: &[
        opt(
            "x_forwarded",
            Bool,
            Is("true"),
            "`X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `X-Real-IP`.",
        ),
        opt("forwarded", Bool, Is("false"), "`Forwarded` (RFC 7239)."),
        opt(
            "via",
            OneOf(&[Bool, Text("edge-1")]),
            Is("false"),
            "`Via` (RFC 9110, 7.6.3) in both directions; `true` calls this proxy `evenkeel`, a text calls it that.",
        ),
        opt(
            "request_id",
            Bool,
            Is("true"),
            "`X-Request-Id`: made here unless a trusted peer sent one.",
        ),
    ],
};

pub(crate) static PATH_RULES: Object = Object {
    name: "path rules",
    doc: "How paths are made comparable (RFC 3986, 6.2.2): dot segments resolved, escapes of unreserved characters decoded, the others in upper case. Done once, before routing.",
    options: &[
        opt(
            "encoded_slash",
            Choice(&[
                ("reject", "400"),
                ("keep", "leave it: it is data"),
                ("decode", "make it a slash"),
            ]),
            Is("reject"),
            "What to do with `%2F` and `%5C`.",
        ),
        opt("merge_slashes", Bool, Is("true"), "`//` becomes `/`."),
    ],
};

pub(crate) static ROUTE: Object = Object {
    name: "route",
    doc: "Which requests, and what is done with them: exactly one of `to`, `redirect`, `respond`.",
    options: &[
        opt("name", Text("api"), Means("made from the match"), "For logs and messages; unique."),
        opt(
            "match",
            Kind::Object(&MATCH),
            Means("every request"),
            "What a request must be like. Several keys must all hold.",
        ),
        opt(
            "to",
            OneOf(&[Text("app"), Kind::Object(&SPLIT)]),
            Means("one of the others"),
            "The pool that serves it.",
        ),
        opt(
            "redirect",
            OneOf(&[Text("https://${host}${path}${query}"), Kind::Object(&REDIRECT)]),
            Means("one of the others"),
            "A redirect.",
        ),
        opt("respond", Kind::Object(&RESPOND), Means("one of the others"), "A fixed response."),
        opt("policies", NAMES, Means("none"), "Applied after those of the listener."),
    ],
};

const VALUES: Kind = Map(&OneOf(&[Text("value"), Kind::Object(&VALUE)]));

pub(crate) static MATCH: Object = Object {
    name: "match",
    doc: "A condition on a request. Several keys must all hold; a list under one key means any of them.",
    options: &[
        opt(
            "host",
            OneOrMany(&Text("*.example.com")),
            Means("any"),
            "Host name; `*.` stands for one label or more.",
        ),
        opt(
            "path",
            OneOrMany(&OneOf(&[Text("/api"), Kind::Object(&PATH)])),
            Means("any"),
            "A text is a prefix on segment boundaries: `/api` matches `/api` and `/api/x`, not `/apis`.",
        ),
        opt(
            "method",
            OneOrMany(&Text("GET")),
            Means("any"),
            "Method, as it is written in requests.",
        ),
        opt(
            "header",
            VALUES,
            Means("any"),
            "Fields by name: a text is the whole value (or one member of a list), `present` is any.",
        ),
        opt("cookie", VALUES, Means("any"), "Cookies by name."),
        opt("query", VALUES, Means("any"), "Query parameters by name."),
        opt("client", CIDR, Means("any"), "Networks of the client, after trusted proxies."),
        opt("listener", NAMES, Means("any"), "Listeners by name."),
        opt("all", List(&Kind::Object(&MATCH)), Means("nothing more"), "Each of these."),
        opt("any", List(&Kind::Object(&MATCH)), Means("nothing more"), "At least one of these."),
        opt("not", Kind::Object(&MATCH), Means("nothing more"), "Not this."),
    ],
};

pub(crate) static PATH: Object = Object {
    name: "path match",
    doc: "Exactly one of these.",
    options: &[
        opt("exact", Text("/healthz"), Means("one of the others"), "This path."),
        opt("prefix", Text("/api"), Means("one of the others"), "This path and what is below it."),
        opt(
            "regex",
            Text("^/v[0-9]+/"),
            Means("one of the others"),
            "Matches anywhere unless anchored. Linear time.",
        ),
    ],
};

pub(crate) static VALUE: Object = Object {
    name: "value match",
    doc: "Exactly one of these.",
    options: &[
        opt("exact", Text("beta"), Means("one of the others"), "This value."),
        opt("regex", Text("^b"), Means("one of the others"), "Matches anywhere unless anchored."),
        opt("present", Bool, Means("one of the others"), "`true`: any value."),
    ],
};

pub(crate) static SPLIT: Object = Object {
    name: "split",
    doc: "Shares of the requests for several pools.",
    options: &[opt(
        "split",
        Map(&Count(0, 1_000_000)),
        Required,
        "Pools and their weights: `{ stable: 95, canary: 5 }`.",
    )],
};

pub(crate) static REDIRECT: Object = Object {
    name: "redirect",
    doc: "A redirect (RFC 9110, 15.4).",
    options: &[
        opt(
            "to",
            Text("https://${host}/new${path.rest}"),
            Required,
            "The `Location`. `${host}`, `${path}`, `${path.rest}` (what follows the matched prefix) and `${query}` (with its `?`) are replaced.",
        ),
        opt("status", Count(301, 308), Is("308"), "301, 302, 303, 307 or 308."),
    ],
};

pub(crate) static RESPOND: Object = Object {
    name: "respond",
    doc: "A fixed response.",
    options: &[
        opt("status", Count(200, 599), Is("200"), "Its status."),
        opt("body", Text("ok"), Is(""), "Its content; at most 64 KiB."),
        opt(
            "content_type",
            Text("text/plain"),
            Is("text/plain; charset=utf-8"),
            "Its `Content-Type`.",
        ),
    ],
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
            Required,
            "Its members: `host:port`, or with a weight.",
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
            "Where it listens. A name is looked up when the process starts.",
        ),
        opt(
            "weight",
            Count(0, 1000),
            Is("1"),
            "Its share relative to the others; 0 takes nothing.",
        ),
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
            Kind::Object(&TABLE),
            Means("one of the others"),
            "The client's address decides.",
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

const TABLES: Kind = Choice(&[
    ("maglev", "65,537 slots: even, one look-up"),
    ("ring", "160 points for each unit of weight: fewest moves"),
]);

pub(crate) static TABLE: Object = Object {
    name: "hash table",
    doc: "How a hash becomes a server.",
    options: &[
        opt("table", TABLES, Is("maglev"), "Which table."),
        opt(
            "bounded_load",
            Number(1.0, 10.0),
            Means("no bound"),
            "A server takes at most this factor of the mean load, then the next is asked; 1.25 is usual.",
        ),
    ],
};

pub(crate) static CONSISTENT: Object = Object {
    name: "consistent_hash",
    doc: "Consistent hashing on a key of the request.",
    options: &[
        opt(
            "key",
            OneOf(&[
                Choice(&[
                    ("client_ip", "the client's address"),
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
            "Until the connection stands. Beyond: another server, or 504.",
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

pub(crate) static RETRY: Object = Object {
    name: "retry",
    doc: "Another try on another server, when it is known that the first has not acted on the request, or that acting twice does no harm.",
    options: &[opt(
        "attempts",
        Count(0, 7),
        Is("1"),
        "Further tries. A kept connection that had died is replaced without counting.",
    )],
};

pub(crate) static POLICY: Object = Object {
    name: "policy",
    doc: "A named rule: exactly one of these.",
    options: &[
        opt(
            "fields",
            Kind::Object(&FIELDS),
            Means("one of the others"),
            "Edit the fields of requests and responses.",
        ),
        opt(
            "access_log",
            Kind::Object(&ACCESS_LOG),
            Means("one of the others"),
            "Write a line for each exchange. A route's replaces its listener's.",
        ),
    ],
};

pub(crate) static FIELDS: Object = Object {
    name: "fields",
    doc: "Edits in both directions; applied in the order remove, set, add.",
    options: &[
        opt("request", Kind::Object(&EDITS), Means("nothing"), "Before it is sent to a server."),
        opt("response", Kind::Object(&EDITS), Means("nothing"), "Before it is sent to the client."),
    ],
};

pub(crate) static EDITS: Object = Object {
    name: "field edits",
    doc: "Fields that frame a message or belong to the connection are not touched.",
    options: &[
        opt("remove", OneOrMany(&Text("x-powered-by")), Means("nothing"), "Names to take away."),
        opt("set", Map(&Text("value")), Means("nothing"), "Replaced or added."),
        opt("add", Map(&Text("value")), Means("nothing"), "Added beside what is there."),
    ],
};

pub(crate) static ACCESS_LOG: Object = Object {
    name: "access_log",
    doc: "A line for each exchange.",
    options: &[
        opt(
            "format",
            Choice(&[("json", "one object a line"), ("text", "for people")]),
            Is("json"),
            "How it is written.",
        ),
        opt(
            "to",
            Text("stdout"),
            Is("stdout"),
            "`stdout`, `stderr` or the path of a file (reopened on SIGUSR1).",
        ),
        opt(
            "sample",
            Share,
            Is("1"),
            "Share of the exchanges that are logged; failures always are.",
        ),
    ],
};
