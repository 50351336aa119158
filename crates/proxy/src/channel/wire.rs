//! A channel as a library that speaks a protocol of frames wants it: bytes it wants to write are
//! gathered, so that the frames of many streams leave in few system calls and full TLS records, and
//! whoever counts frames sees what comes in. Owns the bytes between the two; not when they are flushed,
//! which is the connection's task's decision, once in each of its turns.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use evenkeel_codec::h2::{Budget, FrameGuard};
use evenkeel_runtime::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Channel;
use crate::buffer::{Buffer, Stock};

/// Writes at least this long leave at once, together with what was gathered before.
const DIRECT_MIN: usize = 8 * 1024;

/// Bytes read in one turn of the connection's task: what the library answers, and what the guard has to
/// say about that, comes after no more than this; and other connections get their turn.
const TURN_MAX: usize = 32 * 1024;

/// See the module's head. Shared by the library (as [`ChannelIo`]) and the connection's task.
pub(crate) struct Wire<'c> {
    channel: &'c Channel,
    stock: &'c Stock,
    /// Sees every byte that comes in, before anybody else, and every byte that is to leave.
    guard: Option<RefCell<FrameGuard>>,
    /// Read before this was made.
    early: RefCell<Buffer>,
    /// Gathered, to be written; no block while it is empty.
    gathered: RefCell<Buffer>,
    /// Read in this turn.
    turn: Cell<usize>,
    /// Something has been read since this was asked last.
    heard: Cell<bool>,
    /// What the guard has had enough of.
    exceeded: Cell<Option<Budget>>,
    /// The library has more to write than the channel took.
    held: Cell<bool>,
    /// Bytes that were written for the library while it was not asking.
    owed: Cell<usize>,
}

impl<'c> Wire<'c> {
    /// `early` is read before the channel.
    pub(crate) fn new(
        channel: &'c Channel,
        stock: &'c Stock,
        early: Buffer,
        guard: Option<FrameGuard>,
    ) -> Self {
        Self {
            channel,
            stock,
            guard: guard.map(RefCell::new),
            early: RefCell::new(early),
            gathered: RefCell::default(),
            turn: Cell::new(0),
            heard: Cell::new(false),
            exceeded: Cell::new(None),
            held: Cell::new(false),
            owed: Cell::new(0),
        }
    }

    /// For the library.
    pub(crate) fn io<'w>(&'w self) -> ChannelIo<'w, 'c> {
        ChannelIo(self)
    }

    /// Whether something came in since this was asked last.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard.take()
    }

    /// The connection's task has written what there is to write, and waits.
    pub(crate) fn end_turn(&self) {
        self.turn.set(0);
    }

    /// Whether the peer has acknowledged a SETTINGS of ours, as far as that is seen.
    pub(crate) fn has_acknowledged(&self) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.borrow().has_acknowledged())
    }

    /// What the peer has exceeded: nothing more is read, and the connection's task is to end it.
    pub(crate) fn exceeded(&self) -> Option<Budget> {
        self.exceeded.get()
    }

    /// Shows the guard what comes in or leaves; whether it goes on.
    fn watch(&self, look: impl FnOnce(&mut FrameGuard) -> Result<(), Budget>) -> bool {
        let Some(guard) = &self.guard else { return true };
        if self.exceeded.get().is_none()
            && let Err(budget) = look(&mut guard.borrow_mut())
        {
            self.exceeded.set(Some(budget));
        }
        self.exceeded.get().is_none()
    }

    /// Shows the guard the first `taken` bytes of what the library writes.
    fn watch_taken(&self, slices: &[IoSlice<'_>], taken: usize) {
        if self.guard.is_none() {
            return;
        }
        let now = evenkeel_runtime::now();
        let mut left = taken;
        for slice in slices {
            let here = slice.get(..left.min(slice.len())).unwrap_or_default();
            left = left.saturating_sub(here.len());
            self.watch(|guard| guard.sent(here, now));
        }
    }

    /// Writes what was gathered. Pending: the peer takes no more at the moment, be it of that or of
    /// what the library has kept back since.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let was_empty = self.gathered.borrow().is_empty();
        ready!(self.poll_empty(cx))?;
        if !self.held.get() {
            return Poll::Ready(Ok(()));
        }
        if !was_empty {
            cx.waker().wake_by_ref(); // there is room after all: it has to be asked again
        }
        Poll::Pending
    }

    fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS may have sealed what the library wanted to write behind it: it will ask again.
        let more = ready!(self.poll_write_with(cx, &[]))?;
        self.owed.set(self.owed.get().saturating_add(more));
        Poll::Ready(Ok(()))
    }

    /// Writes all that was gathered, and as much as is taken of `slices` behind it; how much.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = self.gathered.borrow_mut();
        loop {
            let first = gathered.filled();
            let before = first.len();
            let written = match (first, slices) {
                ([], []) => return Poll::Ready(Ok(0)),
                ([], [one]) => ready!(self.channel.poll_write(cx, one))?,
                (_, []) => ready!(self.channel.poll_write(cx, first))?,
                _ => {
                    let mut all = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(&[])];
                    for (place, slice) in all.iter_mut().skip(1).zip(slices) {
                        *place = IoSlice::new(slice);
                    }
                    ready!(self.channel.poll_write_vectored(cx, &all))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            gathered.consume(written.min(before));
            if gathered.is_empty() && !gathered.is_absent() {
                gathered.rewind_if_empty();
                self.stock.give(std::mem::take(&mut gathered));
            }
            if written > before || (gathered.is_empty() && slices.is_empty()) {
                return Poll::Ready(Ok(written.saturating_sub(before)));
            }
        }
    }

    /// Takes what the library writes, and remembers whether it could not.
    fn poll_take(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let taken = self.poll_gather(cx, slices);
        self.held.set(taken.is_pending());
        taken
    }

    /// Gathers short pieces; longer ones leave with what was gathered before.
    fn poll_gather(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = slices.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
        if self.owed.get() > 0 {
            return Poll::Ready(Ok(self.owed.take().min(length)));
        }
        if length < DIRECT_MIN {
            if self.gathered.borrow().is_absent() {
                self.gathered.replace(self.stock.take());
            }
            if self.gathered.borrow_mut().spare().len() < length {
                ready!(self.poll_empty(cx))?;
                self.gathered.replace(self.stock.take());
            }
            let mut gathered = self.gathered.borrow_mut();
            slices.iter().for_each(|slice| gathered.append(slice));
            return Poll::Ready(Ok(length));
        }
        self.poll_write_with(cx, slices.get(..2).unwrap_or(slices))
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        self.stock.give(self.early.take());
        self.stock.give(self.gathered.take());
    }
}

/// What the library reads and writes.
pub(crate) struct ChannelIo<'w, 'c>(&'w Wire<'c>);

impl AsyncRead for ChannelIo<'_, '_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.0;
        if wire.exceeded.get().is_some() {
            return Poll::Pending; // the connection's task ends it
        }
        if wire.turn.get() >= TURN_MAX {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = buffer.initialize_unfilled();
        let mut early = wire.early.borrow_mut();
        let read = match early.filled() {
            [] => ready!(wire.channel.poll_read(cx, room))?,
            here => {
                let length = here.len().min(room.len());
                if let (Some(to), Some(from)) = (room.get_mut(..length), here.get(..length)) {
                    to.copy_from_slice(from);
                }
                early.consume(length);
                length
            }
        };
        if early.is_empty() && !early.is_absent() {
            wire.stock.give(std::mem::take(&mut early));
        }
        wire.heard.set(true);
        wire.turn.set(wire.turn.get().saturating_add(read));
        let seen = room.get(..read).unwrap_or_default();
        if !wire.watch(|guard| guard.received(seen, evenkeel_runtime::now())) {
            return Poll::Pending;
        }
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelIo<'_, '_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.0.poll_take(cx, slices))?;
        self.0.watch_taken(slices, taken);
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Says yes: the connection's task writes what was gathered at the end of its turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_empty(cx))?;
        Poll::Ready(self.0.channel.shutdown_write())
    }
}
