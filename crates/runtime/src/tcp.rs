//! TCP streams and listeners: the kernel's, or in a simulation that of its world. One place where
//! the two meet; a build without the feature `sim` has nothing to choose between.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::os;
use crate::pipe::Pipe;
#[cfg(feature = "sim")]
use crate::sim;

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Small writes leave at once.
    pub nodelay: bool,
    /// The address that the other end sees, though it is not ours (`IP_TRANSPARENT`; any port): needs
    /// root or CAP_NET_ADMIN, and answers that are routed through this machine.
    pub source: Option<IpAddr>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { nodelay: true, source: None }
    }
}

/// A byte stream. All methods take `&self`, so that one task can pump both directions.
pub struct TcpStream(Stream);

enum Stream {
    Os(os::tcp::TcpStream),
    #[cfg(feature = "sim")]
    Sim(sim::TcpStream),
}

/// The same expression on whichever kind it is.
macro_rules! on {
    ($self:ident, $stream:ident => $what:expr) => {
        match &$self.0 {
            Stream::Os($stream) => $what,
            #[cfg(feature = "sim")]
            Stream::Sim($stream) => $what,
        }
    };
}

/// A stream that belongs to no worker at the moment.
pub struct Detached(Loose);

enum Loose {
    Os(os::tcp::Detached),
    #[cfg(feature = "sim")]
    Sim(sim::Detached),
}

impl Detached {
    /// Makes it this worker's.
    ///
    /// # Errors
    /// When the worker's reactor cannot take it.
    pub fn attach(self) -> io::Result<TcpStream> {
        match self.0 {
            Loose::Os(detached) => detached.attach().map(Stream::Os).map(TcpStream),
            #[cfg(feature = "sim")]
            Loose::Sim(detached) => detached.attach().map(Stream::Sim).map(TcpStream),
        }
    }
}

impl TcpStream {
    /// A new connection. Has no time limit of its own; dropping the future gives up.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub async fn connect(address: SocketAddr, options: &ConnectOptions) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if sim::is_running() {
            return sim::TcpStream::connect(address).await.map(Stream::Sim).map(Self);
        }
        os::tcp::TcpStream::connect(address, options).await.map(Stream::Os).map(Self)
    }

    /// The other end.
    #[inline]
    pub fn peer_addr(&self) -> SocketAddr {
        on!(self, stream => stream.peer_addr())
    }

    /// This end.
    #[inline]
    pub fn local_addr(&self) -> SocketAddr {
        on!(self, stream => stream.local_addr())
    }

    /// Bytes given to the kernel so far.
    #[inline]
    pub fn total_written(&self) -> u64 {
        on!(self, stream => stream.total_written())
    }

    /// Waits for bytes, or the end, without a buffer to put them in.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_readable(cx))
    }

    /// Reads what is there; 0 is the end.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_read(cx, buffer))
    }

    /// Writes what the kernel takes.
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_write(cx, bytes))
    }

    /// As [`Self::poll_write`], several pieces in one system call.
    #[inline]
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    /// Writes what the kernel takes at once, and forgets the rest.
    pub fn write_now(&self, bytes: &[u8]) {
        on!(self, stream => stream.write_now(bytes));
    }

    /// Whether something (bytes, the end, an error) has arrived, as far as the reactor has seen: then
    /// an idle connection to a server is not usable. Costs a system call only if the reactor's mark
    /// is left over from a read that took exactly what there was.
    #[inline]
    pub fn has_input(&self) -> bool {
        on!(self, stream => stream.has_input())
    }

    /// Looks at the first bytes without taking them; ready once there are more than `beyond`, or as many
    /// as will ever come.
    #[inline]
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        beyond: usize,
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_peek(cx, buffer, beyond))
    }

    /// The kernel asks after this much silence, in whole seconds, whether the other end is still there;
    /// of one that is not the connection breaks within the same time again.
    pub fn keep_alive(&self, after: Duration) {
        match &self.0 {
            Stream::Os(stream) => stream.keep_alive(after),
            #[cfg(feature = "sim")]
            Stream::Sim(_) => {}
        }
    }

    /// Ends this half of the connection (FIN).
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn shutdown_write(&self) -> io::Result<()> {
        on!(self, stream => stream.shutdown_write())
    }

    /// From now on closing resets the connection, so that the peer notices.
    pub fn abort(&self) {
        on!(self, stream => stream.abort());
    }

    /// Whether the peer's kernel acknowledged nothing beyond the first `written_before` bytes written
    /// here. Together with an orderly end (a FIN acknowledges all that was received before it) this
    /// proves that the peer never saw what was written since.
    pub fn peer_took_nothing_since(&self, written_before: u64) -> bool {
        on!(self, stream => stream.peer_took_nothing_since(written_before))
    }

    /// Takes it from this worker.
    ///
    /// # Errors
    /// Never today.
    pub fn detach(self) -> io::Result<Detached> {
        match self.0 {
            Stream::Os(stream) => stream.detach().map(Loose::Os).map(Detached),
            #[cfg(feature = "sim")]
            Stream::Sim(stream) => Ok(Detached(Loose::Sim(stream.detach()))),
        }
    }

    /// Moves up to `max` bytes from here into `pipe`; 0 is the end.
    #[inline]
    pub fn poll_splice_from(
        &self,
        cx: &mut Context<'_>,
        pipe: &Pipe,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_splice_from(cx, pipe, max))
    }

    /// Moves up to `length` bytes from `pipe` to here.
    #[inline]
    pub fn poll_splice_to(
        &self,
        cx: &mut Context<'_>,
        pipe: &Pipe,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_splice_to(cx, pipe, length))
    }
}

/// A listening socket that belongs to no worker: clients may connect already, nobody accepts them
/// yet. May cross threads and, by its descriptor, processes.
pub struct Bound(Socket);

enum Socket {
    Os(os::tcp::Bound),
    #[cfg(feature = "sim")]
    Sim(sim::Bound),
}

impl Bound {
    /// Listens on `address`; port 0 is any free one. An IPv6 address takes IPv6 only. Others of this
    /// user may bind the same address (SO_REUSEPORT): the kernel spreads new connections over all.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if sim::is_running() {
            return sim::Bound::bind(address).map(Socket::Sim).map(Self);
        }
        os::tcp::Bound::bind(address).map(Socket::Os).map(Self)
    }

    /// A listening socket that another process has bound.
    ///
    /// # Errors
    /// When it is something else.
    pub fn received(descriptor: OwnedFd) -> io::Result<Self> {
        os::tcp::Bound::received(descriptor).map(Socket::Os).map(Self)
    }

    /// Where it listens, with the port the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Socket::Os(bound) => bound.local_addr(),
            #[cfg(feature = "sim")]
            Socket::Sim(bound) => bound.address,
        }
    }

    /// Another descriptor of the same socket: it listens until all of them are closed.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn duplicate(&self) -> io::Result<Self> {
        match &self.0 {
            Socket::Os(bound) => bound.duplicate().map(Socket::Os).map(Self),
            #[cfg(feature = "sim")]
            Socket::Sim(bound) => Ok(Self(Socket::Sim(*bound))),
        }
    }

    /// To hand it to another process; `None` in a simulation.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Socket::Os(bound) => Some(bound.as_fd()),
            #[cfg(feature = "sim")]
            Socket::Sim(_) => None,
        }
    }
}

/// A listening socket of one worker. Each has its own for the same address (SO_REUSEPORT): the
/// kernel spreads new connections over them.
pub struct TcpListener(Listener);

enum Listener {
    Os(os::tcp::TcpListener),
    #[cfg(feature = "sim")]
    Sim(sim::TcpListener),
}

impl TcpListener {
    /// Binds and adopts; see [`Bound::bind`].
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::adopt(Bound::bind(address)?)
    }

    /// Makes it this worker's.
    ///
    /// # Errors
    /// When the worker's reactor cannot take it.
    pub fn adopt(bound: Bound) -> io::Result<Self> {
        match bound.0 {
            Socket::Os(bound) => os::tcp::TcpListener::adopt(bound).map(Listener::Os).map(Self),
            #[cfg(feature = "sim")]
            Socket::Sim(bound) => sim::TcpListener::adopt(bound).map(Listener::Sim).map(Self),
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Listener::Os(listener) => listener.local_addr(),
            #[cfg(feature = "sim")]
            Listener::Sim(listener) => listener.local_addr(),
        }
    }

    /// The next connection and its peer.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match &self.0 {
            Listener::Os(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (TcpStream(Stream::Os(stream)), peer)),
            #[cfg(feature = "sim")]
            Listener::Sim(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (TcpStream(Stream::Sim(stream)), peer)),
        }
    }
}

/// Whether the process (or the system) has too many files open.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
