//! Options of `access`.

use crate::option::Absent::Means;
use crate::option::Kind::{Choice, Text};
use crate::option::{CIDR, Object, opt};

pub(crate) static ACCESS: Object = Object {
    name: "access",
    doc: "Who may come in, by the client's address (after trusted proxies). The most specific network decides, wherever it is written; of the same network in both lists, `deny` does. Others get 403.",
    options: &[
        opt("allow", CIDR, Means("nobody"), "Networks that may."),
        opt("deny", CIDR, Means("nobody"), "Networks that may not."),
        opt(
            "allow_file",
            Text("/etc/evenkeel/allow.txt"),
            Means("none"),
            "A file of networks that may, one on each line; `#` begins a comment. It is read again when it changes.",
        ),
        opt(
            "deny_file",
            Text("/etc/evenkeel/deny.txt"),
            Means("none"),
            "The same of those that may not.",
        ),
        opt(
            "others",
            Choice(&[("allow", "they may"), ("deny", "they may not")]),
            Means("`deny` if anybody is allowed, else `allow`"),
            "Those that are in no network of any list.",
        ),
    ],
};
