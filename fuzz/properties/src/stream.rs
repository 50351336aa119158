//! A second reading of a stream of requests: heads by `httparse`, bodies by the naive reference.
//! Refuses whatever two readers could take differently.

use crate::reference::{Chunked, chunked};

/// A request as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As sent.
    pub method: String,
    /// As sent.
    pub target: String,
    /// `Content-Length`, if there is one.
    pub stated: Option<u64>,
    /// What was sent, without its coding.
    pub body: Vec<u8>,
}

/// How a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With a complete request.
    Clean,
    /// Within a request that may still become complete.
    Partial,
    /// With what is no request.
    Wrong(String),
}

/// Reads all requests.
pub fn read(input: &[u8]) -> (Vec<Request>, End) {
    let mut requests = Vec::new();
    let mut at = 0;
    while at < input.len() {
        match first(&input[at..]) {
            Ok(Some((request, length))) => {
                requests.push(request);
                at += length;
            }
            Ok(None) => return (requests, End::Partial),
            Err(error) => return (requests, End::Wrong(format!("{error}, at byte {at}"))),
        }
    }
    (requests, End::Clean)
}

/// The first request and its length; `None` if there must come more.
///
/// # Errors
/// Where it is none.
pub fn first(input: &[u8]) -> Result<Option<(Request, usize)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let stated = only(head.headers, "content-length")?;
    let coding = only(head.headers, "transfer-encoding")?;
    let rest = &input[length..];
    let (stated, body, used) = match (stated, coding) {
        (Some(_), Some(_)) => return Err("a length and a coding".to_owned()),
        (Some(text), None) => {
            let is_number = text.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(text).unwrap_or_default();
            let stated = text.parse::<u64>().ok().filter(|_| is_number).ok_or("no length")?;
            let here = usize::try_from(stated).ok().and_then(|length| rest.get(..length));
            let Some(body) = here else { return Ok(None) };
            (Some(stated), body.to_vec(), body.len())
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => match chunked(rest) {
            Chunked::Done(body, used) => (None, body, used),
            Chunked::Partial(_) => return Ok(None),
            Chunked::Wrong => return Err("no chunks".to_owned()),
        },
        (None, Some(_)) => return Err("another coding".to_owned()),
        (None, None) => (None, Vec::new(), 0),
    };
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        stated,
        body,
    };
    Ok(Some((request, length + used)))
}

/// The value of the only field of this name.
fn only<'h>(fields: &[httparse::Header<'h>], name: &str) -> Result<Option<&'h [u8]>, String> {
    let mut values = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let value = values.next().map(|field| field.value);
    match values.next() {
        Some(_) => Err(format!("{name} twice")),
        None => Ok(value),
    }
}
