//! Options of policies: what a policy may be. The options of each kind are in a file of their own.

mod access_log;
mod fields;

pub(crate) use access_log::*;
pub(crate) use fields::*;

use super::Absent::Means;
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
