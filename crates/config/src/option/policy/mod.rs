//! Options of policies: what a policy may be. The options of each kind are in a file of their own.

mod access;
mod access_log;
mod bandwidth_limit;
mod body;
mod cache;
mod client_certificate;
mod compress;
mod concurrency_limit;
mod cookies;
mod cors;
mod credentials;
mod external_auth;
mod fields;
mod geo;
mod jwt;
mod pages;
mod rate_limit;
mod redirect;
mod rewrite;
mod security_fields;

pub(crate) use access::*;
pub(crate) use access_log::*;
pub(crate) use bandwidth_limit::*;
pub(crate) use body::*;
pub(crate) use cache::*;
pub(crate) use client_certificate::*;
pub(crate) use compress::*;
pub(crate) use concurrency_limit::*;
pub(crate) use cookies::*;
pub(crate) use cors::*;
pub(crate) use credentials::*;
pub(crate) use external_auth::*;
pub(crate) use fields::*;
pub(crate) use geo::*;
pub(crate) use jwt::*;
pub(crate) use pages::*;
pub(crate) use rate_limit::*;
pub(crate) use redirect::*;
pub(crate) use rewrite::*;
pub(crate) use security_fields::*;

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
        opt(
            "rewrite",
            Kind::Object(&REWRITE),
            Means("one of the others"),
            "Change path, query and host as servers get them.",
        ),
        opt(
            "redirect",
            Kind::Object(&CANONICAL),
            Means("one of the others"),
            "Redirect to one spelling of the site's address.",
        ),
        opt(
            "cookies",
            Kind::Object(&COOKIES),
            Means("one of the others"),
            "Change what browsers are told about the cookies of servers.",
        ),
        opt(
            "security_fields",
            Kind::OneOf(&[Kind::Text("default"), Kind::Object(&SECURITY_FIELDS)]),
            Means("one of the others"),
            "Tell browsers to be careful: `default`, or which fields.",
        ),
        opt(
            "cors",
            Kind::Object(&CORS),
            Means("one of the others"),
            "Say which sites' scripts may ask.",
        ),
        opt(
            "error_pages",
            Kind::Object(&ERROR_PAGES),
            Means("one of the others"),
            "Show pages when there is no answer.",
        ),
        opt(
            "maintenance",
            Kind::Object(&MAINTENANCE),
            Means("one of the others"),
            "Tell everybody to come again later.",
        ),
    ],
};
