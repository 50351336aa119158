//! Request heads (RFC 9112 §3, §5, §6): received bytes become an index and decisions, or a reason
//! to refuse them. Where the RFC leaves a choice, the strict one is taken: what one parser accepts
//! and another reads differently is how requests are smuggled.

mod error;
mod line;
#[cfg(test)]
mod tests;

pub use error::RequestError;
pub use line::Target;

use crate::fields::{self, Field, LineError, Names, Options};
use crate::framing::{Framing, FramingError, framing};
use crate::host;
use crate::known::Known;
use crate::lines::{Line, Lines, LinesError};
use crate::message::{BodyLength, HeadLimits, Method, Parse, Version};
use crate::plant::{self, Bug};
use crate::span::Span;
use crate::syntax::{is_token, list};

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
    /// The client has said that it sends nothing after this request (RFC 9112 §9.6).
    pub last: bool,
    /// The client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The protocols offered, when the request may become a tunnel (RFC 9110 §7.8).
    pub upgrade: Option<Span>,
    /// Trailers are welcome (`TE: trailers`).
    pub te_trailers: bool,
    names: Names,
    lines: Lines,
}

impl RequestHead {
    /// Ready for the next head; keeps its memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// Looks at the bytes received so far of this head; each call sees the same bytes and maybe
    /// more. Every byte is looked at once, however it arrives, and the result does not depend on
    /// how it did. After `Complete` or an error, [`Self::clear`] comes first.
    ///
    /// # Errors
    /// As soon as a line cannot be part of an acceptable head.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Parse, RequestError> {
        loop {
            let max = match self.lines.has_begun() {
                true => limits.head,
                false => limits.head.min(limits.line),
            };
            match self.lines.next(input, max).map_err(|error| self.refuse(error))? {
                Line::Start { start, end } => {
                    let line = line::parse(input.get(start..end).unwrap_or_default(), start)?;
                    self.method = line.method;
                    self.method_text = line.method_text;
                    self.target = line.target;
                    self.version = line.version;
                }
                Line::Field { start, end } => {
                    if self.fields.len() >= limits.fields {
                        return Err(RequestError::TooManyFields);
                    }
                    let line = input.get(start..end).unwrap_or_default();
                    let (field, is_ambiguous) = fields::parse_line(line, start).map_err(of_line)?;
                    if is_ambiguous {
                        return Err(RequestError::AmbiguousFieldName);
                    }
                    self.names.add(field.known);
                    self.fields.push(field);
                }
                Line::End(end) => {
                    self.decide(input)?;
                    return Ok(Parse::Complete(end));
                }
                Line::Partial => return Ok(Parse::Partial),
            }
        }
    }

    /// The path, never empty: that of an absolute form without one is `/`, or `*` where OPTIONS
    /// asks about the whole server (RFC 9112 §3.2.4).
    pub fn path<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        match self.target.path.of(bytes) {
            [] if self.method == Method::Options && self.target.query.is_none() => b"*",
            [] => b"/",
            path => path,
        }
    }

    /// The value of the first field of this name.
    pub fn field<'b>(&self, bytes: &'b [u8], known: Known) -> Option<&'b [u8]> {
        fields::first(&self.fields, self.names, bytes, known)
    }

    /// The values of all fields of this name.
    pub fn values<'b>(
        &'b self,
        bytes: &'b [u8],
        known: Known,
    ) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        let fields = if self.names.has(known) { self.fields.as_slice() } else { &[] };
        fields.iter().filter(move |field| field.known == known).map(|field| field.value.of(bytes))
    }

    /// The values of all fields of this name, in any case.
    pub fn named<'b>(&'b self, bytes: &'b [u8], name: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        let fields = self.fields.iter();
        fields
            .filter(move |field| field.name.of(bytes).eq_ignore_ascii_case(name))
            .map(move |field| field.value.of(bytes))
    }

    fn refuse(&self, error: LinesError) -> RequestError {
        match (error, self.lines.has_begun()) {
            (LinesError::LineEnd, _) => RequestError::BadLineEnd,
            (LinesError::Control, true) => RequestError::BadFieldValue,
            (LinesError::Control | LinesError::Garbage, _) => RequestError::BadRequestLine,
            (LinesError::TooLong, true) => RequestError::HeadTooLarge,
            (LinesError::TooLong, false) => RequestError::LineTooLong,
        }
    }

    /// Everything that depends on the fields.
    fn decide(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let options = match self.names.has(Known::Connection) {
            true => fields::apply_connection(bytes, &mut self.fields),
            false => Some(Options::default()),
        };
        // Framing and routing are never removed on the client's word.
        let options = options.filter(|options| !options.names_framing);
        let options = options.ok_or(RequestError::BadConnection)?;
        self.decide_host(bytes)?;
        self.decide_body(bytes)?;
        self.decide_persistence(options);
        self.decide_expectation(bytes)?;
        self.decide_upgrade(bytes, options);
        self.te_trailers = self.accepts_trailers(bytes);
        Ok(())
    }

    /// RFC 9112 §3.2: exactly one `Host` on HTTP/1.1; the same as the absolute form's.
    fn decide_host(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        if self.names.is_repeated(Known::Host) && !plant::is(Bug::TwoHosts) {
            return Err(RequestError::BadHost);
        }
        let field = self.fields.iter().find(|field| field.known == Known::Host);
        let field = field.map(|field| field.value);
        if field.is_none() && self.version == Version::Http11 {
            return Err(RequestError::BadHost);
        }
        let (host, error) = match (self.target.authority, field) {
            (Some(authority), _) => (authority, RequestError::BadTarget),
            (None, Some(host)) => (host, RequestError::BadHost),
            (None, None) => return Ok(()),
        };
        let authority = host::parse(host.of(bytes)).ok_or(error)?;
        let differs = |field: Span| !field.of(bytes).eq_ignore_ascii_case(host.of(bytes));
        if field.is_some_and(differs) && !plant::is(Bug::HostMismatch) {
            return Err(RequestError::HostMismatch);
        }
        let start = host.start as usize;
        self.host = host;
        self.host_name = Span::new(start, start + authority.name.len());
        self.port = authority.port;
        Ok(())
    }

    /// RFC 9112 §6.3, with every ambiguity refused.
    fn decide_body(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let is_10 = self.version == Version::Http10;
        self.body = match framing(bytes, &self.fields, self.names) {
            Ok(Framing::Absent) => BodyLength::None,
            Ok(Framing::Length(length)) => BodyLength::Exact(length),
            // HTTP/1.0 knows no codings: whoever reads it so sees no body (RFC 9112 §6.1).
            Ok(Framing::Chunked) | Err(FramingError::UnknownCoding) if is_10 => {
                return Err(RequestError::BadTransferCoding);
            }
            Ok(Framing::Chunked) => BodyLength::Chunked,
            Err(FramingError::Both) => return Err(RequestError::LengthAndCoding),
            Err(FramingError::Length) => return Err(RequestError::BadContentLength),
            Err(FramingError::Coding) => return Err(RequestError::BadTransferCoding),
            Err(FramingError::UnknownCoding) => return Err(RequestError::UnknownTransferCoding),
        };
        let bodyless = matches!(self.method, Method::Get | Method::Head | Method::Delete);
        if is_10 && bodyless && self.has_body() {
            return Err(RequestError::UnexpectedBody);
        }
        Ok(())
    }

    /// RFC 9112 §9.3. An old client that sends a body without its length means to close.
    fn decide_persistence(&mut self, options: Options) {
        let bodyless = matches!(
            self.method,
            Method::Get | Method::Head | Method::Delete | Method::Options | Method::Other
        );
        let has_end = bodyless || self.body != BodyLength::None;
        let keeps = match self.version {
            Version::Http11 => !options.close,
            Version::Http10 => options.keep_alive && !options.close,
        };
        let has_end = has_end || self.version == Version::Http11;
        self.persistent = keeps && has_end;
        self.last = !keeps && has_end;
    }

    /// RFC 9110 §10.1.1: there is one expectation, and HTTP/1.0 has none.
    fn decide_expectation(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        if self.version == Version::Http10 {
            return Ok(());
        }
        let Some(expectation) = self.field(bytes, Known::Expect) else { return Ok(()) };
        let is_known = expectation.eq_ignore_ascii_case(b"100-continue");
        if !is_known || self.names.is_repeated(Known::Expect) {
            return Err(RequestError::BadExpectation);
        }
        self.expects_continue = self.has_body();
        Ok(())
    }

    /// RFC 9110 §7.8: offered on HTTP/1.1, in one line that `Connection` names, without a body.
    fn decide_upgrade(&mut self, bytes: &[u8], options: Options) {
        let field = self.fields.iter().find(|field| field.known == Known::Upgrade);
        let may_upgrade = self.version == Version::Http11
            && options.upgrade
            && !self.names.is_repeated(Known::Upgrade)
            && !self.has_body();
        self.upgrade = field
            .map(|field| field.value)
            .filter(|value| may_upgrade && list(value.of(bytes)).all(is_tunnel));
    }

    /// RFC 9110 §10.1.4.
    fn accepts_trailers(&self, bytes: &[u8]) -> bool {
        let mut codings = self.values(bytes, Known::Te).flat_map(list);
        codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    }

    fn has_body(&self) -> bool {
        !matches!(self.body, BodyLength::None | BodyLength::Exact(0))
    }
}

/// A protocol the proxy may stay out of. Never one that would speak HTTP behind its back, past
/// every rule: `h2c` (RFC 9113 §3.1), TLS (RFC 2817).
fn is_tunnel(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |byte| *byte == b'/');
    let name = parts.next().unwrap_or_default();
    let refused = [b"h2c".as_slice(), b"h2", b"tls", b"http"];
    if plant::is(Bug::H2cPasses) {
        return true;
    }
    is_token(name)
        && parts.next().is_none_or(is_token)
        && !refused.iter().any(|refused| refused.eq_ignore_ascii_case(name))
}

fn of_line(error: LineError) -> RequestError {
    match error {
        LineError::Name => RequestError::BadFieldName,
        LineError::Folded => RequestError::FoldedField,
    }
}
