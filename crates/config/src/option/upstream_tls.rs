//! Options of TLS to servers: of a pool, and of its checks.

use super::Absent::{Is, Means};
use super::Kind::{Bool, Choice, Text};
use super::{CERTIFICATE, Kind, Object, Opt, opt};

const CA: &str = "A file with the certificates of the authorities that are trusted, in PEM.";
const SNI: &str = "The name that is asked for and that the certificate must be for.";
const VERIFY: &str = "Whether the certificate is verified. Without it, whoever answers is the server, and anyone in between can read and change everything.";
const CLIENT: &str = "The certificate that is shown to a server that asks for one (mTLS).";
const VERSION: &str = "The oldest version of TLS that is spoken.";
const VERSIONS: Kind = Choice(&[("1.2", "TLS 1.2 and 1.3"), ("1.3", "TLS 1.3 alone")]);

pub(crate) static POOL_TLS: Object = Object {
    name: "pool TLS",
    doc: "How servers are spoken to over TLS. The handshake has to be over within `timeouts.connect`, which is for the connection and the handshake together. Files are read at the start, by `check` and on a reload; when one of them changes it is taken over without a reload, for new connections.",
    options: &[
        opt("ca", Text("certs/internal-ca.pem"), Means("what the system trusts"), CA),
        opt("sni", Text("app.internal"), Means("the server's name, or its address"), SNI),
        opt("verify", Bool, Is("true"), VERIFY),
        opt("client", Kind::Object(&CERTIFICATE), Means("none"), CLIENT),
        opt("min_version", VERSIONS, Is("1.2"), VERSION),
    ],
};

const AS_POOL: super::Absent = Means("the pool's, else as there");

pub(crate) static PROBE_TLS: Object = Object {
    name: "tls of a check",
    doc: "How a server is known to be the right one. What is not written is as in the pool's `tls`.",
    options: &[
        opt("ca", Text("certs/internal-ca.pem"), AS_POOL, CA),
        opt("sni", Text("app.internal"), AS_POOL, SNI),
        opt("verify", Bool, AS_POOL, VERIFY),
        opt("client", Kind::Object(&CERTIFICATE), AS_POOL, CLIENT),
        opt("min_version", VERSIONS, AS_POOL, VERSION),
    ],
};

const OR_NOT: Kind = Kind::OneOf(&[Bool, Kind::Object(&PROBE_TLS)]);

/// `tls` of a check.
pub(super) const OF_PROBE: Opt = opt(
    "tls",
    OR_NOT,
    Means("as the pool's requests"),
    "Whether the check goes over TLS, and how the server is known.",
);
