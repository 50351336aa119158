//! Notices that a client has broken its connection while nothing is read from it: an exchange that
//! waits for somebody else ends then. What the client sends meanwhile is its next request, or more
//! of its body, and waits in the exchange's buffer.

use std::task::{Context, Poll};

use crate::http::body::Pump;
use crate::http::exchange::Exchange;

/// What is known of a client that is watched.
#[derive(Default)]
pub(crate) struct ClientWatch {
    ended: bool,
}

impl ClientWatch {
    /// Ready when the client has broken the connection. Ending its half is its right (RFC 9112
    /// §9.6).
    pub(crate) fn poll_gone(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Poll<()> {
        while !self.ended && !exchange.buffer.is_full() {
            match exchange.connection.stream.poll_read(cx, exchange.buffer.spare()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(read)) => exchange.buffer.extend(read),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// As [`Self::poll_gone`], while a try is not being made: between two, or before the first. A
    /// body of which a part has been taken is read by its pump alone.
    pub(crate) fn poll_gone_between(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        pump: &Pump,
    ) -> Poll<()> {
        match pump.is_received() || !pump.is_begun() {
            true => self.poll_gone(cx, exchange),
            false => Poll::Pending,
        }
    }
}
