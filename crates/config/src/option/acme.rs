//! Options of certificates that come from an ACME authority (RFC 8555).

use super::Absent::{Is, Means, Required};
use super::Kind::{Choice, OneOrMany, Text};
use super::{Object, opt};

pub(crate) static ACME: Object = Object {
    name: "acme",
    doc: "Where certificates come from by themselves (RFC 8555), for the names in `tls.acme` of listeners. Whoever writes this agrees to the terms of the authority.",
    options: &[
        opt(
            "directory",
            Text("https://acme.internal/directory"),
            Is("https://acme-v02.api.letsencrypt.org/directory"),
            "The authority.",
        ),
        opt(
            "contact",
            OneOrMany(&Text("ops@shop.example")),
            Means("nobody"),
            "Mail addresses that the authority may write to.",
        ),
        opt(
            "storage",
            Text("/var/lib/evenkeel/acme"),
            Required,
            "A directory for the account's key, certificates and their keys; instances may share it. It is made if it is not there, for this user alone.",
        ),
        opt(
            "challenge",
            Choice(&[
                ("http-01", "asked at port 80, answered by every listener without `tls`"),
                ("tls-alpn-01", "asked at port 443, answered by the listener itself"),
            ]),
            Means(
                "`tls-alpn-01` where the listener is at port 443, else `http-01` if one without `tls` is at port 80",
            ),
            "How the authority makes sure that a name is ours.",
        ),
        opt(
            "ca",
            Text("certs/acme-ca.pem"),
            Means("what the system trusts"),
            "A file with the authorities in PEM that the directory's own certificate is trusted by.",
        ),
    ],
};
