//! The response's half of a stream: HEADERS, DATA and trailers in, HTTP/1 text out. Takes no more
//! from the connection than has been read here, so a slow client stops the server.

use std::io::Write as _;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use evenkeel_codec::BodyLength;

use super::Broken;
use super::transport::{Head, Receiving};
use crate::http::multiplex::fields;

/// See the module's head.
#[derive(Default)]
pub(super) struct Incoming {
    stage: Stage,
    /// Heads, chunk sizes and trailers on their way to the reader.
    text: Vec<u8>,
    /// Bytes of it that have been read.
    at: usize,
    /// Content behind the text.
    piece: Bytes,
    is_chunked: bool,
    /// Content that is still to be read, if its length is known.
    left: Option<u64>,
    stream: Option<Receiving>,
}

/// What kind of response the request asks for.
pub(super) enum Expected {
    Content,
    /// One without content.
    Head,
    /// A tunnel of this protocol; `key` is the WebSocket's.
    Switch {
        protocol: Vec<u8>,
        key: Option<Vec<u8>>,
    },
}

#[derive(Default)]
enum Stage {
    /// Nothing has been sent.
    #[default]
    Unasked,
    Head(Expected),
    Body,
    Trailers,
    Done,
    /// A rule was broken: nothing of it is given.
    Malformed,
}

impl Incoming {
    /// The request is out.
    pub(super) fn expect(&mut self, stream: Receiving, expected: Expected) {
        self.stream = Some(stream);
        self.stage = Stage::Head(expected);
    }

    /// Ready when there is something to read, or the end.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.has_some() {
            if !ready!(self.poll_more(cx))? {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what there is; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut buffer: &mut [u8],
    ) -> Poll<Result<usize, Broken>> {
        let mut read: usize = 0;
        while !buffer.is_empty() {
            let given = self.give(buffer)?;
            if given > 0 {
                read = read.saturating_add(given);
                buffer = buffer.get_mut(given..).unwrap_or_default();
                continue;
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(true)) => {}
                // What comes next is told when there is nothing else to tell: it stays.
                _ if read > 0 => break,
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(read))
    }

    /// The stream, if all of its response has been read but not seen to end.
    pub(super) fn into_unended(self) -> Option<Receiving> {
        let is_read = self.left == Some(0) && !self.has_some();
        self.stream.filter(|stream| is_read && !stream.has_ended())
    }

    /// The message is malformed: the rest is not wanted.
    pub(super) fn refuse(&mut self) {
        self.stream.iter_mut().for_each(Receiving::refuse);
    }

    fn has_some(&self) -> bool {
        self.at < self.text.len() || !self.piece.is_empty()
    }

    /// Copies what is at hand: text first, then the content it announces.
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        let text = self.text.get(self.at..).unwrap_or_default();
        if !text.is_empty() {
            let length = text.len().min(buffer.len());
            copy(buffer, text, length);
            self.at = self.at.saturating_add(length);
            if self.at >= self.text.len() {
                self.text.clear();
                self.at = 0;
            }
            return Ok(length);
        }
        let length = self.piece.len().min(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        copy(buffer, &self.piece, length);
        self.piece.advance(length);
        self.left = self.left.map(|left| left.saturating_sub(length as u64));
        if let Some(stream) = &mut self.stream {
            stream.release(length)?;
        }
        if self.is_chunked && self.piece.is_empty() {
            self.text.extend_from_slice(b"\r\n");
        }
        Ok(length)
    }

    /// Takes the next frame from the connection; `false`: there is none any more.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        let more = self.poll_frame(cx);
        if let Poll::Ready(Err(Broken::Malformed)) = more {
            self.text.clear();
            self.stage = Stage::Malformed;
        }
        more
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(false)) };
        match &mut self.stage {
            Stage::Malformed => Poll::Ready(Err(Broken::Malformed)),
            Stage::Unasked | Stage::Done => Poll::Ready(Ok(false)),
            Stage::Head(_) => {
                let head = ready!(stream.poll_head(cx))?;
                if head.parts.status.is_informational() {
                    fields::write_response(&mut self.text, &head.parts, false, false)
                        .map_err(|_| Broken::Malformed)?;
                    return Poll::Ready(Ok(true));
                }
                self.begin(&head)?;
                Poll::Ready(Ok(true))
            }
            Stage::Body => {
                match ready!(stream.poll_data(cx))? {
                    Some(piece) => self.frame(piece),
                    None if self.is_chunked => self.stage = Stage::Trailers,
                    None => self.stage = Stage::Done,
                }
                Poll::Ready(Ok(true))
            }
            Stage::Trailers => {
                let trailers = ready!(stream.poll_trailers(cx))?;
                self.text.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    fields::write_trailers(&mut self.text, &trailers)
                        .map_err(|_| Broken::Malformed)?;
                }
                self.text.extend_from_slice(b"\r\n");
                self.stage = Stage::Done;
                Poll::Ready(Ok(true))
            }
        }
    }

    /// The final head is here.
    fn begin(&mut self, head: &Head) -> Result<(), Broken> {
        let Stage::Head(expected) = std::mem::replace(&mut self.stage, Stage::Body) else {
            return Ok(());
        };
        let Head { parts, ended } = head;
        let is_head = matches!(expected, Expected::Head);
        match expected {
            Expected::Switch { protocol, key } if parts.status.is_success() => {
                fields::write_switch(&mut self.text, parts, &protocol, key.as_deref())
                    .map_err(|_| Broken::Malformed)?;
            }
            _ => {
                let length = fields::write_response(&mut self.text, parts, is_head, *ended)
                    .map_err(|_| Broken::Malformed)?;
                self.is_chunked = length == BodyLength::Chunked;
                self.left = match length {
                    BodyLength::Exact(length) => Some(length),
                    BodyLength::None => Some(0),
                    _ => None,
                };
                if self.left == Some(0) {
                    self.stage = Stage::Done;
                }
            }
        }
        Ok(())
    }

    /// Puts a piece of content behind its chunk's size, if it is chunked.
    fn frame(&mut self, piece: Bytes) {
        if self.is_chunked && !piece.is_empty() {
            let _ = write!(self.text, "{:x}\r\n", piece.len()); // a `Vec` takes everything
        }
        self.piece = piece;
    }
}

/// The first `length` bytes; both are at least as long.
fn copy(to: &mut [u8], from: &[u8], length: usize) {
    if let (Some(to), Some(from)) = (to.get_mut(..length), from.get(..length)) {
        to.copy_from_slice(from);
    }
}
