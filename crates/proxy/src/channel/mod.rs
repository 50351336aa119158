//! What an exchange reads and writes: a byte stream that carries HTTP/1 messages, whichever way its
//! bytes travel. Plain TCP, TLS over it, or one stream of a multiplexed connection (HTTP/2, HTTP/3),
//! which translates at its edge. Owns the choice between them; every method means what it means for
//! a [`TcpStream`].

pub(crate) mod fetched;
pub(crate) mod memory;
pub(crate) mod pieces;
#[cfg(feature = "http3")]
pub(crate) mod quic;
pub(crate) mod wire;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use evenkeel_codec::ResponseHead;
use evenkeel_runtime::TcpStream;

use crate::http::multiplex::ServerStream;
use crate::http::multiplex::client::{ClientStream, Loss};
use crate::tls::TlsStream;

/// See the module's head. A write that is pending is repeated with the same bytes at its beginning,
/// or the channel is dropped: TLS has sealed them already.
pub(crate) enum Channel {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    /// A client's request among others.
    Stream(Box<ServerStream>),
    /// A connection whose streams are channels of their own.
    #[cfg(feature = "http3")]
    Quic(quic::Ends),
    /// One request to a server that is spoken to in HTTP/2.
    Request(Box<ClientStream>),
    /// A request of our own.
    Memory(memory::MemoryStream),
    /// A request of the cache.
    Fetch(Box<fetched::FetchStream>),
    /// Content of the cache; only read.
    Pieces(Box<pieces::Pieces>),
}

/// The same expression on whichever kind it is.
macro_rules! on {
    ($self:ident, $stream:ident => $what:expr) => {
        match $self {
            Channel::Plain($stream) => $what,
            Channel::Tls($stream) => $what,
            Channel::Stream($stream) => $what,
            #[cfg(feature = "http3")]
            Channel::Quic($stream) => $what,
            Channel::Request($stream) => $what,
            Channel::Memory($stream) => $what,
            Channel::Fetch($stream) => $what,
            Channel::Pieces($stream) => $what,
        }
    };
}

impl Channel {
    /// The connection itself, if its bytes are the messages: only those the kernel may move.
    #[inline]
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            _ => None,
        }
    }

    /// The TCP connection that it is on, if it is one.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.tcp()),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn peer_addr(&self) -> SocketAddr {
        on!(self, stream => stream.peer_addr())
    }

    #[inline]
    pub(crate) fn local_addr(&self) -> SocketAddr {
        on!(self, stream => stream.local_addr())
    }

    /// Bytes written so far; what they are counted in is the channel's own business.
    #[inline]
    pub(crate) fn total_written(&self) -> u64 {
        on!(self, stream => stream.total_written())
    }

    #[inline]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_readable(cx))
    }

    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_read(cx, buffer))
    }

    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_write(cx, bytes))
    }

    #[inline]
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    #[inline]
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.has_input(),
            Self::Tls(stream) => stream.has_input(),
            _ => false, // asked of connections that are kept
        }
    }

    /// Ready when the client has given its one stream up. That of a connection of its own is noticed
    /// where it is read from or written to.
    #[inline]
    pub(crate) fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Stream(stream) => stream.poll_given_up(cx),
            Self::Fetch(stream) => stream.poll_given_up(cx),
            _ => Poll::Pending,
        }
    }

    /// Whether its client makes us hold so much that more should be little.
    pub(crate) fn is_crowded(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.is_crowded(),
            _ => false,
        }
    }

    /// Whether a server's answer is one that the client of this channel must not see, by the rules
    /// of the version of HTTP that it speaks.
    pub(crate) fn refuses(&self, answer: &ResponseHead, bytes: &[u8]) -> bool {
        match self {
            Self::Stream(stream) => stream.refuses(answer, bytes),
            _ => false,
        }
    }

    /// Ends this half: FIN, `close_notify`, or END_STREAM.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        on!(self, stream => stream.shutdown_write())
    }

    /// Before it is closed in order: says so where the protocol has a way to, and nothing is to come
    /// that would say it.
    pub(crate) fn say_close(&self) {
        if let Self::Tls(stream) = self {
            let _ = stream.shutdown_write(); // it is closed in any case
        }
    }

    /// From now on closing tells the peer that something is missing.
    pub(crate) fn abort(&self) {
        on!(self, stream => stream.abort());
    }

    /// How a request's stream failed, if it is one and has.
    pub(crate) fn loss(&self) -> Option<Loss> {
        match self {
            Self::Request(stream) => stream.loss(),
            _ => None,
        }
    }

    /// See [`TcpStream::peer_took_nothing_since`].
    pub(crate) fn peer_took_nothing_since(&self, written_before: u64) -> bool {
        match self {
            Self::Plain(stream) => stream.peer_took_nothing_since(written_before),
            Self::Tls(stream) => stream.peer_took_nothing_since(written_before),
            Self::Request(stream) => stream.was_not_processed(),
            _ => false, // asked of connections to servers
        }
    }
}
