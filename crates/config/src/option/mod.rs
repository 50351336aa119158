//! The table of all options: every key once, with its kind, its default and what it is for. What
//! may be written, the JSON Schema and the reference manual all come from here; a default is read
//! by the same code that reads what users write. This file owns the kinds and the whole; the parts
//! are beside it.

mod acme;
mod admin;
mod health;
mod layer4;
mod listener;
mod policy;
mod pool;
mod resilience;
mod route;
#[cfg(test)]
mod sample;
mod tls;
mod upstream_tls;

pub(crate) use acme::*;
pub(crate) use admin::*;
pub(crate) use health::*;
pub(crate) use layer4::*;
pub(crate) use listener::*;
pub(crate) use policy::*;
pub(crate) use pool::*;
pub(crate) use resilience::*;
pub(crate) use route::*;
pub(crate) use tls::*;
pub(crate) use upstream_tls::*;

/// What may be written for an option.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text; the example shows one.
    Text(&'static str),
    /// `true` or `false`.
    Bool,
    /// `250ms`, `5s`, `1m30s`; bounds in milliseconds.
    Duration(u64, u64),
    /// `512B`, `32KiB`, `10MB` or a number of bytes; bounds in bytes.
    Size(u64, u64),
    /// A size for each second; 0 is off.
    Rate,
    /// A whole number within bounds.
    Count(u64, u64),
    /// A number within bounds.
    Number(f64, f64),
    /// A share: `0.01` or `1%`.
    Share,
    /// One of these words.
    Choice(&'static [(&'static str, &'static str)]),
    /// A list of these.
    List(&'static Self),
    /// One of these, or a list of them.
    OneOrMany(&'static Self),
    /// Names chosen by the user, each with one of these.
    Map(&'static Self),
    /// Keys of their own.
    Object(&'static Object),
    /// Whichever of these it is.
    OneOf(&'static [Self]),
}

/// What holds if an option is not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent {
    /// It must be written.
    Required,
    /// It is as if this had been written.
    Is(&'static str),
    /// Described in words.
    Means(&'static str),
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Absent,
    pub(crate) doc: &'static str,
}

/// A group of options.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) options: &'static [Opt],
}

const fn opt(key: &'static str, kind: Kind, default: Absent, doc: &'static str) -> Opt {
    Opt { key, kind, default, doc }
}

use Absent::{Is, Means, Required};
use Kind::{Bool, Count, Duration, List, Map, OneOrMany, Text};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const NAMES: Kind = OneOrMany(&Text("name"));
const CIDR: Kind = OneOrMany(&Text("10.0.0.0/8"));

pub(crate) static ROOT: Object = Object {
    name: "configuration",
    doc: "The whole file. Several files of a directory are read as one.",
    options: &[
        opt(
            "listeners",
            Map(&Kind::Object(&LISTENER)),
            Required,
            "Where connections are accepted, by name.",
        ),
        opt(
            "routes",
            List(&Kind::Object(&ROUTE)),
            Means("every request is answered with 404"),
            "What is done with a request. The most specific match wins, not the first; `evenkeel check --routes` shows the order.",
        ),
        opt(
            "pools",
            Map(&Kind::Object(&POOL)),
            Means("none"),
            "Groups of servers that can stand in for each other, by name.",
        ),
        opt(
            "policies",
            Map(&Kind::Object(&POLICY)),
            Means("none"),
            "Named rules that listeners and routes apply.",
        ),
        opt(
            "workers",
            Count(1, 1024),
            Means("one for each core"),
            "Threads that serve connections.",
        ),
        opt(
            "shutdown",
            Kind::Object(&SHUTDOWN),
            Means("its defaults"),
            "How the process ends after SIGTERM, and how long anything that is drained may take.",
        ),
        opt(
            "watch",
            Bool,
            Is("false"),
            "Take over changed files without being asked. A file with a mistake changes nothing.",
        ),
        opt(
            "resolvers",
            OneOrMany(&Text("10.0.0.2")),
            Means("the system's"),
            "Who is asked for the addresses of servers that have names.",
        ),
        opt(
            "admin",
            Kind::Object(&ADMIN),
            Means("its defaults"),
            "How a running process is looked at and changed.",
        ),
        opt(
            "acme",
            Kind::Object(&ACME),
            Means("nowhere"),
            "Where certificates come from by themselves.",
        ),
    ],
};

pub(crate) static SHUTDOWN: Object = Object {
    name: "shutdown",
    doc: "After the first SIGTERM nothing new is accepted and what runs may finish; a second signal ends it at once.",
    options: &[
        opt("drain", Duration(0, HOUR), Is("30s"), "Time for requests in progress."),
        opt(
            "drain_tunnels",
            Duration(0, DAY),
            Is("5m"),
            "Time for tunnels (WebSocket and other upgrades).",
        ),
    ],
};
