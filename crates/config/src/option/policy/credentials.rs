//! Options of `basic_auth` and `api_key`.

use crate::option::Absent::{Is, Means, Required};
use crate::option::Kind::{Bool, Duration, Map, Text};
use crate::option::{DAY, Kind, Object, opt};

pub(crate) static BASIC_AUTH: Object = Object {
    name: "basic_auth",
    doc: "Lets in who has a name and a password (RFC 7617). Others get 401. Use it over TLS only.",
    options: &[
        opt(
            "realm",
            Text("internal"),
            Is("restricted"),
            "What the client is told that it asks for.",
        ),
        opt(
            "users",
            Map(&Text("$$argon2id$$v=19$$m=19456,t=2,p=1$$…")),
            Means("those of `file`"),
            "Names, and hashes of their passwords: argon2id or bcrypt. A `$` is written `$$`.",
        ),
        opt(
            "file",
            Text("/etc/evenkeel/users"),
            Means("none"),
            "A file of lines `name:hash`, as `htpasswd -B` writes them. It is read again when it changes.",
        ),
        opt(
            "user_field",
            Text("x-user"),
            Means("none"),
            "Servers are told the name in this field; a client's own is taken away.",
        ),
        opt("pass", Bool, Is("false"), "Servers get the name and password, too."),
        opt(
            "remember",
            Duration(0, DAY),
            Is("5m"),
            "How long a password that was right is not verified again, which costs tens of milliseconds. Kept is a keyed hash.",
        ),
    ],
};

pub(crate) static API_KEY: Object = Object {
    name: "api_key",
    doc: "Lets in who has one of these keys. Others get 401.",
    options: &[
        opt(
            "from",
            Kind::Object(&KEY_SOURCE),
            Means("`{ header: x-api-key }`"),
            "Where it is in requests.",
        ),
        opt("keys", Map(&Text("${PARTNER_KEY}")), Required, "Owners and their keys."),
        opt(
            "owner_field",
            Text("x-api-key-owner"),
            Means("none"),
            "Servers are told the owner in this field; a client's own is taken away.",
        ),
        opt(
            "pass",
            Bool,
            Is("false"),
            "Servers get the key of a field, too; that of a query or cookie they always get.",
        ),
    ],
};

pub(crate) static KEY_SOURCE: Object = Object {
    name: "key source",
    doc: "Exactly one of these.",
    options: &[
        opt("header", Text("x-api-key"), Means("one of the others"), "The value of this field."),
        opt(
            "query",
            Text("key"),
            Means("one of the others"),
            "This parameter of the query. Mind that queries are logged.",
        ),
        opt("cookie", Text("key"), Means("one of the others"), "This cookie."),
    ],
};
