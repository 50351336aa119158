//! Options of `body`.

use crate::option::Absent::{Is, Means};
use crate::option::Kind::{Choice, Size};
use crate::option::{Kind, Object, opt};

pub(crate) static BODY: Object = Object {
    name: "body",
    doc: "Rules for the content of requests. A route's replace its listener's.",
    options: &[
        opt(
            "max",
            Size(0, 1 << 50),
            Means("what the listener's `limits.body` says"),
            "Longest content that is taken (413); `limits.body` holds besides.",
        ),
        opt(
            "buffer",
            Kind::Object(&BODY_BUFFER),
            Means("it is passed on as it comes"),
            "Receive the whole content before a server is asked: slow clients keep no server waiting.",
        ),
    ],
};

pub(crate) static BODY_BUFFER: Object = Object {
    name: "body buffer",
    doc: "What is received before a server is asked.",
    options: &[
        opt("memory", Size(1024, 256 << 20), Is("1MiB"), "Most bytes for one request."),
        opt(
            "total",
            Size(1024, 1 << 40),
            Is("64MiB"),
            "Most bytes for all requests of this policy at the same time, of all workers.",
        ),
        opt(
            "beyond",
            Choice(&[
                ("stream", "it is passed on as it comes"),
                ("refuse", "413 if one is too long, 503 if all together are"),
            ]),
            Is("stream"),
            "What happens to content that is more.",
        ),
    ],
};
