//! Options of the admin listener.

use super::Absent::{Is, Means, Required};
use super::Kind::{Bool, Count, Duration, List, OneOrMany, Text};
use super::{CIDR, DAY, Kind, Object, Opt, opt};

const NAME: Opt = opt("name", Text("ops"), Required, "For the log; unique.");
const SECRET: Opt = opt(
    "secret",
    Text("${ADMIN_TOKEN}"),
    Required,
    "What `Authorization: Bearer` must carry: at least 16 visible ASCII characters, from `openssl rand -hex 32` for example.",
);

pub(crate) static ADMIN: Object = Object {
    name: "admin",
    doc: "How a running process is looked at and changed, over HTTP and by the command line.",
    options: &[
        opt(
            "bind",
            Text("unix:/run/evenkeel/admin.sock"),
            Means("a socket in `/run/evenkeel`, else in `$XDG_RUNTIME_DIR/evenkeel`"),
            "`unix:PATH` is a socket that only this user may open, `127.0.0.1:9900` an address (which needs a token), `off` is nowhere.",
        ),
        opt(
            "tokens",
            List(&Kind::Object(&TOKEN)),
            Means("none"),
            "Who may use it over an address. Over a Unix socket whoever may open it may use it.",
        ),
        opt(
            "state",
            Text("/var/lib/evenkeel/state.json"),
            Means("nowhere"),
            "Where changes made at runtime are kept so that a restart finds them.",
        ),
        opt(
            "history",
            Count(0, 1000),
            Is("20"),
            "Earlier configurations that can be gone back to.",
        ),
        opt(
            "registrations",
            List(&Kind::Object(&REGISTRATION)),
            Means("none"),
            "Services that may register themselves.",
        ),
    ],
};

pub(crate) static TOKEN: Object = Object {
    name: "token",
    doc: "Who may use the admin listener.",
    options: &[NAME, SECRET, opt("read_only", Bool, Is("false"), "May only look.")],
};

pub(crate) static REGISTRATION: Object = Object {
    name: "registration",
    doc: "A service that may register itself as a server, and the routes it serves; nothing beyond what is written here.",
    options: &[
        NAME,
        SECRET,
        opt(
            "pools",
            OneOrMany(&Text("shop-*")),
            Required,
            "Pools it may join or make; `*` at the end stands for anything.",
        ),
        opt(
            "addresses",
            CIDR,
            Means("the address it registers from"),
            "Networks in which its servers may be.",
        ),
        opt(
            "hosts",
            OneOrMany(&Text("*.shop.example")),
            Means("none: it may claim no routes"),
            "Hosts it may claim routes for; `*.` stands for one label or more.",
        ),
        opt(
            "paths",
            OneOrMany(&Text("/shop")),
            Is("/"),
            "Path prefixes it may claim routes for, on segment boundaries.",
        ),
        opt("ttl_max", Duration(1000, DAY), Is("5m"), "Longest lease."),
        opt(
            "servers_max",
            Count(1, 100_000),
            Is("1000"),
            "Most servers it may have registered at a time.",
        ),
    ],
};
