//! The table of all operations. The router is built from it and the OpenAPI document written from
//! it; what an operation does is in the file that its row names.

use super::guard::Rank::{Anyone, Operator, Reader, Service};
use super::operation::Verb::{Delete, Get, Patch, Post, Put};
use super::operation::{Answer, Body, Operation, fails, gives};
use super::shape::{Field, Kind};
use super::shapes;
use super::{cache, change, register, view};

const APPLIED: Kind = Kind::Shape(&shapes::APPLIED);
const MADE: &[Answer] = &[gives(200, APPLIED, "Made, or only described.")];
const MANY: usize = 10_000_000;
const NO_QUERY: &[Field] = &[];

macro_rules! operation {
    ($verb:ident $path:literal $id:ident $rank:ident, $changes:literal, $query:expr, $body:expr, $answers:expr, $act:expr, $summary:literal) => {
        Operation {
            verb: $verb,
            path: $path,
            id: stringify!($id),
            summary: $summary,
            rank: $rank,
            changes: $changes,
            query: $query,
            body: $body,
            answers: $answers,
            act: |call| Box::pin($act(call)),
        }
    };
}

/// An operation that looks.
macro_rules! look {
    ($path:literal $id:ident $act:expr, $kind:expr, $summary:literal) => {
        operation!(Get $path $id Reader, false, NO_QUERY, Body::None,
            &[gives(200, $kind, "As it is.")], $act, $summary)
    };
}

/// An operation that changes what is wanted.
macro_rules! edit {
    ($verb:ident $path:literal $id:ident $body:expr, $act:expr, $summary:literal) => {
        operation!($verb $path $id Operator, true, NO_QUERY, $body, MADE, $act, $summary)
    };
}

const fn list(kind: &'static Kind) -> Kind {
    Kind::List(kind, MANY)
}

const fn body(shape: &'static super::shape::Shape) -> Body {
    Body::Must(Kind::Shape(shape))
}

/// Every operation there is.
#[rustfmt::skip] // a table
pub(crate) static OPERATIONS: &[Operation] = &[
    operation!(Get "/healthz" isAlive Anyone, false, NO_QUERY, Body::None,
        &[gives(200, Kind::Shape(&shapes::HEALTH), "It lives.")], view::alive,
        "Whether the process lives"),
    operation!(Get "/readyz" isReady Anyone, false, NO_QUERY, Body::None,
        &[gives(200, Kind::Shape(&shapes::HEALTH), "It takes new connections."),
          fails(503, "It is draining.")], view::ready,
        "Whether the process takes new connections"),

    look!("/v1/openapi.json" describe view::openapi, Kind::Any, "This document"),
    look!("/v1/status" status view::status, Kind::Shape(&shapes::STATUS), "The process at a glance"),
    look!("/v1/config" configuration view::config, Kind::Shape(&shapes::EFFECTIVE),
        "The configuration that holds, secrets hidden"),
    look!("/v1/listeners" listeners view::listeners, list(&Kind::Shape(&shapes::LISTENER)), "Listeners"),
    look!("/v1/routes" routes view::routes, list(&Kind::Shape(&shapes::ROUTE)), "Routes"),
    look!("/v1/pools" pools view::pools, list(&Kind::Shape(&shapes::POOL_SUMMARY)), "Pools"),
    look!("/v1/pools/{pool}" pool view::pool, Kind::Shape(&shapes::POOL), "A pool"),
    look!("/v1/pools/{pool}/servers" servers view::servers, list(&Kind::Shape(&shapes::SERVER)),
        "The servers of a pool"),
    look!("/v1/pools/{pool}/servers/{server}" server view::server, Kind::Shape(&shapes::SERVER),
        "A server"),
    look!("/v1/caches" caches cache::caches, list(&Kind::Shape(&shapes::CACHE)), "What caches hold"),
    operation!(Post "/v1/caches/purge" purge Operator, false, NO_QUERY, body(&shapes::PURGE),
        &[gives(200, Kind::Shape(&shapes::PURGED), "It is forgotten."),
          fails(404, "There is no such cache.")],
        cache::purge, "Have caches forget answers"),
    look!("/v1/drains" drains view::drains, list(&Kind::Shape(&shapes::DRAIN)), "Drains, the latest last"),
    look!("/v1/history" history view::history, list(&Kind::Shape(&shapes::VERSION)),
        "Versions of the configuration, the latest last"),
    look!("/v1/history/{version}" historyVersion view::version, Kind::Shape(&shapes::VERSION),
        "What a version changed"),

    edit!(Post "/v1/pools/{pool}/servers" addServers body(&shapes::NEW_SERVERS), change::add_servers,
        "Add servers to a pool"),
    edit!(Put "/v1/pools/{pool}/servers" replaceServers body(&shapes::SERVERS), change::replace_servers,
        "Say which servers a pool has; those that it has besides are drained"),
    edit!(Patch "/v1/pools/{pool}/servers/{server}" changeServer body(&shapes::SERVER_PATCH),
        change::patch_server, "Change a server's weight or state"),
    edit!(Delete "/v1/pools/{pool}/servers/{server}" removeServer Body::None,
        change::remove_server, "Remove a server; it is drained"),
    edit!(Put "/v1/pools/{pool}" putPool Body::Must(Kind::Config("pool")), change::put_pool,
        "Make or replace a pool that is not in the file"),
    edit!(Delete "/v1/pools/{pool}" removePool Body::None, change::remove_pool,
        "Remove a pool that is not in the file"),
    edit!(Put "/v1/routes/{route}" putRoute Body::Must(Kind::Config("route")), change::put_route,
        "Make or replace a route that is not in the file"),
    edit!(Delete "/v1/routes/{route}" removeRoute Body::None, change::remove_route,
        "Remove a route that is not in the file"),
    edit!(Post "/v1/drains" drain body(&shapes::DRAIN_ORDER), change::drain,
        "Drain a server, a pool, a listener or the process"),
    edit!(Post "/v1/changes" changeAll body(&shapes::CHANGES), change::all,
        "Several changes, all or none"),
    edit!(Post "/v1/reload" reload Body::None, change::reload, "Read the files again"),
    edit!(Post "/v1/rollback" rollback body(&shapes::ROLLBACK), change::rollback,
        "Go back to an earlier version"),
    operation!(Post "/v1/upgrade" upgrade Operator, false, NO_QUERY, Body::May(Kind::Shape(&shapes::UPGRADE)),
        &[gives(200, Kind::Shape(&shapes::UPGRADED), "The new process serves; this one drains and ends."),
          fails(500, "The new process did not come to serve; this one goes on as if nothing had been.")],
        change::upgrade, "Hand the sockets over to a new process"),

    operation!(Put "/v1/register/{pool}/{address}" register Service, false, NO_QUERY,
        body(&shapes::REGISTRATION),
        &[gives(200, Kind::Shape(&shapes::LEASED), "It holds until its time is over."),
          fails(409, "Somebody else registered it, or it is in the file."),
          fails(422, "The configuration would not be right; nothing was changed."),
          fails(429, "The token has registered as many servers as it may.")],
        register::register, "Register a server and what it serves, or renew that"),
    operation!(Delete "/v1/register/{pool}/{address}" deregister Service, false, NO_QUERY, Body::None,
        &[gives(200, Kind::Shape(&shapes::LEASED), "It is being drained.")],
        register::deregister, "End a registration; the server is drained"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::admin::openapi;

    #[test]
    fn no_operation_is_there_twice() {
        let mut ids = HashSet::new();
        let mut places = HashSet::new();
        for operation in OPERATIONS {
            assert!(ids.insert(operation.id), "{}", operation.id);
            assert!(places.insert((operation.verb.word(), operation.path)), "{}", operation.path);
        }
    }

    #[test]
    fn only_looking_needs_no_operator() {
        for operation in OPERATIONS {
            let looks = operation.verb == Get;
            assert_eq!(looks, matches!(operation.rank, Anyone | Reader), "{}", operation.id);
            assert!(!(looks && operation.changes), "{}", operation.id);
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = openapi::document();
        let text = document.to_string();
        let mut count = 0;
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
            count += 1;
        }
        assert!(count > 50, "{count}");
    }
}
