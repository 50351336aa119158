//! Request heads (RFC 9112 §3, §5, §6): received bytes become an index and decisions, or a reason
//! to refuse them. Where the RFC leaves a choice, the strict one is taken: what one parser accepts
//! and another reads differently is how requests are smuggled.

use crate::fields::{self, Field, LineError};
use crate::host;
use crate::known::Known;
use crate::message::{BodyLength, HeadLimits, Method, Parse, Version};
use crate::scan::{Scan, ScanError};
use crate::span::Span;
use crate::syntax::{is_token, is_token_byte, list, number};

/// Why a request head is refused.
#[allow(missing_docs)] // `reason` says it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    BadRequestLine,
    BadMethod,
    MethodNotAllowed,
    BadTarget,
    BadVersion,
    VersionNotSupported,
    BadLineEnd,
    BadFieldName,
    BadFieldValue,
    FoldedField,
    AmbiguousFieldName,
    LineTooLong,
    HeadTooLarge,
    TooManyFields,
    BadHost,
    HostMismatch,
    BadContentLength,
    LengthAndCoding,
    BadTransferCoding,
    UnknownTransferCoding,
    BadConnection,
    BadExpectation,
    UnexpectedBody,
}

impl RequestError {
    /// The status of the answer (RFC 9110 §15.5, §15.6).
    pub fn status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            Self::LineTooLong => 414,
            Self::BadExpectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::UnknownTransferCoding => 501,
            Self::VersionNotSupported => 505,
            _ => 400,
        }
    }

    /// A stable word for logs and scripts.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadRequestLine => "bad_request_line",
            Self::BadMethod => "bad_method",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BadTarget => "bad_target",
            Self::BadVersion => "bad_version",
            Self::VersionNotSupported => "version_not_supported",
            Self::BadLineEnd => "bad_line_end",
            Self::BadFieldName => "bad_field_name",
            Self::BadFieldValue => "bad_field_value",
            Self::FoldedField => "folded_field",
            Self::AmbiguousFieldName => "ambiguous_field_name",
            Self::LineTooLong => "request_line_too_long",
            Self::HeadTooLarge => "request_head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::BadHost => "bad_host",
            Self::HostMismatch => "host_mismatch",
            Self::BadContentLength => "bad_content_length",
            Self::LengthAndCoding => "length_and_transfer_coding",
            Self::BadTransferCoding => "bad_transfer_coding",
            Self::UnknownTransferCoding => "unknown_transfer_coding",
            Self::BadConnection => "bad_connection_option",
            Self::BadExpectation => "unknown_expectation",
            Self::UnexpectedBody => "unexpected_body",
        }
    }
}

/// The request target (RFC 9112 §3.2), taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// As sent.
    pub raw: Span,
    /// The path; `*` for the asterisk form. An absolute form without one has `/`, found through
    /// [`RequestHead::path`].
    pub path: Span,
    /// What follows the `?`.
    pub query: Option<Span>,
}

/// A request head: decisions, and places in the received bytes.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The method, if it is a registered one.
    pub method: Method,
    /// The method as sent.
    pub method_text: Span,
    /// The version.
    pub version: Version,
    /// The target.
    pub target: Target,
    /// `host[:port]`, of the absolute form or else of `Host`; empty for HTTP/1.0 without.
    pub host: Span,
    /// Its name part.
    pub host_name: Span,
    /// Its port part.
    pub port: Option<u16>,
    /// All field lines in order.
    pub fields: Vec<Field>,
    /// How the body is framed.
    pub body: BodyLength,
    /// The connection may be used again (RFC 9112 §9.3).
    pub persistent: bool,
    /// The client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The protocols offered, when the request may become a tunnel (RFC 9110 §7.8).
    pub upgrade: Option<Span>,
    /// Trailers are welcome (`TE: trailers`).
    pub te_trailers: bool,
    scan: Scan,
}

impl RequestHead {
    /// Ready for the next head; keeps its memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// Looks at the bytes received so far of this head; each call sees the same bytes and maybe
    /// more. Every byte is looked at once, however it arrives.
    ///
    /// # Errors
    /// As soon as the bytes cannot become an acceptable head.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Parse, RequestError> {
        let end =
            self.scan.find_end(input, limits.line, limits.head).map_err(|error| match error {
                ScanError::Line => RequestError::BadLineEnd,
                ScanError::FirstLine => RequestError::LineTooLong,
                ScanError::Head => RequestError::HeadTooLarge,
            })?;
        let start = self.scan.start;
        match input.get(start) {
            // No method begins so: a TLS handshake, an empty line too many, garbage.
            Some(first) if !is_token_byte(*first) && *first != b'\r' => {
                return Err(RequestError::BadRequestLine);
            }
            _ => {}
        }
        if self.scan.first_line > 0 && self.method_text.is_empty() {
            self.parse_line(input, start, self.scan.first_line.saturating_sub(2))?;
        }
        let Some(end) = end else { return Ok(Parse::Partial) };
        fields::parse(
            input,
            self.scan.first_line,
            end.saturating_sub(2),
            limits.fields,
            &mut self.fields,
        )
        .map_err(of_line)?;
        self.decide(input)?;
        Ok(Parse::Complete(end))
    }

    /// The path, never empty.
    pub fn path<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        match self.target.path.of(bytes) {
            [] => b"/",
            path => path,
        }
    }

    /// The value of the first field of this name.
    pub fn field<'b>(&self, bytes: &'b [u8], known: Known) -> Option<&'b [u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| field.value.of(bytes))
    }

    /// The values of all fields of this name.
    pub fn values<'b>(
        &'b self,
        bytes: &'b [u8],
        known: Known,
    ) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        let fields = self.fields.iter().filter(move |field| field.known == known);
        fields.map(move |field| field.value.of(bytes))
    }

    /// The values of all fields of this name, in any case.
    pub fn named<'b>(&'b self, bytes: &'b [u8], name: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        let fields = self.fields.iter();
        fields
            .filter(move |field| field.name.of(bytes).eq_ignore_ascii_case(name))
            .map(move |field| field.value.of(bytes))
    }

    /// The request line (RFC 9112 §3): exactly two single spaces.
    fn parse_line(&mut self, input: &[u8], start: usize, end: usize) -> Result<(), RequestError> {
        let line = input.get(start..end).unwrap_or_default();
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(RequestError::BadRequestLine);
        };
        if !is_token(method) || method.len() > 32 {
            return Err(RequestError::BadMethod);
        }
        self.method = Method::of(method);
        self.version = parse_version(version)?;
        if matches!(self.method, Method::Connect | Method::Trace) {
            return Err(RequestError::MethodNotAllowed);
        }
        let target_at = start + method.len() + 1;
        self.method_text = Span::new(start, start + method.len());
        self.parse_target(input, target, target_at)
    }

    fn parse_target(&mut self, input: &[u8], target: &[u8], at: usize) -> Result<(), RequestError> {
        if target.is_empty()
            || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#')
        {
            return Err(RequestError::BadTarget);
        }
        let end = at + target.len();
        self.target.raw = Span::new(at, end);
        let path_at = match target {
            [b'/', ..] => at,
            b"*" if self.method == Method::Options => at,
            _ => self.parse_absolute(input, target, at)?,
        };
        let rest = input.get(path_at..end).unwrap_or_default();
        let question = memchr::memchr(b'?', rest);
        let path_end = path_at + question.unwrap_or(rest.len());
        self.target.path = Span::new(path_at, path_end);
        self.target.query = question.map(|_| Span::new(path_end + 1, end));
        Ok(())
    }

    /// The absolute form; where its path begins. Userinfo and other schemes are refused.
    fn parse_absolute(
        &mut self,
        input: &[u8],
        target: &[u8],
        at: usize,
    ) -> Result<usize, RequestError> {
        const SCHEME: &[u8] = b"http://";
        let scheme = target.get(..SCHEME.len()).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(RequestError::BadTarget);
        }
        let rest = target.get(SCHEME.len()..).unwrap_or_default();
        let length = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        let start = at + SCHEME.len();
        self.set_host(input, start, start + length).map_err(|_| RequestError::BadTarget)?;
        Ok(start + length)
    }

    fn set_host(&mut self, input: &[u8], start: usize, end: usize) -> Result<(), RequestError> {
        let text = input.get(start..end).unwrap_or_default();
        let authority = host::parse(text).ok_or(RequestError::BadHost)?;
        self.host = Span::new(start, end);
        self.host_name = Span::new(start, start + authority.name.len());
        self.port = authority.port;
        Ok(())
    }

    /// Everything that depends on the fields.
    fn decide(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let options =
            fields::apply_connection(bytes, &mut self.fields).ok_or(RequestError::BadConnection)?;
        self.persistent = match self.version {
            Version::Http11 => !options.close,
            Version::Http10 => options.keep_alive && !options.close,
        };
        self.decide_host(bytes)?;
        self.decide_body(bytes)?;
        let has_body = !matches!(self.body, BodyLength::None | BodyLength::Exact(0));
        let is_11 = self.version == Version::Http11;
        let mut expects = false;
        let mut upgrade = None;
        for field in &self.fields {
            let value = field.value.of(bytes);
            match field.known {
                Known::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                    return Err(RequestError::BadExpectation);
                }
                Known::Expect => expects = true,
                // Several lines, or anything that would hand the connection to another parser of
                // ours or of the server, is not offered: h2c (RFC 9113 §3.1), TLS (RFC 2817).
                Known::Upgrade if upgrade.is_none() && may_upgrade(value) => {
                    upgrade = Some(field.value)
                }
                Known::Upgrade => upgrade = Some(Span::default()),
                Known::Te => {
                    self.te_trailers |= list(value).any(|t| t.eq_ignore_ascii_case(b"trailers"));
                }
                _ => {}
            }
        }
        self.expects_continue = expects && is_11 && has_body;
        self.upgrade =
            upgrade.filter(|span| is_11 && options.upgrade && !has_body && !span.is_empty());
        Ok(())
    }

    /// RFC 9112 §3.2: exactly one `Host` on HTTP/1.1; the same as the absolute form's.
    fn decide_host(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let mut hosts = self.fields.iter().filter(|field| field.known == Known::Host);
        let (first, second) = (hosts.next().map(|field| field.value), hosts.next());
        if second.is_some() {
            return Err(RequestError::BadHost);
        }
        match first {
            None if self.version == Version::Http11 => Err(RequestError::BadHost),
            None => Ok(()),
            Some(host) if self.host.is_empty() => {
                self.set_host(bytes, host.start as usize, host.end as usize)
            }
            Some(host) if host.of(bytes).eq_ignore_ascii_case(self.host.of(bytes)) => Ok(()),
            Some(_) => Err(RequestError::HostMismatch),
        }
    }

    /// RFC 9112 §6.3, with every ambiguity refused.
    fn decide_body(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let (length, coding) = framing(bytes, &self.fields).map_err(|error| match error {
            FramingError::Length => RequestError::BadContentLength,
            FramingError::Coding => RequestError::BadTransferCoding,
            FramingError::UnknownCoding => RequestError::UnknownTransferCoding,
        })?;
        self.body = match (length, coding) {
            (Some(_), true) => return Err(RequestError::LengthAndCoding),
            (None, true) if self.version == Version::Http10 => {
                return Err(RequestError::BadTransferCoding);
            }
            (None, true) => BodyLength::Chunked,
            (Some(length), false) => BodyLength::Exact(length),
            (None, false) => BodyLength::None,
        };
        let bodyless = matches!(self.method, Method::Get | Method::Head | Method::Delete);
        let has_body = !matches!(self.body, BodyLength::None | BodyLength::Exact(0));
        if has_body && bodyless && self.version == Version::Http10 {
            return Err(RequestError::UnexpectedBody);
        }
        Ok(())
    }
}

fn of_line(error: LineError) -> RequestError {
    match error {
        LineError::Name | LineError::NoColon => RequestError::BadFieldName,
        LineError::Value => RequestError::BadFieldValue,
        LineError::Folded => RequestError::FoldedField,
        LineError::TooMany => RequestError::TooManyFields,
        LineError::Ambiguous => RequestError::AmbiguousFieldName,
    }
}

/// RFC 9112 §2.3: `HTTP/` and one digit on each side of the dot.
fn parse_version(version: &[u8]) -> Result<Version, RequestError> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
            Ok(Version::Http11)
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(RequestError::VersionNotSupported)
        }
        _ => Err(RequestError::BadVersion),
    }
}

fn may_upgrade(value: &[u8]) -> bool {
    list(value).all(|protocol| {
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
        is_token(name)
            && ![b"h2c".as_slice(), b"h2", b"tls", b"http"]
                .iter()
                .any(|refused| refused.eq_ignore_ascii_case(name))
    })
}

/// What is wrong with the framing fields of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    Length,
    Coding,
    UnknownCoding,
}

/// `Content-Length`, if there is one, and whether the message is chunked.
pub(crate) fn framing(bytes: &[u8], fields: &[Field]) -> Result<(Option<u64>, bool), FramingError> {
    let (mut length, mut chunked) = (None, false);
    for field in fields {
        let value = field.value.of(bytes);
        match field.known {
            Known::ContentLength if length.is_some() => return Err(FramingError::Length),
            Known::ContentLength => length = Some(number(value).ok_or(FramingError::Length)?),
            Known::TransferEncoding if chunked => return Err(FramingError::Coding),
            Known::TransferEncoding if value.eq_ignore_ascii_case(b"chunked") => chunked = true,
            Known::TransferEncoding => return Err(unknown_coding(value)),
            _ => {}
        }
    }
    Ok((length, chunked))
}

/// A well-formed list of codings that we do not know is "not implemented"; anything else is wrong.
fn unknown_coding(value: &[u8]) -> FramingError {
    let known = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let well_formed = list(value).all(is_token);
    let chunked = list(value).filter(|coding| known(coding)).count();
    let last = list(value).last().is_some_and(known);
    match well_formed && (chunked == 0 || (chunked == 1 && last)) {
        true => FramingError::UnknownCoding,
        false => FramingError::Coding,
    }
}
