//! Options of `body`.

use crate::option::Absent::Required;
use crate::option::Kind::Size;
use crate::option::{Object, opt};

pub(crate) static BODY: Object = Object {
    name: "body",
    doc: "Rules for the content of requests. A route's replace its listener's.",
    options: &[opt(
        "max",
        Size(0, 1 << 50),
        Required,
        "Longest content that is taken (413); the listener's `limits.body` holds besides.",
    )],
};
