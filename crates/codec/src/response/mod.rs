//! Response heads (RFC 9112 §4, §6). A server is not trusted either: what is not understood is
//! refused, not passed on.

#[cfg(test)]
mod tests;

use crate::fields::{self, Field, LineError, Names, Options};
use crate::framing::{Framing, FramingError, framing};
use crate::known::Known;
use crate::lines::{Line, Lines, LinesError};
use crate::message::{BodyLength, HeadLimits, Parse, Version};
use crate::plant::{self, Bug};
use crate::span::Span;
use crate::syntax::{list, number};

/// Why a response head is refused.
#[allow(missing_docs)] // the names say it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    BadStatusLine,
    BadLineEnd,
    BadField,
    FoldedField,
    HeadTooLarge,
    TooManyFields,
    BadContentLength,
    LengthAndCoding,
    BadTransferCoding,
    /// A 101 that nobody asked for, or that names no protocol.
    UnexpectedUpgrade,
    /// More interim responses than are passed on.
    TooManyInterim,
}

/// What of the request the meaning of a response depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestContext {
    /// The response has no content, whatever its head says.
    pub is_head: bool,
    /// A 101 may be answered.
    pub offers_upgrade: bool,
}

/// A response head: decisions, and places in the received bytes.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The version.
    pub version: Version,
    /// 100 to 599.
    pub status: u16,
    /// All field lines in order.
    pub fields: Vec<Field>,
    /// How the body is framed.
    pub body: BodyLength,
    /// As stated, also where there is no body (HEAD, 304).
    pub content_length: Option<u64>,
    /// The connection may be used again.
    pub persistent: bool,
    /// The protocol switched to, on a 101.
    pub upgrade: Option<Span>,
    /// Seconds after which the server closes an idle connection (`Keep-Alive: timeout=`).
    pub keep_alive_timeout: Option<u32>,
    names: Names,
    lines: Lines,
}

impl ResponseHead {
    /// Ready for the next head; keeps its memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// As [`crate::RequestHead::parse`].
    ///
    /// # Errors
    /// As soon as a line cannot be part of an acceptable head.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        request: &RequestContext,
    ) -> Result<Parse, ResponseError> {
        // What does not begin like a status line never becomes one: no waiting for its end.
        const START: &[u8] = b"HTTP/1.";
        let length = START.len().min(input.len());
        if input.get(..length) != START.get(..length) {
            return Err(ResponseError::BadStatusLine);
        }
        loop {
            let max = match self.lines.has_begun() {
                true => limits.head,
                false => limits.head.min(limits.line),
            };
            match self.lines.next(input, max).map_err(|error| self.refuse(error))? {
                Line::Start { start, end } => {
                    self.parse_line(input.get(start..end).unwrap_or_default())?;
                }
                Line::Field { start, end } => {
                    if self.fields.len() >= limits.fields {
                        return Err(ResponseError::TooManyFields);
                    }
                    let line = input.get(start..end).unwrap_or_default();
                    let (field, _) = fields::parse_line(line, start).map_err(of_line)?;
                    self.names.add(field.known);
                    self.fields.push(field);
                }
                Line::End(end) => {
                    self.decide(input, request)?;
                    return Ok(Parse::Complete(end));
                }
                Line::Partial => return Ok(Parse::Partial),
            }
        }
    }

    /// The value of the first field of this name.
    pub fn field<'b>(&self, bytes: &'b [u8], known: Known) -> Option<&'b [u8]> {
        fields::first(&self.fields, self.names, bytes, known)
    }

    /// Whether a 101 switches to nothing but what was offered: `offered` is the request's
    /// `Upgrade` (RFC 9110 §7.8).
    pub fn is_upgrade_to(&self, bytes: &[u8], offered: &[u8]) -> bool {
        let chosen = self.upgrade.unwrap_or_default().of(bytes);
        list(chosen).all(|one| list(offered).any(|other| one.eq_ignore_ascii_case(other)))
    }

    fn refuse(&self, error: LinesError) -> ResponseError {
        match (error, self.lines.has_begun()) {
            (LinesError::LineEnd, _) => ResponseError::BadLineEnd,
            (LinesError::Control | LinesError::Garbage, true) => ResponseError::BadField,
            (LinesError::Control | LinesError::Garbage, false) => ResponseError::BadStatusLine,
            (LinesError::TooLong, _) => ResponseError::HeadTooLarge,
        }
    }

    /// The status line (RFC 9112 §4). The space before an empty phrase is often forgotten.
    fn parse_line(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let version = line.get(..8).unwrap_or_default();
        self.version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            _ => return Err(ResponseError::BadStatusLine),
        };
        let status = match line.get(8..).unwrap_or_default() {
            [b' ', status @ ..] if status.len() == 3 => number(status),
            [b' ', a, b, c, b' ', ..] => number(&[*a, *b, *c]),
            _ => None,
        };
        self.status = status
            .filter(|status| (100..600).contains(status))
            .and_then(|status| u16::try_from(status).ok())
            .ok_or(ResponseError::BadStatusLine)?;
        Ok(())
    }

    fn decide(&mut self, bytes: &[u8], request: &RequestContext) -> Result<(), ResponseError> {
        // A server that nominates its framing fields hides nothing: they are never passed on.
        let options = match self.names.has(Known::Connection) {
            true => fields::apply_connection(bytes, &mut self.fields),
            false => Some(Options::default()),
        };
        let options = options.ok_or(ResponseError::BadField)?;
        let framing = framing(bytes, &self.fields, self.names).map_err(of_framing)?;
        if framing == Framing::Chunked && self.version == Version::Http10 {
            return Err(ResponseError::BadTransferCoding);
        }
        self.content_length = match framing {
            Framing::Length(length) => Some(length),
            Framing::Absent | Framing::Chunked => None,
        };
        // RFC 9112 §6.3 rules 1 and 2 first: these never have a body.
        let never = self.status < 200 || self.status == 204;
        self.body = match framing {
            _ if never || request.is_head || self.status == 304 => BodyLength::None,
            Framing::Chunked => BodyLength::Chunked,
            Framing::Length(length) => BodyLength::Exact(length),
            Framing::Absent => BodyLength::UntilClose,
        };
        // What announces a body where none can be may send one: not a connection to use again.
        let is_doubtful = never && !matches!(framing, Framing::Absent | Framing::Length(0));
        self.persistent = self.body.is_delimited()
            && !is_doubtful
            && match self.version {
                Version::Http11 => !options.close,
                Version::Http10 => options.keep_alive && !options.close,
            };
        self.keep_alive_timeout = self.field(bytes, Known::KeepAlive).and_then(timeout);
        self.decide_upgrade(options, request)
    }

    /// RFC 9110 §15.2.2: only to who asked, on HTTP/1.1, and in one line.
    fn decide_upgrade(
        &mut self,
        options: Options,
        request: &RequestContext,
    ) -> Result<(), ResponseError> {
        if self.status != 101 {
            return Ok(());
        }
        let field = self.fields.iter().find(|field| field.known == Known::Upgrade);
        self.upgrade = field.map(|field| field.value).filter(|value| !value.is_empty());
        let is_agreed = request.offers_upgrade
            && options.upgrade
            && self.version == Version::Http11
            && self.upgrade.is_some()
            && !self.names.is_repeated(Known::Upgrade);
        match is_agreed || plant::is(Bug::UnaskedUpgrade) {
            true => Ok(()),
            false => Err(ResponseError::UnexpectedUpgrade),
        }
    }
}

fn of_line(error: LineError) -> ResponseError {
    match error {
        LineError::Folded => ResponseError::FoldedField,
        LineError::Name => ResponseError::BadField,
    }
}

fn of_framing(error: FramingError) -> ResponseError {
    match error {
        FramingError::Both => ResponseError::LengthAndCoding,
        FramingError::Length => ResponseError::BadContentLength,
        FramingError::Coding | FramingError::UnknownCoding => ResponseError::BadTransferCoding,
    }
}

fn timeout(value: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"timeout=";
    let seconds = list(value).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(seconds)
    })?;
    u32::try_from(number(seconds)?).ok()
}
