//! What is different about gRPC: a call's deadline, its status where HTTP has another, and patience
//! with streams. Bytes pass like any others. Rules: the protocol's own texts, "gRPC over HTTP2" and
//! "HTTP to gRPC Status Code Mapping".

use std::time::{Duration, Instant};

use evenkeel_codec::{Field, Method, RequestHead, ResponseHead};
use evenkeel_runtime as runtime;

use crate::failure::Reason;
use crate::http::exchange::Exchange;

/// A call under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// When its client does not wait any more.
    deadline: Option<Instant>,
}

/// Status codes of gRPC that are made here.
const CANCELLED: u8 = 1;
const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

impl Call {
    /// If the request is one.
    pub(crate) fn of(head: &RequestHead, bytes: &[u8], now: Instant) -> Option<Self> {
        if head.method != Method::Post {
            return None; // every call is a POST
        }
        value(&head.fields, bytes, b"content-type").filter(|kind| is_grpc(kind))?;
        let timeout = value(&head.fields, bytes, b"grpc-timeout").and_then(timeout);
        Some(Self { deadline: timeout.and_then(|timeout| now.checked_add(timeout)) })
    }

    /// When its client does not wait any more.
    pub(crate) fn deadline(self) -> Option<Instant> {
        self.deadline
    }
}

/// Whether the exchange's deadline has passed: what fails then is nobody's fault.
pub(crate) fn is_over(exchange: &Exchange<'_>) -> bool {
    let deadline = exchange.call.and_then(Call::deadline);
    deadline.is_some_and(|deadline| deadline <= runtime::now())
}

/// The status that says how a response went: a call's own, where its head has it (a response of
/// trailers alone), as the status of HTTP that means the same.
pub(crate) fn status(exchange: &Exchange<'_>, head: &ResponseHead, bytes: &[u8]) -> u16 {
    if exchange.call.is_none() || head.status != 200 {
        return head.status;
    }
    match value(&head.fields, bytes, b"grpc-status") {
        Some(b"14") => 503,
        _ => head.status,
    }
}

/// The status of a call that failed here, or was answered by a response of ours with a status of
/// HTTP.
pub(crate) fn code(reason: Option<Reason>, status: u16) -> u8 {
    match reason {
        Some(Reason::DeadlineExceeded | Reason::ResponseTimeout | Reason::UpstreamIdle) => {
            return DEADLINE_EXCEEDED;
        }
        Some(Reason::ClientGone) => return CANCELLED,
        _ => {}
    }
    match status {
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 | 405 | 501 => UNIMPLEMENTED,
        408 => DEADLINE_EXCEEDED,
        413 => RESOURCE_EXHAUSTED,
        429 | 502..=504 => UNAVAILABLE,
        400..=499 | 500 | 508 => INTERNAL,
        _ => UNKNOWN,
    }
}

/// `application/grpc`, alone, with a coding (`+proto`) or with parameters; not `application/grpc-web`,
/// which is ordinary HTTP.
fn is_grpc(kind: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let is_named = kind.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    is_named && matches!(kind.get(NAME.len()), None | Some(b'+' | b';' | b' '))
}

/// `grpc-timeout`: one to eight digits and a unit. What is none is left to the server.
fn timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) {
        return None;
    }
    let number = evenkeel_codec::syntax::number(digits)?;
    Some(match unit {
        b'H' => Duration::from_secs(number.saturating_mul(3600)),
        b'M' => Duration::from_secs(number.saturating_mul(60)),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

fn value<'b>(fields: &[Field], bytes: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let is = |field: &&Field| field.name.of(bytes).eq_ignore_ascii_case(name);
    fields.iter().find(is).map(|field| field.value.of(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_number_of_at_most_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("100m", Some(Duration::from_millis(100))),
            ("0u", Some(Duration::ZERO)),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("1.5S", None),
        ] {
            assert_eq!(timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn only_the_protocols_own_content_type_is_a_call() {
        for kind in ["application/grpc", "Application/GRPC+proto", "application/grpc;x=y"] {
            assert!(is_grpc(kind.as_bytes()), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpcx", "text/plain", ""] {
            assert!(!is_grpc(kind.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn statuses_of_http_are_mapped_as_the_protocol_says() {
        for (status, expected) in [
            (400, INTERNAL),
            (401, UNAUTHENTICATED),
            (403, PERMISSION_DENIED),
            (404, UNIMPLEMENTED),
            (429, UNAVAILABLE),
            (502, UNAVAILABLE),
            (503, UNAVAILABLE),
            (504, UNAVAILABLE),
            (307, UNKNOWN),
        ] {
            assert_eq!(code(None, status), expected, "{status}");
        }
        assert_eq!(code(Some(Reason::ResponseTimeout), 504), DEADLINE_EXCEEDED);
        assert_eq!(code(Some(Reason::DeadlineExceeded), 504), DEADLINE_EXCEEDED);
    }
}
