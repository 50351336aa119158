//! Options of `security_fields`.

use crate::option::Absent::{Is, Means};
use crate::option::Kind::{Bool, Choice, Duration, OneOrMany, Text};
use crate::option::{Object, opt};

pub(crate) static SECURITY_FIELDS: Object = Object {
    name: "security fields",
    doc: "`default` stands for all of these as they are. What a server says itself stays, unless `replace`. An empty text says nothing.",
    options: &[
        opt(
            "hsts",
            Duration(0, 63_072_000_000),
            Is("365d"),
            "`Strict-Transport-Security`, on encrypted connections only; 0 says nothing.",
        ),
        opt("nosniff", Bool, Is("true"), "`X-Content-Type-Options: nosniff`."),
        opt(
            "frame",
            Choice(&[
                ("deny", "nobody"),
                ("same_origin", "pages of the same origin"),
                ("off", "nothing is said"),
            ]),
            Is("deny"),
            "`X-Frame-Options`: who may show a page within another.",
        ),
        opt(
            "referrer",
            Text("no-referrer"),
            Is("strict-origin-when-cross-origin"),
            "`Referrer-Policy`.",
        ),
        opt(
            "permissions",
            Text("camera=()"),
            Is("camera=(), geolocation=(), microphone=()"),
            "`Permissions-Policy`.",
        ),
        opt(
            "csp",
            Text("default-src 'self'; frame-ancestors 'none'"),
            Is(""),
            "`Content-Security-Policy`: what fits depends on the pages.",
        ),
        opt(
            "remove",
            OneOrMany(&Text("server")),
            Means("server and x-powered-by"),
            "Fields that tell what servers are made of.",
        ),
        opt("replace", Bool, Is("false"), "Also where a server has said something else."),
    ],
};
