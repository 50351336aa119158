//! One way of a connection that is passed on as it is: bytes from one channel to the other, until the
//! end, which is passed on too. Holds nothing while nothing moves. Few bytes are copied through one
//! block; a stream of many is moved by the kernel, through a pipe, where both channels are plain.

use std::io;
use std::task::{Context, Poll, ready};

use evenkeel_codec::plant::{self, Bug};
use evenkeel_runtime::{Pipe, TcpStream};

use crate::buffer::{BLOCK, Buffer, Stock};
use crate::channel::Channel;

/// Bytes asked for in one call: what the pipe can hold.
const STEP: usize = 256 * 1024;

/// See the module's head.
#[derive(Default)]
pub(crate) struct Direction {
    held: Held,
    /// Bytes that the receiver has taken.
    pub(crate) moved: u64,
    source_ended: bool,
    /// The end has been passed on.
    pub(crate) ended: bool,
    /// More came at once than a block holds: the kernel may do it.
    is_bulk: bool,
    /// Bytes that came since there were none.
    burst: usize,
}

/// What is on its way.
#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Block(Buffer),
    Pipe(Pipe, usize),
}

/// Which side broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Source,
    Sink,
}

impl Direction {
    /// One that begins with what was received already.
    pub(crate) fn beginning_with(buffer: Buffer) -> Self {
        Self { held: Held::Block(buffer), ..Self::default() }
    }

    /// What it still holds goes back to the stock.
    pub(crate) fn release(self, stock: &Stock) {
        if let Held::Block(buffer) = self.held {
            stock.give(buffer);
        }
    }

    /// Moves what can be moved; ready when this way has ended.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Channel,
        to: &Channel,
        stock: &Stock,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_pass_on(cx, to)).map_err(|_| Broken::Sink)?;
            if self.source_ended {
                self.ended = true;
                if plant::is(Bug::HalfCloseIsLost) {
                    return Poll::Pending;
                }
                self.settle(stock);
                // Half-close is carried over.
                return Poll::Ready(to.shutdown_write().map_err(|_| Broken::Sink));
            }
            let more = match (self.is_bulk, from.plain(), to.plain()) {
                (true, Some(from), Some(_)) => self.poll_fill_pipe(cx, from, stock),
                _ => self.poll_fill_block(cx, from, stock),
            };
            match more {
                Poll::Ready(Ok(0)) => self.source_ended = true,
                Poll::Ready(Ok(read)) => self.burst = self.burst.saturating_add(read),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
                Poll::Pending => {
                    self.is_bulk = self.burst >= BLOCK;
                    self.burst = 0;
                    self.settle(stock);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Gives the receiver all that is held.
    fn poll_pass_on(&mut self, cx: &mut Context<'_>, to: &Channel) -> Poll<io::Result<()>> {
        loop {
            let written = match &mut self.held {
                Held::Nothing => return Poll::Ready(Ok(())),
                Held::Block(buffer) if buffer.is_empty() => return Poll::Ready(Ok(())),
                Held::Pipe(_, 0) => return Poll::Ready(Ok(())),
                Held::Block(buffer) => {
                    let written = ready!(to.poll_write(cx, buffer.filled()))?;
                    buffer.consume(written);
                    written
                }
                Held::Pipe(pipe, left) => {
                    // Only what is plain was moved into a pipe.
                    let Some(to) = to.plain() else { return Poll::Ready(Ok(())) };
                    let written = ready!(to.poll_splice_to(cx, pipe, *left))?;
                    *left = left.saturating_sub(written);
                    written
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved = self.moved.saturating_add(written as u64);
        }
    }

    fn poll_fill_pipe(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        stock: &Stock,
    ) -> Poll<io::Result<usize>> {
        if !matches!(self.held, Held::Pipe(..)) {
            self.settle(stock);
            match Pipe::take() {
                Ok(pipe) => self.held = Held::Pipe(pipe, 0),
                Err(_) => (self.is_bulk, self.burst) = (false, 0), // no descriptor: it is copied
            }
        }
        let Held::Pipe(pipe, left) = &mut self.held else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let read = ready!(from.poll_splice_from(cx, pipe, STEP))?;
        *left = left.saturating_add(read);
        Poll::Ready(Ok(read))
    }

    fn poll_fill_block(
        &mut self,
        cx: &mut Context<'_>,
        from: &Channel,
        stock: &Stock,
    ) -> Poll<io::Result<usize>> {
        if matches!(self.held, Held::Nothing) {
            ready!(from.poll_readable(cx))?; // no block before there is something for it
        }
        let mut buffer = match std::mem::take(&mut self.held) {
            Held::Block(buffer) if buffer.size() >= BLOCK => buffer,
            Held::Block(buffer) => {
                stock.give(buffer);
                stock.take()
            }
            Held::Nothing | Held::Pipe(..) => stock.take(),
        };
        buffer.rewind_if_empty();
        let read = from.poll_read(cx, buffer.spare());
        if let Poll::Ready(Ok(read)) = read {
            buffer.extend(read);
            self.is_bulk = buffer.is_full();
        }
        self.held = Held::Block(buffer);
        read
    }

    /// Nothing is under way: nothing is held.
    fn settle(&mut self, stock: &Stock) {
        match std::mem::take(&mut self.held) {
            Held::Block(buffer) => stock.give(buffer),
            Held::Nothing | Held::Pipe(..) => {} // a pipe goes back by itself
        }
    }
}
