//! Options of listeners that do not speak HTTP, and of the PROXY protocol.

use super::Absent::{Is, Means, Required};
use super::Kind::{Bool, Choice, Count, Duration, List, OneOf, OneOrMany, Text};
use super::{DAY, Kind, Object, Opt, opt};

const TO: Opt = opt("to", Text("app"), Required, "The pool whose servers get them.");
const IDLE_TIMEOUT: Opt = opt(
    "idle_timeout",
    Duration(100, 30 * DAY),
    Means("`timeouts.tunnel` of the pool"),
    "Longest silence in both directions. Beyond: both connections are reset.",
);
const TIMEOUT: Opt = opt(
    "timeout",
    Duration(100, 365 * DAY),
    Means("no limit"),
    "Longest life of a connection, however much passes.",
);
const KEEPALIVE: Opt = opt(
    "keepalive",
    Duration(0, DAY),
    Is("60s"),
    "After this much silence the kernel asks both peers whether they are still there (`SO_KEEPALIVE`); in whole seconds, 0 is off.",
);
const SOURCE: Opt = opt(
    "source",
    Choice(&[
        ("own", "this machine's"),
        (
            "client",
            "the client's: answers must be routed through this machine, and it needs root or CAP_NET_ADMIN",
        ),
    ]),
    Is("own"),
    "Whose address servers see.",
);
const PROTOCOLS: Kind = OneOrMany(&Text("h2"));

pub(crate) static TCP: Object = Object {
    name: "tcp relay",
    doc: "Connections go to a server of a pool, byte by byte; no route is looked at. With `tls` at the listener it is terminated; with `tls` at the pool servers are spoken to over TLS.",
    options: &[
        TO,
        IDLE_TIMEOUT,
        TIMEOUT,
        KEEPALIVE,
        SOURCE,
        opt(
            "alpn",
            PROTOCOLS,
            Means("nothing is agreed on"),
            "Protocols that are agreed to in the TLS handshake (ALPN), where the listener has `tls`.",
        ),
    ],
};

pub(super) const PASSTHROUGH_LIST: Kind = List(&Kind::Object(&PASSTHROUGH));

pub(crate) static PASSTHROUGH: Object = Object {
    name: "passthrough",
    doc: "Connections that begin like this go to a server of a pool as they are: TLS is not terminated. The first of the list that matches wins; a connection that none is for is closed.",
    options: &[
        TO,
        opt(
            "protocol",
            Choice(&[
                ("any", "whatever"),
                ("tls", "TLS"),
                ("http", "HTTP without TLS"),
                ("other", "neither, also a client that waits for the server to speak first"),
            ]),
            Means("`tls` with `sni` or `alpn`, else `any`"),
            "What a connection begins with. A client that says nothing within `timeouts.handshake` of the listener is `other`.",
        ),
        opt(
            "sni",
            OneOrMany(&Text("*.shop.example")),
            Means("whatever is asked for"),
            "Names that the client asks for (SNI). `*.` stands for one or more labels.",
        ),
        opt(
            "alpn",
            PROTOCOLS,
            Means("whatever is offered"),
            "Protocols of which the client offers one (ALPN).",
        ),
        IDLE_TIMEOUT,
        TIMEOUT,
        KEEPALIVE,
        SOURCE,
    ],
};

pub(crate) static UDP: Object = Object {
    name: "udp relay",
    doc: "Datagrams go to a server of a pool, and its answers back; those of one session always to the same server.",
    options: &[
        TO,
        opt(
            "idle_timeout",
            Duration(100, DAY),
            Is("30s"),
            "Silence in both directions after which a session is forgotten.",
        ),
        opt(
            "reply",
            Choice(&[
                ("any", "any number"),
                ("once", "one, which ends the session (DNS)"),
                ("never", "none is expected (syslog); what comes is thrown away"),
            ]),
            Is("any"),
            "How many answers one datagram of a client has.",
        ),
        opt(
            "sessions",
            Count(1, 10_000_000),
            Is("100_000"),
            "Sessions at a time. Beyond, the one that has been silent for longest makes room.",
        ),
        opt(
            "sessions_per_ip",
            Count(1, 10_000_000),
            Is("1000"),
            "Sessions of one client address (IPv6: of one /64) at a time. Beyond, its datagrams are dropped.",
        ),
        opt(
            "session",
            Choice(&[
                ("ports", "an address and port of a client, to one of ours"),
                ("client", "an address of a client, whatever the port"),
            ]),
            Is("ports"),
            "Which datagrams belong together, and go to one server.",
        ),
    ],
};

pub(super) const PROXY_PROTOCOL_IN: Kind = Choice(&[
    ("off", "it is not looked for"),
    ("accept", "peers in `trusted_proxies` may send one"),
    ("require", "peers in `trusted_proxies` must; others are refused"),
]);

pub(super) const PROXY_PROTOCOL_OUT: Kind = OneOf(&[
    Choice(&[
        ("off", "no"),
        ("v1", "a line of text"),
        ("v2", "binary, with more about the connection"),
    ]),
    Kind::Object(&PROXY_PROTOCOL),
]);

pub(crate) static PROXY_PROTOCOL: Object = Object {
    name: "proxy protocol",
    doc: "Each connection to a server begins with a header that says who the client is. Servers must expect it.",
    options: &[
        opt(
            "version",
            Choice(&[("v1", "a line of text"), ("v2", "binary, with more about the connection")]),
            Is("v2"),
            "Which form.",
        ),
        opt(
            "checks",
            Bool,
            Is("true"),
            "Active checks send one too, which says that they are nobody's.",
        ),
        opt(
            "tls",
            Bool,
            Is("true"),
            "With `v2`: the name that the client asked for (SNI) and its protocol (ALPN).",
        ),
        opt("checksum", Bool, Is("false"), "With `v2`: a checksum (CRC32c)."),
        opt("unique_id", Bool, Is("false"), "With `v2`: an identifier of the connection."),
    ],
};

/// What of the listener's options belongs to HTTP alone.
pub(crate) const HTTP_ONLY: [&str; 4] = ["protocols", "redirect", "identity", "path"];
/// The same of its `limits`.
pub(crate) const HTTP_ONLY_LIMITS: [&str; 5] =
    ["head", "request_line", "fields", "body", "requests_per_connection"];
/// What of its `timeouts` does not.
pub(crate) const LAYER4_TIMEOUTS: [&str; 1] = ["handshake"];
