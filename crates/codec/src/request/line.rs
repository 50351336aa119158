//! The request line (RFC 9112 §3): three parts, exactly two single spaces, and the forms of a
//! target. Whose host counts is decided with the fields.

use super::error::RequestError;
use crate::message::{Method, Version};
use crate::span::Span;
use crate::syntax::is_token;

/// The request target (RFC 9112 §3.2), taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// As sent.
    pub raw: Span,
    /// The path; `*` for the asterisk form; empty for an absolute form without one. What it stands
    /// for is [`crate::RequestHead::path`].
    pub path: Span,
    /// What follows the `?`.
    pub query: Option<Span>,
    /// `host[:port]` of the absolute form.
    pub(crate) authority: Option<Span>,
}

/// A request line, taken apart.
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) method_text: Span,
    pub(super) target: Target,
    pub(super) version: Version,
}

/// Longest method: twice the longest registered one.
const METHOD_MAX: usize = 36;

/// Parses the line `line`, which begins at `at`.
pub(super) fn parse(line: &[u8], at: usize) -> Result<RequestLine, RequestError> {
    let (method, rest) = split(line).ok_or(RequestError::BadRequestLine)?;
    let (target, version) = split(rest).ok_or(RequestError::BadRequestLine)?;
    if target.is_empty() || version.contains(&b' ') {
        return Err(RequestError::BadRequestLine);
    }
    // A method in small letters is another method (RFC 9110 §9.1), but not to every server.
    let has_small = method.iter().any(u8::is_ascii_lowercase);
    if !is_token(method) || method.len() > METHOD_MAX || has_small {
        return Err(RequestError::BadMethod);
    }
    let version = parse_version(version)?;
    let method_text = Span::new(at, at + method.len());
    let method = Method::of(method);
    // A tunnel to anywhere, and an echo of credentials: neither is for a reverse proxy.
    if matches!(method, Method::Connect | Method::Trace) {
        return Err(RequestError::MethodNotAllowed);
    }
    let target = parse_target(target, method_text.end as usize + 1, method)?;
    Ok(RequestLine { method, method_text, target, version })
}

/// Before and after the first space.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, after) = bytes.split_at_checked(memchr::memchr(b' ', bytes)?)?;
    Some((before, after.get(1..)?))
}

/// RFC 9112 §2.3: `HTTP/` and one digit on each side of the dot.
fn parse_version(version: &[u8]) -> Result<Version, RequestError> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            match major {
                b'1' => Ok(Version::Http11),
                _ => Err(RequestError::VersionNotSupported),
            }
        }
        _ => Err(RequestError::BadVersion),
    }
}

fn parse_target(target: &[u8], at: usize, method: Method) -> Result<Target, RequestError> {
    // Visible ASCII; a fragment is never sent (RFC 9112 §3.2). No early exit: this is vectorised.
    let bad = |byte: &u8| !byte.is_ascii_graphic() | (*byte == b'#');
    if target.iter().fold(false, |any, byte| any | bad(byte)) {
        return Err(RequestError::BadTarget);
    }
    let end = at + target.len();
    let (skip, authority) = match target {
        [b'/', ..] => (0, None),
        b"*" if method == Method::Options => (0, None),
        _ => {
            let (start, end) = find_authority(target).ok_or(RequestError::BadTarget)?;
            (end, Some(Span::new(at + start, at + end)))
        }
    };
    let rest = target.get(skip..).unwrap_or_default();
    let question = memchr::memchr(b'?', rest);
    let path_at = at + skip;
    let path_end = path_at + question.unwrap_or(rest.len());
    Ok(Target {
        raw: Span::new(at, end),
        path: Span::new(path_at, path_end),
        query: question.map(|_| Span::new(path_end + 1, end)),
        authority,
    })
}

/// Where the authority of an absolute form is. No scheme but `http` comes in on a plain
/// connection (RFC 9110 §4.2.1).
fn find_authority(target: &[u8]) -> Option<(usize, usize)> {
    const SCHEME: &[u8] = b"http://";
    let (scheme, rest) = target.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let length = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    Some((SCHEME.len(), SCHEME.len() + length))
}
