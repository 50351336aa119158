//! Errors as programs and people read them: RFC 9457, with a stable word, and with the diagnostics
//! that `evenkeel check` would show. Which error a request leads to is not decided here.

use axum::http::{HeaderValue, Response, StatusCode, header};
use evenkeel_config::Report;
use serde_json::{Map, Value, json};

/// Longest rendering of diagnostics in an answer; whoever made more mistakes fixes these first.
const RENDERED_MAX: usize = 64 * 1024;

/// An error answer. Boxed, since it is the rare case of every result.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    /// Stable, for scripts.
    code: &'static str,
    detail: String,
    more: Map<String, Value>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    /// An error told in one sentence.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (detail, more, headers) = (detail.into(), Map::new(), Vec::new());
        Self(Box::new(Parts { status, code, detail, more, headers }))
    }

    /// A request that is wrong in itself.
    pub(crate) fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Something that a request names and that is not there.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// What a text has wrong, each with its place.
    pub(crate) fn of_report(status: StatusCode, code: &'static str, report: &Report) -> Self {
        let first = report.diagnostics.first().map_or("", |first| &first.message);
        let detail = match report.diagnostics.len() {
            0 | 1 => first.to_owned(),
            n => format!("{first} (and {} more)", n - 1),
        };
        let mut rendered = report.render(false);
        rendered.truncate(rendered.floor_char_boundary(RENDERED_MAX));
        Self::new(status, code, detail)
            .with("diagnostics", report.to_json())
            .with("rendered", rendered.into())
    }

    /// With a further member.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.0.more.insert(name.to_owned(), value);
        self
    }

    /// With advice.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.with("help", Value::String(help.into()))
    }

    /// With a field line.
    pub(crate) fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        self.0.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// With the version that holds.
    pub(crate) fn version(self, version: u64) -> Self {
        self.with("version", version.into()).header(header::ETAG, &etag(version))
    }

    /// What is wrong, in a sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// As sent.
    pub(crate) fn into_response(self) -> Response<axum::body::Body> {
        let parts = *self.0;
        let mut body = json!({
            "type": "about:blank",
            "title": parts.status.canonical_reason().unwrap_or("Error"),
            "status": parts.status.as_u16(),
            "code": parts.code,
            "detail": parts.detail,
        });
        if let Value::Object(members) = &mut body {
            members.extend(parts.more);
        }
        let mut response = json_response(parts.status, &body);
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response.headers_mut().extend(parts.headers);
        response
    }
}

/// A configuration's version as an entity tag (RFC 9110 §8.8.3).
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// An answer in JSON that no cache keeps.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
