//! Options of `cache`.

use crate::option::Absent::{Is, Means};
use crate::option::Kind::{Bool, Duration, List, Map, OneOrMany, Size, Text};
use crate::option::{DAY, Kind, Object, opt};

const YEAR: u64 = 365 * DAY;
const PARAMETERS: Kind = OneOrMany(&Text("utm_source"));
const FIELD_NAMES: Kind = OneOrMany(&Text("x-tenant"));
const COOKIE_NAMES: Kind = OneOrMany(&Text("session"));

pub(crate) static CACHE: Object = Object {
    name: "cache",
    doc: "A shared cache in memory (RFC 9111), for the routes that apply it. Each such policy has a store of its own.",
    options: &[
        opt(
            "size",
            Size(64 << 10, 1 << 44),
            Is("64MiB"),
            "Memory for answers, their heads and all overhead included.",
        ),
        opt("max_object", Size(1 << 10, 1 << 40), Is("8MiB"), "Longest content that is kept."),
        opt(
            "default_ttl",
            Duration(0, YEAR),
            Means(
                "answers without `Cache-Control` or `Expires` are not kept, unless `heuristic_max` says so",
            ),
            "How long answers that do not say it are fresh.",
        ),
        opt(
            "statuses",
            Map(&Duration(0, YEAR)),
            Means("`default_ttl` for all but errors, which are not kept"),
            "The same by status, as `404: 10s`. An error is kept only if it is listed here.",
        ),
        opt(
            "heuristic_max",
            Duration(0, YEAR),
            Is("1h"),
            "Answers with a `Last-Modified` and nothing else are fresh for a tenth of how long they have not changed, but no longer than this; `0s` guesses nothing.",
        ),
        opt(
            "stale_while_revalidate",
            Duration(0, YEAR),
            Is("0s"),
            "How long a stale answer is given while it is renewed in the background, if the server does not say (RFC 5861).",
        ),
        opt(
            "stale_if_error",
            Duration(0, YEAR),
            Is("0s"),
            "How long a stale answer is given in place of a failure, if the server does not say (RFC 5861).",
        ),
        opt(
            "hit_for_miss",
            Duration(0, DAY),
            Is("10s"),
            "How long it is remembered that an answer could not be kept: requests for it do not wait for each other.",
        ),
        opt(
            "key",
            Kind::Object(&CACHE_KEY),
            Means("scheme, host, path and the whole query"),
            "What tells one answer from another.",
        ),
        opt(
            "bypass",
            Kind::Object(&CACHE_BYPASS),
            Means("nothing"),
            "Requests that go to a server, and whose answers are not kept.",
        ),
        opt(
            "strip_cookies",
            Bool,
            Is("false"),
            "Keep answers that set cookies, without the cookies; otherwise they are not kept.",
        ),
        opt(
            "client_control",
            Bool,
            Is("false"),
            "Obey `Cache-Control` of requests (`no-cache`, `max-age`, …), by which any client can make servers work.",
        ),
        opt(
            "tags",
            List(&Text("cache-tag")),
            Means("`cache-tag` and `surrogate-key`"),
            "Fields of answers that name what they are made of, for purging.",
        ),
        opt(
            "status_field",
            Bool,
            Is("true"),
            "Say what the cache did in `Cache-Status` (RFC 9211).",
        ),
    ],
};

pub(crate) static CACHE_KEY: Object = Object {
    name: "cache key",
    doc: "What counts beside scheme, host and path. What chooses among answers and is neither here nor in the server's `Vary` is how caches are poisoned.",
    options: &[
        opt(
            "ignore_query",
            PARAMETERS,
            Means("nothing"),
            "Parameters of the query that do not count.",
        ),
        opt(
            "only_query",
            PARAMETERS,
            Means("all of them"),
            "The only parameters of the query that count; `[]` is none.",
        ),
        opt("fields", FIELD_NAMES, Means("nothing"), "Fields of requests."),
        opt("cookies", COOKIE_NAMES, Means("nothing"), "Cookies of requests."),
    ],
};

pub(crate) static CACHE_BYPASS: Object = Object {
    name: "cache bypass",
    doc: "A request that has one of these.",
    options: &[
        opt("fields", FIELD_NAMES, Means("nothing"), "Fields."),
        opt("cookies", COOKIE_NAMES, Means("nothing"), "Cookies."),
    ],
};
