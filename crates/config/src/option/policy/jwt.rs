//! Options of `jwt`.

use crate::option::Absent::{Is, Means};
use crate::option::Kind::{Bool, Choice, Duration, Map, OneOrMany, Text};
use crate::option::{KEY_SOURCE, Kind, Object, opt};

pub(crate) static JWT: Object = Object {
    name: "jwt",
    doc: "Lets in who has a token (RFC 7519) that is signed by one of these keys, of the right issuer, for the right audience, and in its time. Others get 401. Exactly one of `jwks`, `public_key` and `secret`.",
    options: &[
        opt(
            "jwks",
            Text("https://login.example/.well-known/jwks.json"),
            Means("one of the others"),
            "A set of keys (RFC 7517): a file, or a URL that is fetched again while it is in use, and at once (not more often than every 10 s) when a token names a key that is not in it.",
        ),
        opt(
            "public_key",
            Text("/etc/evenkeel/issuer.pem"),
            Means("one of the others"),
            "A public key in PEM.",
        ),
        opt(
            "secret",
            Text("${TOKEN_SECRET}"),
            Means("one of the others"),
            "A secret that the issuer knows, too.",
        ),
        opt(
            "algorithm",
            Choice(&[
                ("HS256", "HMAC, of `secret`"),
                ("HS384", "the same"),
                ("HS512", "the same"),
                ("RS256", "RSA, of `public_key`"),
                ("RS384", "the same"),
                ("RS512", "the same"),
                ("PS256", "RSA with PSS, of `public_key`"),
                ("PS384", "the same"),
                ("PS512", "the same"),
                ("ES256", "P-256, of `public_key`"),
                ("ES384", "P-384, of `public_key`"),
                ("EdDSA", "Ed25519, of `public_key`"),
            ]),
            Means("HS256 for `secret`, RS256 for `public_key`; keys of a set say it themselves"),
            "What the key is for. What a token says of itself never decides.",
        ),
        opt(
            "issuer",
            OneOrMany(&Text("https://login.example/")),
            Means("any"),
            "`iss` has to be one of these.",
        ),
        opt("audience", OneOrMany(&Text("shop")), Means("any"), "`aud` has to have one of these."),
        opt(
            "leeway",
            Duration(0, 600_000),
            Is("30s"),
            "How far clocks may be apart, for `exp` and `nbf`.",
        ),
        opt(
            "from",
            Kind::Object(&KEY_SOURCE),
            Means("`Authorization: Bearer`"),
            "Where it is in requests.",
        ),
        opt(
            "required",
            Bool,
            Is("true"),
            "Who has no token does not come in. With a bad one nobody does.",
        ),
        opt(
            "claims",
            Map(&Text("x-user")),
            Means("none"),
            "Claims, and the fields in which servers are told them; a client's own of these names are taken away. A dot leads into an object: `realm_access.roles`.",
        ),
        opt("pass", Bool, Is("true"), "Servers get the token, too, if it is in a field."),
    ],
};
