//! The rules of shared caches (RFC 9111, 5861): what may be stored, for how long it is fresh, for
//! whom it is meant, and what a conditional or a range request gets of it. Pure: times are arguments,
//! and nothing is stored here.

pub mod condition;
pub mod control;
pub mod freshness;
pub mod range;
pub mod storing;
pub mod update;
pub mod vary;

pub use condition::{Validators, Verdict};
pub use control::{RequestControl, ResponseControl};
pub use freshness::{Defaults, Lifetime};
pub use range::Ranges;
pub use storing::{Asked, Refusal};
pub use vary::Vary;

use crate::fields::Field;

/// The fields of a head, and the bytes that they refer to.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// The lines, in order.
    pub fields: &'a [Field],
    /// What they are places in.
    pub bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The values of a field in any case, a line after the other; none of another connection.
    pub fn values<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let bytes = self.bytes;
        self.fields
            .iter()
            .filter(move |field| {
                !field.hop_by_hop && field.name.of(bytes).eq_ignore_ascii_case(name)
            })
            .map(move |field| field.value.of(bytes))
    }

    /// The first value of a field.
    pub fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// There is one.
    pub fn has(&self, name: &[u8]) -> bool {
        self.value(name).is_some()
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! Heads for tests.
    use crate::{HeadLimits, Parse, RequestContext, RequestHead, ResponseHead};

    pub(crate) const LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, line: 8192, fields: 128 };

    /// A head of these lines, and its bytes.
    pub(crate) fn response(status: u16, lines: &[&str]) -> (ResponseHead, Vec<u8>) {
        let text = format!("HTTP/1.1 {status} x\r\n{}\r\n", ended(lines)).into_bytes();
        let mut head = ResponseHead::default();
        let parsed = head.parse(&text, &LIMITS, &RequestContext::default());
        assert_eq!(parsed, Ok(Parse::Complete(text.len())));
        (head, text)
    }

    pub(crate) fn request(method: &str, lines: &[&str]) -> (RequestHead, Vec<u8>) {
        let text = format!("{method} / HTTP/1.1\r\nhost: a\r\n{}\r\n", ended(lines)).into_bytes();
        let mut head = RequestHead::default();
        assert_eq!(head.parse(&text, &LIMITS), Ok(Parse::Complete(text.len())));
        (head, text)
    }

    fn ended(lines: &[&str]) -> String {
        lines.iter().map(|line| format!("{line}\r\n")).collect()
    }
}
