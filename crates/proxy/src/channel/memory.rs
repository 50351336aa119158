//! The client's end of a request of our own: an exchange writes its answer here instead of to a
//! connection. Owns taking the answer apart, within a bound; what is asked is in the exchange's buffer.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use evenkeel_codec::{Parse, RequestContext, ResponseHead};

use crate::http::multiplex::framing::{Framing, Part};
use crate::http::own::ANSWER_LIMITS;

/// See the module's head.
pub(crate) struct MemoryStream {
    peer: SocketAddr,
    local: SocketAddr,
    written: Cell<u64>,
    received: Rc<RefCell<Received>>,
}

/// What has been answered so far.
#[derive(Default)]
pub(crate) struct Received {
    is_head: bool,
    body_max: usize,
    discards: bool,
    /// Before the final head `None`.
    framing: Option<Framing>,
    pub(crate) head: Box<ResponseHead>,
    /// What the head refers to.
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// There was more content than is kept.
    pub(crate) is_long: bool,
}

impl Received {
    /// Nothing yet. `is_head`: the answer has no content. Of content, `body_max` bytes are kept; the
    /// rest is thrown away, or else ends the exchange.
    pub(crate) fn new(is_head: bool, body_max: usize, discards: bool) -> Self {
        Self {
            is_head,
            body_max,
            discards,
            framing: None,
            head: Box::default(),
            bytes: Vec::new(),
            body: Vec::new(),
            is_long: false,
        }
    }

    /// The whole answer is there, or all of it that was to be kept. `is_over`: what ends where its
    /// connection does has ended there.
    pub(crate) fn is_complete(&self, is_over: bool) -> bool {
        match &self.framing {
            None => false,
            Some(Framing::Endless) => is_over,
            Some(framing) => framing.ends(),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let used = match &mut self.framing {
                None => self.take_head(bytes)?,
                Some(framing) => match framing.next(bytes) {
                    Part::Frame(count) | Part::End(count) => count,
                    Part::Payload(count) => {
                        framing.take(count);
                        self.take_content(bytes.get(..count).unwrap_or_default())?;
                        count
                    }
                    Part::Wrong => return Err(io::ErrorKind::InvalidData.into()),
                },
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Interim heads are passed over.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let context = RequestContext { is_head: self.is_head, offers_upgrade: false };
        let Ok(Parse::Complete(length)) = self.head.parse(bytes, &ANSWER_LIMITS, &context) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if self.head.status < 200 {
            self.head.clear();
            return Ok(length);
        }
        self.bytes.extend_from_slice(bytes.get(..length).unwrap_or_default());
        self.framing = Some(Framing::of(self.head.body));
        Ok(length)
    }

    fn take_content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.body_max.saturating_sub(self.body.len());
        if bytes.len() > room {
            self.is_long = true;
            if !self.discards {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        self.body.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        Ok(())
    }
}

impl MemoryStream {
    /// Tells servers these addresses; puts what is answered in `received`.
    pub(crate) fn new(
        peer: SocketAddr,
        local: SocketAddr,
        received: Rc<RefCell<Received>>,
    ) -> Self {
        Self { peer, local, written: Cell::new(0), received }
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

    pub(crate) fn poll_write(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.received.borrow_mut().take(bytes)?;
        self.written.set(self.written.get().saturating_add(bytes.len() as u64));
        Poll::Ready(Ok(bytes.len()))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0_usize;
        for slice in slices {
            if let Poll::Ready(count) = self.poll_write(cx, slice)? {
                taken = taken.saturating_add(count);
            }
        }
        Poll::Ready(Ok(taken))
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    /// What is missing is seen by who asked.
    pub(crate) fn abort(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(body_max: usize, discards: bool) -> Received {
        Received::new(false, body_max, discards)
    }

    #[test]
    fn interim_heads_are_passed_over_and_chunks_are_put_together() {
        let mut received = received(16, false);
        received.take(b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n").unwrap();
        received.take(b"HTTP/1.1 200 OK\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        assert!(!received.is_complete(false));
        received.take(b"3\r\nabc\r\n").unwrap();
        received.take(b"2\r\nde\r\n0\r\n\r\n").unwrap();
        assert!(received.is_complete(false) && !received.is_long);
        assert_eq!((received.head.status, received.body.as_slice()), (200, &b"abcde"[..]));
    }

    #[test]
    fn content_beyond_the_bound_ends_the_exchange_or_is_thrown_away() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        let mut strict = received(4, false);
        strict.take(head).unwrap();
        assert!(strict.take(b"abcde").is_err() && strict.is_long);
        let mut lenient = received(4, true);
        lenient.take(head).unwrap();
        lenient.take(b"abcde").unwrap();
        assert!(lenient.is_complete(false) && lenient.is_long);
        assert_eq!(lenient.body, b"abcd");
    }

    #[test]
    fn an_answer_that_breaks_off_is_not_complete() {
        let mut received = received(64, false);
        received.take(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc").unwrap();
        assert!(!received.is_complete(false));
    }
}
