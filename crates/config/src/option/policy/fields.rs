//! Options of `fields`.

use crate::option::Absent::Means;
use crate::option::Kind::{Map, OneOrMany, Text};
use crate::option::{Kind, Object, opt};

pub(crate) static FIELDS: Object = Object {
    name: "fields",
    doc: "Edits in both directions; applied in the order remove, rename, set, add; those of several policies one after the other.",
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
        opt(
            "rename",
            Map(&Text("x-new-name")),
            Means("nothing"),
            "Old names and new ones. A field that has the new name already stays, beside.",
        ),
        opt(
            "set",
            Map(&Text("${client.ip}")),
            Means("nothing"),
            "Replaced or added. Variables like `${client.ip}` are replaced.",
        ),
        opt(
            "add",
            Map(&Text("value")),
            Means("nothing"),
            "Added beside what is there. Variables are replaced.",
        ),
    ],
};
