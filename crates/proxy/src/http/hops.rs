//! Requests that come back. A proxy routed to itself, or two to each other, would pass a request on
//! until no descriptor is left. So each request tells how often a proxy like this one has passed it
//! on. `Via` (RFC 9110 §7.6.3) would serve as well, but servers change their answers where it is
//! present (some do not compress them), so it stays a choice.

use evenkeel_codec::{Known, RequestHead, syntax};

use crate::failure::{Failure, Reason};

/// How often a request is passed on. More is a loop: no sensible chain of proxies is so long, and
/// each round of a loop costs connections.
const MAX: u64 = 8;

/// How often this request has been passed on. A client that lies brings it closer to a refusal.
pub(crate) fn count(head: &RequestHead, bytes: &[u8]) -> u64 {
    let told = head.values(bytes, Known::XEvenkeelHops).flat_map(syntax::list);
    // What is no number, or too large a one, was not written by a proxy like this.
    told.map(|count| syntax::number(count).unwrap_or(MAX)).max().unwrap_or(0)
}

/// Refuses a request that goes round in circles.
pub(crate) fn refuse_loop(head: &RequestHead, bytes: &[u8]) -> Result<(), Failure> {
    match count(head, bytes) < MAX {
        true => Ok(()),
        false => Err(Failure::new(Reason::Loop)),
    }
}

/// What the next proxy is told.
pub(crate) fn next(head: &RequestHead, bytes: &[u8]) -> u64 {
    count(head, bytes).saturating_add(1)
}
