//! From a request to the operation it asks for: admission, parameters, body, preconditions. The
//! order is the same for all operations; what each does is not here.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body as Content;
use axum::extract::{Query, RawPathParams, Request, rejection::RawPathParamsRejection};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::routing::on;
use evenkeel_config::closest;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::time::timeout;

use super::guard::{Peer, Who, admit};
use super::operation::{Body, Call, Operation};
use super::operations::OPERATIONS;
use super::problem::Problem;
use super::shape::{Field, Kind, bounded_duration, check, may};
use super::{Api, json};

/// Bytes of a body: far above 10,000 servers.
const BODY_MAX: usize = 1 << 20;
/// From a request's head to the end of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The query parameter of every operation that changes something.
pub(crate) const DRY_RUN: Field =
    may("dry_run", Kind::Bool, "Only say what would change; nothing does.");

/// Every operation of the table, and answers for everything else.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    let mut router = Router::new();
    for operation in OPERATIONS {
        let api = api.clone();
        let act = move |path, request| respond(api.clone(), operation, path, request);
        router = router.route(operation.path, on(operation.verb.filter(), act));
    }
    router
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let detail = format!("`{}` does not take {method}", uri.path());
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
                .into_response()
        })
        .fallback(|uri: Uri| async move { nowhere(uri.path()).into_response() })
}

fn nowhere(path: &str) -> Problem {
    let known = OPERATIONS.iter().map(|operation| operation.path);
    let help = match closest(path, known) {
        Some(close) => format!("did you mean `{close}`?"),
        None => "`/v1/openapi.json` lists what there is".to_owned(),
    };
    Problem::new(StatusCode::NOT_FOUND, "no-such-path", format!("there is no `{path}`")).help(help)
}

async fn respond(
    api: Arc<Api>,
    operation: &'static Operation,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response<Content> {
    match answer(api, operation, path, request).await {
        Ok(response) => response,
        Err(problem) => {
            tracing::debug!(operation = operation.id, "admin API: refused: {}", problem.detail());
            problem.into_response()
        }
    }
}

async fn answer(
    api: Arc<Api>,
    operation: &'static Operation,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Result<Response<Content>, Problem> {
    let (head, content) = request.into_parts();
    // Without one the connection is not ours; it may nothing.
    let peer = head.extensions.get::<Peer>().copied();
    let peer = peer.unwrap_or(Peer::Remote(std::net::Ipv4Addr::UNSPECIFIED.into()));
    let who = admit(&api.settings(), peer, &head.headers, operation.rank)?;
    let path = path.map_err(|_| Problem::bad("bad-path", "the path is not UTF-8"))?;
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = query(&head.uri, operation)?;
    let if_match = if_match(&head.headers, operation, &api)?;
    let text = body(&head.headers, content, operation).await?;
    let body = read(&text, operation)?;
    let dry_run = query.iter().any(|(name, value)| name == DRY_RUN.name && value != "false");
    if operation.changes {
        let who = Who::name(&who);
        tracing::info!(operation = operation.id, %who, dry_run, "admin API: {}", head.uri.path());
    }
    let call = Call { api, who, peer, path, body, text, if_match, dry_run };
    (operation.act)(call).await.map(super::operation::Reply::into_response)
}

fn query(uri: &Uri, operation: &Operation) -> Result<Vec<(String, String)>, Problem> {
    let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Problem::bad("bad-query", "the query cannot be read"))?;
    let known: Vec<&Field> =
        operation.query.iter().chain(operation.changes.then_some(&DRY_RUN)).collect();
    for (at, (name, value)) in given.iter().enumerate() {
        let Some(field) = known.iter().find(|field| field.name == name) else {
            let names: Vec<&str> = known.iter().map(|field| field.name).collect();
            let problem =
                Problem::bad("unknown-parameter", format!("unknown query parameter `{name}`"));
            return Err(match closest(name, names.iter().copied()) {
                Some(close) => problem.help(format!("did you mean `{close}`?")),
                None if names.is_empty() => problem.help("this operation takes none"),
                None => problem.help(format!("there is: {}", names.join(", "))),
            });
        };
        if given.iter().take(at).any(|(earlier, _)| earlier == name) {
            return Err(Problem::bad("duplicate-key", format!("`{name}` is given twice")));
        }
        judge(value, &field.kind)
            .map_err(|why| Problem::bad("bad-value", format!("query parameter `{name}`: {why}")))?;
    }
    Ok(given)
}

/// A query parameter is a text whatever it stands for.
fn judge(value: &str, kind: &Kind) -> Result<(), String> {
    match kind {
        Kind::Bool if !matches!(value, "true" | "false" | "") => {
            Err(format!("`{value}` is not true or false"))
        }
        Kind::Duration(least, most) => bounded_duration(value, *least, *most).map(drop),
        Kind::Word(words) if !words.contains(&value) => {
            Err(format!("`{value}` is none of: {}", words.join(", ")))
        }
        Kind::Count(least, most) => match value.parse::<u64>() {
            Ok(n) if (*least..=*most).contains(&n) => Ok(()),
            _ => Err(format!("`{value}` is not a whole number from {least} to {most}")),
        },
        _ => Ok(()),
    }
}

/// The version that `If-Match` (RFC 9110 §13.1.1) wants; none of several is the one that holds.
fn if_match(headers: &HeaderMap, operation: &Operation, api: &Api) -> Result<Option<u64>, Problem> {
    let mut wanted = Vec::new();
    let mut any = true;
    for value in headers.get_all(header::IF_MATCH) {
        let value = value.to_str().unwrap_or_default().trim();
        if value == "*" {
            continue;
        }
        any = false;
        for tag in value.split(',').map(str::trim) {
            let bare = tag.strip_prefix("W/").unwrap_or(tag);
            let inside = bare.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let inside = inside.ok_or_else(|| {
                Problem::bad("bad-if-match", format!("`{tag}` is not an entity tag like \"12\""))
            })?;
            // A weak tag never matches (strong comparison), nor one that is no version of ours.
            wanted.extend(inside.parse::<u64>().ok().filter(|_| bare == tag));
        }
    }
    if any {
        return Ok(None);
    }
    if !operation.changes {
        return Err(Problem::bad("bad-if-match", "`If-Match` is for operations that change"));
    }
    let now = api.version();
    match wanted.iter().find(|version| **version == now) {
        Some(version) => Ok(Some(*version)),
        None => Err(changed_since(now)),
    }
}

/// 412 with the version that holds.
pub(crate) fn changed_since(now: u64) -> Problem {
    let detail = format!("it has changed: version {now} holds now");
    Problem::new(StatusCode::PRECONDITION_FAILED, "changed-since", detail)
        .help("read again, decide again, and send the new `ETag` as `If-Match`")
        .version(now)
}

async fn body(
    headers: &HeaderMap,
    content: Content,
    operation: &Operation,
) -> Result<String, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("a body has at most {BODY_MAX} bytes"),
        )
        .header(header::CONNECTION, "close")
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > BODY_MAX as u64) {
        return Err(too_large());
    }
    let collected = timeout(BODY_TIMEOUT, Limited::new(content, BODY_MAX).collect()).await;
    let bytes = match collected {
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "too-slow",
                format!("the body did not arrive within {BODY_TIMEOUT:?}"),
            )
            .header(header::CONNECTION, "close"));
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Problem::bad("bad-body", "the body ended before its end")),
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    let text = String::from_utf8(bytes.into())
        .map_err(|_| Problem::bad("bad-body", "the body is not UTF-8"))?;
    if !text.is_empty() && !matches!(operation.body, Body::None) {
        must_be_json(headers)?;
    }
    Ok(text)
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    let detail = format!("a body is JSON, not `{kind}`");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail)
        .help("send `Content-Type: application/json` (curl: `--json` instead of `-d`)"))
}

fn read(text: &str, operation: &Operation) -> Result<Value, Problem> {
    let refuse = |report| Problem::of_report(StatusCode::BAD_REQUEST, "bad-body", &report);
    let kind = match operation.body {
        Body::None if text.is_empty() => return Ok(Value::Null),
        Body::None => return Err(Problem::bad("bad-body", "this operation takes no body")),
        Body::May(kind) if text.trim().is_empty() => {
            let nothing = Value::Object(serde_json::Map::new());
            return check(&nothing, &kind, "{}").map(|()| nothing).map_err(refuse);
        }
        Body::May(kind) | Body::Must(kind) => kind,
    };
    let value = json::read(text).map_err(refuse)?;
    check(&value, &kind, text).map_err(refuse)?;
    Ok(value)
}
