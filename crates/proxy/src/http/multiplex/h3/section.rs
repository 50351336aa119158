//! Field sections of HTTP/3 (RFC 9114 §4.2, §4.3), as QPACK has them: what is one, and what it says.
//! Pure. The dynamic table is not used in either direction (RFC 9204 §3.2.3). What a request means in
//! HTTP/1 is the translation's (`http/multiplex`); what is refused here breaks HTTP/3's own rules.

use std::borrow::Cow;

use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use ::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use ::http::{Method, Request, Response, StatusCode, request, response};
use bytes::Bytes;
use evenkeel_codec::h3::Code;
use evenkeel_codec::syntax;
use qpack::{DecoderError, HeaderField};

/// Why a section is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing on this connection can be read any more.
    Connection(Code),
    /// Only this stream is wrong (§4.1.2).
    Stream,
    /// It is longer than we take.
    TooLong,
}

/// A request's head.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) parts: request::Parts,
    /// `:protocol` of an extended CONNECT (RFC 9220).
    pub(crate) protocol: Option<Box<str>>,
}

/// Reads a request's head of at most `max` bytes (names, values, 32 for each: §4.2.2).
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_request(section: &[u8], max: u64) -> Result<Asked, Refusal> {
    let mut pseudo = Pseudo::default();
    let mut fields = HeaderMap::new();
    for field in decode(section, max)? {
        let (name, value) = field.into_inner();
        match name.first() {
            // All of them before all others (§4.3).
            Some(b':') if !fields.is_empty() => return Err(Refusal::Stream),
            Some(b':') => pseudo.take(&name, value)?,
            _ => put(&mut fields, &name, value)?,
        }
    }
    let (mut parts, protocol) = pseudo.into_parts()?;
    parts.headers = fields;
    Ok(Asked { parts, protocol })
}

/// Reads a trailer section.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_trailers(section: &[u8], max: u64) -> Result<HeaderMap, Refusal> {
    let mut fields = HeaderMap::new();
    for field in decode(section, max)? {
        let (name, value) = field.into_inner();
        put(&mut fields, &name, value)?; // a pseudo-field's name is none (§4.3)
    }
    Ok(fields)
}

/// Reads a response's head.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_response(section: &[u8], max: u64) -> Result<response::Parts, Refusal> {
    let mut status = None;
    let mut fields = HeaderMap::new();
    for field in decode(section, max)? {
        let (name, value) = field.into_inner();
        match &*name {
            // The only one, once and before all others (§4.3.2).
            b":status" if status.is_none() && fields.is_empty() => {
                status = Some(StatusCode::from_bytes(&value).map_err(|_| Refusal::Stream)?);
            }
            name => put(&mut fields, name, value)?, // a pseudo-field's name is none
        }
    }
    let mut response = Response::new(());
    *response.status_mut() = status.ok_or(Refusal::Stream)?;
    *response.headers_mut() = fields;
    Ok(response.into_parts().0)
}

/// The section of a request's head; `protocol` of an extended CONNECT (RFC 9220).
pub(crate) fn write_request(
    request: &Request<()>,
    protocol: Option<&str>,
) -> Result<Vec<u8>, Code> {
    let uri = request.uri();
    let target = uri.path_and_query().map(PathAndQuery::as_str);
    let pseudo = [
        (":method", Some(request.method().as_str())),
        (":protocol", protocol),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(Authority::as_str)),
        (":path", target),
    ];
    let pseudo =
        pseudo.into_iter().filter_map(|(name, value)| Some(HeaderField::new(name, value?)));
    encode(pseudo, request.headers())
}

/// The section of a response's head, or without a status of trailers.
pub(crate) fn write(status: Option<u16>, fields: &HeaderMap) -> Result<Vec<u8>, Code> {
    let status = status.map(|status| HeaderField::new(&b":status"[..], status.to_string()));
    encode(status.into_iter(), fields)
}

fn encode(pseudo: impl Iterator<Item = HeaderField>, fields: &HeaderMap) -> Result<Vec<u8>, Code> {
    let owned = |name: &HeaderName, value: &HeaderValue| HeaderField {
        name: Cow::Owned(name.as_str().into()),
        value: Cow::Owned(value.as_bytes().into()),
    };
    let fields = fields.iter().map(|(name, value)| owned(name, value));
    let mut section = Vec::new();
    qpack::encode_stateless(&mut section, pseudo.chain(fields)).map_err(|_| Code::InternalError)?;
    Ok(section)
}

fn decode(section: &[u8], max: u64) -> Result<Vec<HeaderField>, Refusal> {
    // It needs nothing of a table that has no room (RFC 9204 §4.5.1.1).
    if section.first() != Some(&0) {
        return Err(Refusal::Connection(Code::QpackDecompressionFailed));
    }
    match qpack::decode_stateless(&mut &*section, max) {
        Ok(decoded) => Ok(decoded.fields),
        Err(DecoderError::HeaderTooLong(_)) => Err(Refusal::TooLong),
        Err(_) => Err(Refusal::Connection(Code::QpackDecompressionFailed)),
    }
}

fn put(fields: &mut HeaderMap, name: &[u8], value: Cow<'static, [u8]>) -> Result<(), Refusal> {
    let name = HeaderName::from_lowercase(name).map_err(|_| Refusal::Stream)?;
    let value = HeaderValue::from_maybe_shared(bytes_of(value)).map_err(|_| Refusal::Stream)?;
    fields.try_append(name, value).map(drop).map_err(|_| Refusal::TooLong)
}

fn bytes_of(value: Cow<'static, [u8]>) -> Bytes {
    match value {
        Cow::Borrowed(value) => Bytes::from_static(value),
        Cow::Owned(value) => value.into(),
    }
}

/// Pseudo-fields of a request (§4.3.1), each at most once.
#[derive(Default)]
struct Pseudo {
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    protocol: Option<Bytes>,
}

impl Pseudo {
    fn take(&mut self, name: &[u8], value: Cow<'static, [u8]>) -> Result<(), Refusal> {
        let place = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            _ => return Err(Refusal::Stream),
        };
        match place.replace(bytes_of(value)) {
            None => Ok(()),
            Some(_) => Err(Refusal::Stream),
        }
    }

    fn into_parts(self) -> Result<(request::Parts, Option<Box<str>>), Refusal> {
        let method = self.method.ok_or(Refusal::Stream)?;
        let method = Method::from_bytes(&method).map_err(|_| Refusal::Stream)?;
        let is_connect = method == Method::CONNECT;
        let has_target = self.scheme.is_some() && self.path.is_some();
        let has_none = self.scheme.is_none() && self.path.is_none();
        let is_whole = match (is_connect, &self.protocol) {
            (true, None) => has_none && self.authority.is_some(), // §4.4
            (true, Some(_)) => has_target && self.authority.is_some(), // RFC 9220 §3
            (false, None) => has_target,
            (false, Some(_)) => false,
        };
        if !is_whole {
            return Err(Refusal::Stream);
        }
        let mut uri = ::http::uri::Parts::default();
        if let Some(authority) = self.authority {
            let authority = Authority::from_maybe_shared(authority);
            uri.authority = Some(authority.map_err(|_| Refusal::Stream)?);
        }
        if let Some(scheme) = self.scheme {
            uri.scheme = Some(Scheme::try_from(&*scheme).map_err(|_| Refusal::Stream)?);
        }
        if let Some(path) = self.path {
            // A fragment would be dropped without a word (RFC 3986 §3.5: it is never sent).
            let is_target = !path.is_empty() && !path.contains(&b'#');
            let path = PathAndQuery::from_maybe_shared(path).ok().filter(|_| is_target);
            uri.path_and_query = Some(path.ok_or(Refusal::Stream)?);
        }
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri_of(uri)?;
        let protocol = match &self.protocol {
            Some(protocol) => Some(token(protocol).ok_or(Refusal::Stream)?),
            None => None,
        };
        Ok((request.into_parts().0, protocol))
    }
}

/// Without `:authority`, which `host` may stand for (§4.3.1), a URI of the type has no scheme.
fn uri_of(mut parts: ::http::uri::Parts) -> Result<Uri, Refusal> {
    if parts.authority.is_none() {
        let scheme = parts.scheme.take();
        if !scheme.is_none_or(|scheme| scheme == Scheme::HTTPS || scheme == Scheme::HTTP) {
            return Err(Refusal::Stream);
        }
    }
    Uri::from_parts(parts).map_err(|_| Refusal::Stream)
}

fn token(text: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(text).ok().filter(|text| syntax::is_token(text.as_bytes())).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 4096;

    fn section(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = fields.iter().map(|(name, value)| HeaderField::new(*name, *value));
        qpack::encode_stateless(&mut out, fields).unwrap();
        out
    }

    fn read(fields: &[(&str, &str)]) -> Result<Asked, Refusal> {
        read_request(&section(fields), MAX)
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x?y")];

    #[test]
    fn a_request_is_what_its_fields_say_rfc_9114_4_3_1() {
        let fields = [&GET[..], &[("cookie", "a=b"), ("cookie", "c=d")]].concat();
        let Asked { parts, protocol } = read(&fields).unwrap();
        assert_eq!((parts.method, protocol), (Method::GET, None));
        assert_eq!(parts.uri, "https://a.example/x?y");
        assert_eq!(parts.headers.get_all("cookie").iter().count(), 2);
        let without = [GET[0], GET[1], GET[3], ("host", "a.example")];
        assert_eq!(read(&without).unwrap().parts.uri, "/x?y");
    }

    #[test]
    fn pseudo_fields_come_once_and_first_and_are_those_of_requests_rfc_9114_4_3() {
        for wrong in [
            vec![GET[0], GET[0], GET[1], GET[2], GET[3]],
            vec![GET[0], GET[1], GET[2], GET[3], (":path", "/other")],
            vec![GET[0], GET[1], GET[2], ("accept", "*/*"), GET[3]],
            vec![GET[0], GET[1], GET[2], GET[3], (":status", "200")],
            vec![GET[0], GET[1], GET[2], GET[3], (":unknown", "x")],
            vec![GET[1], GET[2], GET[3]],
            vec![GET[0], GET[2], GET[3]],
            vec![GET[0], GET[1], GET[2]],
            vec![GET[0], GET[1], GET[2], (":path", "")],
            vec![GET[0], GET[1], GET[2], (":path", "/a#b")],
            vec![GET[0], GET[1], GET[2], GET[3], (":protocol", "websocket")],
        ] {
            assert_eq!(read(&wrong).err(), Some(Refusal::Stream), "{wrong:?}");
        }
    }

    #[test]
    fn names_are_lower_case_and_values_without_controls_rfc_9114_4_2_and_10_3() {
        for wrong in [("Accept", "x"), ("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x", "a\0")] {
            let fields = [&GET[..], &[wrong]].concat();
            assert_eq!(read(&fields).err(), Some(Refusal::Stream), "{wrong:?}");
        }
    }

    #[test]
    fn connect_has_an_authority_only_rfc_9114_4_4_and_extended_everything_rfc_9220_3() {
        let connect = (":method", "CONNECT");
        assert!(read(&[connect, GET[2]]).is_ok());
        assert!(read(&[connect, GET[1], GET[2], GET[3]]).is_err());
        let extended = [connect, (":protocol", "websocket"), GET[1], GET[2], GET[3]];
        assert_eq!(read(&extended).unwrap().protocol.as_deref(), Some("websocket"));
        assert!(read(&[connect, (":protocol", "websocket"), GET[2]]).is_err());
        assert!(read(&[connect, (":protocol", "a b"), GET[1], GET[2], GET[3]]).is_err());
    }

    #[test]
    fn a_section_that_is_too_long_is_noticed_before_it_is_built_rfc_9114_4_2_2() {
        let long = "x".repeat(MAX as usize);
        let fields = [&GET[..], &[("long", long.as_str())]].concat();
        assert_eq!(read(&fields).err(), Some(Refusal::TooLong));
    }

    #[test]
    fn references_to_a_table_that_is_not_there_end_the_connection_rfc_9204_2_2() {
        let failed = Some(Refusal::Connection(Code::QpackDecompressionFailed));
        // An indexed dynamic field; an index that no table has; a string that ends too soon; nothing.
        for wrong in
            [&[0, 0, 0x80][..], &[0, 0, 0xff, 0xff, 0x01], &[0, 0, 0x51, 0x85, 1], &[2, 0], &[]]
        {
            assert_eq!(read_request(wrong, MAX).err(), failed, "{wrong:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 0x9e37_79b9_u32;
        let mut draw = move || {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed
        };
        let whole = section(&[&GET[..], &[("cookie", "a=b"), ("x-long-name", "value")]].concat());
        for turn in 0..50_000 {
            let mut bytes = match turn % 2 {
                0 => whole.clone(),
                _ => (0..draw() % 64).map(|_| draw() as u8).collect(),
            };
            for _ in 0..draw() % 4 {
                let at = draw() as usize % bytes.len().max(1);
                match (draw() % 3, bytes.get_mut(at)) {
                    (0, Some(byte)) => *byte ^= 1 << (draw() % 8),
                    (1, Some(_)) => bytes.truncate(at),
                    _ => bytes.insert(at.min(bytes.len()), draw() as u8),
                }
            }
            let _ = read_request(&bytes, MAX);
            let _ = read_trailers(&bytes, MAX);
        }
    }

    #[test]
    fn trailers_have_no_pseudo_fields_rfc_9114_4_3() {
        assert!(read_trailers(&section(&[("grpc-status", "0")]), MAX).is_ok());
        let wrong = read_trailers(&section(&[(":path", "/")]), MAX);
        assert_eq!(wrong.err(), Some(Refusal::Stream));
    }

    #[test]
    fn a_request_that_is_written_is_read_rfc_9114_4_3_1() {
        let mut request = Request::new(());
        *request.uri_mut() = "https://a.example/x?y".parse().unwrap();
        request.headers_mut().insert("x-one", HeaderValue::from_static("1"));
        let Asked { parts, protocol } =
            read_request(&write_request(&request, None).unwrap(), MAX).unwrap();
        assert_eq!((&parts.uri, protocol), (request.uri(), None));
        assert_eq!(&parts.headers, request.headers());
        *request.method_mut() = Method::CONNECT;
        let asked = read_request(&write_request(&request, Some("websocket")).unwrap(), MAX);
        assert_eq!(asked.unwrap().protocol.as_deref(), Some("websocket"));
    }

    #[test]
    fn a_response_has_a_status_first_and_once_and_nothing_else_of_the_kind_rfc_9114_4_3_2() {
        let read = |fields: &[(&str, &str)]| read_response(&section(fields), MAX);
        let parts = read(&[(":status", "204"), ("x-one", "1")]).unwrap();
        assert_eq!((parts.status.as_u16(), parts.headers.len()), (204, 1));
        for wrong in [
            &[("x-one", "1")][..],
            &[("x-one", "1"), (":status", "204")],
            &[(":status", "204"), (":status", "204")],
            &[(":status", "204"), (":path", "/")],
            &[(":status", "2oo")],
            &[(":status", "200"), ("Upper", "1")],
        ] {
            assert_eq!(read(wrong).err(), Some(Refusal::Stream), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut fields = HeaderMap::new();
        fields.append("set-cookie", HeaderValue::from_static("a=b"));
        fields.append("set-cookie", HeaderValue::from_static("c=d"));
        assert_eq!(read_trailers(&write(None, &fields).unwrap(), MAX), Ok(fields.clone()));
        let head = qpack::decode_stateless(&mut &*write(Some(204), &fields).unwrap(), MAX).unwrap();
        assert_eq!(head.fields[0], HeaderField::new(":status", "204"));
    }
}
