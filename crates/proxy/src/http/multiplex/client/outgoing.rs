//! The request's half of a stream: HTTP/1 text in, HEADERS, DATA and trailers out.

use std::io::IoSlice;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use evenkeel_codec::{
    BodyLength, ChunkedDecoder, HeadLimits, Method, Parse, RequestHead, TrailerLimits,
};
use http::HeaderMap;

use super::Broken;
use super::incoming::{Expected, Incoming};
use super::transport::{Sending, Why};
use crate::http::multiplex::fields;
use crate::http::upstream::links::Lent;

/// Bytes taken of one write: a block's worth, which is what a stream holds beside the connection's
/// own buffers.
const TAKE_MAX: usize = 16 * 1024;

/// The head is our own: at most twice what a listener takes, and what is said about the client. Beyond
/// it something is wrong here.
const LIMITS: HeadLimits = HeadLimits { head: 4 << 20, line: 2 << 20, fields: 20_000 };

/// See the module's head.
#[derive(Default)]
pub(super) struct Outgoing {
    stage: Stage,
    stream: Option<Sending>,
    /// Taken, and not yet with the connection.
    held: Bytes,
    /// What follows it.
    last: Option<Last>,
    /// Bytes of the write that `held` stands for.
    taken: usize,
}

#[derive(Default)]
enum Stage {
    #[default]
    Begin,
    /// So much of the head has come.
    Head(Box<RequestHead>, Vec<u8>),
    /// So many bytes are to come.
    Exact(u64),
    Chunked(Box<ChunkedDecoder>),
    /// Whatever comes is content.
    Tunnel,
    /// All has been taken.
    Ended,
}

enum Last {
    End,
    Trailers(HeaderMap),
}

impl Outgoing {
    /// Ready when all that was taken is with the connection. While it is pending it has to be
    /// repeated with the same bytes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
        lent: &Lent,
        back: &mut Incoming,
    ) -> Poll<Result<usize, Broken>> {
        if self.taken == 0 {
            self.take(slices, lent, back)?;
        }
        ready!(self.poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.taken)))
    }

    fn take(
        &mut self,
        slices: &[IoSlice<'_>],
        lent: &Lent,
        back: &mut Incoming,
    ) -> Result<(), Broken> {
        let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
        match std::mem::take(&mut self.stage) {
            Stage::Begin => self.take_head(Box::default(), Vec::new(), slices, lent, back)?,
            Stage::Head(head, text) => self.take_head(head, text, slices, lent, back)?,
            stage => {
                self.stage = stage;
                let mut piece = BytesMut::with_capacity(total.min(TAKE_MAX));
                for slice in slices {
                    let room = TAKE_MAX.saturating_sub(piece.len());
                    piece.extend_from_slice(slice.get(..room).unwrap_or(slice));
                }
                self.taken = piece.len();
                self.frame(piece)?;
            }
        }
        Ok(())
    }

    /// Takes all of it: a head comes in few pieces, with a block of content at most.
    fn take_head(
        &mut self,
        mut head: Box<RequestHead>,
        mut text: Vec<u8>,
        slices: &[IoSlice<'_>],
        lent: &Lent,
        back: &mut Incoming,
    ) -> Result<(), Broken> {
        let before = text.len();
        slices.iter().for_each(|slice| text.extend_from_slice(slice));
        self.taken = text.len() - before;
        let length = match head.parse(&text, &LIMITS) {
            Ok(Parse::Complete(length)) => length,
            Ok(Parse::Partial) => {
                self.stage = Stage::Head(head, text);
                return Ok(());
            }
            Err(_) => return Err(Broken::Request),
        };
        self.begin(&head, &text, lent, back)?;
        self.frame(BytesMut::from(text.get(length..).unwrap_or_default()))
    }

    /// Opens the stream.
    fn begin(
        &mut self,
        head: &RequestHead,
        text: &[u8],
        lent: &Lent,
        back: &mut Incoming,
    ) -> Result<(), Broken> {
        let request =
            fields::read_request(head, text, lent.is_secure()).map_err(|_| Broken::Request)?;
        let mut expected = match head.method {
            Method::Head => Expected::Head,
            _ => Expected::Content,
        };
        let mut protocol = None;
        if let Some(asked) = head.upgrade.map(|upgrade| upgrade.of(text)) {
            protocol = Some(std::str::from_utf8(asked).map_err(|_| Broken::Request)?);
            let mut keys = head.named(text, b"sec-websocket-key");
            let key = keys.next().map(<[u8]>::to_vec);
            expected = Expected::Switch { protocol: asked.to_vec(), key };
        }
        let ends =
            head.upgrade.is_none() && matches!(head.body, BodyLength::None | BodyLength::Exact(0));
        let (response, stream) = lent.send(request, protocol, ends)?;
        back.expect(response, expected);
        self.stream = Some(stream);
        self.stage = match head.body {
            _ if ends => Stage::Ended,
            _ if head.upgrade.is_some() => Stage::Tunnel,
            BodyLength::Exact(length) => Stage::Exact(length),
            _ => Stage::Chunked(Box::new(ChunkedDecoder::new(TrailerLimits::default()))),
        };
        Ok(())
    }

    /// Makes content of what was taken.
    fn frame(&mut self, mut piece: BytesMut) -> Result<(), Broken> {
        match &mut self.stage {
            Stage::Exact(left) => {
                *left = left.checked_sub(piece.len() as u64).ok_or(Broken::Request)?;
                if *left == 0 {
                    self.last = Some(Last::End);
                    self.stage = Stage::Ended;
                }
            }
            Stage::Chunked(decoder) => {
                let decoded = decoder.decode(&mut piece).map_err(|_| Broken::Request)?;
                piece.truncate(decoded.payload);
                if decoded.done {
                    let trailers = fields::read_trailers(decoder.trailers());
                    let trailers = trailers.map_err(|_| Broken::Request)?;
                    self.last = Some(match trailers.is_empty() {
                        true => Last::End,
                        false => Last::Trailers(trailers),
                    });
                    self.stage = Stage::Ended;
                }
            }
            Stage::Tunnel => {}
            _ if piece.is_empty() => {}
            _ => return Err(Broken::Request),
        }
        self.held = piece.freeze();
        Ok(())
    }

    /// The stream is open: the server may have seen the request's head.
    pub(super) fn has_begun(&self) -> bool {
        self.stream.is_some()
    }

    /// Gives the connection what is held, as the windows allow (RFC 9113 §5.2).
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        while !self.held.is_empty() {
            let room = ready!(stream.poll_capacity(cx, self.held.len()))?;
            let piece = self.held.split_to(room.min(self.held.len()));
            let ends = self.held.is_empty() && matches!(self.last, Some(Last::End));
            stream.send_data(piece, ends)?;
            if ends {
                self.last = None;
            }
        }
        match self.last.take() {
            Some(Last::End) => stream.send_data(Bytes::new(), true)?,
            Some(Last::Trailers(trailers)) => stream.send_trailers(trailers)?,
            None => {}
        }
        stream.poll_flush(cx)
    }

    /// All of the request is with the connection.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended) && self.held.is_empty() && self.last.is_none()
    }

    /// Ends our half of a tunnel.
    pub(super) fn end_tunnel(&mut self) -> Result<(), Broken> {
        if let (Stage::Tunnel, Some(stream)) = (&self.stage, &mut self.stream) {
            self.stage = Stage::Ended;
            stream.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    /// Nobody wants the rest.
    pub(super) fn cancel(&mut self) {
        self.reset(Why::Unwanted);
    }

    /// The server's message is malformed (RFC 9113 §8.1.1).
    pub(super) fn refuse(&mut self) {
        self.reset(Why::Malformed);
    }

    fn reset(&mut self, why: Why) {
        if let Some(stream) = &mut self.stream {
            stream.reset(why);
        }
    }
}
