//! Options of `client_certificate`.

use crate::option::Absent::Means;
use crate::option::Kind::{OneOrMany, Text};
use crate::option::{Object, opt};

pub(crate) static CLIENT_CERTIFICATE: Object = Object {
    name: "client_certificate",
    doc: "Lets in whose certificate is one of these. Which are believed at all is `tls.client_auth`'s business. Each list that is written has to have one that fits; others get 403.",
    options: &[
        opt(
            "subjects",
            OneOrMany(&Text("CN=billing,O=Example")),
            Means("any"),
            "Whole subjects (RFC 4514), as in `X-Client-Cert-Subject`.",
        ),
        opt(
            "issuers",
            OneOrMany(&Text("CN=Internal CA")),
            Means("any"),
            "Whole issuers, the same.",
        ),
        opt(
            "names",
            OneOrMany(&Text("URI:spiffe://example/billing")),
            Means("any"),
            "Alternative names with their kind: `DNS:`, `URI:`, `email:` or `IP:`.",
        ),
        opt(
            "fingerprints",
            OneOrMany(&Text("9f86d0…")),
            Means("any"),
            "SHA-256 of whole certificates in hexadecimal; colons are allowed.",
        ),
    ],
};
