//! TCP streams and listeners.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::pipe::Pipe;

/// Kernel's queue of connections waiting to be accepted; capped by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Small writes leave at once.
    pub nodelay: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { nodelay: true }
    }
}

/// A byte stream. All methods take `&self`, so that one task can pump both directions.
pub struct TcpStream {
    io: AsyncFd<std::net::TcpStream>,
    peer: SocketAddr,
    local: SocketAddr,
    written: Cell<u64>,
}

/// A stream that belongs to no worker at the moment.
pub struct Detached {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Detached {
    /// Makes it this worker's.
    pub fn attach(self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.stream, self.peer, self.local)
    }
}

impl TcpStream {
    fn from_std(
        stream: std::net::TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> io::Result<Self> {
        let io = AsyncFd::with_interest(stream, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { io, peer, local, written: Cell::new(0) })
    }

    pub async fn connect(address: SocketAddr, options: &ConnectOptions) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        if options.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let stream: std::net::TcpStream = socket.into();
        let io = AsyncFd::with_interest(stream, Interest::READABLE | Interest::WRITABLE)?;
        let _ready = io.writable().await?;
        if let Some(error) = io.get_ref().take_error()? {
            return Err(error);
        }
        let local = io.get_ref().local_addr()?;
        Ok(Self { io, peer: address, local, written: Cell::new(0) })
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub fn total_written(&self) -> u64 {
        self.written.get()
    }

    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_read_ready(cx).map_ok(|mut guard| guard.retain_ready())
    }

    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
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

    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, bytes.len(), |mut stream| stream.write(bytes))
    }

    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.poll_out(cx, length, |mut stream| stream.write_vectored(slices))
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

    pub fn write_now(&self, bytes: &[u8]) {
        let _ = self.io.get_ref().write(bytes);
    }

    pub fn is_ready_to_read(&self) -> bool {
        self.io.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    pub fn shutdown_write(&self) -> io::Result<()> {
        self.io.get_ref().shutdown(Shutdown::Write)
    }

    pub fn abort(&self) {
        let _ = SockRef::from(self.io.get_ref()).set_linger(Some(Duration::ZERO));
    }

    pub fn peer_took_nothing_since(&self, written_before: u64) -> bool {
        crate::tcp_info::bytes_acked(self.io.get_ref().as_fd())
            .is_some_and(|acked| acked <= written_before.saturating_add(1))
    }

    pub fn detach(self) -> io::Result<Detached> {
        let Self { io, peer, local, .. } = self;
        Ok(Detached { stream: io.into_inner(), peer, local })
    }

    pub fn poll_splice_from(
        &self,
        cx: &mut Context<'_>,
        pipe: &Pipe,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match pipe.fill(self.io.get_ref().as_fd(), max) {
                Ok(moved) => return Poll::Ready(Ok(moved)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub fn poll_splice_to(
        &self,
        cx: &mut Context<'_>,
        pipe: &Pipe,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io.poll_write_ready(cx))?;
            match pipe.drain(self.io.get_ref().as_fd(), length) {
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

pub struct TcpListener {
    io: AsyncFd<Socket>,
    local: SocketAddr,
}

impl TcpListener {
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
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
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { io: AsyncFd::with_interest(socket, Interest::READABLE)?, local })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match self.io.get_ref().accept_raw() {
                Ok((socket, address)) => {
                    socket.set_nonblocking(true)?;
                    socket.set_cloexec(true)?;
                    socket.set_tcp_nodelay(true)?;
                    let peer = address.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
                    let stream: std::net::TcpStream = socket.into();
                    let local = stream.local_addr()?;
                    return Poll::Ready(Ok((TcpStream::from_std(stream, peer, local)?, peer)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}
