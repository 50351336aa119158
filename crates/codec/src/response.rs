//! Response heads (RFC 9112 §4, §6). A server is not trusted either: what is not understood is
//! refused, not passed on.

use crate::fields::{self, Field, LineError};
use crate::known::Known;
use crate::message::{BodyLength, HeadLimits, Parse, Version};
use crate::request::{FramingError, framing};
use crate::scan::{Scan, ScanError};
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
    /// A 101 that nobody asked for, or to another protocol than was offered.
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
    scan: Scan,
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
    /// As soon as the bytes cannot become an acceptable head.
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
        let end =
            self.scan.find_end(input, limits.line, limits.head).map_err(|error| match error {
                ScanError::Line => ResponseError::BadLineEnd,
                ScanError::FirstLine | ScanError::Head => ResponseError::HeadTooLarge,
            })?;
        if self.scan.first_line > 0 && self.status == 0 {
            let line = input.get(..self.scan.first_line.saturating_sub(2)).unwrap_or_default();
            self.parse_line(line)?;
        }
        let Some(end) = end else { return Ok(Parse::Partial) };
        let lines_end = end.saturating_sub(2);
        fields::parse(input, self.scan.first_line, lines_end, limits.fields, &mut self.fields)
            .map_err(of_line)?;
        self.decide(input, request)?;
        Ok(Parse::Complete(end))
    }

    /// The value of the first field of this name.
    pub fn field<'b>(&self, bytes: &'b [u8], known: Known) -> Option<&'b [u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| field.value.of(bytes))
    }

    /// The status line (RFC 9112 §4); a missing phrase is tolerated with its space missing too.
    fn parse_line(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            minor @ (b'0' | b'1'),
            b' ',
            a,
            b,
            c,
            rest @ ..,
        ] = line
        else {
            return Err(ResponseError::BadStatusLine);
        };
        let status = number(&[*a, *b, *c]).ok_or(ResponseError::BadStatusLine)?;
        let phrase_ok = match rest {
            [] => true,
            [b' ', phrase @ ..] => crate::syntax::is_field_value(phrase),
            _ => false,
        };
        if !phrase_ok || !(100..600).contains(&status) {
            return Err(ResponseError::BadStatusLine);
        }
        self.status = status as u16;
        self.version = if *minor == b'0' { Version::Http10 } else { Version::Http11 };
        Ok(())
    }

    fn decide(&mut self, bytes: &[u8], request: &RequestContext) -> Result<(), ResponseError> {
        let options =
            fields::apply_connection(bytes, &mut self.fields).ok_or(ResponseError::BadField)?;
        self.persistent = match self.version {
            Version::Http11 => !options.close,
            Version::Http10 => options.keep_alive && !options.close,
        };
        let (length, chunked) = framing(bytes, &self.fields).map_err(|error| match error {
            FramingError::Length => ResponseError::BadContentLength,
            FramingError::Coding | FramingError::UnknownCoding => ResponseError::BadTransferCoding,
        })?;
        if chunked && length.is_some() {
            return Err(ResponseError::LengthAndCoding);
        }
        if chunked && self.version == Version::Http10 {
            return Err(ResponseError::BadTransferCoding);
        }
        self.content_length = length;
        // RFC 9112 §6.3 rules 1 and 2 first: these never have a body.
        let bodyless = request.is_head || self.status < 200 || matches!(self.status, 204 | 304);
        self.body = match (bodyless, length, chunked) {
            (true, ..) => BodyLength::None,
            (_, _, true) => BodyLength::Chunked,
            (_, Some(length), _) => BodyLength::Exact(length),
            (_, None, _) => BodyLength::UntilClose,
        };
        let mut upgrade = None;
        for field in &self.fields {
            match field.known {
                Known::Upgrade => upgrade = Some(field.value),
                Known::KeepAlive => self.keep_alive_timeout = timeout(field.value.of(bytes)),
                _ => {}
            }
        }
        if self.status == 101 {
            let agreed = request.offers_upgrade && options.upgrade && upgrade.is_some();
            if !agreed || self.version == Version::Http10 {
                return Err(ResponseError::UnexpectedUpgrade);
            }
            self.upgrade = upgrade;
        }
        Ok(())
    }
}

fn of_line(error: LineError) -> ResponseError {
    match error {
        LineError::Folded => ResponseError::FoldedField,
        LineError::TooMany => ResponseError::TooManyFields,
        _ => ResponseError::BadField,
    }
}

fn timeout(value: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"timeout=";
    let parameter = list(value)
        .find(|p| p.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME)))?;
    u32::try_from(number(parameter.get(NAME.len()..)?)?).ok()
}
