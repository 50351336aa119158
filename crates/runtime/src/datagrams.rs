//! Datagrams, many at a time: a bound socket that a worker reads, connected ones that it has many of,
//! and which of those have something. Owns buffers and readiness; what is sent to whom, and what is
//! dropped, the caller decides. Only the kernel's: a simulated world has no UDP.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::event::{Timespec, epoll};
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::os::datagrams::{self as os, BATCH, LONGEST, Label, Parcel};
use crate::os::tcp::register;
use crate::udp::UdpBound;

/// A bound socket that this worker reads.
pub struct UdpSocket {
    io: AsyncFd<std::net::UdpSocket>,
}

impl UdpSocket {
    /// Takes a socket over; its datagrams come with the address they were sent to if it is bound to
    /// all of them, and joined where they come in runs.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn adopt(bound: UdpBound) -> io::Result<Self> {
        os::tell_all(bound.as_fd(), bound.local_addr());
        let io = register(bound.into_std(), Interest::READABLE)?;
        Ok(Self { io })
    }

    /// Waits for datagrams, and takes what there is, as much as `inbox` holds.
    ///
    /// # Errors
    /// What the kernel says; also of one that was sent before and reached nobody.
    pub fn poll_receive(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match inbox.receive(self.io.get_ref().as_fd()) {
                Ok(()) => {
                    // Edge-triggered: fewer than there was room for means there are no more.
                    if inbox.labels.len() < BATCH {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what waits in `outbox`, which is empty afterwards; how many messages were not taken: by a
    /// full socket, or because nothing leads there.
    pub fn send(&self, outbox: &mut Outbox) -> usize {
        let socket = self.io.get_ref().as_fd();
        let mut lost = 0;
        let mut left = outbox.parcels.as_slice();
        while let Some(first) = left.first() {
            match os::send(socket, &outbox.arena, left) {
                Ok(sent) => left = left.get(sent.max(1)..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    lost += left.len();
                    break;
                }
                Err(error) => {
                    let is_run = first.segment < first.length;
                    let sent = is_run && os::cannot_cut(&error) && outbox.send_apart(socket, first);
                    lost += usize::from(!sent);
                    left = left.get(1..).unwrap_or_default();
                }
            }
        }
        outbox.parcels.clear();
        outbox.used = 0;
        lost
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

/// Room for what one call receives. Pages that no datagram was long enough for are never touched.
pub struct Inbox {
    arena: Box<[u8]>,
    labels: Vec<Label>,
}

/// A datagram, or a run of them from one sender.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'i> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Which of our addresses it was sent to, if there are several.
    pub to: Option<IpAddr>,
    /// All bytes.
    pub bytes: &'i [u8],
    /// Length of each datagram but the last; that of `bytes` if there is one.
    pub segment: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { arena: vec![0; BATCH * LONGEST].into(), labels: Vec::with_capacity(BATCH) }
    }
}

impl Inbox {
    fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        os::receive(socket, self.arena.chunks_exact_mut(LONGEST), &mut self.labels)
    }

    /// What was received last.
    pub fn arrived(&self) -> impl Iterator<Item = Arrived<'_>> {
        self.labels.iter().zip(self.arena.chunks_exact(LONGEST)).map(|(label, buffer)| Arrived {
            from: label.from,
            to: label.to,
            bytes: buffer.get(..label.length).unwrap_or_default(),
            segment: label.segment,
        })
    }
}

/// What waits to be sent: received into it where it stands, so that nothing is copied.
pub struct Outbox {
    arena: Box<[u8]>,
    used: usize,
    parcels: Vec<Parcel>,
}

/// An outbox is sent before it holds more.
const OUTBOX: usize = 4 * LONGEST;

impl Default for Outbox {
    fn default() -> Self {
        let parcels = Vec::with_capacity(BATCH);
        Self { arena: vec![0; OUTBOX].into(), used: 0, parcels }
    }
}

impl Outbox {
    /// Whether it must be sent before anything else is put in.
    pub fn is_full(&self) -> bool {
        self.parcels.len() >= BATCH || self.used + LONGEST > OUTBOX
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Receives a datagram, or a run, from `flow`, to be sent to `to` from our address `from`; how
    /// long it is, and each datagram of it.
    ///
    /// # Errors
    /// What the kernel says: `WouldBlock` if there is nothing, `ConnectionRefused` if what was sent
    /// reached nobody.
    pub fn take(
        &mut self,
        flow: &Flow,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<(usize, usize)> {
        let start = self.used;
        let room = self.arena.get_mut(start..).unwrap_or_default();
        let (length, segment) = flow.receive(room)?;
        self.used += length;
        self.parcels.push(Parcel { start, length, segment, to, from });
        Ok((length, segment))
    }

    /// The bytes that were taken last.
    pub fn last(&self) -> &[u8] {
        let Some(last) = self.parcels.last() else { return &[] };
        self.arena.get(last.start..last.start.saturating_add(last.length)).unwrap_or_default()
    }

    /// What was taken last is not to be sent.
    pub fn forget_last(&mut self) {
        if let Some(last) = self.parcels.pop() {
            self.used = last.start;
        }
    }

    /// Sends the datagrams of a run one by one.
    fn send_apart(&self, socket: BorrowedFd<'_>, run: &Parcel) -> bool {
        let end = run.start.saturating_add(run.length);
        let starts = (run.start..end).step_by(run.segment.max(1));
        starts.fold(true, |all, start| {
            let length = run.segment.min(end - start);
            let one = Parcel { start, length, segment: length, ..*run };
            os::send(socket, &self.arena, &[one]).is_ok() && all
        })
    }
}

/// A connected socket: of all that arrives here, only what its peer sends, and what the network says
/// about what was sent there.
pub struct Flow {
    socket: Socket,
    /// Whether runs are joined.
    joins: Cell<bool>,
}

impl Flow {
    /// From a port of the kernel's choosing. Waits for nothing.
    ///
    /// # Errors
    /// When there is no descriptor, no port, or no way there.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::UDP))?;
        socket.connect(&to.into())?;
        Ok(Self { socket, joins: Cell::new(false) })
    }

    /// Sends a datagram, or a run of them that are `segment` long.
    ///
    /// # Errors
    /// What the kernel says: `ConnectionRefused` is about what was sent before.
    pub fn send(&self, bytes: &[u8], segment: usize) -> io::Result<()> {
        if bytes.len() <= segment {
            return self.socket.send(bytes).map(drop);
        }
        for run in bytes.chunks(os::cut_max(segment).max(1)) {
            match os::send_connected(self.socket.as_fd(), run, segment) {
                Err(error) if os::cannot_cut(&error) => {
                    for one in run.chunks(segment.max(1)) {
                        self.socket.send(one)?;
                    }
                }
                sent => sent?,
            }
        }
        Ok(())
    }

    /// Joins what comes in runs from now on.
    pub fn join_runs(&self) {
        // One by one is slower, not wrong.
        self.joins.set(os::join_runs(self.socket.as_fd()).is_ok());
    }

    fn receive(&self, room: &mut [u8]) -> io::Result<(usize, usize)> {
        if self.joins.get() {
            return os::receive_connected(self.socket.as_fd(), room);
        }
        // Through `Read` it would be `read`, which for a socket is slower.
        let length = rustix::net::recv(&self.socket, room, RecvFlags::DONTWAIT)?.1;
        Ok((length, length))
    }
}

/// Which of many sockets have something to be received. One descriptor stands for all of them, so a
/// socket needs no task, no timer and no registration of its own.
pub struct Readiness {
    io: AsyncFd<OwnedFd>,
    events: Vec<epoll::Event>,
}

/// Sockets that one call names.
const NAMED: usize = 128;

impl Readiness {
    /// Of none yet.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let io = register(set, Interest::READABLE)?;
        Ok(Self { io, events: Vec::with_capacity(NAMED) })
    }

    /// Watches a socket until it is closed; it is called `name`.
    ///
    /// # Errors
    /// When the kernel has no room for it.
    pub fn watch(&self, flow: &Flow, name: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN;
        Ok(epoll::add(self.io.get_ref(), &flow.socket, epoll::EventData::new_u64(name), flags)?)
    }

    /// Waits until some have something, and says which in `names`: all of them, or as many as can be
    /// said at once. One that is not emptied is said again.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn poll(&mut self, cx: &mut Context<'_>, names: &mut Vec<u64>) -> Poll<io::Result<()>> {
        names.clear();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            self.events.clear();
            let room = rustix::buffer::spare_capacity(&mut self.events);
            match epoll::wait(self.io.get_ref(), room, Some(&at_once)) {
                Ok(0) => guard.clear_ready(),
                Ok(_) => {
                    names.extend(self.events.iter().map(|event| event.data.u64()));
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
