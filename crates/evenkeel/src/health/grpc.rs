//! The gRPC check (`grpc.health.v1.Health/Check`, see the gRPC Health Checking Protocol): HTTP/2 on
//! a connection of its own. Its two messages have one field each and are written by hand here.

use std::sync::mpsc;

use bytes::Bytes;
use evenkeel_config::model::GrpcProbe;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::rt::Executor;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use super::http::{self, hyper_miss};
use super::probe::{Aim, Miss, Probed, connect, shown};
use super::tls::Connector;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// A `HealthCheckResponse` has a few bytes.
const MESSAGE_MAX: usize = 4096;
/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

pub(super) async fn probe(probe: &GrpcProbe, tls: Option<Connector>, aim: &Aim) -> Probed {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let authority = probe.authority.clone().unwrap_or_else(|| aim.authority());
    let request = Request::post(format!("{scheme}://{authority}{PATH}"))
        .version(Version::HTTP_2)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, http::USER_AGENT)
        .body(Full::new(Bytes::from(message(&probe.service))))
        .map_err(|_| Miss::NotMade(format!("`{authority}` is no authority")))?;
    let stream = connect(aim).await?;
    let _ = stream.set_nodelay(true);
    match tls {
        None => ask(request, stream).await,
        Some(tls) => {
            let stream = tls.handshake(stream, aim).await?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => ask(request, stream).await,
                _ => Err(Miss::Failed("the server does not speak HTTP/2 (ALPN h2)".into())),
            }
        }
    }
}

/// Tasks of one connection, ended with it.
struct Tasks(mpsc::Receiver<AbortHandle>);

#[derive(Clone)]
struct Spawner(mpsc::Sender<AbortHandle>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        let handle = tokio::spawn(task).abort_handle();
        if let Err(mpsc::SendError(handle)) = self.0.send(handle) {
            handle.abort(); // the check has ended
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.try_iter().for_each(|task| task.abort());
    }
}

async fn ask<S>(request: Request<Full<Bytes>>, stream: S) -> Probed
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (started, tasks) = mpsc::channel();
    let _tasks = Tasks(tasks);
    let (mut sender, connection) = http2::Builder::new(Spawner(started))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| hyper_miss(&e))?;
    let exchange = async { read(sender.send_request(request).await?).await };
    http::drive(exchange, connection).await
}

/// The answer as far as it matters; the call may have ended in its head ("Trailers-Only").
async fn read(response: Response<Incoming>) -> hyper::Result<Probed> {
    let (head, mut body) = response.into_parts();
    if head.status != hyper::StatusCode::OK {
        return Ok(Err(Miss::Failed(format!("HTTP {}", head.status.as_u16()))));
    }
    let mut end = head.headers;
    let mut message = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if message.len() + data.len() > MESSAGE_MAX => break,
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => end.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok(judge(&message, &end))
}

fn judge(message: &[u8], end: &HeaderMap) -> Probed {
    let status = end.get("grpc-status");
    let status = status.ok_or_else(|| Miss::Failed("the answer has no grpc-status".into()))?;
    ended(status.as_bytes(), end)?;
    match serving_status(message) {
        Some(SERVING) => Ok(()),
        Some(other) => {
            let name = usize::try_from(other).ok().and_then(|at| STATUSES.get(at));
            let name = name.map_or_else(|| other.to_string(), ToString::to_string);
            Err(Miss::Failed(format!("gRPC: {name}")))
        }
        None => Err(Miss::Failed("the answer is no HealthCheckResponse".into())),
    }
}

/// Success, or what the call's status means for a check.
fn ended(status: &[u8], fields: &HeaderMap) -> Probed {
    let why = match status {
        b"0" => return Ok(()),
        b"12" => "UNIMPLEMENTED: the server has no grpc.health.v1.Health service".into(),
        b"5" => "NOT_FOUND: the server does not know this service".into(),
        b"14" => "UNAVAILABLE".into(),
        b"16" => "UNAUTHENTICATED".into(),
        b"7" => "PERMISSION_DENIED".into(),
        other => format!("status {}", shown(other)),
    };
    let message = fields.get("grpc-message").map(|text| shown(text.as_bytes()));
    let message = message.filter(|text| !text.is_empty());
    Err(Miss::Failed(match message {
        Some(text) => format!("gRPC: {why} ({text})"),
        None => format!("gRPC: {why}"),
    }))
}

/// A `HealthCheckRequest` (`string service = 1`) with its five bytes in front: not compressed, and
/// how long.
fn message(service: &str) -> Vec<u8> {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(1 << 3 | 2);
        push_varint(&mut field, service.len());
        field.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    let mut message = vec![0];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend(field);
    message
}

fn push_varint(to: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// `status` of a `HealthCheckResponse` (`ServingStatus status = 1`); 0 when it is left out, as
/// protobuf's defaults are. Fields a later version may add are passed over.
fn serving_status(message: &[u8]) -> Option<u64> {
    let [compressed, a, b, c, d, rest @ ..] = message else { return None };
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
    if *compressed != 0 || rest.len() != length {
        return None;
    }
    let (mut rest, mut status) = (rest, 0);
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let length = match tag & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        rest = rest.get(length..)?;
    }
    Some(status)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, body.len() as u8], body].concat()
    }

    #[test]
    fn the_request_is_one_string_field() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("a.b"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'b']);
        let long = message(&"x".repeat(200));
        assert_eq!(long.get(..8), Some([0, 0, 0, 0, 203, 0x0a, 0xc8, 1].as_slice()));
    }

    #[test]
    fn the_answer_is_one_enum_field() {
        assert_eq!(serving_status(&framed(&[8, 1])), Some(SERVING));
        assert_eq!(serving_status(&framed(&[8, 2])), Some(2));
        assert_eq!(serving_status(&framed(&[])), Some(0), "left out is UNKNOWN");
        let with_more = [0x12, 2, b'h', b'i', 8, 1, 0x1d, 0, 0, 0, 0];
        assert_eq!(serving_status(&framed(&with_more)), Some(SERVING));
    }

    #[test]
    fn garbage_is_no_answer() {
        let too_long_varint = [8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        for body in [&[8][..], &[0x12, 200, 1], &[0x0b], &[0x1d, 0], &too_long_varint] {
            assert_eq!(serving_status(&framed(body)), None, "{body:?}");
        }
        assert_eq!(serving_status(b"<html>"), None);
        assert_eq!(serving_status(&[1, 0, 0, 0, 2, 8, 1]), None, "compressed");
        assert_eq!(serving_status(&[0, 0, 0, 0, 9, 8, 1]), None, "cut short");
    }
}
