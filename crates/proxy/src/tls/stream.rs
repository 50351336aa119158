//! A TLS session over a TCP connection, of either side. Owns moving records between the two; not
//! how the session is configured, nor how long its handshake may take.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker, ready};

use evenkeel_runtime::TcpStream;
use rustls::Connection;

/// Plaintext sealed at once: a few full records (RFC 8446 §5.1). What the kernel does not take of it
/// is all that one connection holds.
const SEAL_MAX: usize = 32 * 1024;

/// Reads of up to 4 KiB that a look for input makes: far more than the tickets of any server take.
const UNREAD_MAX: usize = 16;

/// See the module's head. All methods take `&self`, so that one task can pump both directions.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: RefCell<Connection>,
    /// Plaintext that is sealed and that its writer has not been told is taken.
    sealed: Cell<usize>,
    /// The peer's first byte.
    first: Cell<Option<u8>>,
}

impl TlsStream {
    /// A session whose handshake has not begun.
    pub(crate) fn new(tcp: TcpStream, session: Connection) -> Self {
        Self { tcp, session: RefCell::new(session), sealed: Cell::new(0), first: Cell::new(None) }
    }

    /// The connection below: nothing of what it carries is secret.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The peer has sent something.
    pub(crate) fn has_spoken(&self) -> bool {
        self.first.get().is_some()
    }

    /// The peer began like a message of HTTP, which no record does (RFC 8446 §5.1).
    pub(crate) fn is_plaintext(&self) -> bool {
        self.first.get().is_some_and(|byte| byte.is_ascii_alphabetic())
    }

    /// What is known of the session; not to be called while it is being polled.
    pub(crate) fn with_session<T>(&self, look: impl FnOnce(&Connection) -> T) -> T {
        look(&self.session.borrow())
    }

    /// Ready when both sides have agreed, or cannot.
    pub(crate) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            while session.wants_write() {
                ready!(self.poll_send(cx, session))?;
            }
            if !session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx, session))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.tcp.peer_addr()
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.tcp.local_addr()
    }

    /// Bytes of records.
    pub(crate) fn total_written(&self) -> u64 {
        self.tcp.total_written()
    }

    /// Ready when there is plaintext, the end, or an error; records without any are dealt with here.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        while !is_at_hand(session) {
            ready!(self.poll_refill(cx, session))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            ready!(self.poll_refill(cx, session))?;
        }
    }

    /// Reads from the network once there is no plaintext left. What a session has to say to that
    /// (key updates) leaves as far as the kernel takes it.
    fn poll_refill(&self, cx: &mut Context<'_>, session: &mut Connection) -> Poll<io::Result<()>> {
        if session.wants_write() && self.sealed.get() == 0 {
            let _ = self.poll_send(cx, session)?;
        }
        self.poll_receive(cx, session).map_ok(|_| ())
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_seal(cx, &[IoSlice::new(bytes)])
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_seal(cx, slices)
    }

    /// Seals a piece and tells of it once the kernel has all of it: nobody has to flush.
    fn poll_seal(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let session = &mut *self.session.borrow_mut();
        if self.sealed.get() == 0 {
            let mut left = SEAL_MAX;
            for slice in slices {
                let piece = slice.get(..left.min(slice.len())).unwrap_or_default();
                let taken = session.writer().write(piece)?;
                self.sealed.set(self.sealed.get().saturating_add(taken));
                left = left.saturating_sub(taken);
                if taken < slice.len() {
                    break;
                }
            }
        }
        while session.wants_write() {
            ready!(self.poll_send(cx, session))?;
        }
        Poll::Ready(Ok(self.sealed.replace(0)))
    }

    /// Whether ALPN came to this protocol (RFC 7301); after the handshake.
    pub(crate) fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        self.session.borrow().alpn_protocol() == Some(protocol)
    }

    /// Whether there is plaintext, the end, or an error. Records without any are no input: a server
    /// sends tickets when it likes (RFC 8446 §4.6.1), also on a connection that nobody reads from.
    pub(crate) fn has_input(&self) -> bool {
        let session = &mut *self.session.borrow_mut();
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..UNREAD_MAX {
            if is_at_hand(session) {
                return true;
            }
            match self.poll_refill(cx, session) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return true,
            }
        }
        true
    }

    /// Says `close_notify` (RFC 8446 §6.1), so that the peer knows that nothing was cut off, then FIN.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.say_close();
        self.tcp.shutdown_write()
    }

    fn say_close(&self) {
        let mut session = self.session.borrow_mut();
        session.send_close_notify();
        let mut last = Vec::new();
        while session.wants_write() {
            if session.write_tls(&mut last).is_err() {
                return;
            }
        }
        self.tcp.write_now(&last);
    }

    pub(crate) fn abort(&self) {
        self.tcp.abort();
    }

    pub(crate) fn peer_took_nothing_since(&self, written_before: u64) -> bool {
        self.tcp.peer_took_nothing_since(written_before)
    }

    /// Gives the kernel sealed records.
    fn poll_send(&self, cx: &mut Context<'_>, session: &mut Connection) -> Poll<io::Result<usize>> {
        settle(session.write_tls(&mut Wire { tcp: &self.tcp, first: None, cx }))
    }

    /// Takes records from the kernel and opens them; 0 is the end.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        session: &mut Connection,
    ) -> Poll<io::Result<usize>> {
        let mut wire = Wire { tcp: &self.tcp, first: None, cx };
        let read = ready!(settle(session.read_tls(&mut wire)))?;
        if self.first.get().is_none() {
            self.first.set(wire.first);
        }
        if let Err(error) = session.process_new_packets() {
            // The alert that says why, as far as the kernel takes it at once.
            if !self.is_plaintext() {
                let _ = self.poll_send(cx, session);
            }
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(read))
    }
}

/// Whether a read would give something (bytes, the end, an error) without the network.
fn is_at_hand(session: &mut Connection) -> bool {
    let at_hand = session.reader().fill_buf().map(|_| ());
    !at_hand.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// `WouldBlock` is how a synchronous reader or writer says `Pending`; its waker is registered.
fn settle(result: io::Result<usize>) -> Poll<io::Result<usize>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

/// The TCP connection, as `rustls` wants it.
struct Wire<'w, 'c> {
    tcp: &'w TcpStream,
    /// Of what was read.
    first: Option<u8>,
    cx: &'w mut Context<'c>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = pending_is_would_block(self.tcp.poll_read(self.cx, buffer))?;
        if read > 0 {
            self.first = buffer.first().copied();
        }
        Ok(read)
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        pending_is_would_block(self.tcp.poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        pending_is_would_block(self.tcp.poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pending_is_would_block(result: Poll<io::Result<usize>>) -> io::Result<usize> {
    match result {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
