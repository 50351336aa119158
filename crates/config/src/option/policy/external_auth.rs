//! Options of `external_auth`.

use crate::option::Absent::{Is, Means, Required};
use crate::option::Kind::{Choice, Duration, OneOrMany, Text};
use crate::option::{HOUR, Object, opt};

pub(crate) static EXTERNAL_AUTH: Object = Object {
    name: "external_auth",
    doc: "Asks another server who comes in: a GET without content, with the request's `Host`. Any 2xx is a yes; 3xx and 4xx are given to the client; all else is no answer.",
    options: &[
        opt("pool", Text("auth"), Required, "Who is asked."),
        opt(
            "path",
            Text("/verify"),
            Is("/"),
            "For what. `X-Forwarded-Method` and `X-Forwarded-Uri` say what the request is for, as servers get it.",
        ),
        opt("timeout", Duration(10, 60_000), Is("2s"), "How long at most, with all tries."),
        opt(
            "send",
            OneOrMany(&Text("authorization")),
            Means("`[authorization, cookie]`"),
            "Fields of the request that are sent along.",
        ),
        opt(
            "copy",
            OneOrMany(&Text("x-user")),
            Means("none"),
            "Fields of a yes that servers get; a client's own of these names are taken away.",
        ),
        opt(
            "answer",
            OneOrMany(&Text("www-authenticate")),
            Means("`[www-authenticate, location, set-cookie]`"),
            "Fields of a no that the client gets.",
        ),
        opt(
            "without_answer",
            Choice(&[("deny", "503"), ("allow", "it passes, without fields of `copy`")]),
            Is("deny"),
            "What becomes of a request if nobody can say.",
        ),
        opt(
            "remember",
            Duration(0, HOUR),
            Is("0s"),
            "How long a yes, or a 401 or 403, holds for requests with the same method, host, path, query and fields of `remember_by`.",
        ),
        opt(
            "remember_by",
            OneOrMany(&Text("authorization")),
            Means("those of `send`"),
            "Fields that tell requests apart. One that the server's word depends on must be among them.",
        ),
    ],
};
