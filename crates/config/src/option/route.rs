//! Options of routes: conditions, and what is done.

use super::Absent::{Is, Means, Required};
use super::Kind::{Bool, Count, List, Map, OneOf, OneOrMany, Text};
use super::{CIDR, Kind, NAMES, Object, opt};

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
        opt(
            "country",
            OneOrMany(&Text("DE")),
            Means("any"),
            "Countries of the client, as ISO 3166 has them; needs a policy `geo` of the listener.",
        ),
        opt(
            "claim",
            VALUES,
            Means("any"),
            "Claims of a good token by name, or by the way to them (`realm_access.roles`): a text is the whole value or one member of a list; needs a policy `jwt` of the listener.",
        ),
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
            "The `Location`. Variables like `${host}`, `${path}`, `${path.rest}` (what follows the matched prefix) and `${query}` (with its `?`) are replaced.",
        ),
        opt("status", Count(301, 308), Is("308"), "301, 302, 303, 307 or 308."),
    ],
};

pub(crate) static RESPOND: Object = Object {
    name: "respond",
    doc: "A fixed response.",
    options: &[
        opt("status", Count(200, 599), Is("200"), "Its status."),
        opt(
            "body",
            Text("ok"),
            Is(""),
            "Its content; at most 64 KiB. Variables like `${path}` are replaced, escaped as the content type asks for.",
        ),
        opt(
            "content_type",
            Text("text/plain"),
            Is("text/plain; charset=utf-8"),
            "Its `Content-Type`.",
        ),
    ],
};
