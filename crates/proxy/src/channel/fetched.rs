//! The client's end of a request that the cache makes: an exchange writes its answer here, and waits
//! here for who reads it. Owns the translation; what becomes of the answer is the cache's business.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::http::cache::landing::Landing;

/// See the module's head.
pub(crate) struct FetchStream {
    peer: SocketAddr,
    local: SocketAddr,
    written: Cell<u64>,
    landing: Rc<RefCell<Landing>>,
}

impl FetchStream {
    /// Tells servers these addresses.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, landing: Rc<RefCell<Landing>>) -> Self {
        Self { peer, local, written: Cell::new(0), landing }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn total_written(&self) -> u64 {
        self.written.get()
    }

    /// All that is asked is there already.
    pub(crate) fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    pub(crate) fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut landing = self.landing.borrow_mut();
        ready!(landing.poll_room(cx))?;
        let mut taken = 0_usize;
        for slice in slices {
            landing.take(slice)?;
            taken = taken.saturating_add(slice.len());
        }
        self.written.set(self.written.get().saturating_add(taken as u64));
        Poll::Ready(Ok(taken))
    }

    /// Ready when nobody wants the answer.
    pub(crate) fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.landing.borrow_mut().poll_unwanted(cx)
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    /// What is missing is seen by who asked.
    pub(crate) fn abort(&self) {}
}
