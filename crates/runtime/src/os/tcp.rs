//! TCP streams and listeners on epoll; `crate::tcp` says what each method promises. Reads and writes cost one system call each: after a read that
//! got less than it asked for, the next one waits for the reactor instead of asking the kernel.

use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, SocketFlags, acceptfrom_with, sendmsg};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::pipe::Pipe;
use crate::tcp::ConnectOptions;

/// Kernel's queue of connections waiting to be accepted; capped by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Questions without an answer after which a peer is taken for gone.
const KEEPALIVE_PROBES: u64 = 4;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub(crate) struct TcpStream {
    io: AsyncFd<std::net::TcpStream>,
    peer: SocketAddr,
    local: SocketAddr,
    written: Cell<u64>,
}

pub(crate) struct Detached {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Detached {
    pub(crate) fn attach(self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.stream, self.peer, self.local)
    }
}

impl TcpStream {
    fn from_std(
        stream: std::net::TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> io::Result<Self> {
        let io = register(stream, BOTH)?;
        Ok(Self { io, peer, local, written: Cell::new(0) })
    }

    pub(crate) async fn connect(address: SocketAddr, options: &ConnectOptions) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        if options.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(source) = options.source {
            bind_to_foreign(&socket, source)?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let stream: std::net::TcpStream = socket.into();
        let io = register(stream, BOTH)?;
        let _ready = io.writable().await?;
        if let Some(error) = io.get_ref().take_error()? {
            return Err(error);
        }
        let local = io.get_ref().local_addr()?;
        Ok(Self { io, peer: address, local, written: Cell::new(0) })
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

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_read_ready(cx).map_ok(|mut guard| guard.retain_ready())
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match self.io.get_ref().read(buffer) {
                Ok(read) => {
                    // Edge-triggered: less than asked for means there is no more. 0 is the end,
                    // which stays readable.
                    if 0 < read && read < buffer.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, bytes.len(), |mut stream| stream.write(bytes))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.poll_out(cx, length, |stream| {
            // Cheaper than `writev`, which goes through the file system layer first.
            let mut nothing = SendAncillaryBuffer::default();
            Ok(sendmsg(stream, slices, &mut nothing, SendFlags::NOSIGNAL)?)
        })
    }

    fn poll_out(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl Fn(&std::net::TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io.poll_write_ready(cx))?;
            match write(self.io.get_ref()) {
                Ok(written) => {
                    if 0 < written && written < length {
                        guard.clear_ready();
                    }
                    self.written.set(self.written.get().wrapping_add(written as u64));
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        beyond: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match self.io.get_ref().peek(buffer) {
                Ok(seen) if seen > beyond || seen == buffer.len() => return Poll::Ready(Ok(seen)),
                // The end has come behind it: this stays ready, so waiting would never end.
                Ok(seen) if seen == 0 || guard.ready().is_read_closed() => {
                    return Poll::Ready(Ok(seen));
                }
                Ok(_) => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(crate) fn keep_alive(&self, after: Duration) {
        let seconds = Duration::from_secs(after.as_secs().clamp(1, 32_767));
        let probe = Duration::from_secs((seconds.as_secs() / KEEPALIVE_PROBES).max(1));
        let settings = TcpKeepalive::new()
            .with_time(seconds)
            .with_interval(probe)
            .with_retries(KEEPALIVE_PROBES as u32);
        let _ = SockRef::from(self.io.get_ref()).set_tcp_keepalive(&settings); // it works without
    }

    pub(crate) fn write_now(&self, bytes: &[u8]) {
        let _ = self.io.get_ref().write(bytes);
    }

    pub(crate) fn has_input(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(mut guard)) = self.io.poll_read_ready(&mut context) else {
            return false;
        };
        match self.io.get_ref().peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                guard.clear_ready();
                false
            }
            _ => true,
        }
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.io.get_ref().shutdown(Shutdown::Write)
    }

    pub(crate) fn abort(&self) {
        let _ = SockRef::from(self.io.get_ref()).set_linger(Some(Duration::ZERO));
    }

    pub(crate) fn peer_took_nothing_since(&self, written_before: u64) -> bool {
        super::tcp_info::bytes_acked(self.io.get_ref().as_fd())
            .is_some_and(|acked| acked <= written_before.saturating_add(1))
    }

    pub(crate) fn detach(self) -> io::Result<Detached> {
        let Self { io, peer, local, .. } = self;
        Ok(Detached { stream: io.into_inner(), peer, local })
    }

    pub(crate) fn poll_splice_from(
        &self,
        cx: &mut Context<'_>,
        pipe: &Pipe,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match pipe.os()?.fill(self.io.get_ref().as_fd(), max) {
                Ok(moved) => return Poll::Ready(Ok(moved)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(crate) fn poll_splice_to(
        &self,
        cx: &mut Context<'_>,
        pipe: &Pipe,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io.poll_write_ready(cx))?;
            match pipe.os()?.drain(self.io.get_ref().as_fd(), length) {
                Ok(moved) => {
                    self.written.set(self.written.get().wrapping_add(moved as u64));
                    return Poll::Ready(Ok(moved));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Takes an address that is not this machine's, and any port.
fn bind_to_foreign(socket: &Socket, source: IpAddr) -> io::Result<()> {
    match source {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    socket.bind(&SocketAddr::new(source, 0).into())
}

pub(crate) struct TcpListener {
    io: AsyncFd<Socket>,
    local: SocketAddr,
}

pub(crate) struct Bound {
    socket: Socket,
    local: SocketAddr,
}

impl Bound {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?; // inherited by what it accepts
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Self::of(socket)
    }

    pub(crate) fn received(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen for TCP"));
        }
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        socket.set_tcp_nodelay(true)?;
        Self::of(socket)
    }

    fn of(socket: Socket) -> io::Result<Self> {
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { socket, local })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, local: self.local })
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl TcpListener {
    pub(crate) fn adopt(bound: Bound) -> io::Result<Self> {
        let Bound { socket, local } = bound;
        Ok(Self { io: register(socket, Interest::READABLE)?, local })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            // One system call: the flags are given, TCP_NODELAY is the listening socket's.
            match acceptfrom_with(self.io.get_ref(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    let peer = peer.ok_or(io::ErrorKind::InvalidInput)?;
                    let stream = std::net::TcpStream::from(socket);
                    let local = match self.local.ip().is_unspecified() {
                        true => stream.local_addr()?,
                        false => self.local,
                    };
                    return Poll::Ready(Ok((TcpStream::from_std(stream, peer, local)?, peer)));
                }
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

/// Puts a socket under the reactor's watch.
pub(crate) fn register<S: OwnedSocket>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    // SAFETY: the implementors of `OwnedSocket` own their descriptor: it is open, stays the same and
    // stays open until they are dropped, and the `AsyncFd` owns them. Nothing in this crate takes them
    // out by `&mut` or closes the descriptor by its number; `detach` takes them back by `into_inner`,
    // which ends the watch first.
    #[allow(unsafe_code)]
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    Ok(watched?)
}

/// Sockets that own one descriptor for as long as they live.
pub(crate) trait OwnedSocket: AsRawFd {}
impl OwnedSocket for OwnedFd {}
impl OwnedSocket for std::net::UdpSocket {}
impl OwnedSocket for std::net::TcpStream {}
impl OwnedSocket for Socket {}
