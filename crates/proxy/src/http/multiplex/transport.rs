//! One stream as its protocol's library has it. Owns the differences between the protocols; what is
//! sent on a stream and when is [`ServerStream`](super::ServerStream)'s.

use std::io;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, Response};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};

#[cfg(feature = "http3")]
use crate::http::downstream::h3::H3;

/// Why a stream is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The message breaks a rule (RFC 9113 §8.1.1).
    Malformed,
    /// It was not looked at, and may be sent again (§8.7).
    Refused,
    /// What it was to carry cannot be had in full.
    Internal,
    /// The other end of a tunnel broke off (§8.5).
    Tunnel,
}

impl Why {
    fn h2(self) -> Reason {
        match self {
            Self::Malformed => Reason::PROTOCOL_ERROR,
            Self::Refused => Reason::REFUSED_STREAM,
            Self::Internal => Reason::INTERNAL_ERROR,
            Self::Tunnel => Reason::CONNECT_ERROR,
        }
    }
}

/// See the module's head.
pub(crate) enum Transport {
    H2(H2),
    #[cfg(feature = "http3")]
    H3(Box<H3>),
}

/// A stream of HTTP/2.
pub(crate) struct H2 {
    respond: SendResponse<Bytes>,
    /// Once the final head has been sent.
    send: Option<SendStream<Bytes>>,
    receive: RecvStream,
}

impl H2 {
    pub(crate) fn new(respond: SendResponse<Bytes>, receive: RecvStream) -> Self {
        Self { respond, send: None, receive }
    }
}

impl Transport {
    /// The next piece of content; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self {
            Self::H2(h2) => Poll::Ready(match ready!(h2.receive.poll_data(cx)) {
                Some(Ok(bytes)) => Ok(Some(bytes)),
                Some(Err(_)) => Err(gone()),
                None => Ok(None),
            }),
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.poll_data(cx),
        }
    }

    /// The trailer section; only after the end of the content.
    pub(crate) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<HeaderMap>>> {
        match self {
            Self::H2(h2) => h2.receive.poll_trailers(cx).map_err(|_| gone()),
            #[cfg(feature = "http3")]
            Self::H3(h3) => Poll::Ready(Ok(h3.take_trailers())),
        }
    }

    /// So many bytes of content have been passed on: the client may send as many more.
    pub(crate) fn release(&mut self, bytes: usize) {
        match self {
            Self::H2(h2) => drop(h2.receive.flow_control().release_capacity(bytes)),
            #[cfg(feature = "http3")]
            Self::H3(_) => {} // QUIC counts what is read
        }
    }

    /// Ready when the client has given the stream up.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H2(h2) => match &mut h2.send {
                Some(send) => send.poll_reset(cx).map(drop),
                None => h2.respond.poll_reset(cx).map(drop),
            },
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.poll_reset(cx),
        }
    }

    /// How many of `wanted` bytes of content the client takes now; more than none.
    pub(crate) fn poll_capacity(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::H2(h2) => {
                let Some(send) = &mut h2.send else { return Poll::Ready(Err(gone())) };
                send.reserve_capacity(wanted);
                loop {
                    match send.capacity() {
                        0 => match ready!(send.poll_capacity(cx)) {
                            Some(Ok(_)) => {}
                            _ => return Poll::Ready(Err(gone())),
                        },
                        capacity => return Poll::Ready(Ok(capacity.min(wanted))),
                    }
                }
            }
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.poll_capacity(cx, wanted),
        }
    }

    /// Sends an interim head.
    pub(crate) fn send_interim(&mut self, head: Response<()>) -> io::Result<()> {
        match self {
            Self::H2(h2) => h2.respond.send_informational(head).map_err(|_| gone()),
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.send_head(&head, false),
        }
    }

    /// Sends the final head, with which the stream may have ended.
    pub(crate) fn send_head(&mut self, head: Response<()>, ended: bool) -> io::Result<()> {
        match self {
            Self::H2(h2) => {
                h2.send = Some(h2.respond.send_response(head, ended).map_err(|_| gone())?);
                Ok(())
            }
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.send_head(&head, ended),
        }
    }

    /// Sends content, no more than [`Self::poll_capacity`] has allowed.
    pub(crate) fn send_data(&mut self, bytes: Bytes, ended: bool) -> io::Result<()> {
        match self {
            Self::H2(h2) => match &mut h2.send {
                Some(send) => send.send_data(bytes, ended).map_err(|_| gone()),
                None => Err(gone()),
            },
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.send_data(bytes, ended),
        }
    }

    /// Sends the trailer section, and ends.
    pub(crate) fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
        match self {
            Self::H2(h2) => match &mut h2.send {
                Some(send) => send.send_trailers(trailers).map_err(|_| gone()),
                None => Err(gone()),
            },
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.send_trailers(&trailers),
        }
    }

    /// Ready when what was sent needs nobody to ask again before it leaves.
    #[cfg_attr(not(feature = "http3"), allow(unused_variables, reason = "HTTP/2 never waits"))]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.poll_flush(cx),
            Self::H2(_) => Poll::Ready(Ok(())), // the connection's task sends
        }
    }

    /// Whether it tells the [`Trunk`](super::trunk::Trunk) itself what waits to be written.
    pub(crate) fn counts_itself(&self) -> bool {
        !matches!(self, Self::H2(_))
    }

    /// Gives the stream up; what was sent and has not left yet is forgotten.
    pub(crate) fn reset(&mut self, why: Why) {
        match self {
            Self::H2(h2) => h2.respond.send_reset(why.h2()),
            #[cfg(feature = "http3")]
            Self::H3(h3) => h3.reset(why),
        }
    }
}

/// The client has given the stream up, or its connection is gone.
fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
