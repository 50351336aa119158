//! Options of `error_pages` and `maintenance`.

use crate::option::Absent::{Is, Means, Required};
use crate::option::Kind::{Bool, Duration, Map, Text};
use crate::option::{CIDR, DAY, Kind, Object, opt};

pub(crate) static ERROR_PAGES: Object = Object {
    name: "error pages",
    doc: "What people see when there is no answer. Status and fields stay as they are; calls of gRPC get none.",
    options: &[
        opt(
            "pages",
            Map(&Kind::Object(&PAGE)),
            Required,
            "By status: `404`, `5xx` or `500-504`. The narrowest range goes first.",
        ),
        opt("servers", Bool, Is("false"), "Also in place of what servers say."),
    ],
};

pub(crate) static PAGE: Object = Object {
    name: "page",
    doc: "At least one of these; what the client prefers is sent. Variables like `${status}`, `${status.text}`, `${reason}` and `${request.id}` are replaced, escaped as the kind asks for.",
    options: &[
        opt("html", Text("<h1>${status}</h1>"), Means("none"), "For browsers."),
        opt("json", Text("{\"status\":${status}}"), Means("none"), "For programs."),
        opt("text", Text("${status} ${status.text}"), Means("none"), "For all others."),
    ],
};

pub(crate) static MAINTENANCE: Object = Object {
    name: "maintenance",
    doc: "Everybody is told to come again later (503).",
    options: &[
        opt("enabled", Bool, Is("true"), "It is going on."),
        opt("allow", CIDR, Means("nobody"), "Clients that are served nevertheless."),
        opt("retry_after", Duration(0, 30 * DAY), Is("5m"), "When to come again: `Retry-After`."),
        opt("page", Kind::Object(&PAGE), Means("a line of text"), "What is shown."),
    ],
};
