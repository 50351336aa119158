//! One stream of a client's connection as an exchange's channel: what is read is the request's content
//! as HTTP/1 has it, what is written is an HTTP/1 response. Owns that translation in both directions,
//! piece by piece; holds at most one piece of what the client sent, and nothing of what it is sent.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Write as _};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use evenkeel_codec::{BodyLength, HeadLimits, Parse, RequestContext, ResponseHead};

use super::fields;
use super::framing::{Framing, Part};
use super::transport::{Transport, Why};
use super::trunk::Live;
use super::websocket::Key;

/// Heads that an exchange writes: a server's, which is bounded, and what is added to it.
const RESPONSE_LIMITS: HeadLimits = HeadLimits { head: 256 * 1024, line: 16 * 1024, fields: 1024 };

/// What the request asked for, as far as its response depends on it.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The response has no content.
    pub(crate) is_head: bool,
    /// An extended CONNECT: only a 101 is success.
    pub(crate) tunnel: Option<Tunnel>,
}

/// See [`Asked::tunnel`].
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// The key that the server has to answer, for WebSocket.
    pub(crate) key: Option<Key>,
}

/// See the module's head.
pub(crate) struct ServerStream {
    transport: RefCell<Transport>,
    input: RefCell<Input>,
    output: RefCell<Output>,
    asked: Asked,
    written: Cell<u64>,
    /// Bytes that were taken and not yet said to be: the transport still has something of them.
    owed: Cell<usize>,
    live: Live,
}

/// The request's content.
struct Input {
    source: Source,
    /// Framing that comes before the piece.
    frame: Vec<u8>,
    given: usize,
    /// What has arrived and was not read.
    piece: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// So many bytes are still to come.
    Exact(u64),
    Chunked,
    /// A tunnel's bytes.
    Raw,
    /// A tunnel whose client has ended its half.
    RawEnded,
    Ended,
}

/// The response.
enum Output {
    /// A head is next: interim ones, then the final one.
    Head,
    Body(Framing),
    /// The client has been sent all of it.
    Ended,
    /// It was given up.
    Aborted,
}

impl ServerStream {
    /// A stream whose request's head has been read, and whose content follows like `body`.
    pub(crate) fn new(transport: Transport, live: Live, body: BodyLength, asked: Asked) -> Self {
        let source = match body {
            BodyLength::None => Source::Exact(0),
            BodyLength::Exact(length) => Source::Exact(length),
            BodyLength::Chunked => Source::Chunked,
            BodyLength::UntilClose => Source::Raw,
        };
        Self {
            transport: RefCell::new(transport),
            input: RefCell::new(Input { source, frame: Vec::new(), given: 0, piece: Bytes::new() }),
            output: RefCell::new(Output::Head),
            asked,
            written: Cell::new(0),
            owed: Cell::new(0),
            live,
        }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.live.trunk().peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.live.trunk().local
    }

    /// Bytes of HTTP/1 that were taken.
    pub(crate) fn total_written(&self) -> u64 {
        self.written.get()
    }

    /// Ready when a read gives something: bytes, the end of a tunnel's half, or an error.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let input = &mut *self.input.borrow_mut();
        if input.has_bytes() {
            return Poll::Ready(Ok(()));
        }
        input.poll_fetch(cx, &mut self.transport.borrow_mut()).map_ok(|_| ())
    }

    /// Content, framed as the head says. After its end only a client that gives the stream up makes
    /// it ready: with an error.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let input = &mut *self.input.borrow_mut();
        let transport = &mut *self.transport.borrow_mut();
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            if input.has_bytes() {
                filled += input.give(room, transport);
                continue;
            }
            match input.poll_fetch(cx, transport) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Err(error)) if filled == 0 => return Poll::Ready(Err(error)),
                Poll::Pending if filled == 0 => return Poll::Pending,
                _ => break,
            }
        }
        Poll::Ready(Ok(filled))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Takes what can be sent now. A head is in one piece at the beginning of a slice. What was taken is
    /// said to be once the transport has none of it left: nobody else asks it to send the rest.
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let transport = &mut *self.transport.borrow_mut();
        if self.owed.get() > 0 {
            return self.poll_sent(cx, transport);
        }
        let counts = !transport.counts_itself();
        if counts && self.live.trunk().poll_room(cx).is_pending() {
            self.live.stalls(true);
            return Poll::Pending;
        }
        let output = &mut *self.output.borrow_mut();
        let total = slices.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
        let (mut taken, mut room, mut payload) = (0, None, BytesMut::new());
        'slices: for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let used = match output {
                    Output::Head => self.take_head(output, transport, rest)?,
                    Output::Body(framing) => match framing.next(rest) {
                        Part::Frame(count) | Part::End(count) => count,
                        Part::Payload(count) => {
                            let wanted = total.saturating_sub(taken);
                            let left = match room {
                                Some(left) => left,
                                None => match transport.poll_capacity(cx, wanted) {
                                    Poll::Ready(capacity) => capacity?,
                                    Poll::Pending => break 'slices,
                                },
                            };
                            let count = count.min(left);
                            if count == 0 {
                                break 'slices;
                            }
                            if payload.is_empty() {
                                payload.reserve(wanted.min(left));
                            }
                            payload.extend_from_slice(rest.get(..count).unwrap_or_default());
                            framing.take(count);
                            room = Some(left - count);
                            count
                        }
                        Part::Wrong => return Poll::Ready(Err(defect())),
                    },
                    Output::Ended | Output::Aborted => return Poll::Ready(Err(defect())),
                };
                taken += used;
                rest = rest.get(used..).unwrap_or_default();
                if let Output::Body(framing) = output
                    && framing.ends()
                {
                    break 'slices;
                }
            }
        }
        send_piece(output, transport, payload)?;
        if counts {
            self.live.trunk().queue(taken);
        }
        if taken == 0 && total > 0 {
            self.live.stalls(true);
            return Poll::Pending; // `poll_capacity` wakes
        }
        self.owed.set(taken);
        self.poll_sent(cx, transport)
    }

    /// Ready when what was taken is with the protocol's library.
    fn poll_sent(
        &self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
    ) -> Poll<io::Result<usize>> {
        let flushed = transport.poll_flush(cx);
        self.live.stalls(flushed.is_pending());
        ready!(flushed)?;
        let taken = self.owed.take();
        self.written.set(self.written.get().saturating_add(taken as u64));
        Poll::Ready(Ok(taken))
    }

    /// Sends the head at the beginning of `bytes`; its length.
    fn take_head(
        &self,
        output: &mut Output,
        transport: &mut Transport,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let heads = &self.live.trunk().worker.heads;
        let mut head = heads.response();
        let context = RequestContext {
            is_head: self.asked.is_head,
            offers_upgrade: self.asked.tunnel.is_some(),
        };
        let Ok(Parse::Complete(length)) = head.parse(bytes, &RESPONSE_LIMITS, &context) else {
            return Err(defect());
        };
        let status = match head.status {
            // RFC 8441 §5: a 2xx says that the tunnel is there, and no other answer may.
            101 => 200,
            200..300 if self.asked.tunnel.is_some() => 501,
            status => status,
        };
        let response = fields::read_response(&head, bytes, status).map_err(|_| defect())?;
        if head.status < 200 && head.status != 101 {
            transport.send_interim(response)?;
        } else {
            let framing = match head.body {
                _ if head.status == 101 => Framing::Endless,
                body => Framing::of(body),
            };
            transport.send_head(response, framing.is_ended())?;
            *output = if framing.is_ended() { Output::Ended } else { Output::Body(framing) };
        }
        heads.give_response(head);
        Ok(length)
    }

    /// Whether an exchange's server gave an answer that this stream's client must not see: a switch
    /// that proves nothing, or a success that is no switch (RFC 6455 §4.1, RFC 8441 §5).
    pub(crate) fn refuses(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        let Some(tunnel) = &self.asked.tunnel else { return false };
        match (head.status, &tunnel.key) {
            (101, Some(key)) => {
                let mut answers = head.fields.iter().filter(|field| {
                    field.name.of(bytes).eq_ignore_ascii_case(b"sec-websocket-accept")
                });
                let answer = answers.next().map(|field| field.value.of(bytes));
                !answer.is_some_and(|answer| key.is_accepted_by(answer))
            }
            (status, _) => (200..300).contains(&status),
        }
    }

    /// Ready when the client has given the stream up.
    pub(crate) fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.borrow_mut().poll_reset(cx)
    }

    /// So much waits for this stream's client that more should be little.
    pub(crate) fn is_crowded(&self) -> bool {
        self.live.trunk().is_crowded()
    }

    /// Ends our half of a tunnel.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        let mut output = self.output.borrow_mut();
        if let Output::Body(Framing::Endless) = *output {
            *output = Output::Ended;
            self.transport.borrow_mut().send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    /// Gives the stream up: the client notices that something is missing.
    pub(crate) fn abort(&self) {
        let why = match &*self.output.borrow() {
            Output::Body(Framing::Endless) => Why::Tunnel,
            _ => Why::Internal,
        };
        self.output.replace(Output::Aborted);
        self.transport.borrow_mut().reset(why);
    }
}

/// Sends gathered payload, and the end if it has come.
fn send_piece(output: &mut Output, transport: &mut Transport, payload: BytesMut) -> io::Result<()> {
    let Output::Body(framing) = output else { return Ok(()) };
    let trailers = framing.take_trailers();
    let ended = framing.is_ended();
    if !payload.is_empty() || (ended && trailers.is_none()) {
        transport.send_data(payload.freeze(), ended && trailers.is_none())?;
    }
    if let Some(lines) = trailers {
        transport.send_trailers(fields::read_trailers(&lines).map_err(|_| defect())?)?;
    }
    if ended {
        *output = Output::Ended;
    }
    Ok(())
}

/// What was written is no response: a defect here, which must not look like an answer.
fn defect() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        // A request that was not read to its end is given up by the transport, in good order.
        if !matches!(*self.output.borrow(), Output::Ended | Output::Aborted) {
            self.transport.borrow_mut().reset(Why::Internal);
        }
    }
}

impl Input {
    fn has_bytes(&self) -> bool {
        self.given < self.frame.len() || !self.piece.is_empty()
    }

    /// Copies what is here to `room`; how much. What leaves is room for the client to send more.
    fn give(&mut self, room: &mut [u8], transport: &mut Transport) -> usize {
        let frame = self.frame.get(self.given..).unwrap_or_default();
        if !frame.is_empty() {
            let count = copy(frame, room);
            self.given += count;
            return count;
        }
        let count = copy(&self.piece, room);
        self.piece.advance(count);
        transport.release(count);
        if self.piece.is_empty() && self.source == Source::Chunked {
            self.begin_frame();
            self.frame.extend_from_slice(b"\r\n");
        }
        count
    }

    fn begin_frame(&mut self) {
        self.frame.clear();
        self.given = 0;
    }

    /// Waits for the next piece; `false` at the end of a tunnel's half.
    fn poll_fetch(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
    ) -> Poll<io::Result<bool>> {
        loop {
            match self.source {
                Source::Ended => {
                    ready!(transport.poll_reset(cx));
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Source::RawEnded => return Poll::Ready(Ok(false)),
                Source::Exact(_) | Source::Chunked | Source::Raw => {}
            }
            match ready!(transport.poll_data(cx))? {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    self.take_piece(piece, transport)?;
                    return Poll::Ready(Ok(true));
                }
                None => {
                    ready!(self.poll_end(cx, transport))?;
                    if self.has_bytes() {
                        return Poll::Ready(Ok(true));
                    }
                }
            }
        }
    }

    fn take_piece(&mut self, piece: Bytes, transport: &mut Transport) -> io::Result<()> {
        let length = piece.len();
        match &mut self.source {
            // More content than announced (RFC 9113 §8.1.1).
            Source::Exact(left) if length as u64 > *left => return Err(malformed(transport)),
            Source::Exact(left) => *left -= length as u64,
            Source::Chunked => {
                self.begin_frame();
                let _ = write!(self.frame, "{length:x}\r\n"); // a vector takes everything
            }
            Source::Raw | Source::RawEnded | Source::Ended => {}
        }
        self.piece = piece;
        Ok(())
    }

    fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
    ) -> Poll<io::Result<()>> {
        self.source = match self.source {
            // Less content than announced.
            Source::Exact(left) if left > 0 => return Poll::Ready(Err(malformed(transport))),
            Source::Chunked => {
                let trailers = ready!(transport.poll_trailers(cx))?;
                self.begin_frame();
                self.frame.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers
                    && fields::write_trailers(&mut self.frame, &trailers).is_err()
                {
                    self.begin_frame();
                    return Poll::Ready(Err(malformed(transport)));
                }
                self.frame.extend_from_slice(b"\r\n");
                Source::Ended
            }
            Source::Raw | Source::RawEnded => Source::RawEnded,
            Source::Exact(_) | Source::Ended => Source::Ended,
        };
        Poll::Ready(Ok(()))
    }
}

/// Ends a stream whose message breaks a rule.
fn malformed(transport: &mut Transport) -> io::Error {
    transport.reset(Why::Malformed);
    io::ErrorKind::InvalidData.into()
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..count), from.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}
