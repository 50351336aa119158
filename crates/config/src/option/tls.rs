//! Options of TLS at listeners.

use super::Absent::{Is, Means, Required};
use super::Kind::{Bool, Choice, Count, Duration, OneOf, OneOrMany, Text};
use super::{DAY, Kind, Object, Opt, opt};

const CERT: Opt = opt(
    "cert",
    Text("certs/shop.pem"),
    Required,
    "A file with the certificate chain in PEM, the server's own certificate first.",
);
const KEY: Opt =
    opt("key", Text("certs/shop.key"), Required, "A file with its private key in PEM.");
const MIN_VERSION: Opt = opt(
    "min_version",
    Choice(&[("1.2", "TLS 1.2 and 1.3"), ("1.3", "TLS 1.3 alone")]),
    Is("1.2"),
    "The oldest version of TLS that is spoken.",
);

pub(crate) static LISTENER_TLS: Object = Object {
    name: "listener TLS",
    doc: "How a listener's connections are encrypted. Files are read at the start, by `check` and on a reload; when one of them changes it is taken over without a reload and without closing a connection.",
    options: &[
        MIN_VERSION,
        opt(
            "certificates",
            OneOrMany(&Kind::Object(&CERTIFICATE)),
            Means("none"),
            "Certificates and their keys. A client gets the one for the name it asks for: exact, else by wildcard, else the first of the list. Of several for one name it gets what it can check, ECDSA before RSA.",
        ),
        opt(
            "acme",
            OneOrMany(&Text("shop.example")),
            Means("none"),
            "Names for which certificates come from the authority in `acme`, one for each.",
        ),
        opt(
            "strict_names",
            Bool,
            Is("false"),
            "Refuse a client that asks for a name that no certificate is for, instead of showing it the first.",
        ),
        opt(
            "client_auth",
            Kind::Object(&CLIENT_AUTH),
            Means("clients show no certificate"),
            "Clients show certificates too (mTLS).",
        ),
        opt(
            "tickets",
            OneOf(&[Bool, Kind::Object(&TICKETS)]),
            Is("true"),
            "Clients that come back resume their session; `false` is off.",
        ),
        opt(
            "hsts",
            OneOf(&[Bool, Kind::Object(&HSTS)]),
            Is("false"),
            "Send `Strict-Transport-Security` (RFC 6797): browsers use `https` only from then on.",
        ),
        opt(
            "early_data",
            Bool,
            Is("false"),
            "Take requests in early data (0-RTT) over HTTP/3. Whoever recorded one can send it again: only safe methods are taken, the others are answered with 425 (RFC 8470).",
        ),
    ],
};

pub(crate) static CERTIFICATE: Object = Object {
    name: "certificate",
    doc: "A certificate chain and its key.",
    options: &[
        CERT,
        KEY,
        opt(
            "ocsp",
            Text("certs/shop.ocsp"),
            Means("none"),
            "A file with an OCSP response in DER, shown with the certificate (RFC 6066, 8). One that is out of date is not shown.",
        ),
    ],
};

pub(crate) static CLIENT_AUTH: Object = Object {
    name: "client authentication",
    doc: "Clients show certificates.",
    options: &[
        opt(
            "ca",
            Text("certs/clients-ca.pem"),
            Required,
            "A file with the certificates of the authorities that are trusted, in PEM.",
        ),
        opt(
            "mode",
            Choice(&[
                ("required", "no connection without a valid one"),
                ("optional", "a client may show none; one that is shown must be valid"),
            ]),
            Is("required"),
            "Whether every client must show one.",
        ),
        opt(
            "crl",
            OneOrMany(&Text("certs/revoked.pem")),
            Means("none"),
            "Files with lists of revoked certificates in PEM. With them there must be a current one of every authority in a client's chain, or the client is refused.",
        ),
        opt(
            "forward",
            OneOrMany(&Choice(&[
                (
                    "details",
                    "`X-Client-Cert-Subject`, `-Issuer`, `-Serial`, `-San`, `-Fingerprint`, `-Not-After`",
                ),
                ("certificate", "`Client-Cert` (RFC 9440, 2.2)"),
                ("chain", "`Client-Cert-Chain` (RFC 9440, 2.3)"),
                ("nothing", "no field at all"),
            ])),
            Means("`details`"),
            "What servers are told about a certificate that was shown. These fields are removed from what clients send, in every spelling.",
        ),
    ],
};

pub(crate) static TICKETS: Object = Object {
    name: "tickets",
    doc: "How sessions are resumed. A ticket is good for the listener of the same name and the same `client_auth`, nowhere else.",
    options: &[
        opt(
            "keys",
            Text("certs/ticket.keys"),
            Means("keys of this process alone, made and changed by itself"),
            "A file of keys that instances share: 32 bytes in hexadecimal or base64, one a line. The first seals, all open. Read again when it changes.",
        ),
        opt(
            "lifetime",
            Duration(60_000, 7 * DAY),
            Is("12h"),
            "How long a ticket may be used, and a key of this process's own is. An own key opens tickets for once more as long, then it is forgotten.",
        ),
    ],
};

pub(crate) static HSTS: Object = Object {
    name: "HSTS",
    doc: "`Strict-Transport-Security` (RFC 6797).",
    options: &[
        opt("max_age", Duration(0, 100 * 365 * DAY), Is("365d"), "How long it holds."),
        opt("subdomains", Bool, Is("false"), "Names below the host's too."),
        opt("preload", Bool, Is("false"), "Browsers may have it built in."),
    ],
};

pub(crate) static HTTPS_REDIRECT: Object = Object {
    name: "redirect to https",
    doc: "Where requests that are not encrypted are sent.",
    options: &[
        opt("port", Count(1, 65_535), Is("443"), "Where `https` is served."),
        opt(
            "status",
            Choice(&[("308", "permanent, same method"), ("301", "permanent, for old clients")]),
            Is("308"),
            "The status of the answer.",
        ),
    ],
};
