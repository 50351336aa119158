//! Options of listeners.

use super::Absent::{Is, Means, Required};
use super::Kind::{Bool, Choice, Count, Duration, OneOf, OneOrMany, Rate, Size, Text};
use super::layer4::{PASSTHROUGH_LIST, PROXY_PROTOCOL_IN};
use super::{CIDR, DAY, HOUR, HTTPS_REDIRECT, Kind, LISTENER_TLS, NAMES, Object, TCP, UDP, opt};

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
            "tcp",
            Kind::Object(&TCP),
            Means("HTTP is spoken"),
            "Connections go to a pool as they are: no HTTP, no routes.",
        ),
        opt(
            "passthrough",
            PASSTHROUGH_LIST,
            Means("HTTP is spoken"),
            "Connections go to a pool as they are, chosen by what they begin with (TLS by SNI and ALPN, HTTP, other).",
        ),
        opt(
            "udp",
            Kind::Object(&UDP),
            Means("HTTP is spoken"),
            "Datagrams go to a pool as they are.",
        ),
        opt(
            "tls",
            Kind::Object(&LISTENER_TLS),
            Means("connections are not encrypted"),
            "Connections are encrypted (HTTPS), up to here.",
        ),
        opt(
            "protocols",
            OneOrMany(&Choice(&[
                ("h1", "HTTP/1.0 and HTTP/1.1"),
                ("h2", "HTTP/2: agreed on in the TLS handshake; without TLS by prior knowledge"),
                ("h3", "HTTP/3, over UDP at the same addresses; needs `tls`"),
            ])),
            Means("`[h1, h2]`"),
            "The versions of HTTP that clients may speak.",
        ),
        opt(
            "redirect",
            OneOf(&[Choice(&[("https", "to port 443, with 308")]), Kind::Object(&HTTPS_REDIRECT)]),
            Means("requests are routed"),
            "Answers every request with a redirect to `https://` and the same host, path and query; no route is looked at.",
        ),
        opt(
            "trusted_proxies",
            CIDR,
            Means("nobody"),
            "Peers that may say who their client is: their `X-Forwarded-*`, `Forwarded`, `X-Real-IP`, `X-Request-Id`, `Client-Cert` and the like are believed. From everybody else these fields are removed, in every spelling.",
        ),
        opt(
            "proxy_protocol",
            PROXY_PROTOCOL_IN,
            Is("off"),
            "Whether connections begin with a header of the PROXY protocol (v1 or v2) that says who the client is: its address is then the client's for everything (limits, logs, hashing, `X-Forwarded-For`). Before TLS.",
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
        opt(
            "connection_rate_per_ip",
            Text("100/s"),
            Means("no limit"),
            "New connections of one client address (IPv6: of one /64), as many at once as the rate's count. Beyond: 429 and a close, over TLS a close before the handshake. HTTP/3: a client proves its address first, which takes it a round trip.",
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
            "handshake",
            Duration(100, HOUR),
            Is("10s"),
            "From the accept to the end of the TLS handshake. Beyond: a close.",
        ),
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
