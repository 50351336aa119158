//! One request to a server as a stream of a connection that many share. The exchange writes its
//! HTTP/1 request here and reads an HTTP/1 response; the server sees HTTP/2 or HTTP/3. Owns the two
//! translations' meeting point and what the end of a stream means; not the connection.

mod incoming;
mod outgoing;
mod transport;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use evenkeel_runtime::{self as runtime, Timer};

use self::incoming::Incoming;
use self::outgoing::Outgoing;
#[cfg(feature = "http3")]
pub(crate) use self::transport::{Head, Why};
pub(crate) use self::transport::{Receiving, Sending};
use crate::failure::Reason;
use crate::http::upstream::links::Lent;

/// How long the end of a stream is waited for after its last byte.
const END_WITHIN: Duration = Duration::from_secs(1);

/// See the module's head. All methods take `&self`, so that one task can pump both directions.
/// Dropping it before both directions have ended cancels the stream (RFC 9113 §8.7), unless all that
/// is missing is the server's word that it has ended: that is waited for, or a server would be told
/// of cancellations that are none.
pub(crate) struct ClientStream {
    /// A place on the connection, given back when the stream is dropped.
    lent: Lent,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    out: Outgoing,
    back: Incoming,
    /// Bytes of HTTP/1 taken from the exchange.
    written: u64,
    loss: Option<Loss>,
}

/// How a stream ended before its response did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) reason: Reason,
    /// The server has proved that it did nothing with the request (RFC 9113 §8.7, §6.8).
    pub(crate) unprocessed: bool,
}

/// Why a direction does not go on.
pub(crate) enum Broken {
    /// The connection or the stream has failed.
    H2(h2::Error),
    /// The same over HTTP/3.
    #[cfg(feature = "http3")]
    H3(crate::http::upstream::links::H3Broken),
    /// The server's message breaks a rule that the library leaves to us.
    Malformed,
    /// The request cannot be said in the server's version of HTTP.
    Request,
}

impl From<h2::Error> for Broken {
    fn from(error: h2::Error) -> Self {
        Self::H2(error)
    }
}

impl ClientStream {
    /// A stream for one request; nothing is sent yet.
    pub(crate) fn new(lent: Lent) -> Self {
        Self { lent, inner: RefCell::default() }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.lent.peer_addr()
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.lent.local_addr()
    }

    /// Bytes of HTTP/1 told as taken, and one more from the moment the server may see the request:
    /// its head leaves while its content still waits for a window, and what may have been seen must
    /// never count as unsent.
    pub(crate) fn total_written(&self) -> u64 {
        let inner = self.inner.borrow();
        inner.written.saturating_add(u64::from(inner.out.has_begun()))
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.inner.borrow_mut();
        match ready!(inner.back.poll_ready(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(broken) => Poll::Ready(Err(self.lose(inner, &broken))),
        }
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.inner.borrow_mut();
        match ready!(inner.back.poll_read(cx, buffer)) {
            // Nothing was sent, or what was has come to nothing.
            Ok(0) if inner.loss.is_some() => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Ok(read) => Poll::Ready(Ok(read)),
            Err(broken) => Poll::Ready(Err(self.lose(inner, &broken))),
        }
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Takes a piece, and tells of it once the connection has all of it within the windows: a slow
    /// server stops the client.
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.inner.borrow_mut();
        let Inner { out, back, .. } = inner;
        match ready!(out.poll_write(cx, slices, &self.lent, back)) {
            Ok(taken) => {
                inner.written = inner.written.saturating_add(taken as u64);
                Poll::Ready(Ok(taken))
            }
            Err(broken) => Poll::Ready(Err(self.lose(inner, &broken))),
        }
    }

    /// Whether the server takes requests that become tunnels.
    pub(crate) fn takes_tunnels(&self) -> bool {
        self.lent.takes_tunnels()
    }

    /// Ends our half of what has become a tunnel; a request says itself where it ends.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        let inner = &mut *self.inner.borrow_mut();
        inner.out.end_tunnel().map_err(|broken| self.lose(inner, &broken))
    }

    pub(crate) fn abort(&self) {
        self.inner.borrow_mut().out.cancel();
    }

    /// The server has proved that it did nothing with the request.
    pub(crate) fn was_not_processed(&self) -> bool {
        self.inner.borrow().loss.is_some_and(|loss| loss.unprocessed)
    }

    /// How it ended, once it has failed.
    pub(crate) fn loss(&self) -> Option<Loss> {
        self.inner.borrow().loss
    }

    /// Waits for the end of a stream of which nothing else is missing.
    async fn see_out(mut stream: Receiving, lent: Lent) {
        let timer = Timer::new();
        timer.set(runtime::now() + END_WITHIN);
        poll_fn(|cx| {
            loop {
                match stream.poll_data(cx) {
                    Poll::Ready(Ok(Some(piece))) if piece.is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return timer.poll_expired(cx),
                }
            }
        })
        .await;
        drop((stream, lent));
    }

    /// Notes the first failure: what follows from it says less.
    fn lose(&self, inner: &mut Inner, broken: &Broken) -> io::Error {
        if let Broken::Malformed = broken {
            inner.out.refuse();
            inner.back.refuse();
        }
        let loss = self.lent.judge(broken);
        inner.loss.get_or_insert(loss);
        io::ErrorKind::ConnectionReset.into()
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let Inner { out, back, loss, .. } = self.inner.take();
        if out.has_ended()
            && loss.is_none()
            && let Some(stream) = back.into_unended()
        {
            runtime::spawn(Self::see_out(stream, self.lent.again()));
        }
    }
}
