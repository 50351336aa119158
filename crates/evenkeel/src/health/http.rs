//! The HTTP check: one request on a connection of its own, and what its response must be like.
//! Redirects are answers like others; nothing beyond the cap is read of a body.

use bytes::Bytes;
use evenkeel_config::model::{BodyTest, HttpProbe};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::json_path;
use super::probe::{Aim, Miss, Probed, blame, connect, shown};
use super::tls::Connector;

/// Who asks.
pub(super) const USER_AGENT: &str = "evenkeel-health";
/// Largest head of a response.
const HEAD_MAX: usize = 64 * 1024;

pub(super) async fn probe(probe: &HttpProbe, tls: Option<Connector>, aim: &Aim) -> Probed {
    let request = request(probe, aim)?;
    let stream = connect(aim).await?;
    let _ = stream.set_nodelay(true);
    match tls {
        None => ask(probe, request, stream).await,
        Some(tls) => ask(probe, request, tls.handshake(stream, aim).await?).await,
    }
}

fn request(probe: &HttpProbe, aim: &Aim) -> Result<Request<Empty<Bytes>>, Miss> {
    let wrong = |what: &str, text: &str| Miss::NotMade(format!("`{text}` is no {what}"));
    let host = probe.host.clone().unwrap_or_else(|| aim.authority());
    let mut fields = HeaderMap::new();
    let host = HeaderValue::try_from(&host).map_err(|_| wrong("Host", &host))?;
    fields.insert(header::HOST, host);
    fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    fields.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    for (name, value) in &probe.headers {
        let name = HeaderName::try_from(name).map_err(|_| wrong("header name", name))?;
        let value = HeaderValue::try_from(value).map_err(|_| wrong("header value", value))?;
        match name == header::USER_AGENT || name == header::ACCEPT || name == header::HOST {
            true => drop(fields.insert(name, value)),
            false => drop(fields.append(name, value)),
        }
    }
    fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let built = Request::builder().method(probe.method.as_str()).uri(&probe.path);
    let mut request = built
        .body(Empty::new())
        .map_err(|e| Miss::NotMade(format!("{} {}: {e}", probe.method, probe.path)))?;
    *request.headers_mut() = fields;
    Ok(request)
}

async fn ask<S>(probe: &HttpProbe, request: Request<Empty<Bytes>>, stream: S) -> Probed
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    let builder = builder.max_buf_size(HEAD_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|e| hyper_miss(&e))?;
    let exchange = async { judge(probe, sender.send_request(request).await?).await };
    drive(exchange, connection).await
}

/// What came of an exchange, or why there was none. The connection lives no longer than the check:
/// it is dropped with it, whatever it waits for.
pub(super) async fn drive(
    exchange: impl Future<Output = hyper::Result<Probed>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Probed {
    let (mut exchange, mut connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
    let mut ended = None;
    let result = loop {
        tokio::select! {
            biased;
            result = &mut exchange => break result,
            result = &mut connection, if ended.is_none() => ended = Some(result),
        }
    };
    match (result, ended) {
        (Ok(probed), _) => probed,
        // The exchange only knows that the connection ended, the connection why.
        (Err(e), Some(Err(why))) if e.is_canceled() || e.is_closed() => Err(hyper_miss(&why)),
        (Err(e), _) => Err(hyper_miss(&e)),
    }
}

async fn judge(probe: &HttpProbe, response: Response<Incoming>) -> hyper::Result<Probed> {
    let status = response.status().as_u16();
    if !probe.status.iter().any(|range| range.contains(&status)) {
        return Ok(Err(Miss::Failed(format!("HTTP {status}"))));
    }
    if probe.body.is_empty() {
        return Ok(Ok(()));
    }
    let (body, whole) = read(response.into_body(), probe.body_max).await?;
    let complaint = probe.body.iter().find_map(|test| complain(test, &body, whole));
    Ok(complaint.map_or(Ok(()), |complaint| Err(Miss::Failed(complaint))))
}

/// The first `max` bytes, and whether that was all.
async fn read(mut body: Incoming, max: usize) -> hyper::Result<(Vec<u8>, bool)> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        let room = max.saturating_sub(read.len());
        read.extend_from_slice(data.get(..room).unwrap_or(data));
        if data.len() > room {
            return Ok((read, false));
        }
    }
    Ok((read, true))
}

fn complain(test: &BodyTest, body: &[u8], whole: bool) -> Option<String> {
    let without = |what: &str| {
        let max = body.len();
        let beginning = if whole { String::new() } else { format!("the first {max} bytes of ") };
        Some(format!("{what} is not in {beginning}the body `{}`", shown(body)))
    };
    match test {
        BodyTest::Contains(text) => match super::tcp::contains(body, text.as_bytes()) {
            true => None,
            false => without(&format!("`{text}`")),
        },
        BodyTest::Regex(pattern) => match pattern.0.is_match(body) {
            true => None,
            false => without(&format!("/{}/", pattern.0.as_str())),
        },
        BodyTest::Json(_) if !whole => Some(format!("the body is longer than {}", body.len())),
        BodyTest::Json(test) => match serde_json::from_slice(body) {
            Ok(json) => json_path::complain(test, &json),
            Err(e) => Some(format!("the body is no JSON ({e}): `{}`", shown(body))),
        },
    }
}

/// An error of hyper, by what the peer did.
pub(super) fn hyper_miss(error: &hyper::Error) -> Miss {
    use std::error::Error;
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        why = format!("{error}: {inner}");
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return blame("connection failed", io);
        }
        source = inner.source();
    }
    Miss::Failed(if error.is_incomplete_message() {
        "closed before the response was complete".into()
    } else if error.is_parse() {
        format!("no HTTP response: {error}")
    } else {
        why
    })
}
