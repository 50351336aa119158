//! Options of `cookies`.

use crate::option::Absent::{Means, Required};
use crate::option::Kind::{Bool, Choice, OneOf, OneOrMany, Text};
use crate::option::{Kind, Object, opt};

pub(crate) static COOKIES: Object = Object {
    name: "cookies",
    doc: "What browsers are told about the cookies that servers set. Those whose names begin with `__Host-` or `__Secure-` keep what browsers insist on.",
    options: &[
        opt("names", OneOrMany(&Text("session")), Means("all"), "Which cookies."),
        opt(
            "domain",
            Text("example.com"),
            Means("as it is"),
            "In place of the domain that a cookie has; `\"\"` takes it away. One without a domain stays so.",
        ),
        opt(
            "path",
            OneOf(&[Text("/"), Kind::Object(&COOKIE_PATH)]),
            Means("as it is"),
            "The path, or one prefix of it in place of another.",
        ),
        opt("secure", Bool, Means("as it is"), "Only over TLS."),
        opt("http_only", Bool, Means("as it is"), "Not shown to scripts."),
        opt(
            "same_site",
            Choice(&[
                ("strict", "never"),
                ("lax", "when a link is followed"),
                ("none", "always; is `secure` too"),
            ]),
            Means("as it is"),
            "Whether it goes along with requests that other sites cause.",
        ),
        opt(
            "partitioned",
            Bool,
            Means("as it is"),
            "A jar of its own for each site that embeds it; is `secure` too.",
        ),
    ],
};

pub(crate) static COOKIE_PATH: Object = Object {
    name: "cookie path",
    doc: "On segment boundaries; a path without the prefix stays.",
    options: &[
        opt("from", Text("/app"), Required, "The prefix."),
        opt("to", Text("/"), Required, "What stands there then."),
    ],
};
