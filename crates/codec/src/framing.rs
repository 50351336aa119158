//! How long a body is, from its head's fields (RFC 9112 §6), with every ambiguity refused: where
//! two parsers may disagree about a message's end, a request can hide in another's body.

use crate::fields::{Field, Names, first};
use crate::known::Known;
use crate::plant::{self, Bug};
use crate::syntax::{is_token, list, number};

/// What the framing fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Absent,
    Length(u64),
    Chunked,
}

/// What is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// `Content-Length` and `Transfer-Encoding`.
    Both,
    Length,
    Coding,
    /// A list of codings in good order, but not ours.
    UnknownCoding,
}

/// Longest body that can be announced: sums with it never wrap, in any parser behind us either.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// Reads `Content-Length` and `Transfer-Encoding`. A repeated one is refused, even if equal.
pub(crate) fn framing(
    bytes: &[u8],
    fields: &[Field],
    names: Names,
) -> Result<Framing, FramingError> {
    let length = first(fields, names, bytes, Known::ContentLength);
    let coding = first(fields, names, bytes, Known::TransferEncoding);
    match (length, coding) {
        (None, None) => Ok(Framing::Absent),
        (Some(_), Some(_)) if !plant::is(Bug::LengthBesideCoding) => Err(FramingError::Both),
        (Some(_), _)
            if names.is_repeated(Known::ContentLength) && !plant::is(Bug::FirstOfTwoLengths) =>
        {
            Err(FramingError::Length)
        }
        (Some(length), _) => match number(length).or_else(|| wrapped(length)) {
            Some(length) if length <= LENGTH_MAX => Ok(Framing::Length(length)),
            _ => Err(FramingError::Length),
        },
        (None, Some(_)) if names.is_repeated(Known::TransferEncoding) => Err(FramingError::Coding),
        (None, Some(coding)) if is_chunked(coding) => Ok(Framing::Chunked),
        (None, Some(coding)) => Err(refuse(coding)),
    }
}

/// Nothing; with a bug put back, a number that does not fit.
fn wrapped(digits: &[u8]) -> Option<u64> {
    plant::is(Bug::LengthWraps).then(|| {
        let value = |digit: &u8| u64::from(digit.wrapping_sub(b'0'));
        digits.iter().fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(value(digit)))
    })
}

fn is_chunked(coding: &[u8]) -> bool {
    (plant::is(Bug::CodingByEnding) && coding.ends_with(b"chunked"))
        || coding.eq_ignore_ascii_case(b"chunked")
}

/// A well-formed list of other codings, `chunked` at most once and last, is "not implemented"
/// (RFC 9112 §6.1); anything else is wrong.
fn refuse(value: &[u8]) -> FramingError {
    let well_formed = list(value).all(is_token);
    let not_last = list(value).rev().skip(1).any(is_chunked);
    match well_formed && !not_last {
        true => FramingError::UnknownCoding,
        false => FramingError::Coding,
    }
}
