//! Options of policies: what a policy may be. The options of each kind are in a file of their own.

mod access;
mod access_log;
mod bandwidth_limit;
mod body;
mod cache;
mod client_certificate;
mod compress;
mod concurrency_limit;
mod credentials;
mod external_auth;
mod fields;
mod geo;
mod jwt;
mod rate_limit;

pub(crate) use access::*;
pub(crate) use access_log::*;
pub(crate) use bandwidth_limit::*;
pub(crate) use body::*;
pub(crate) use cache::*;
pub(crate) use client_certificate::*;
pub(crate) use compress::*;
pub(crate) use concurrency_limit::*;
pub(crate) use credentials::*;
pub(crate) use external_auth::*;
pub(crate) use fields::*;
pub(crate) use geo::*;
pub(crate) use jwt::*;
pub(crate) use rate_limit::*;

use super::Absent::Means;
use super::{Kind, Object, opt};

pub(crate) static POLICY: Object = Object {
    name: "policy",
    doc: "A named rule: exactly one of these.",
    options: &[
        opt(
            "fields",
            Kind::Object(&FIELDS),
            Means("one of the others"),
            "Edit the fields of requests and responses.",
        ),
        opt(
            "access_log",
            Kind::Object(&ACCESS_LOG),
            Means("one of the others"),
            "Write a line for each exchange. A route's replaces its listener's.",
        ),
        opt(
            "rate_limit",
            Kind::Object(&RATE_LIMIT),
            Means("one of the others"),
            "Let so many requests pass in so much time, for each client or another key.",
        ),
        opt(
            "access",
            Kind::Object(&ACCESS),
            Means("one of the others"),
            "Let clients in, or not, by their network.",
        ),
        opt(
            "concurrency_limit",
            Kind::Object(&CONCURRENCY_LIMIT),
            Means("one of the others"),
            "Let so many requests pass at a time, for each client or another key.",
        ),
        opt(
            "basic_auth",
            Kind::Object(&BASIC_AUTH),
            Means("one of the others"),
            "Let clients in by name and password.",
        ),
        opt(
            "api_key",
            Kind::Object(&API_KEY),
            Means("one of the others"),
            "Let clients in by a key.",
        ),
        opt(
            "client_certificate",
            Kind::Object(&CLIENT_CERTIFICATE),
            Means("one of the others"),
            "Let clients in by their certificate.",
        ),
        opt(
            "external_auth",
            Kind::Object(&EXTERNAL_AUTH),
            Means("one of the others"),
            "Let clients in by another server's word.",
        ),
        opt(
            "bandwidth_limit",
            Kind::Object(&BANDWIDTH_LIMIT),
            Means("one of the others"),
            "Move so many bytes a second, for each request or another key.",
        ),
        opt(
            "body",
            Kind::Object(&BODY),
            Means("one of the others"),
            "Bound the content of requests.",
        ),
        opt(
            "compress",
            Kind::Object(&COMPRESS),
            Means("one of the others"),
            "Compress responses for clients that accept it.",
        ),
        opt(
            "decompress",
            Kind::Object(&DECOMPRESS),
            Means("one of the others"),
            "Decompress responses for clients that cannot.",
        ),
        opt("jwt", Kind::Object(&JWT), Means("one of the others"), "Let clients in by a token."),
        opt(
            "geo",
            Kind::Object(&GEO),
            Means("one of the others"),
            "Find the country of clients, for routes, servers, and who comes in.",
        ),
        opt(
            "cache",
            Kind::Object(&CACHE),
            Means("one of the others"),
            "Keep answers, and give them again. A route's replaces its listener's.",
        ),
    ],
};
