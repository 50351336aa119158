//! Messages of HTTP/2 and HTTP/3 as HTTP/1 text, and back (RFC 9113 §8, RFC 9114 §4). Pure. A text
//! made here is always read by the strict parser of `codec` afterwards: what only that refuses is
//! left to it, so that nothing has to be decided twice. What is refused here is malformed by the
//! rules of HTTP/2 and HTTP/3 alone, and is an error of its stream (RFC 9113 §8.1.1).

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TE};
use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{Method, Request, Response, StatusCode, Uri, request, response};
use bytes::Bytes;
use evenkeel_codec::{BodyLength, Field, Known, RequestHead, ResponseHead, syntax};

use super::websocket::{self, Key};
use crate::buffer::Buffer;
use crate::http::forwarded;

/// Why a message breaks the rules of HTTP/2 and HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// `:method`, `:scheme` or `:path` is missing, or not what it may be (RFC 9113 §8.3.1).
    Pseudo,
    /// `:authority` and `host` name different hosts, or nothing does (§8.3.1).
    Authority,
    /// A field of HTTP/1 connections, or a `te` with more than `trailers` (§8.2.2).
    ConnectionSpecific,
    /// White space around a value (§8.2.1).
    Value,
    /// More content announced than there is, or several lengths (§8.1.1).
    ContentLength,
    /// A status that does not exist here (§8.6), or none at all.
    Status,
}

/// Where text is written.
pub(crate) trait Out {
    /// Appends these bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Out for Buffer {
    fn put(&mut self, bytes: &[u8]) {
        self.append(bytes);
    }
}

/// What an extended CONNECT (RFC 8441 §4, RFC 9220) becomes in HTTP/1: an upgrade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgrade<'k> {
    /// `:protocol`.
    pub(crate) protocol: &'k str,
    /// For WebSocket.
    pub(crate) key: &'k Key,
}

/// Writes the head of a request. `ended`: no content follows. Returns how content is to follow:
/// `UntilClose` behind an [`Upgrade`], whose bytes have no frame of HTTP/1.
///
/// # Errors
/// When the request is malformed; `out` then holds a part of it.
pub(crate) fn write_request(
    out: &mut impl Out,
    parts: &request::Parts,
    upgrade: Option<Upgrade<'_>>,
    ended: bool,
) -> Result<BodyLength, Malformed> {
    let host = authority(parts)?;
    write_request_line(out, parts, upgrade.is_some(), host)?;
    put_field(out, b"host", host);
    write_request_fields(out, &parts.headers)?;
    if let Some(upgrade) = upgrade {
        if parts.headers.contains_key(CONTENT_LENGTH) {
            return Err(Malformed::ContentLength); // a tunnel has no content (RFC 9110 §9.3.6)
        }
        if !is_protocol(upgrade.protocol.as_bytes()) {
            return Err(Malformed::Pseudo);
        }
        write_upgrade(out, upgrade);
        return Ok(BodyLength::UntilClose);
    }
    let length = content_length(&parts.headers)?;
    let body = match (length, ended) {
        (Some(length), true) if length > 0 => return Err(Malformed::ContentLength),
        (Some(length), _) => BodyLength::Exact(length),
        (None, true) => BodyLength::None,
        (None, false) => BodyLength::Chunked,
    };
    if body == BodyLength::Chunked {
        out.put(b"transfer-encoding: chunked\r\n");
    }
    out.put(b"\r\n");
    Ok(body)
}

/// The host that is asked: `:authority`, or else `host`; never two different ones (§8.3.1).
fn authority(parts: &request::Parts) -> Result<&[u8], Malformed> {
    let mut fields = parts.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Malformed::Authority);
    }
    let pseudo = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (pseudo, field) {
        (Some(pseudo), Some(field)) if !pseudo.eq_ignore_ascii_case(field) => {
            Err(Malformed::Authority)
        }
        (Some(host), _) | (None, Some(host)) if !host.is_empty() => Ok(host),
        _ => Err(Malformed::Authority),
    }
}

fn write_request_line(
    out: &mut impl Out,
    parts: &request::Parts,
    upgrade: bool,
    host: &[u8],
) -> Result<(), Malformed> {
    let scheme = parts.uri.scheme_str();
    if !scheme.is_none_or(|scheme| matches!(scheme, "http" | "https")) {
        return Err(Malformed::Pseudo);
    }
    if upgrade && parts.method != Method::CONNECT {
        return Err(Malformed::Pseudo);
    }
    let is_connect = parts.method == Method::CONNECT && !upgrade;
    let target = match parts.uri.path_and_query().map(|target| target.as_str()) {
        _ if is_connect => host,
        Some("*") if parts.method == Method::OPTIONS => b"*",
        Some(target) if target.starts_with('/') => target.as_bytes(),
        _ => return Err(Malformed::Pseudo),
    };
    out.put(if upgrade { b"GET" } else { parts.method.as_str().as_bytes() });
    out.put(b" ");
    out.put(target);
    out.put(b" HTTP/1.1\r\n");
    Ok(())
}

/// All fields but `host`, which has been written.
fn write_request_fields(out: &mut impl Out, fields: &HeaderMap) -> Result<(), Malformed> {
    let mut crumbs = false;
    for (name, value) in fields {
        check(name, value)?;
        match name.as_str() {
            "host" => {}
            "te" if value != "trailers" => return Err(Malformed::ConnectionSpecific),
            "cookie" if crumbs => {}
            // Crumbs are one cookie string where only one is understood (§8.2.3).
            "cookie" => {
                crumbs = true;
                out.put(b"cookie: ");
                for (index, crumb) in fields.get_all(COOKIE).iter().enumerate() {
                    out.put(if index > 0 { b"; " } else { b"" });
                    out.put(crumb.as_bytes());
                }
                out.put(b"\r\n");
            }
            name => put_field(out, name.as_bytes(), value.as_bytes()),
        }
    }
    Ok(())
}

/// A name, and perhaps a version, as `upgrade` has them (RFC 9110 §7.8): the library takes any text.
fn is_protocol(protocol: &[u8]) -> bool {
    protocol.splitn(2, |byte| *byte == b'/').all(syntax::is_token)
}

fn write_upgrade(out: &mut impl Out, upgrade: Upgrade<'_>) {
    out.put(b"connection: upgrade\r\nupgrade: ");
    out.put(upgrade.protocol.as_bytes());
    if upgrade.protocol == websocket::PROTOCOL {
        out.put(b"\r\nsec-websocket-key: ");
        out.put(upgrade.key.as_bytes());
    }
    out.put(b"\r\n\r\n");
}

/// Writes the head of a response to a request that was HEAD or not. `ended`: no content follows.
/// Returns how content is to follow. What a 200 to an extended CONNECT becomes is
/// [`write_switch`]'s.
///
/// # Errors
/// When the response is malformed; `out` then holds a part of it.
pub(crate) fn write_response(
    out: &mut impl Out,
    parts: &response::Parts,
    is_head: bool,
    ended: bool,
) -> Result<BodyLength, Malformed> {
    let status = parts.status.as_u16();
    let is_interim = parts.status.is_informational();
    // 101 is not used (§8.6), and an interim response is not the last (§8.1).
    if status == 101 || !(100..600).contains(&status) || (is_interim && ended) {
        return Err(Malformed::Status);
    }
    write_status(out, status);
    // A length leaves no room for trailers in HTTP/1, without which gRPC knows no outcome.
    let is_grpc = !ended && is_grpc(&parts.headers);
    for (name, value) in &parts.headers {
        check(name, value)?;
        if name == TE {
            return Err(Malformed::ConnectionSpecific);
        }
        if is_grpc && name == CONTENT_LENGTH {
            continue;
        }
        put_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    let bodyless = is_head || is_interim || matches!(status, 204 | 304);
    let length = content_length(&parts.headers)?;
    let body = match (length, ended) {
        _ if bodyless => BodyLength::None,
        (Some(length), true) if length > 0 => return Err(Malformed::ContentLength),
        (Some(length), _) if !is_grpc => BodyLength::Exact(length),
        (None, true) => {
            out.put(b"content-length: 0\r\n");
            BodyLength::Exact(0)
        }
        _ => {
            out.put(b"transfer-encoding: chunked\r\n");
            BodyLength::Chunked
        }
    };
    out.put(b"\r\n");
    Ok(body)
}

fn is_grpc(fields: &HeaderMap) -> bool {
    let content = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    content.starts_with(b"application/grpc")
}

/// Writes the 101 that a 2xx to an extended CONNECT stands for. `key` is what the client has sent.
///
/// # Errors
/// When the response is malformed; `out` then holds a part of it.
pub(crate) fn write_switch(
    out: &mut impl Out,
    parts: &response::Parts,
    protocol: &[u8],
    key: Option<&[u8]>,
) -> Result<(), Malformed> {
    if !parts.status.is_success() {
        return Err(Malformed::Status);
    }
    write_status(out, 101);
    for (name, value) in &parts.headers {
        check(name, value)?;
        if !matches!(name.as_str(), "te" | "content-length" | "sec-websocket-accept") {
            put_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    put_field(out, b"connection", b"upgrade");
    put_field(out, b"upgrade", protocol);
    if let Some(key) = key {
        put_field(out, b"sec-websocket-accept", &websocket::accept(key));
    }
    out.put(b"\r\n");
    Ok(())
}

/// Writes a trailer section's lines, without the empty line after them. Which of them may go on is
/// decided by who decodes the chunks (`codec::chunked`).
///
/// # Errors
/// When one is malformed; `out` then holds a part of them.
pub(crate) fn write_trailers(out: &mut impl Out, trailers: &HeaderMap) -> Result<(), Malformed> {
    for (name, value) in trailers {
        check(name, value)?;
        put_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    Ok(())
}

fn write_status(out: &mut impl Out, status: u16) {
    let digits = [100, 10, 1].map(|place| b'0' + (status / place % 10) as u8);
    out.put(b"HTTP/1.1 ");
    out.put(&digits);
    out.put(b" ");
    out.put(forwarded::phrase(status).as_bytes());
    out.put(b"\r\n");
}

fn put_field(out: &mut impl Out, name: &[u8], value: &[u8]) {
    out.put(name);
    out.put(b": ");
    out.put(value);
    out.put(b"\r\n");
}

/// The rules for every field (§8.2.1, §8.2.2). Control characters are in no [`HeaderValue`], capital
/// letters and what is no token in no [`HeaderName`]; the parser looks at both once more.
fn check(name: &HeaderName, value: &HeaderValue) -> Result<(), Malformed> {
    let is_of_connection = matches!(
        name.as_str(),
        "connection" | "proxy-connection" | "keep-alive" | "transfer-encoding" | "upgrade"
    );
    if is_of_connection {
        return Err(Malformed::ConnectionSpecific);
    }
    match value.as_bytes() {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => Err(Malformed::Value),
        _ => Ok(()),
    }
}

/// The one length that is announced.
fn content_length(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut values = fields.get_all(CONTENT_LENGTH).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            syntax::number(value.as_bytes()).map(Some).ok_or(Malformed::ContentLength)
        }
        (Some(_), Some(_)) => Err(Malformed::ContentLength),
    }
}

/// A request as fields, for a server. `bytes` is what `head` was parsed from. An upgrade becomes an
/// extended CONNECT with `:protocol`, which the caller sets; its `sec-websocket-key` stays here.
///
/// # Errors
/// When the target or a field is one that only HTTP/1 allows.
pub(crate) fn read_request(
    head: &RequestHead,
    bytes: &[u8],
    is_secure: bool,
) -> Result<Request<()>, Malformed> {
    let shared = Shared::of(bytes, &head.fields, head.target.raw.end);
    let mut parts = ::http::uri::Parts::default();
    parts.scheme = Some(if is_secure { Scheme::HTTPS } else { Scheme::HTTP });
    let host = Authority::from_maybe_shared(Bytes::copy_from_slice(head.host.of(bytes)));
    parts.authority = Some(host.map_err(|_| Malformed::Authority)?);
    let target = match head.target.raw.of(bytes) {
        target @ ([b'/', ..] | b"*") => Bytes::copy_from_slice(target),
        _ => return Err(Malformed::Pseudo),
    };
    let target = PathAndQuery::from_maybe_shared(target).map_err(|_| Malformed::Pseudo)?;
    parts.path_and_query = Some(target);
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Malformed::Pseudo)?;
    *request.method_mut() = match head.upgrade {
        Some(_) => Method::CONNECT,
        None => Method::from_bytes(head.method_text.of(bytes)).map_err(|_| Malformed::Pseudo)?,
    };
    let is_dropped =
        |name: &[u8]| head.upgrade.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key");
    let fields = request.headers_mut();
    fields.reserve(head.fields.len());
    for field in &head.fields {
        if field.hop_by_hop || field.known == Known::Host || is_dropped(field.name.of(bytes)) {
            continue;
        }
        let (name, value) = shared.field(field, bytes)?;
        fields.append(name, value);
    }
    if head.te_trailers {
        fields.append("te", HeaderValue::from_static("trailers"));
    }
    Ok(request)
}

/// A response as fields, for a client. `bytes` is what `head` was parsed from. `status` is what it
/// becomes: 200 for a 101 (RFC 8441 §5), whose `sec-websocket-accept` has been looked at.
///
/// # Errors
/// When a field is one that only HTTP/1 allows.
pub(crate) fn read_response(
    head: &ResponseHead,
    bytes: &[u8],
    status: u16,
) -> Result<Response<()>, Malformed> {
    let shared = Shared::of(bytes, &head.fields, 0);
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Malformed::Status)?;
    let fields = response.headers_mut();
    fields.reserve(head.fields.len());
    for field in &head.fields {
        let is_dropped = head.status == 101
            && field.name.of(bytes).eq_ignore_ascii_case(b"sec-websocket-accept");
        if !field.hop_by_hop && !is_dropped {
            let (name, value) = shared.field(field, bytes)?;
            fields.append(name, value);
        }
    }
    Ok(response)
}

/// A trailer section as fields: complete lines, as [`evenkeel_codec::ChunkedDecoder::trailers`] has
/// them.
///
/// # Errors
/// When one is no field; what the decoder gives always is.
pub(crate) fn read_trailers(lines: &[u8]) -> Result<HeaderMap, Malformed> {
    let mut fields = HeaderMap::new();
    let mut rest = lines;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
        rest = after.get(1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = memchr::memchr(b':', line).ok_or(Malformed::Value)?;
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, b""));
        let value = syntax::trim(value.get(1..).unwrap_or_default());
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed::Value)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Malformed::Value)?;
        fields.append(name, value);
    }
    Ok(fields)
}

/// The fields' part of a head, copied once: values are slices of it.
struct Shared {
    bytes: Bytes,
    /// Where it begins in the head.
    from: usize,
}

impl Shared {
    fn of(head: &[u8], fields: &[Field], from: u32) -> Self {
        let from = fields.first().map_or(from, |field| field.name.start) as usize;
        let end = fields.iter().map(|field| field.value.end as usize).max().unwrap_or(from);
        Self { bytes: Bytes::copy_from_slice(head.get(from..end).unwrap_or_default()), from }
    }

    fn field(&self, field: &Field, head: &[u8]) -> Result<(HeaderName, HeaderValue), Malformed> {
        let name = HeaderName::from_bytes(field.name.of(head)).map_err(|_| Malformed::Value)?;
        let start = (field.value.start as usize).saturating_sub(self.from);
        let end = (field.value.end as usize).saturating_sub(self.from).max(start);
        if end > self.bytes.len() {
            return Err(Malformed::Value); // not the head that was parsed
        }
        let value = HeaderValue::from_maybe_shared(self.bytes.slice(start..end));
        Ok((name, value.map_err(|_| Malformed::Value)?))
    }
}

#[cfg(test)]
mod tests;
