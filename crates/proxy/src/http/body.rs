//! Moves one message from one connection to another: its head, then its body, re-framed for the
//! receiver. One block at a time, so memory is bounded by one buffer and a slow receiver stops the
//! reading. Decides nothing about what is sent or when to give up; its caller holds the deadlines.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{ChunkError, ChunkedDecoder, chunk_head, content_coding};
use evenkeel_runtime::TcpStream;

use super::brake::Brake;
use super::splice::Splice;
use super::transform::{Stations, Through, When};
use crate::buffer::Buffer;
use crate::channel::Channel;

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A body at least this long is moved by the kernel, without passing through our memory.
/// Below it, setting up the pipe costs more than the copy it saves.
pub(crate) const SPLICE_MIN: u64 = 48 * 1024;

/// How the body arrives.
#[derive(Debug)]
pub(crate) enum Source {
    /// This many bytes are still to come.
    Exact(u64),
    /// In chunks (RFC 9112 §7.1).
    Chunked(Box<ChunkedDecoder>),
    /// Until the sender closes (responses only; RFC 9112 §6.3 rule 8).
    UntilClose,
    /// All of it is here.
    Done,
}

/// How the body is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// As it is: the receiver knows its length, or reads until we close.
    Identity,
    /// In chunks.
    Chunked,
}

/// Which of the two connections the pump is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// For the sender's next bytes.
    Source,
    /// For the receiver to take what there is.
    Sink,
    /// For neither: it may go on in a moment, as a limit on bandwidth says.
    Turn,
}

/// Why a message could not be moved.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The sender broke the connection.
    Source,
    /// The sender closed before the end of the body.
    Truncated,
    /// The sender's chunks break a rule.
    Malformed(ChunkError),
    /// The body is longer than allowed.
    TooLarge,
    /// The body cannot be changed as it should be.
    Broken,
    /// The receiver broke the connection.
    Sink,
}

/// One message on its way.
pub(crate) struct Pump {
    source: Source,
    sink: Sink,
    /// Longest body that is passed on.
    body_max: u64,
    block: Block,
    /// Blocks begun; the first carries the head.
    blocks: u64,
    /// Its first piece may have been sealed, which cannot be taken back.
    sealed: bool,
    splice: Option<Splice>,
    /// What it goes through, if anything: then no kernel moves it past us.
    stations: Option<Box<Stations>>,
    /// How fast it may be, if that is limited: then no kernel moves it past us either.
    brake: Option<Box<Brake>>,
    /// Bytes that the kernel has moved. They are not here any more.
    spliced: u64,
    /// What it waits for, valid after a `Pending`.
    pub(crate) waiting: Waiting,
    /// Bytes of body received so far, decoded.
    pub(crate) body_bytes: u64,
    /// Bytes handed to the receiver's kernel so far, framing included.
    pub(crate) sent: u64,
}

/// What is being written: head, chunk size, payload in the buffer, and what follows it.
#[derive(Default)]
struct Block {
    head: Vec<u8>,
    size: [u8; 18],
    size_len: usize,
    payload: (usize, usize),
    /// The payload of a body that is changed on its way.
    made: Vec<u8>,
    tail: Cow<'static, [u8]>,
    /// Lines of the trailer section (RFC 9112 §7.1.2), which the last chunk is followed by.
    trailers: Vec<u8>,
    length: usize,
    written: usize,
    /// Bytes of the buffer's window that this block stands for, taken off once it is settled.
    consumed: usize,
}

impl Pump {
    /// A message that begins with `head` and whose body follows in the buffer and the connection.
    pub(crate) fn new(head: Vec<u8>, source: Source, sink: Sink, body_max: u64) -> Self {
        let source = if let Source::Exact(0) = source { Source::Done } else { source };
        let block = Block { length: head.len(), head, ..Block::default() };
        Self {
            source,
            sink,
            body_max,
            block,
            blocks: 0,
            sealed: false,
            splice: None,
            stations: None,
            brake: None,
            spliced: 0,
            waiting: Waiting::Sink,
            body_bytes: 0,
            sent: 0,
        }
    }

    /// The body goes through these; before it is begun.
    pub(crate) fn through(mut self, stations: Stations) -> Self {
        let some = stations.observer.is_some() || stations.through.is_some();
        self.stations = some.then(|| Box::new(stations));
        self
    }

    /// It is no faster than this lets it be; before it is begun.
    pub(crate) fn slowed(mut self, brake: Option<Box<Brake>>) -> Self {
        self.brake = brake;
        self
    }

    /// When it may go on, if that is what it waits for.
    pub(crate) fn turn(&self) -> Option<Instant> {
        match self.waiting {
            Waiting::Turn => self.brake.as_ref()?.until(),
            _ => None,
        }
    }

    /// Ready when the bytes that are framed may move.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(brake) = &mut self.brake else { return Poll::Ready(()) };
        let turn = brake.poll(cx);
        if turn.is_pending() {
            self.waiting = Waiting::Turn;
        }
        turn
    }

    /// Moves what can be moved now. Ready when the whole message is with the receiver.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Channel,
        to: &Channel,
        buffer: &mut Buffer,
    ) -> Poll<Result<(), PumpError>> {
        if self.blocks == 0 {
            self.blocks = 1;
            self.frame(buffer)?;
        }
        loop {
            if self.splice.is_some() {
                // Begun between two plain connections only.
                let (Some(from), Some(to)) = (from.plain(), to.plain()) else {
                    return Poll::Ready(Err(PumpError::Sink));
                };
                return self.poll_splice(cx, from, to);
            }
            ready!(self.poll_turn(cx));
            ready!(self.poll_write(cx, to, buffer)).map_err(|_| PumpError::Sink)?;
            if self.is_tired() {
                self.waiting = Waiting::Source;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.frame_more(buffer)? {
                continue;
            }
            if self.is_received() {
                return Poll::Ready(Ok(()));
            }
            if self.begin_splice(from, to) {
                continue;
            }
            match self.poll_fill(cx, from, buffer) {
                Poll::Ready(filled) => filled?,
                Poll::Pending if self.flush() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Work has been done for a body that is changed, and more is to come: others are served first.
    fn is_tired(&mut self) -> bool {
        self.stations.as_mut().is_some_and(|stations| std::mem::take(&mut stations.tired))
            && !(self.is_received() && self.has_more().is_none())
    }

    /// More of a body that is changed can be made of what was received.
    fn has_more(&self) -> Option<&Through> {
        let through = self.stations.as_ref()?.through.as_deref()?;
        through.has_more().then_some(through)
    }

    /// Nothing is at hand: what a body that is changed was given so far is passed on. Whether anything
    /// is left of it.
    fn flush(&mut self) -> bool {
        let through = self.stations.as_mut().and_then(|stations| stations.through.as_mut());
        through.is_some_and(|through| through.flush())
    }

    /// All of the body is here; what is left is writing.
    pub(crate) fn is_received(&self) -> bool {
        matches!(self.source, Source::Done)
    }

    /// Something of it has been framed for the receiver.
    pub(crate) fn is_begun(&self) -> bool {
        self.blocks > 0
    }

    /// Whether all of the message is at hand when `received` bytes of its body are; only before it
    /// is begun.
    pub(crate) fn fits(&self, received: usize) -> bool {
        match &self.source {
            Source::Done => true,
            Source::Exact(left) => *left <= received as u64,
            Source::Chunked(_) | Source::UntilClose => false,
        }
    }

    /// Takes the message from the buffer without passing it on. Whether all of it was there, and
    /// nothing besides.
    pub(crate) fn takes_all(mut self, buffer: &mut Buffer) -> bool {
        let framed = self.frame(buffer).is_ok();
        buffer.consume(self.block.consumed);
        framed && self.is_received() && buffer.is_empty()
    }

    /// Nothing of the message has been written, or sealed to be written.
    pub(crate) fn is_unsent(&self) -> bool {
        self.sent == 0 && !self.sealed
    }

    /// The message can be sent again from its beginning: all that was taken from the sender is
    /// still in the first block.
    pub(crate) fn is_replayable(&self) -> bool {
        (self.blocks <= 1 || plant::is(Bug::ReplaysHalfAContent)) && self.spliced == 0
    }

    /// Begins again with another head; only after [`Self::is_replayable`].
    pub(crate) fn replay(&mut self, head: Vec<u8>) -> Vec<u8> {
        self.block.length = self.block.length - self.block.head.len() + head.len();
        self.block.written = 0;
        self.sent = 0;
        self.sealed = false;
        self.splice = None;
        std::mem::replace(&mut self.block.head, head)
    }

    /// Takes off the buffer what this message was made of; its head's space is returned.
    pub(crate) fn settle(&mut self, buffer: &mut Buffer) -> Vec<u8> {
        buffer.consume(std::mem::take(&mut self.block.consumed));
        std::mem::take(&mut self.block.head)
    }

    fn begin_block(&mut self, buffer: &mut Buffer) {
        buffer.consume(self.block.consumed);
        let mut head = std::mem::take(&mut self.block.head);
        head.clear(); // its space goes back to the stock at the end
        let mut made = std::mem::take(&mut self.block.made);
        made.clear();
        self.block = Block { head, made, ..Block::default() };
        self.blocks += 1;
    }

    /// Makes what is in the window the payload of the current block.
    fn frame(&mut self, buffer: &mut Buffer) -> Result<(), PumpError> {
        let window = buffer.filled().len();
        let (consumed, payload) = match &mut self.source {
            Source::Done => return Ok(()),
            Source::Exact(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(window);
                *left -= take as u64;
                if *left == 0 {
                    self.source = Source::Done;
                }
                (take, take)
            }
            Source::UntilClose => (window, window),
            Source::Chunked(decoder) => {
                let decoded = decoder.decode(buffer.filled_mut()).map_err(PumpError::Malformed)?;
                if decoded.done {
                    let trailers = decoder.trailers();
                    if self.sink == Sink::Chunked && !trailers.is_empty() {
                        let changed = self.stations.as_ref().is_some_and(|s| s.through.is_some());
                        self.block.trailers = match changed {
                            true => content_coding::trailers_without_digests(trailers),
                            false => trailers.to_vec(),
                        };
                    }
                    self.source = Source::Done;
                }
                (decoded.consumed, decoded.payload)
            }
        };
        // Before any failure: what was taken for body must never be read as the next request.
        self.block.consumed = consumed;
        self.body_bytes = self.body_bytes.saturating_add(payload as u64);
        if self.body_bytes > self.body_max {
            return Err(PumpError::TooLarge);
        }
        self.block.payload = (buffer.start(), buffer.start() + payload);
        match self.stations {
            Some(_) => self.visit(buffer),
            None => {
                self.frame_chunk(payload, self.is_received());
                Ok(())
            }
        }
    }

    /// Takes the payload of the current block past what it goes through.
    #[cold]
    fn visit(&mut self, buffer: &Buffer) -> Result<(), PumpError> {
        let (start, end) = self.block.payload;
        let last = self.is_received();
        let Some(stations) = &mut self.stations else { return Ok(()) };
        if let Some(observer) = &mut stations.observer {
            if end > start {
                observer.see(buffer.range(start, end));
            }
            if last {
                observer.end();
            }
        }
        let Some(through) = &mut stations.through else {
            self.frame_chunk(end - start, last);
            return Ok(());
        };
        through.give((start, end), When { flush: false, last });
        self.make(buffer)
    }

    /// Makes the next piece of a body that is changed the payload of the current block.
    fn make(&mut self, buffer: &Buffer) -> Result<(), PumpError> {
        let Some(stations) = &mut self.stations else { return Ok(()) };
        let Some(through) = &mut stations.through else { return Ok(()) };
        through.step(buffer).map_err(|_| PumpError::Broken)?;
        stations.tired = true;
        self.block.payload = (0, 0);
        std::mem::swap(&mut self.block.made, &mut through.out);
        let (made, end) = (self.block.made.len(), through.is_done());
        self.frame_chunk(made, end);
        Ok(())
    }

    /// Frames more of what was received, if it becomes more than one block. The first block of a
    /// message that is changed is never sent again.
    fn frame_more(&mut self, buffer: &mut Buffer) -> Result<bool, PumpError> {
        if self.has_more().is_none() {
            return Ok(false);
        }
        let consumed = std::mem::take(&mut self.block.consumed);
        let tail = std::mem::take(&mut self.block.trailers);
        self.begin_block(buffer);
        (self.block.consumed, self.block.trailers) = (consumed, tail);
        self.make(buffer)?;
        Ok(true)
    }

    /// Puts the chunk framing around a payload, when the receiver wants chunks; `end` if it is the
    /// last.
    fn frame_chunk(&mut self, payload: usize, end: bool) {
        if let Some(brake) = &mut self.brake {
            brake.note(payload);
        }
        let block = &mut self.block;
        if self.sink == Sink::Chunked {
            if payload > 0 {
                block.size_len = chunk_head(payload, &mut block.size);
            }
            block.tail = match (payload > 0, end, block.trailers.as_slice()) {
                (false, false, _) => Cow::Borrowed(b""),
                (true, false, _) => Cow::Borrowed(b"\r\n"),
                (false, true, []) => Cow::Borrowed(LAST_CHUNK),
                (true, true, []) => Cow::Borrowed(b"\r\n0\r\n\r\n"),
                (false, true, lines) => Cow::Owned([b"0\r\n", lines, b"\r\n"].concat()),
                (true, true, lines) => Cow::Owned([b"\r\n0\r\n", lines, b"\r\n"].concat()),
            };
        }
        block.length = block.head.len() + block.size_len + payload + block.tail.len();
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &Channel,
        buffer: &Buffer,
    ) -> Poll<io::Result<()>> {
        let block = &mut self.block;
        while block.written < block.length {
            self.waiting = Waiting::Sink;
            self.sealed |= to.plain().is_none();
            let payload = match block.made.as_slice() {
                [] => buffer.range(block.payload.0, block.payload.1),
                made => made,
            };
            let size = block.size.get(..block.size_len).unwrap_or_default();
            let parts = [block.head.as_slice(), size, payload, &block.tail];
            let mut slices = [IoSlice::new(&[]); 4];
            let mut count = 0;
            let mut skip = block.written;
            for part in parts {
                if let Some(rest) = part.get(skip..)
                    && !rest.is_empty()
                {
                    if let Some(slot) = slices.get_mut(count) {
                        *slot = IoSlice::new(rest);
                    }
                    count += 1;
                }
                skip = skip.saturating_sub(part.len());
            }
            let ready = match slices.get(..count) {
                Some([one]) => ready!(to.poll_write(cx, one)),
                Some(several) => ready!(to.poll_write_vectored(cx, several)),
                None => Ok(0),
            };
            match ready? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => {
                    block.written += n;
                    if plant::is(Bug::ShortWriteForgets) {
                        block.written = block.length;
                    }
                    self.sent = self.sent.saturating_add(n as u64);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more and makes it the next block. The first block is kept until then: as long as
    /// nothing more was read, the message can be sent again.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Channel,
        buffer: &mut Buffer,
    ) -> Poll<Result<(), PumpError>> {
        if self.blocks > 1 || buffer.is_full() {
            self.begin_block(buffer);
            buffer.rewind_if_empty();
        }
        self.waiting = Waiting::Source;
        if buffer.is_full() {
            // Cannot be: every window is framed whole before a read. Never spin if it were.
            return Poll::Ready(Err(PumpError::Truncated));
        }
        let mut room = buffer.spare();
        if let Some(brake) = &self.brake {
            let piece = brake.piece().min(room.len());
            room = room.get_mut(..piece).unwrap_or_default();
        }
        let read = ready!(from.poll_read(cx, room)).map_err(|_| PumpError::Source)?;
        buffer.extend(read);
        self.begin_block(buffer);
        if read > 0 {
            return Poll::Ready(self.frame(buffer));
        }
        if !matches!(self.source, Source::UntilClose) && !plant::is(Bug::CutContentEndsWell) {
            return Poll::Ready(Err(PumpError::Truncated));
        }
        self.source = Source::Done;
        self.block.payload = (buffer.start(), buffer.start());
        Poll::Ready(match self.stations {
            Some(_) => self.visit(buffer),
            None => {
                self.frame_chunk(0, true);
                Ok(())
            }
        })
    }

    /// Hands a long body of known length to the kernel, once what was already read is written.
    fn begin_splice(&mut self, from: &Channel, to: &Channel) -> bool {
        let is_plain = from.plain().is_some() && to.plain().is_some();
        let is_plain = is_plain && self.stations.is_none() && self.brake.is_none();
        if let (Source::Exact(left), Sink::Identity) = (&self.source, self.sink)
            && *left >= SPLICE_MIN
            && is_plain
            && self.body_bytes.saturating_add(*left) <= self.body_max
        {
            self.splice = Splice::new(*left);
        }
        self.splice.is_some()
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
    ) -> Poll<Result<(), PumpError>> {
        let Some(splice) = &mut self.splice else { return Poll::Ready(Ok(())) };
        let (received, sent) = (splice.received, splice.sent);
        let result = splice.poll(cx, from, to);
        self.spliced = self.spliced.saturating_add(splice.received - received);
        self.body_bytes = self.body_bytes.saturating_add(splice.received - received);
        self.sent = self.sent.saturating_add(splice.sent - sent);
        self.waiting = splice.waiting;
        if let Poll::Ready(Ok(())) = result {
            self.source = Source::Done;
            self.splice = None;
        }
        result
    }
}
