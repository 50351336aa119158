//! Options of `rewrite`.

use crate::option::Absent::{Means, Required};
use crate::option::Kind::{Map, OneOrMany, Text};
use crate::option::{Kind, Object, opt};

pub(crate) static REWRITE: Object = Object {
    name: "rewrite",
    doc: "What servers are asked for. Routes are chosen by what clients ask for, whatever is rewritten; at most one of the changes of the path.",
    options: &[
        opt(
            "strip_prefix",
            Text("/api"),
            Means("nothing"),
            "Taken away from the path, on segment boundaries.",
        ),
        opt(
            "replace_prefix",
            Kind::Object(&REPLACE_PREFIX),
            Means("nothing"),
            "One prefix of the path in place of another.",
        ),
        opt(
            "path",
            Text("/v2${path.rest}"),
            Means("the client's"),
            "The path. Variables are replaced.",
        ),
        opt(
            "regex",
            Kind::Object(&REPLACE_REGEX),
            Means("nothing"),
            "What an expression matches in the path, replaced.",
        ),
        opt("query", Kind::Object(&QUERY), Means("the client's"), "The query's parameters."),
        opt(
            "host",
            Text("internal.example.com"),
            Means("the client's"),
            "The host, with its port. Variables are replaced. A pool's `host` goes first.",
        ),
    ],
};

pub(crate) static REPLACE_PREFIX: Object = Object {
    name: "prefix replacement",
    doc: "On segment boundaries; a path without the prefix stays.",
    options: &[
        opt("from", Text("/api"), Required, "The prefix."),
        opt("to", Text("/v2"), Required, "What stands there then."),
    ],
};

pub(crate) static REPLACE_REGEX: Object = Object {
    name: "expression replacement",
    doc: "Every match in the path is replaced. Linear time.",
    options: &[
        opt("pattern", Text("^/user/([0-9]+)"), Required, "Matches anywhere unless anchored."),
        opt("to", Text("/users/$1"), Required, "`$1` and `$name` are groups of the pattern."),
    ],
};

pub(crate) static QUERY: Object = Object {
    name: "query edits",
    doc: "In the order keep, remove, set.",
    options: &[
        opt("keep", OneOrMany(&Text("page")), Means("all"), "All others are taken away."),
        opt("remove", OneOrMany(&Text("debug")), Means("nothing"), "Taken away."),
        opt(
            "set",
            Map(&Text("${client.ip}")),
            Means("nothing"),
            "Replaced or added. Variables are replaced.",
        ),
    ],
};
