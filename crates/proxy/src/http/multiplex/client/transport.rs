//! A stream to a server as its version of HTTP has it. Owns the differences between the versions; what
//! is said on a stream and when is the two halves'.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, response};
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};

use super::Broken;
#[cfg(feature = "http3")]
use crate::http::upstream::links::{H3Receiving, H3Sending};

/// Why a stream is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody wants the rest.
    Unwanted,
    /// The server's message is malformed (RFC 9113 §8.1.1).
    Malformed,
}

/// The half on which the request leaves. Given up when it is dropped before it has ended.
pub(crate) enum Sending {
    H2(SendStream<Bytes>),
    #[cfg(feature = "http3")]
    H3(Box<H3Sending>),
}

/// The half on which the response comes. Given up when it is dropped before it has ended.
pub(crate) enum Receiving {
    H2(H2Receiving),
    #[cfg(feature = "http3")]
    H3(Box<H3Receiving>),
}

/// See [`Receiving`].
pub(crate) enum H2Receiving {
    Head(ResponseFuture),
    Content(RecvStream),
}

/// A head of a response.
pub(crate) struct Head {
    pub(crate) parts: response::Parts,
    /// Nothing follows.
    pub(crate) ended: bool,
}

impl Sending {
    /// How many of `wanted` bytes of content are taken now; more than none.
    pub(super) fn poll_capacity(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, Broken>> {
        match self {
            Self::H2(stream) => {
                stream.reserve_capacity(wanted);
                let mut room = stream.capacity();
                while room == 0 {
                    room = match ready!(stream.poll_capacity(cx)) {
                        Some(room) => room?,
                        None => {
                            return Poll::Ready(Err(h2::Error::from(Reason::STREAM_CLOSED).into()));
                        }
                    };
                }
                Poll::Ready(Ok(room.min(wanted)))
            }
            #[cfg(feature = "http3")]
            Self::H3(stream) => stream.poll_flush(cx).map_ok(|()| wanted),
        }
    }

    /// Sends content, no more than [`Self::poll_capacity`] has allowed.
    pub(super) fn send_data(&mut self, bytes: Bytes, ends: bool) -> Result<(), Broken> {
        match self {
            Self::H2(stream) => Ok(stream.send_data(bytes, ends)?),
            #[cfg(feature = "http3")]
            Self::H3(stream) => stream.send_data(bytes, ends),
        }
    }

    /// Sends the trailer section, and ends.
    pub(super) fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Broken> {
        match self {
            Self::H2(stream) => Ok(stream.send_trailers(trailers)?),
            #[cfg(feature = "http3")]
            Self::H3(stream) => stream.send_trailers(&trailers),
        }
    }

    /// Ready when what was sent needs nobody to ask again before it leaves.
    #[cfg_attr(not(feature = "http3"), allow(unused_variables, reason = "HTTP/2 never waits"))]
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self {
            Self::H2(_) => Poll::Ready(Ok(())), // the connection's task sends
            #[cfg(feature = "http3")]
            Self::H3(stream) => stream.poll_flush(cx),
        }
    }

    /// Gives it up; what was sent and has not left yet is forgotten.
    pub(super) fn reset(&mut self, why: Why) {
        match (self, why) {
            (Self::H2(stream), Why::Unwanted) => stream.send_reset(Reason::CANCEL),
            (Self::H2(stream), Why::Malformed) => stream.send_reset(Reason::PROTOCOL_ERROR),
            #[cfg(feature = "http3")]
            (Self::H3(stream), why) => stream.reset(why),
        }
    }
}

impl Receiving {
    pub(crate) fn of_h2(response: ResponseFuture) -> Self {
        Self::H2(H2Receiving::Head(response))
    }

    /// The next head: interim ones, then the final one.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Broken>> {
        match self {
            Self::H2(H2Receiving::Content(_)) => Poll::Ready(Err(Broken::Malformed)), // asked twice
            Self::H2(receiving @ H2Receiving::Head(_)) => receiving.poll_head(cx),
            #[cfg(feature = "http3")]
            Self::H3(stream) => stream.poll_head(cx),
        }
    }

    /// The next piece of content; `None` at its end.
    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Broken>> {
        match self {
            Self::H2(H2Receiving::Head(_)) => Poll::Ready(Ok(None)),
            Self::H2(H2Receiving::Content(body)) => {
                Poll::Ready(Ok(ready!(body.poll_data(cx)).transpose()?))
            }
            #[cfg(feature = "http3")]
            Self::H3(stream) => stream.poll_data(cx),
        }
    }

    /// The trailer section; only after the end of the content.
    pub(super) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Broken>> {
        match self {
            Self::H2(H2Receiving::Head(_)) => Poll::Ready(Ok(None)),
            Self::H2(H2Receiving::Content(body)) => {
                Poll::Ready(Ok(ready!(body.poll_trailers(cx))?))
            }
            #[cfg(feature = "http3")]
            Self::H3(stream) => Poll::Ready(Ok(stream.take_trailers())),
        }
    }

    /// So many bytes of content have been passed on: the server may send as many more.
    pub(super) fn release(&mut self, bytes: usize) -> Result<(), Broken> {
        match self {
            Self::H2(H2Receiving::Head(_)) => Ok(()),
            Self::H2(H2Receiving::Content(body)) => {
                Ok(body.flow_control().release_capacity(bytes)?)
            }
            #[cfg(feature = "http3")]
            Self::H3(_) => Ok(()), // QUIC counts what is read
        }
    }

    /// Whether the server is known to have said everything.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::H2(H2Receiving::Head(_)) => false,
            Self::H2(H2Receiving::Content(body)) => body.is_end_stream(),
            #[cfg(feature = "http3")]
            Self::H3(stream) => stream.has_ended(),
        }
    }

    /// The server's message is malformed: the rest is not wanted.
    pub(super) fn refuse(&mut self) {
        #[cfg(feature = "http3")]
        if let Self::H3(stream) = self {
            stream.stop(Why::Malformed);
        }
    }
}

impl H2Receiving {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Broken>> {
        let Self::Head(response) = self else { return Poll::Ready(Err(Broken::Malformed)) };
        if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let (parts, ()) = interim?.into_parts();
            return Poll::Ready(Ok(Head { parts, ended: false }));
        }
        let response = ready!(Future::poll(Pin::new(response), cx))?;
        let (parts, body) = response.into_parts();
        let ended = body.is_end_stream();
        *self = Self::Content(body);
        Poll::Ready(Ok(Head { parts, ended }))
    }
}
