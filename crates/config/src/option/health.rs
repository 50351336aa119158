//! Options of active health checks.

use super::Absent::{Is, Means, Required};
use super::Kind::{Choice, Count, Duration, List, Map, OneOf, OneOrMany, Size, Text};
use super::upstream_tls::OF_PROBE;
use super::{HOUR, Kind, Object, Opt, opt};

const ONE_OF: super::Absent = Means("one of the others");

pub(crate) static HEALTH: Object = Object {
    name: "health",
    doc: "Active checks of a pool's servers, made from one place in the process and spread over the interval: exactly one of `http`, `https`, `tcp`, `grpc`, `udp`, `command`, and how often. A server that was never checked counts as healthy.",
    options: &[
        opt(
            "http",
            OneOf(&[Text("/healthz"), Kind::Object(&HTTP_PROBE)]),
            ONE_OF,
            "A request over HTTP/1.1, and over TLS if the pool's are; a text is its path.",
        ),
        opt(
            "https",
            OneOf(&[Text("/healthz"), Kind::Object(&HTTPS_PROBE)]),
            ONE_OF,
            "The same, surely over TLS.",
        ),
        opt("tcp", Kind::Object(&TCP_PROBE), ONE_OF, "A connection that stands; `{}` is enough."),
        opt("grpc", Kind::Object(&GRPC_PROBE), ONE_OF, "The gRPC health protocol."),
        opt("udp", Kind::Object(&UDP_PROBE), ONE_OF, "A datagram that is answered."),
        opt(
            "command",
            OneOf(&[List(&Text("/usr/local/bin/check")), Kind::Object(&COMMAND_PROBE)]),
            ONE_OF,
            "A program that ends with status 0; a list is the program and its arguments.",
        ),
        opt(
            "interval",
            Duration(100, 24 * HOUR),
            Is("5s"),
            "From one check of a server to the next, ±10 %.",
        ),
        opt(
            "timeout",
            Duration(10, HOUR),
            Is("2s"),
            "A check that takes longer has failed, from the connection to the last byte.",
        ),
        opt(
            "rise",
            Count(1, 100),
            Is("2"),
            "Successes in a row that bring an unhealthy server back.",
        ),
        opt("fall", Count(1, 100), Is("3"), "Failures in a row that take a healthy server out."),
        opt(
            "interval_changing",
            Duration(100, 24 * HOUR),
            Is("1s"),
            "The interval while such successes or failures are being counted.",
        ),
        opt(
            "interval_down_max",
            Duration(100, 24 * HOUR),
            Is("30s"),
            "A server that stays down is checked less and less often, up to this.",
        ),
        opt(
            "port",
            Count(1, 65_535),
            Means("the server's"),
            "Where checks go, at the server's address. One server's `check` comes before it.",
        ),
    ],
};

const METHOD: Opt = opt("method", Text("GET"), Is("GET"), "Its method.");
const PATH: Opt = opt("path", Text("/healthz"), Is("/"), "Its path, with a query if there is one.");
const HOST: Opt = opt("host", Text("app.example"), Means("the server's address"), "Its `Host`.");
const HEADERS: Opt =
    opt("headers", Map(&Text("value")), Means("none"), "Fields added to the request.");
const EXPECT: Opt = opt(
    "expect",
    Kind::Object(&EXPECTATION),
    Means("its defaults"),
    "What the response must be like.",
);

pub(crate) static HTTP_PROBE: Object = Object {
    name: "http check",
    doc: "A request, and what its response must be like. Redirects are not followed.",
    options: &[METHOD, PATH, HOST, HEADERS, EXPECT, OF_PROBE],
};

pub(crate) static HTTPS_PROBE: Object = Object {
    name: "https check",
    doc: "A request over TLS, and what its response must be like.",
    options: &[METHOD, PATH, HOST, HEADERS, EXPECT, OF_PROBE],
};

pub(crate) static EXPECTATION: Object = Object {
    name: "expected response",
    doc: "What the response of a check must be like; all of it.",
    options: &[
        opt(
            "status",
            OneOrMany(&Text("200-299")),
            Is("200-299"),
            "Statuses that are a success: `204`, `200-299`, or a list.",
        ),
        opt("contains", Text("ok"), Means("anything"), "The body contains this text."),
        opt(
            "regex",
            Text("^ok"),
            Means("anything"),
            "The body matches this expression; anywhere unless anchored.",
        ),
        opt(
            "json",
            Map(&Text("connected")),
            Means("anything"),
            "The body is JSON with these values: `{ $.db: connected, \"$.pools[0].size\": 3 }`. Texts, numbers, `true`, `false` and `null` are compared as what they are; quotes make a text of anything.",
        ),
        opt(
            "body_max",
            Size(1, 16 << 20),
            Is("64KiB"),
            "Bytes of the body that are looked at. A longer one fails a `json` test.",
        ),
    ],
};

pub(crate) static TCP_PROBE: Object = Object {
    name: "tcp check",
    doc: "The connection stands. `\\r`, `\\n`, `\\t`, `\\0`, `\\\\` and `\\xHH` in texts are what they are in C.",
    options: &[
        opt("send", Text("PING\\r\\n"), Means("nothing"), "Sent once the connection stands."),
        opt(
            "expect",
            Text("+PONG"),
            Means("nothing"),
            "Contained in the first 64 KiB that come back.",
        ),
    ],
};

pub(crate) static UDP_PROBE: Object = Object {
    name: "udp check",
    doc: "A datagram that is answered. Escapes as in a [tcp check](#tcp-check).",
    options: &[
        opt("send", Text("ping"), Required, "One datagram."),
        opt("expect", Text("pong"), Means("any answer"), "Contained in the one that comes back."),
    ],
};

pub(crate) static GRPC_PROBE: Object = Object {
    name: "grpc check",
    doc: "`grpc.health.v1.Health/Check` says SERVING.",
    options: &[
        opt("service", Text("shop.Cart"), Is(""), "The service asked about; empty is the server."),
        opt(
            "authority",
            Text("app.internal"),
            Means("the server's address"),
            "The `:authority` of the request.",
        ),
        OF_PROBE,
    ],
};

pub(crate) static COMMAND_PROBE: Object = Object {
    name: "command check",
    doc: "A program that is run for each check, without a shell, and stopped with all it started when `timeout` is over. Its environment is `PATH`, `EVENKEEL_POOL`, `EVENKEEL_SERVER`, `EVENKEEL_ADDRESS`, `EVENKEEL_HOST` and `EVENKEEL_PORT`.",
    options: &[
        opt("run", List(&Text("/usr/local/bin/check")), Required, "The program and its arguments."),
        opt("env", Map(&Text("value")), Means("nothing"), "Added to its environment."),
    ],
};

/// The short forms of `health`, beside a path.
pub(crate) const HEALTH_WORDS: Kind = Choice(&[
    ("tcp", "the connection stands"),
    ("grpc", "`grpc.health.v1.Health/Check` says SERVING"),
]);
