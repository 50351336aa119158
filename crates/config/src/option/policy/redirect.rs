//! Options of `redirect`, the policy.

use crate::option::Absent::Is;
use crate::option::Kind::{Bool, Choice, Count};
use crate::option::{Object, opt};

pub(crate) static CANONICAL: Object = Object {
    name: "redirect policy",
    doc: "One spelling of a site's address, in one step; path and query stay.",
    options: &[
        opt("https", Bool, Is("false"), "To `https`, those that came without."),
        opt("port", Count(1, 65_535), Is("443"), "The port of `https`."),
        opt(
            "www",
            Choice(&[
                ("keep", "as it is"),
                ("add", "put before names without it"),
                ("remove", "taken away"),
            ]),
            Is("keep"),
            "What becomes of `www.` before a name.",
        ),
        opt("status", Count(301, 308), Is("308"), "301, 302, 307 or 308."),
    ],
};
