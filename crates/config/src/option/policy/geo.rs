//! Options of `geo`.

use crate::option::Absent::{Is, Means, Required};
use crate::option::Kind::{Choice, OneOrMany, Text};
use crate::option::{Object, opt};

pub(crate) static GEO: Object = Object {
    name: "geo",
    doc: "Finds the client's country by its address (after trusted proxies), for routes (`country`), servers, and who comes in. Others get 403.",
    options: &[
        opt(
            "file",
            Text("/var/lib/GeoIP/GeoLite2-Country.mmdb"),
            Required,
            "A MaxMind database that has countries. It is read again when it changes.",
        ),
        opt(
            "country_field",
            Text("x-country"),
            Means("none"),
            "Servers are told the country in this field; a client's own is taken away.",
        ),
        opt(
            "allow",
            OneOrMany(&Text("DE")),
            Means("all"),
            "Countries that may, as ISO 3166 has them.",
        ),
        opt("deny", OneOrMany(&Text("FR")), Means("none"), "Countries that may not."),
        opt(
            "unknown",
            Choice(&[("allow", "they may"), ("deny", "they may not")]),
            Is("allow"),
            "Those whose country is not known.",
        ),
    ],
};
