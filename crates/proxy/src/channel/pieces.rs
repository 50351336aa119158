//! Content of the cache as a pump reads it: stored, or on its way from a server. Nothing is written to
//! it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use crate::http::cache::body::Reader;
use crate::http::exchange::Exchange;

/// See the module's head.
pub(crate) struct Pieces {
    peer: SocketAddr,
    local: SocketAddr,
    from: RefCell<From>,
}

enum From {
    /// In the order in which they are taken off the end.
    Stored(Vec<Bytes>),
    Coming(Reader),
}

impl Pieces {
    /// All of it is at hand.
    pub(crate) fn stored(exchange: &Exchange<'_>, mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty()); // that would be an end
        pieces.reverse();
        Self::of(exchange, From::Stored(pieces))
    }

    /// It is on its way.
    pub(crate) fn coming(exchange: &Exchange<'_>, reader: Reader) -> Self {
        Self::of(exchange, From::Coming(reader))
    }

    fn of(exchange: &Exchange<'_>, from: From) -> Self {
        let (peer, local) = (exchange.connection.peer, exchange.connection.local);
        Self { peer, local, from: RefCell::new(from) }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn total_written(&self) -> u64 {
        0
    }

    pub(crate) fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.from.borrow_mut() {
            From::Coming(reader) => reader.poll_read(cx, room),
            From::Stored(pieces) => {
                let Some(piece) = pieces.last_mut() else { return Poll::Ready(Ok(0)) };
                let length = piece.len().min(room.len());
                if let (Some(to), Some(from)) = (room.get_mut(..length), piece.get(..length)) {
                    to.copy_from_slice(from);
                }
                piece.advance(length);
                if piece.is_empty() {
                    pieces.pop();
                }
                Poll::Ready(Ok(length))
            }
        }
    }

    pub(crate) fn poll_write(&self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        _: &mut Context<'_>,
        _: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn abort(&self) {}
}
