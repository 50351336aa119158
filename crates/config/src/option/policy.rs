//! Options of policies.

use super::Absent::{Is, Means};
use super::Kind::{Choice, Map, OneOrMany, Share, Text};
use super::{Kind, Object, opt};

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
