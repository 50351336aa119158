//! The OpenAPI 3.1 document, written from the table of operations and from the table of options of
//! the configuration. Owns how they are written down; the tables are elsewhere.

use serde_json::{Map, Value, json};

use super::guard::Rank;
use super::operation::{Body, Operation};
use super::operations::OPERATIONS;
use super::router::DRY_RUN;
use super::shape::{self, Field, Kind};
use super::shapes::PROBLEM;

/// The whole document.
pub(crate) fn document() -> Value {
    let mut schemas = configuration();
    shape::collect(&Kind::Shape(&PROBLEM), &mut schemas);
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        collect(operation, &mut schemas);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert(operation.verb.word().into(), describe(operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Evenkeel admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Looks at and changes a running process. Every answer carries the \
                version of the configuration as `ETag`; a change with `If-Match` is made only if \
                that version still holds, and one with `dry_run=true` is only described.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer",
                    "description": "One of `admin: tokens`. Not needed on the Unix socket." },
                "registration": { "type": "http", "scheme": "bearer",
                    "description": "One of `admin: registrations`." },
            },
        },
    })
}

/// The objects of the configuration, under names that no shape of the API has.
fn configuration() -> Map<String, Value> {
    let mut schema = evenkeel_config::schema();
    let definitions = schema.get_mut("$defs").map(Value::take).unwrap_or_default();
    let prefix = format!("#/components/schemas/{}", shape::CONFIG_PREFIX);
    let text = definitions.to_string().replace("#/$defs/", &prefix);
    let definitions: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    let named = |(name, schema)| (format!("{}{name}", shape::CONFIG_PREFIX), schema);
    definitions.into_iter().map(named).collect()
}

fn collect(operation: &Operation, into: &mut Map<String, Value>) {
    if let Body::May(kind) | Body::Must(kind) = &operation.body {
        shape::collect(kind, into);
    }
    for kind in operation.answers.iter().filter_map(|answer| answer.body.as_ref()) {
        shape::collect(kind, into);
    }
}

fn describe(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters(operation),
        "responses": responses(operation),
        "security": security(operation.rank),
    });
    let (kind, required) = match &operation.body {
        Body::None => return described,
        Body::May(kind) => (kind, false),
        Body::Must(kind) => (kind, true),
    };
    described["requestBody"] = json!({
        "required": required,
        "content": { "application/json": { "schema": shape::schema(kind) } },
    });
    described
}

fn security(rank: Rank) -> Value {
    match rank {
        Rank::Anyone => json!([]),
        Rank::Reader | Rank::Operator => json!([{ "token": [] }, {}]),
        Rank::Service => json!([{ "registration": [] }]),
    }
}

fn parameters(operation: &Operation) -> Value {
    let mut all: Vec<Value> = names(operation.path)
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
        })
        .collect();
    let of_query = |field: &Field| {
        json!({ "name": field.name, "in": "query", "required": field.required,
            "description": field.doc, "schema": shape::schema(&field.kind) })
    };
    all.extend(operation.query.iter().map(of_query));
    if operation.changes {
        all.push(of_query(&DRY_RUN));
        all.push(json!({ "name": "If-Match", "in": "header", "required": false,
            "description": "The version that must still hold, as an earlier `ETag` gave it; else 412.",
            "schema": { "type": "string", "examples": ["\"12\""] } }));
    }
    all.into()
}

/// What varies in a path.
pub(crate) fn names(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn responses(operation: &Operation) -> Value {
    let mut all = Map::new();
    for answer in operation.answers {
        let described = match &answer.body {
            Some(kind) => json!({
                "description": answer.doc,
                "headers": { "ETag": { "description": "The version that holds.", "schema": { "type": "string" } } },
                "content": { "application/json": { "schema": shape::schema(kind) } },
            }),
            None => problem(answer.doc),
        };
        all.insert(answer.status.to_string(), described);
    }
    for (status, doc) in common(operation) {
        all.entry(status.to_string()).or_insert_with(|| problem(doc));
    }
    all.into()
}

fn problem(doc: &str) -> Value {
    json!({
        "description": doc,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/problem" } } },
    })
}

/// What may go wrong with any operation of its kind.
fn common(operation: &Operation) -> Vec<(u16, &'static str)> {
    let mut all = vec![(400, "The request is wrong in itself."), (403, "Not allowed.")];
    if operation.rank != Rank::Anyone {
        all.push((401, "A token is needed, and none that is known was sent."));
    }
    if operation.path.contains('{') {
        all.push((404, "What the path names is not there."));
    }
    if !matches!(operation.body, Body::None) {
        all.push((408, "The body came too slowly."));
        all.push((413, "The body is too large."));
        all.push((415, "The body is not JSON."));
    }
    if operation.changes {
        all.push((409, "It contradicts what is there."));
        all.push((412, "Another version holds; it is in `version` and `ETag`."));
        all.push((422, "The configuration would not be right; nothing was changed."));
    }
    all.push((503, "Too busy, or about to end."));
    all
}
