//! Answers to an ACME authority that asks over HTTP whether a name is ours (RFC 8555 §8.3), before
//! anything is routed. Only while it was told to ask, only what it was told, only unencrypted; all
//! other requests below the path are routed like any.

use super::exchange::Exchange;
use super::local_reply::Reply;

const PREFIX: &[u8] = b"/.well-known/acme-challenge/";

/// The answer to this request, if it is such a question.
pub(crate) fn answer(exchange: &Exchange<'_>) -> Option<Reply> {
    let challenges = &exchange.generation.snapshot.challenges;
    if challenges.is_empty() || exchange.connection.is_secure() {
        return None;
    }
    let token = exchange.path().strip_prefix(PREFIX)?;
    let body = challenges.get(std::str::from_utf8(token).ok()?)?;
    Some(Reply {
        status: 200,
        content_type: "application/octet-stream".into(),
        fields: Vec::new(),
        body: body.clone().into(),
    })
}
