//! What an operation of the API is: from one table of these (`operations`) the router is built and
//! the OpenAPI document is written, so that neither can lack what the other has.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::MethodFilter;
use serde_json::Value;

use super::Api;
use super::guard::{Peer, Rank, Who};
use super::problem::{Problem, etag, json_response};
use super::shape::{Field, Kind};

/// The methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// As the OpenAPI document has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// As the router has it; GET stands for HEAD too.
    pub(crate) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What is sent with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// This, or nothing, which stands for `{}`.
    May(Kind),
    /// This.
    Must(Kind),
}

/// An operation.
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    /// With `{name}` for what varies.
    pub(crate) path: &'static str,
    /// Unique; how clients that are made from the document call it.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) rank: Rank,
    /// Changes what is wanted: takes `If-Match` and `dry_run`.
    pub(crate) changes: bool,
    pub(crate) query: &'static [Field],
    pub(crate) body: Body,
    /// Statuses of success with what they carry, and of failures of its own.
    pub(crate) answers: &'static [Answer],
    pub(crate) act: Act,
}

/// A documented answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) doc: &'static str,
    /// `None` is a problem.
    pub(crate) body: Option<Kind>,
}

/// A success.
pub(crate) const fn gives(status: u16, body: Kind, doc: &'static str) -> Answer {
    Answer { status, doc, body: Some(body) }
}

/// A failure.
pub(crate) const fn fails(status: u16, doc: &'static str) -> Answer {
    Answer { status, doc, body: None }
}

/// What does an operation.
pub(crate) type Act = fn(Call) -> Acting;
/// Doing it.
pub(crate) type Acting = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

/// A request for an operation: admitted, read and checked.
pub(crate) struct Call {
    pub(crate) api: Arc<Api>,
    pub(crate) who: Who,
    pub(crate) peer: Peer,
    /// What stands for the `{name}`s of the path.
    pub(crate) path: Vec<(String, String)>,
    /// As the operation's [`Body`] says; `null` if there is none.
    pub(crate) body: Value,
    /// The same as received.
    pub(crate) text: String,
    /// The version that must hold.
    pub(crate) if_match: Option<u64>,
    /// Only say what would change.
    pub(crate) dry_run: bool,
}

impl Call {
    /// What stands for `{name}` in the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A successful answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// The version that holds.
    pub(crate) version: Option<u64>,
}

impl Reply {
    /// 200 with the version that holds.
    pub(crate) fn ok(body: Value, version: u64) -> Self {
        Self { status: StatusCode::OK, body, version: Some(version) }
    }

    /// As sent.
    pub(crate) fn into_response(self) -> Response<axum::body::Body> {
        let mut response = json_response(self.status, &self.body);
        let tag = self.version.and_then(|version| HeaderValue::from_str(&etag(version)).ok());
        response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
        response
    }
}
