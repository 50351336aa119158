//! The objects that go over the admin API, as tables. What makes and reads them is in `view`,
//! `change` and `register`.

use super::shape::{Field, Kind, Shape, may, must};
use super::standing::STANDINGS;

const DAY: u64 = 86_400_000;
/// Servers named in one request.
const SERVERS_MAX: usize = 10_000;
/// Changes made in one request.
const CHANGES_MAX: usize = 1000;
/// Routes of one registered service.
const ROUTES_MAX: usize = 32;
/// Answers list everything there is.
const ALL: usize = 10_000_000;

pub(crate) const MODES: &[&str] = &["graceful", "immediate", "forced"];
pub(crate) const STATES: &[&str] = &["enabled", "draining", "disabled"];
const WEIGHT: Kind = Kind::Count(0, 1000);
const PRIORITY: Kind = Kind::Count(0, 100);
const TEXTS: Kind = Kind::List(&Kind::Text, ALL);
const NUMBER: Kind = Kind::Count(0, u64::MAX);

/// How a drain is done, wherever one is asked for.
pub(crate) const MODE: Field = may(
    "mode",
    Kind::Word(MODES),
    "`graceful` (the default): nothing new, what runs may finish until the deadline. `immediate`: \
     nothing new, what runs is never cut. `forced`: what runs is cut now.",
);
/// By when.
pub(crate) const DEADLINE: Field = may(
    "deadline",
    Kind::Duration(0, DAY),
    "How long what runs may take; `shutdown: drain` and `drain_tunnels` of the configuration by default.",
);

pub(crate) static PROBLEM: Shape = Shape {
    name: "problem",
    doc: "What went wrong (RFC 9457).",
    fields: &[
        must("type", Kind::Text, "`about:blank`: the status says what kind it is."),
        must("title", Kind::Text, "The status in words."),
        must("status", Kind::Count(400, 599), "The status."),
        must("code", Kind::Text, "A stable word, for scripts."),
        must("detail", Kind::Text, "What is wrong, for people."),
        may("help", Kind::Text, "What to do."),
        may("version", NUMBER, "The version that holds."),
        may(
            "diagnostics",
            Kind::List(&Kind::Shape(&DIAGNOSTIC), ALL),
            "As `evenkeel check --json` has them.",
        ),
        may("rendered", Kind::Text, "The same as `evenkeel check` shows them."),
        may("step", Kind::Text, "How far an upgrade came."),
    ],
};

static DIAGNOSTIC: Shape = Shape {
    name: "diagnostic",
    doc: "A finding about a text.",
    fields: &[
        must("severity", Kind::Word(&["error", "warning"]), "How bad."),
        must("code", Kind::Text, "A stable word, for scripts."),
        must("message", Kind::Text, "What is wrong."),
        must("place", Kind::Maybe(&Kind::Shape(&PLACE)), "Where it was written."),
        must("label", Kind::Text, "What stands below the place."),
        must("related", Kind::List(&Kind::Shape(&RELATED), ALL), "Other places that matter."),
        must("help", Kind::Maybe(&Kind::Text), "What to do."),
    ],
};

static PLACE: Shape = Shape {
    name: "place",
    doc: "A place in a text.",
    fields: &[
        must("file", Kind::Text, "A file, or `request body`."),
        must("line", Kind::Count(1, u64::MAX), "From 1."),
        must("column", Kind::Count(1, u64::MAX), "From 1, in characters."),
    ],
};

static RELATED: Shape = Shape {
    name: "related place",
    doc: "Another place that matters.",
    fields: &[
        must("place", Kind::Maybe(&Kind::Shape(&PLACE)), "Where."),
        must("label", Kind::Text, "What stands there."),
    ],
};

pub(crate) static STATUS: Shape = Shape {
    name: "status",
    doc: "The process at a glance.",
    fields: &[
        must("state", Kind::Word(&["serving", "draining"]), "What it does."),
        must("version", NUMBER, "Of the configuration: one more with each change."),
        must("program", Kind::Text, "The release of the program."),
        must("pid", NUMBER, "The process."),
        must("uptime_seconds", Kind::Number, "Since its start."),
        must("workers", NUMBER, "Threads that serve."),
        must("connections", NUMBER, "Open client connections."),
        must("requests", NUMBER, "Requests since the start."),
        must("failures", NUMBER, "Requests that this process could not get answered."),
        must("handshakes", NUMBER, "TLS handshakes that ended in a session."),
        must("handshakes_resumed", NUMBER, "Of these, those that resumed an earlier one."),
        must("handshakes_failed", NUMBER, "TLS handshakes that failed."),
        must(
            "floods",
            NUMBER,
            "Connections of HTTP/2 ended because the client sent too much that brings nobody anything.",
        ),
        must("listeners", NUMBER, "How many."),
        must("routes", NUMBER, "How many."),
        must(
            "pools",
            Kind::List(&Kind::Shape(&POOL_SUMMARY), ALL),
            "Each with its servers counted.",
        ),
        must("drains", NUMBER, "Drains under way."),
        must(
            "inert",
            TEXTS,
            "Changes at runtime that do not apply, because what they changed is gone.",
        ),
        must(
            "refused",
            Kind::Maybe(&Kind::Shape(&REFUSED)),
            "The last change that was refused, unless one was accepted since.",
        ),
        must(
            "unkept",
            Kind::Maybe(&Kind::Text),
            "Why a restart will not find the changes at runtime, though it should.",
        ),
    ],
};

pub(crate) static POOL_SUMMARY: Shape = Shape {
    name: "pool summary",
    doc: "A pool with its servers counted.",
    fields: &[
        must("name", Kind::Text, "Its name."),
        must("runtime", Kind::Bool, "Made by this API; it is not in the file."),
        must("servers", NUMBER, "How many there are."),
        must("available", NUMBER, "How many may be sent new requests."),
        must("in_flight", NUMBER, "Requests sent and not yet answered."),
        must("requests", NUMBER, "Requests since the start."),
    ],
};

pub(crate) static POOL: Shape = Shape {
    name: "pool with servers",
    doc: "A pool, its settings and its servers.",
    fields: &[
        must("name", Kind::Text, "Its name."),
        must("runtime", Kind::Bool, "Made by this API; it is not in the file."),
        must("settings", Kind::Text, "Everything that holds for it, as the configuration has it."),
        must("servers", Kind::List(&Kind::Shape(&SERVER), ALL), "Its servers."),
    ],
};

pub(crate) static SERVER: Shape = Shape {
    name: "server standing",
    doc: "A server and how it stands.",
    fields: &[
        must("pool", Kind::Text, "Whose it is."),
        must("address", Kind::Text, "As it was given; names it in paths."),
        must("resolved", TEXTS, "The addresses that stands for."),
        must("owner", Kind::Maybe(&Kind::Text), "Whose registration it is."),
        must("weight", NUMBER, "Its share relative to the others."),
        must("priority", NUMBER, "Lower ones are used first."),
        must("state", Kind::Word(STATES), "What was ordered."),
        must("standing", Kind::Word(STANDINGS), "What comes of it all."),
        must("check", Kind::Word(&["unknown", "up", "down"]), "What active checks say."),
        must("ejected_seconds", Kind::Maybe(&Kind::Number), "For how long it is still ejected."),
        must("breaker", Kind::Word(&["closed", "open", "half_open"]), "Its circuit breaker."),
        must(
            "limit",
            Kind::Maybe(&NUMBER),
            "The adaptive limit of requests in flight, once there is one.",
        ),
        must("in_flight", NUMBER, "Requests sent and not yet answered."),
        must("connections", NUMBER, "Connections to it, idle ones included."),
        must("requests", NUMBER, "Requests since the start."),
        must("failures", NUMBER, "Of these, those that failed."),
        must(
            "checks",
            Kind::List(&Kind::Shape(&CHECK), ALL),
            "Its last active checks, the latest first.",
        ),
    ],
};

pub(crate) static REFUSED: Shape = Shape {
    name: "refusal",
    doc: "A change that was refused.",
    fields: &[
        must("at", NUMBER, "When: seconds since 1970."),
        must("author", Kind::Text, "Who asked for it."),
        must("why", Kind::Text, "Why it was refused."),
    ],
};

pub(crate) static CHECK: Shape = Shape {
    name: "check",
    doc: "An active check that was made, or could not be.",
    fields: &[
        must("at", NUMBER, "When it began: seconds since 1970."),
        must("took_seconds", Kind::Number, "How long it took."),
        must(
            "result",
            Kind::Word(&["passed", "failed", "not_made"]),
            "What it came to; one that could not be made says nothing about the server.",
        ),
        must("got", Kind::Maybe(&Kind::Text), "What was got instead of what was expected."),
    ],
};

pub(crate) static LISTENER: Shape = Shape {
    name: "listener standing",
    doc: "A listener and where it listens.",
    fields: &[
        must("name", Kind::Text, "Its name."),
        must("addresses", TEXTS, "Where it listens, with the real ports."),
        must("connections", NUMBER, "Open client connections."),
        must("draining", Kind::Bool, "Whether it takes no new connections."),
        may("datagrams", Kind::Shape(&DATAGRAMS), "What it has counted, if it takes datagrams."),
    ],
};

pub(crate) static DATAGRAMS: Shape = Shape {
    name: "datagrams of a listener",
    doc: "What a listener of datagrams has counted since it is there.",
    fields: &[
        must("sessions", NUMBER, "Sessions begun."),
        must(
            "refused",
            NUMBER,
            "New clients that got none: no server, no room, or too many of theirs.",
        ),
        must("evicted", NUMBER, "Sessions on probation that made room for others."),
        must("failed", NUMBER, "Sessions that ended because no server could be reached."),
        must("in", NUMBER, "Datagrams from clients."),
        must("out", NUMBER, "Datagrams for clients."),
        must("dropped", NUMBER, "Datagrams, or runs of them, thrown away, either way."),
        must("bytes_in", NUMBER, "Bytes from clients."),
        must("bytes_out", NUMBER, "Bytes for clients."),
    ],
};

pub(crate) static ROUTE: Shape = Shape {
    name: "route in order",
    doc: "A route; all are in the order in which they were written.",
    fields: &[
        must("name", Kind::Text, "Its name."),
        must("runtime", Kind::Bool, "Made by this API; it is not in the file."),
        must("to", Kind::List(&Kind::Text, ALL), "The pools it leads to."),
        must(
            "precedence",
            Kind::List(&Kind::Count(1, u64::MAX), ALL),
            "Its ranks among all alternatives of all routes; 1 is asked first.",
        ),
    ],
};

pub(crate) static DRAIN: Shape = Shape {
    name: "drain standing",
    doc: "A drain under way; it is gone when nothing is left.",
    fields: &[
        must("target", Kind::Shape(&TARGET), "What is drained; of a pool each server."),
        must("removed", Kind::Bool, "It is configured no more."),
        must("since_seconds", Kind::Number, "How long ago it began."),
        must("left", NUMBER, "Requests and tunnels (of a listener: connections) that still run."),
        must(
            "requests_cut_in_seconds",
            Kind::Maybe(&Kind::Number),
            "Until requests are cut; `null` is never.",
        ),
        must("tunnels_cut_in_seconds", Kind::Maybe(&Kind::Number), "Until tunnels are cut."),
    ],
};

/// What is drained.
const ANY_TARGET: Kind = Kind::OneOf(&[Kind::Word(&["process"]), Kind::Shape(&TARGET)]);

static TARGET: Shape = Shape {
    name: "target",
    doc: "One of: a server, a pool, a listener. The whole process is the word `process`.",
    fields: &[
        may("server", Kind::Shape(&SERVER_TARGET), "A server of a pool."),
        may("pool", Kind::Name, "A pool."),
        may("listener", Kind::Name, "A listener."),
    ],
};

static SERVER_TARGET: Shape = Shape {
    name: "server target",
    doc: "A server of a pool.",
    fields: &[
        must("pool", Kind::Name, "The pool."),
        must("server", Kind::Name, "The server's address as configured."),
    ],
};

pub(crate) static VERSION: Shape = Shape {
    name: "version",
    doc: "A version of the configuration, and what it changed.",
    fields: &[
        must("version", NUMBER, "Its number."),
        must("current", Kind::Bool, "Whether it holds."),
        must("at", NUMBER, "When it was made: seconds since 1970."),
        must("author", Kind::Text, "Who made it."),
        must("changes", TEXTS, "Against the version before it, a sentence each."),
    ],
};

pub(crate) static APPLIED: Shape = Shape {
    name: "applied",
    doc: "What a change came to.",
    fields: &[
        must("version", NUMBER, "The version that holds; with `dry_run` the one that still does."),
        must("changed", Kind::Bool, "Whether anything is (would be) different."),
        must("dry_run", Kind::Bool, "Nothing was done, only said."),
        must("changes", TEXTS, "What is (would be) different, a sentence each."),
        must("warnings", TEXTS, "What is allowed but doubtful."),
        must(
            "inert",
            TEXTS,
            "Changes at runtime that mean nothing any more, because what they changed is gone.",
        ),
        must(
            "kept",
            Kind::Word(&["kept", "not_asked", "failed"]),
            "Whether a restart finds it: `admin: state`.",
        ),
    ],
};

pub(crate) static EFFECTIVE: Shape = Shape {
    name: "effective configuration",
    doc: "The configuration that holds, with every default filled in and secrets hidden.",
    fields: &[
        must("version", NUMBER, "Its version."),
        must("configuration", Kind::Text, "As YAML."),
    ],
};

pub(crate) static HEALTH: Shape = Shape {
    name: "health",
    doc: "Whether it is well.",
    fields: &[must("status", Kind::Word(&["ok", "draining"]), "What it does.")],
};

/// A server, or only its address.
const ONE_SERVER: Kind = Kind::OneOf(&[Kind::Name, Kind::Shape(&NEW_SERVER)]);

static NEW_SERVER: Shape = Shape {
    name: "new server",
    doc: "A server to add.",
    fields: &[
        must("address", Kind::Name, "Where it listens, with a port."),
        may("weight", WEIGHT, "Its share relative to the others; 1 by default, 0 takes nothing."),
        may("priority", PRIORITY, "0 by default; lower ones are used first."),
        may("backup", Kind::Bool, "The same as `priority: 1`."),
        may("check", Kind::Name, "Where its active checks go, unless to the server."),
    ],
};

pub(crate) static NEW_SERVERS: Shape = Shape {
    name: "new servers",
    doc: "Servers to add.",
    fields: &[must(
        "servers",
        Kind::List(&ONE_SERVER, SERVERS_MAX),
        "The servers, or only their addresses.",
    )],
};

pub(crate) static SERVERS: Shape = Shape {
    name: "all servers",
    doc: "All servers that a pool shall have; those that it has besides are drained.",
    fields: &[must(
        "servers",
        Kind::List(&ONE_SERVER, SERVERS_MAX),
        "The servers, or only their addresses.",
    )],
};

pub(crate) static SERVER_PATCH: Shape = Shape {
    name: "server patch",
    doc: "What to change about a server; what is left out stays.",
    fields: &[
        may("weight", WEIGHT, "Its share relative to the others; 0 takes nothing."),
        may(
            "state",
            Kind::Word(STATES),
            "`enabled`; `draining`: bound clients and what runs stay; `disabled`: not even bound clients.",
        ),
        MODE,
        DEADLINE,
    ],
};

pub(crate) static DRAIN_ORDER: Shape = Shape {
    name: "drain order",
    doc: "What to drain, and how.",
    fields: &[must("target", ANY_TARGET, "What to drain."), MODE, DEADLINE],
};

pub(crate) static CHANGES: Shape = Shape {
    name: "changes",
    doc: "Changes that are made together or not at all.",
    fields: &[must("changes", Kind::List(&Kind::Shape(&CHANGE), CHANGES_MAX), "In this order.")],
};

const OPS: &[&str] = &[
    "add_servers",
    "replace_servers",
    "remove_server",
    "weight",
    "drain",
    "enable",
    "disable",
    "put_pool",
    "remove_pool",
    "put_route",
    "remove_route",
    "forget",
];

static CHANGE: Shape = Shape {
    name: "change",
    doc: "One change. `op` says which of the other members it needs.",
    fields: &[
        must("op", Kind::Word(OPS), "What to do."),
        may(
            "name",
            Kind::Name,
            "The pool or route, for `put_…` and `remove_pool`, `remove_route`.",
        ),
        may(
            "spec",
            Kind::OneOf(&[Kind::Config("pool"), Kind::Config("route")]),
            "As in the configuration, for `put_pool` and `put_route`.",
        ),
        may(
            "pool",
            Kind::Name,
            "The pool whose servers it is about; for `forget` the pool itself too.",
        ),
        may(
            "server",
            Kind::Name,
            "The server, by its address, for `remove_server`, `weight`, `forget`.",
        ),
        may(
            "servers",
            Kind::List(&ONE_SERVER, SERVERS_MAX),
            "For `add_servers` and `replace_servers`.",
        ),
        may("weight", WEIGHT, "For `weight`."),
        may("target", ANY_TARGET, "For `drain`, `enable`, `disable`."),
        MODE,
        DEADLINE,
    ],
};

pub(crate) static ROLLBACK: Shape = Shape {
    name: "rollback",
    doc: "Which version to go back to.",
    fields: &[must("version", NUMBER, "One of the history; its content becomes a new version.")],
};

pub(crate) static UPGRADE: Shape = Shape {
    name: "upgrade",
    doc: "What to hand the sockets over to.",
    fields: &[
        may("exec", Kind::Name, "The program; the file this process was started from by default."),
        may(
            "timeout",
            Kind::Duration(1000, 3_600_000),
            "How long the new process may take until it serves.",
        ),
    ],
};

pub(crate) static UPGRADED: Shape = Shape {
    name: "upgraded",
    doc: "The process that serves now.",
    fields: &[
        must("pid", NUMBER, "Its number."),
        must("version", Kind::Text, "The release of its program."),
    ],
};

pub(crate) static CACHE: Shape = Shape {
    name: "cache",
    doc: "What a cache holds.",
    fields: &[
        must("policy", Kind::Name, "The policy's name."),
        must("bytes", NUMBER, "Memory that it takes."),
        must("entries", NUMBER, "Answers, and marks of what could not be kept."),
    ],
};

pub(crate) static PURGE: Shape = Shape {
    name: "purge",
    doc: "What caches are to forget: one of `url`, `prefix`, `tag` and `all`.",
    fields: &[
        may(
            "url",
            Kind::Text,
            "The answers of this URL, written as clients do: `https://a.example/x?y`.",
        ),
        may("prefix", Kind::Text, "Of all URLs that begin with this."),
        may("tag", Kind::Text, "All that name this in one of the policy's `tags`."),
        may("all", Kind::Bool, "Everything."),
        may("policy", Kind::Name, "Of this policy's cache only."),
    ],
};

pub(crate) static PURGED: Shape = Shape {
    name: "purged",
    doc: "What was forgotten.",
    fields: &[must("purged", NUMBER, "Answers and marks.")],
};

pub(crate) static REGISTRATION: Shape = Shape {
    name: "registration",
    doc: "What a service says about itself.",
    fields: &[
        must(
            "ttl",
            Kind::Duration(1000, DAY),
            "How long this holds unless it is renewed by saying it again.",
        ),
        may("weight", WEIGHT, "Its share relative to the others; 1 by default."),
        may(
            "routes",
            Kind::List(&Kind::Shape(&CLAIM), ROUTES_MAX),
            "The requests it serves; all of them have to be within what the token may claim.",
        ),
    ],
};

static CLAIM: Shape = Shape {
    name: "claimed route",
    doc: "Requests that a service serves.",
    fields: &[must("match", Kind::Config("match"), "As in the configuration.")],
};

pub(crate) static LEASED: Shape = Shape {
    name: "lease",
    doc: "A registration that holds.",
    fields: &[
        must("version", NUMBER, "The version that holds."),
        must("changed", Kind::Bool, "Whether anything is different; not if it was only renewed."),
        must("pool", Kind::Text, "The pool joined."),
        must("address", Kind::Text, "The server."),
        must("ttl_seconds", Kind::Number, "How long it holds."),
        must("renew_seconds", Kind::Number, "When to say it again: a third of that."),
    ],
};
