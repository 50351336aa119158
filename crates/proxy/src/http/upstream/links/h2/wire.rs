//! A server's connection as the HTTP/2 library reads and writes it. Owns noticing that something has
//! come, how much of it the library keeps without a window, and how the connection ended.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use evenkeel_codec::h2::{HEADERS, Scan};
use evenkeel_runtime::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::channel::Channel;

/// Bytes read in one turn of the connection's task: a server that always has more to say must not keep
/// the worker from everybody else.
const TURN_MAX: usize = 128 * 1024;

/// See the module's head. Others may ask the channel how much the server has taken.
pub(super) struct Wire {
    channel: Rc<Channel>,
    seen: Rc<Seen>,
    frames: Scan,
}

/// What was seen on a wire.
#[derive(Default)]
pub(super) struct Seen {
    /// Bytes that may be read in this turn.
    left: Cell<usize>,
    /// Reads that gave something.
    pub(super) reads: Cell<u64>,
    /// HEADERS frames: interim responses among them are kept until they are read, and no window bounds
    /// them (RFC 9113 §5.2).
    pub(super) heads: Cell<u64>,
    /// The server has closed in order.
    pub(super) closed: Cell<bool>,
}

impl Seen {
    /// The connection's task has its turn.
    pub(super) fn begin_turn(&self) {
        self.left.set(TURN_MAX);
    }
}

impl Wire {
    pub(super) fn new(channel: Rc<Channel>, seen: Rc<Seen>) -> Self {
        Self { channel, seen, frames: Scan::after(0) }
    }
}

/// How many of the frames whose heads end in these bytes are HEADERS.
fn count_heads(frames: &mut Scan, mut bytes: &[u8]) -> u64 {
    let mut heads = 0;
    while let Some(frame) = frames.next(&mut bytes) {
        heads += u64::from(frame.kind == HEADERS);
    }
    heads
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.left.get() == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let unfilled = buffer.initialize_unfilled();
        let read = ready!(self.channel.poll_read(cx, unfilled))?;
        let heads = count_heads(&mut self.frames, unfilled.get(..read).unwrap_or_default());
        self.seen.heads.set(self.seen.heads.get().saturating_add(heads));
        self.seen.left.set(self.seen.left.get().saturating_sub(read));
        buffer.advance(read);
        match read {
            0 => self.seen.closed.set(true),
            _ => self.seen.reads.set(self.seen.reads.get().wrapping_add(1)),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.channel.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.channel.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // a channel holds nothing that its writer believes written
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.channel.shutdown_write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_they_are_cut_in_pieces() {
        let mut bytes = Vec::new();
        for (kind, length) in [(4, 6), (1, 1), (0, 300), (1, 0), (9, 20), (1, 70_000)] {
            let size = u32::to_be_bytes(length);
            bytes.extend_from_slice(&[size[1], size[2], size[3], kind, 0, 0, 0, 0, 1]);
            bytes.extend(std::iter::repeat_n(1, length as usize));
        }
        for piece in [1, 2, 7, 9, 10, 4096, bytes.len()] {
            let mut frames = Scan::after(0);
            let heads: u64 = bytes.chunks(piece).map(|piece| count_heads(&mut frames, piece)).sum();
            assert_eq!(heads, 3, "in pieces of {piece}");
        }
    }
}
