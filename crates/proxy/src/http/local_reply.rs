//! Responses that this process makes itself: failures, redirects, fixed responses. Owns their
//! form, and whether the client's connection survives them.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{BodyLength, RequestError};
use evenkeel_config::model::{Part, Plain, Redirect, Respond, Template, Variable};
use evenkeel_runtime::{self as runtime, TcpStream};

use crate::failure::{Failure, Reason};
use crate::http::downstream::h1::Next;
use crate::http::exchange::{self, Exchange};
use crate::http::{alt_svc, forwarded, grpc, interim};
use crate::policy::template::{self, Place, Said};
use crate::policy::{self, Answered, Chain, Passing};

/// Answers a failed exchange. Nothing is written when the client cannot or must not see it.
pub(crate) async fn send(exchange: &mut Exchange<'_>, mut failure: Failure) -> Next {
    if failure.reason != Reason::ClientGone && grpc::is_over(exchange) {
        failure.reason = Reason::DeadlineExceeded; // whatever was waited for
    }
    exchange.failure = Some(failure.reason);
    if failure.reason == Reason::ClientGone {
        return Next::Close;
    }
    let (status, word) = (failure.reason.status(), failure.reason.word());
    let mut body = String::with_capacity(64);
    let _ = writeln!(body, "{status} {}: {word}", forwarded::phrase(status));
    // After a request that breaks a rule, or a panic, nothing that follows can be trusted.
    let refused = matches!(
        failure.reason,
        Reason::BadRequest(_)
            | Reason::BadPath(_)
            | Reason::BadRequestBody(_)
            | Reason::BodyTooLarge
            | Reason::HeadTimeout
            | Reason::BodyTimeout
            | Reason::Panicked
    );
    let extra = match failure.reason {
        Reason::BadRequest(_) if status == 405 => {
            "allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n"
        }
        _ if status == 503 && !plant::is(Bug::RetryAfterForgotten) => "retry-after: 1\r\n",
        _ => "",
    };
    let reply = Made {
        status,
        content_type: "text/plain; charset=utf-8",
        word,
        extra: extra.as_bytes(),
        body: body.as_bytes(),
    };
    write(exchange, &reply, !refused).await
}

/// Answers with a redirect.
pub(crate) async fn redirect(exchange: &mut Exchange<'_>, redirect: &Redirect) -> Next {
    const NAME: &[u8] = b"location: ";
    if exchange.head.host.is_empty()
        && redirect.to.variables().any(|variable| *variable == Variable::Plain(Plain::Host))
    {
        // An old client that names none: what follows would be taken for it.
        return send(exchange, Failure::new(Reason::BadRequest(RequestError::BadHost))).await;
    }
    let mut location = Vec::with_capacity(128);
    location.extend_from_slice(NAME);
    template::write(&mut location, &redirect.to, exchange, Place::Location, Said::default());
    if begins_with_choice(&redirect.to) {
        // `//x` would be another host, and nothing at all this same request (RFC 3986 §4.2);
        // neither may a value be a scheme.
        let value = location.get(NAME.len()..).unwrap_or_default();
        let slashes = value.iter().take_while(|byte| **byte == b'/').count();
        location.splice(NAME.len()..NAME.len() + slashes, [b'/']);
    }
    location.extend_from_slice(b"\r\n");
    let reply =
        Made { status: redirect.status, content_type: "", word: "", extra: &location, body: b"" };
    write(exchange, &reply, true).await
}

/// What a client chooses comes first, or after nothing but a slash. A host that comes first is a
/// path's first segment.
fn begins_with_choice(to: &Template) -> bool {
    match to.0.first() {
        Some(Part::Variable(_)) => true,
        Some(Part::Text(text)) => text == "/",
        None => false,
    }
}

/// Answers with a fixed response.
pub(crate) async fn respond(exchange: &mut Exchange<'_>, respond: &Respond) -> Next {
    let mut made = Vec::new();
    let body = match respond.body.fixed() {
        Some(text) => text.as_bytes(),
        None => {
            let place = Place::of_content(&respond.content_type);
            let said = Said { status: respond.status, reason: "" };
            template::write(&mut made, &respond.body, exchange, place, said);
            &made
        }
    };
    let reply = Made {
        status: respond.status,
        content_type: &respond.content_type,
        word: "",
        extra: b"",
        body,
    };
    write(exchange, &reply, true).await
}

/// Tells a client that is not served at all why, if it can be told without waiting.
pub(crate) fn refuse(stream: &TcpStream, reason: Reason) {
    let status = reason.status();
    let text = format!(
        "HTTP/1.1 {status} {}\r\nx-evenkeel-reason: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        forwarded::phrase(status),
        reason.word()
    );
    stream.write_now(text.as_bytes());
}

/// An answer that a policy makes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Empty if there is nothing to be described.
    pub(crate) content_type: Cow<'static, str>,
    /// Complete field lines.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Bytes,
}

/// Answers with what a policy made.
pub(crate) async fn give(exchange: &mut Exchange<'_>, reply: &Reply) -> Next {
    write(exchange, &Made::of(reply), true).await
}

/// The same in place of a server's answer, which policies have seen.
pub(crate) async fn give_instead(exchange: &mut Exchange<'_>, reply: &Reply) -> Next {
    write_out(exchange, &Made::of(reply), true).await
}

struct Made<'r> {
    status: u16,
    content_type: &'r str,
    /// The machine-readable reason; empty if nothing failed.
    word: &'r str,
    /// Complete field lines.
    extra: &'r [u8],
    body: &'r [u8],
}

impl<'r> Made<'r> {
    fn of(reply: &'r Reply) -> Self {
        Self {
            status: reply.status,
            content_type: &reply.content_type,
            word: "",
            extra: &reply.fields,
            body: &reply.body,
        }
    }
}

/// Lets policies see what is answered; whether another is given in its place.
async fn write(exchange: &mut Exchange<'_>, reply: &Made<'_>, may_persist: bool) -> Next {
    let answer = Answered { status: reply.status, head: None, content_type: reply.content_type };
    match policy::respond(exchange, &answer) {
        Passing::Instead(other) => {
            let other = Made {
                status: other.status,
                content_type: &other.content_type,
                word: reply.word,
                extra: &[reply.extra, &other.fields].concat(),
                body: &other.body,
            };
            write_out(exchange, &other, may_persist).await
        }
        Passing::AsIs | Passing::Through(_) => write_out(exchange, reply, may_persist).await,
    }
}

async fn write_out(exchange: &mut Exchange<'_>, reply: &Made<'_>, may_persist: bool) -> Next {
    skip_received_body(exchange);
    exchange.connection.state.end_by(None); // there is something to tell
    let persist = may_persist && exchange.may_persist();
    let code = match exchange.call {
        Some(_) if reply.status >= 300 => Some(grpc::code(exchange.failure, reply.status)),
        _ => None,
    };
    let (status, body) = match code {
        Some(_) => (200, &[][..]),
        None => (reply.status, reply.body),
    };
    let worker = exchange.connection.worker.clone();
    let mut out = worker.stock.take_scratch();
    forwarded::write_status(&mut out, status);
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(httpdate::fmt_http_date(runtime::wall_clock()).as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(code) = code {
        let word = if reply.word.is_empty() { "evenkeel" } else { reply.word };
        let text = format!(
            "content-type: application/grpc\r\ngrpc-status: {code}\r\ngrpc-message: {word}\r\n"
        );
        out.extend_from_slice(text.as_bytes());
    } else if !reply.content_type.is_empty() {
        out.extend_from_slice(b"content-type: ");
        out.extend_from_slice(reply.content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let changed = exchange.changed.as_ref().map(|changes| &changes.response);
    let edits = exchange.chains().flat_map(Chain::response_edits).chain(changed);
    for line in reply.extra.split_inclusive(|byte| *byte == b'\n') {
        let name = line.get(..memchr::memchr(b':', line).unwrap_or(0)).unwrap_or_default();
        if let Some(now) = policy::name_through(edits.clone(), name) {
            out.extend_from_slice(now);
            out.extend_from_slice(line.get(name.len()..).unwrap_or_default());
        }
    }
    if !reply.word.is_empty() {
        out.extend_from_slice(b"x-evenkeel-reason: ");
        out.extend_from_slice(reply.word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !exchange.request_id.is_empty() {
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(exchange.request_id.text().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(forwarded::hsts(exchange).unwrap_or_default());
    if alt_svc::is_said(exchange) {
        alt_svc::write(&mut out, exchange);
    }
    policy::write_lines(&mut out, edits, exchange, Said { status, reason: reply.word });
    forwarded::write_connection(&mut out, exchange, persist);
    // RFC 9110 §8.6: no length on a 204; §15.4.5: none needed on a 304.
    if !matches!(status, 204 | 304) {
        out.extend_from_slice(b"content-length: ");
        forwarded::write_number(&mut out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if !exchange::is_head(exchange) && !matches!(status, 204 | 304) {
        out.extend_from_slice(body);
    }
    exchange.status = status;
    let written = interim::write_all(exchange, &out).await;
    worker.stock.give_scratch(out);
    match written {
        Ok(()) => Next::after_response(exchange, persist),
        Err(_) => Next::Close,
    }
}

/// A short body that is already here is skipped, so that the connection can be kept; what is not
/// here is not waited for (RFC 9112 §9.3: then the connection is closed).
fn skip_received_body(exchange: &mut Exchange<'_>) {
    if exchange.received || exchange.tries > 0 {
        return;
    }
    if let BodyLength::Exact(length) = exchange.head.body {
        let here = exchange.buffer.filled().len();
        if let Ok(length) = usize::try_from(length)
            && length <= here
        {
            exchange.buffer.consume(length);
            exchange.received = true;
        }
    }
}
