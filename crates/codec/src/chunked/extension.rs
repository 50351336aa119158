//! Chunk extensions (RFC 9112 §7.1.1). Nothing in them is used and none is passed on; they are
//! checked so that every parser agrees where their line ends.

use crate::syntax::is_token_byte;

/// Where in an extension the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// After the size and a space: only `;` can follow.
    BeforeFirst,
    /// After a `;`.
    BeforeName,
    Name,
    AfterName,
    /// After a `=`.
    BeforeValue,
    Value,
    Quoted,
    /// After a `\` in a quoted string.
    Escaped,
    /// After a quoted string.
    Closed,
    /// After a value and a space.
    AfterValue,
}

impl Extension {
    /// After one more byte; `None` if it is not allowed here.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Quoted, b'"') => Some(Self::Closed),
            (Self::Quoted, b'\\') => Some(Self::Escaped),
            (Self::Quoted | Self::Escaped, b'\t' | 0x20..=0x7e | 0x80..) => Some(Self::Quoted),
            (Self::Quoted | Self::Escaped, _) => None,
            (Self::BeforeName | Self::BeforeValue, b';' | b'=') => None,
            (Self::BeforeValue, b'"') => Some(Self::Quoted),
            (_, b';') => Some(Self::BeforeName),
            (Self::Name | Self::AfterName, b'=') => Some(Self::BeforeValue),
            (_, b' ' | b'\t') => Some(self.space()),
            (Self::BeforeName | Self::Name, _) if is_token_byte(byte) => Some(Self::Name),
            (Self::BeforeValue | Self::Value, _) if is_token_byte(byte) => Some(Self::Value),
            _ => None,
        }
    }

    /// The line may end here: not after white space, nor in the middle of something.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::Closed)
    }

    /// Bad white space, which is to be read over (RFC 9110 §5.6.3).
    fn space(self) -> Self {
        match self {
            Self::Name => Self::AfterName,
            Self::Value | Self::Closed => Self::AfterValue,
            _ => self,
        }
    }
}
