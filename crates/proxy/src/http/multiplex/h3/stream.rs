//! One request stream (RFC 9114 §4.1) of either side: frames in, pieces of a message out, and the other
//! way round. Holds a field section while it arrives, and of what is sent what its frame has before the
//! payload; payloads are handed on as they are.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use evenkeel_codec::h3::{Code, HeadReader, Piece, RequestStream, frame_head};
use quinn::{ReadError, RecvStream, SendStream, WriteError};

use crate::http::multiplex::trunk::Live;

/// Bytes of a body that are taken at once.
const BODY_MAX: usize = 16 * 1024;
/// Bytes without a meaning are read away in pieces of this size.
const NOTHING: usize = 512;

/// Why a stream goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The peer gave it up, and why.
    GivenUp(u64),
    /// The connection is gone.
    Gone,
    /// The peer breaks a rule: the connection ends.
    Connection(Code),
    /// The peer ended it in the middle: it ends.
    Stream(Code),
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::GivenUp(code.into_inner()),
            _ => Self::Gone,
        }
    }
}

impl From<WriteError> for Broken {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::GivenUp(code.into_inner()),
            _ => Self::Gone,
        }
    }
}

/// What comes next on a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A field section, whole.
    Fields(Vec<u8>),
    /// Bytes of the body, to be read.
    Body,
    /// Nothing.
    End,
}

/// The half that is read.
pub(crate) struct Inward {
    stream: RecvStream,
    order: RequestStream,
    head: HeadReader,
    at: At,
}

enum At {
    Between,
    /// What has come of a section, and how long it is.
    Fields(Vec<u8>, usize),
    /// So many bytes of the body are left in this frame.
    Body(u64),
    Nothing(u64),
    Ended,
}

impl Inward {
    /// `fields_max`: longest field section, as it is on the wire.
    pub(crate) fn new(stream: RecvStream, fields_max: u64) -> Self {
        let order = RequestStream::new(fields_max);
        Self { stream, order, head: HeadReader::default(), at: At::Between }
    }

    /// Whether it began before the client had proven that it is there (RFC 8470 §2).
    pub(crate) fn is_early(&self) -> bool {
        self.stream.is_0rtt()
    }

    /// What comes next; empty frames of the body are passed over.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Broken>> {
        loop {
            match &mut self.at {
                At::Between => {
                    let mut room = [0; 16];
                    let room = room.get_mut(..self.head.wanted()).unwrap_or_default();
                    let read = ready!(self.stream.poll_read(cx, room))?;
                    if read == 0 {
                        return Poll::Ready(self.end());
                    }
                    let read = room.get(..read).unwrap_or_default();
                    let Some(head) = self.head.push(read) else { continue };
                    self.at = match self.order.next(head).map_err(Broken::Connection)? {
                        Piece::Fields(length) => At::Fields(Vec::new(), length),
                        Piece::Body(length) => At::Body(length),
                        Piece::Nothing(length) => At::Nothing(length),
                    };
                }
                At::Fields(section, length) if section.len() >= *length => {
                    let section = std::mem::take(section);
                    self.at = At::Between;
                    return Poll::Ready(Ok(Next::Fields(section)));
                }
                At::Fields(section, length) => {
                    // Memory for what has come, not for what was announced.
                    let have = section.len();
                    section.resize((have + 1024).min(*length), 0);
                    let room = section.get_mut(have..).unwrap_or_default();
                    let read = self.stream.poll_read(cx, room);
                    section.truncate(match &read {
                        Poll::Ready(Ok(read)) => have.saturating_add(*read),
                        _ => have,
                    });
                    if ready!(read)? == 0 {
                        return Poll::Ready(Err(Broken::Connection(Code::FrameError))); // §7.1
                    }
                }
                At::Body(0) | At::Nothing(0) => self.at = At::Between,
                At::Body(_) => return Poll::Ready(Ok(Next::Body)),
                At::Nothing(left) => {
                    let mut room = [0; NOTHING];
                    let wanted = usize::try_from(*left).unwrap_or(NOTHING).min(NOTHING);
                    let room = room.get_mut(..wanted).unwrap_or_default();
                    match ready!(self.stream.poll_read(cx, room))? {
                        0 => return Poll::Ready(Err(Broken::Connection(Code::FrameError))),
                        read => *left = left.saturating_sub(read as u64),
                    }
                }
                At::Ended => return Poll::Ready(Ok(Next::End)),
            }
        }
    }

    fn end(&mut self) -> Result<Next, Broken> {
        if !self.head.is_between_frames() {
            return Err(Broken::Connection(Code::FrameError)); // §7.1
        }
        if !self.order.has_head() {
            return Err(Broken::Stream(Code::RequestIncomplete)); // §4.1
        }
        self.at = At::Ended;
        Ok(Next::End)
    }

    /// The field section that has come was an interim response's: another one follows.
    pub(crate) fn was_interim(&mut self) {
        self.order.was_interim();
    }

    /// Bytes of the body after [`Next::Body`]; `None` when it has to be asked what comes next.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Broken>> {
        let At::Body(left) = &mut self.at else { return Poll::Ready(Ok(None)) };
        let wanted = usize::try_from(*left).unwrap_or(BODY_MAX).min(BODY_MAX);
        if wanted == 0 {
            return Poll::Ready(Ok(None));
        }
        match ready!(pin!(self.stream.read_chunk(wanted, true)).poll(cx))? {
            None => Poll::Ready(Err(Broken::Connection(Code::FrameError))),
            Some(chunk) => {
                *left = left.saturating_sub(chunk.bytes.len() as u64);
                Poll::Ready(Ok(Some(chunk.bytes)))
            }
        }
    }

    /// Whether the peer has said everything.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.at, At::Ended)
    }

    /// What is still to come is not wanted (RFC 9000 §3.5).
    pub(crate) fn stop(&mut self, code: Code) {
        let _ = self.stream.stop(super::code(code)); // it may have ended meanwhile
    }
}

/// What is known of how a stream ended: whether the client did not want all of it, or has it.
enum Stopped {
    Unasked,
    Asked(Pin<Box<dyn Future<Output = bool>>>),
    Known(bool),
}

/// The half that is written.
pub(crate) struct Outward {
    stream: SendStream,
    /// What is to be sent before anything else.
    staged: VecDeque<Bytes>,
    end: End,
    stopped: Stopped,
    /// A client's connection, which counts what is staged. To a server one stream never waits for what
    /// others have staged, which is a piece for each.
    live: Option<Live>,
    counted: usize,
}

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// Nothing but what is staged.
    Staged,
    /// Nothing.
    Sent,
    /// Nothing, and what was sent is forgotten.
    GivenUp,
}

impl Outward {
    pub(crate) fn new(stream: SendStream, live: Option<Live>) -> Self {
        let (staged, end, stopped) = (VecDeque::new(), End::Open, Stopped::Unasked);
        Self { stream, staged, end, stopped, live, counted: 0 }
    }

    /// Ready when nothing is staged any more, and not too much on the connection's other streams.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.poll_flush(cx))?;
        match &self.live {
            Some(live) => live.trunk().poll_room(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ready when nothing is staged any more.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let flushed = self.poll_send(cx);
        self.count();
        flushed
    }

    /// Tells the connection how much is staged.
    fn count(&mut self) {
        let Some(live) = &self.live else { return };
        let staged =
            self.staged.iter().fold(0, |sum: usize, bytes| sum.saturating_add(bytes.len()));
        live.trunk().requeue(self.counted, staged);
        self.counted = staged;
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.staged.is_empty() {
            let chunks = self.staged.make_contiguous();
            let written = ready!(pin!(self.stream.write_chunks(chunks)).poll(cx))?;
            self.staged.drain(..written.chunks.min(self.staged.len()));
        }
        if self.end == End::Staged {
            self.end = End::Sent;
            let _ = self.stream.finish(); // if it is closed already, nothing is missing
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what QUIC takes at once.
    fn flush_now(&mut self) -> Result<(), Broken> {
        match self.poll_flush(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(broken)) => Err(broken),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Sends a field section; `ended`: nothing follows.
    pub(crate) fn put_fields(&mut self, section: Vec<u8>, ended: bool) -> Result<(), Broken> {
        self.put(frame_head(true, section.len()), section.into(), ended)
    }

    /// Sends bytes of the body; `ended`: nothing follows.
    pub(crate) fn put_body(&mut self, bytes: Bytes, ended: bool) -> Result<(), Broken> {
        let head = if bytes.is_empty() { Vec::new() } else { frame_head(false, bytes.len()) };
        self.put(head, bytes, ended)
    }

    fn put(&mut self, head: Vec<u8>, payload: Bytes, ended: bool) -> Result<(), Broken> {
        let frame = [Bytes::from(head), payload];
        self.staged.extend(frame.into_iter().filter(|bytes| !bytes.is_empty()));
        if ended {
            self.end = End::Staged;
        }
        self.flush_now()
    }

    /// Whether everything has been staged.
    pub(crate) fn has_ended(&self) -> bool {
        self.end != End::Open
    }

    /// Whether everything has been sent.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.end, End::Sent | End::GivenUp)
    }

    /// Whether nothing of it is sent any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.end == End::GivenUp
    }

    /// Ready when the client has all that was sent, or does not want it.
    pub(crate) fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_flush(cx)) {
            Ok(()) => self.poll_stopped(cx).map(drop),
            Err(_) => Poll::Ready(()),
        }
    }

    /// What was sent is not all there should have been (RFC 9114 §4.1.1).
    pub(crate) fn reset(&mut self, code: Code) {
        self.staged.clear();
        self.count();
        self.end = End::GivenUp;
        let _ = self.stream.reset(super::code(code));
    }

    /// Ready when the client does not want the response any more.
    pub(crate) fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_stopped(cx)) {
            true => Poll::Ready(()),
            false => Poll::Pending, // all of it was received
        }
    }

    /// Ready with whether the client does not want all of it, once it has or does not want it.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match &mut self.stopped {
                Stopped::Unasked => {
                    let stopped = self.stream.stopped();
                    let refused = async move { !matches!(stopped.await, Ok(None)) };
                    self.stopped = Stopped::Asked(Box::pin(refused));
                }
                Stopped::Asked(refused) => {
                    self.stopped = Stopped::Known(ready!(refused.as_mut().poll(cx)));
                }
                Stopped::Known(refused) => return Poll::Ready(*refused),
            }
        }
    }
}

impl Drop for Outward {
    fn drop(&mut self) {
        self.staged.clear();
        self.count();
    }
}
