//! A long body moved from socket to socket by the kernel, through a pipe, so that its bytes never
//! enter this process.

use std::task::{Context, Poll};

use evenkeel_runtime::{Pipe, TcpStream};

use super::body::{PumpError, Waiting};

/// Bytes asked for in one call: what the pipe can hold.
const STEP: usize = 256 * 1024;

/// A body of known length under way.
pub(crate) struct Splice {
    pipe: Pipe,
    left: u64,
    in_pipe: usize,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) waiting: Waiting,
}

impl Splice {
    /// `None` when no pipe can be had; the body is copied then.
    pub(crate) fn new(left: u64) -> Option<Self> {
        let pipe = Pipe::take().ok()?;
        Some(Self { pipe, left, in_pipe: 0, received: 0, sent: 0, waiting: Waiting::Source })
    }

    /// Ready when all of it is with the receiver.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            while self.in_pipe > 0 {
                self.waiting = Waiting::Sink;
                match to.poll_splice_to(cx, &self.pipe, self.in_pipe) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(PumpError::Sink)),
                    Poll::Ready(Ok(moved)) => {
                        self.in_pipe = self.in_pipe.saturating_sub(moved);
                        self.sent = self.sent.saturating_add(moved as u64);
                    }
                }
            }
            if self.left == 0 {
                return Poll::Ready(Ok(()));
            }
            let ask = usize::try_from(self.left).unwrap_or(usize::MAX).min(STEP);
            self.waiting = Waiting::Source;
            match from.poll_splice_from(cx, &self.pipe, ask) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(PumpError::Source)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(PumpError::Truncated)),
                Poll::Ready(Ok(moved)) => {
                    self.in_pipe += moved;
                    self.left = self.left.saturating_sub(moved as u64);
                    self.received = self.received.saturating_add(moved as u64);
                }
            }
        }
    }
}
