//! Options of `cors`.

use crate::option::Absent::{Is, Means, Required};
use crate::option::Kind::{Bool, Duration, OneOrMany, Text};
use crate::option::{DAY, Object, opt};

pub(crate) static CORS: Object = Object {
    name: "cors",
    doc: "Which sites' scripts may ask. What browsers ask beforehand is answered here; what servers say about it themselves is taken away.",
    options: &[
        opt(
            "origins",
            OneOrMany(&Text("https://app.example.com")),
            Required,
            "From where: `https://app.example.com`, `https://*.example.com`, or `*` for everywhere.",
        ),
        opt("methods", OneOrMany(&Text("PUT")), Means("GET, HEAD and POST"), "With which methods."),
        opt(
            "headers",
            OneOrMany(&Text("content-type")),
            Means("those that are always allowed"),
            "With which fields; `*` is any.",
        ),
        opt(
            "expose",
            OneOrMany(&Text("x-request-id")),
            Means("those that always are"),
            "Which fields of answers scripts may see.",
        ),
        opt("credentials", Bool, Is("false"), "With cookies; not from everywhere."),
        opt("max_age", Duration(0, DAY), Is("10m"), "How long browsers remember the answer."),
        opt("private_network", Bool, Is("false"), "From public pages to private networks."),
    ],
};
