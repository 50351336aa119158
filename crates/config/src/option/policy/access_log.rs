//! Options of `access_log`.

use crate::option::Absent::Is;
use crate::option::Kind::{Choice, Share, Text};
use crate::option::{Object, opt};

pub(crate) static ACCESS_LOG: Object = Object {
    name: "access_log",
    doc: "A line for each exchange.",
    options: &[
        opt(
            "format",
            Choice(&[("json", "one object a line"), ("text", "for people")]),
            Is("json"),
            "How it is written.",
        ),
        opt(
            "to",
            Text("stdout"),
            Is("stdout"),
            "`stdout`, `stderr` or the path of a file (reopened on SIGUSR1).",
        ),
        opt(
            "sample",
            Share,
            Is("1"),
            "Share of the exchanges that are logged; failures always are.",
        ),
    ],
};
