//! One end of a wire as a socket, and a pipe.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::wire::{End, Event, Outcome, Segment, Wire, send};
use super::world::{self, World};
use crate::pipe;

/// The wire of a stream that was detached.
const NOWHERE: usize = usize::MAX;
/// What a pipe holds at most.
const PIPE: usize = 64 * 1024;

/// One end of a wire.
pub(crate) struct TcpStream {
    world: Rc<World>,
    wire: usize,
    end: usize,
    peer: SocketAddr,
    local: SocketAddr,
}

/// A stream on its way to another worker of the same world: what it is, without the world.
pub(crate) struct Detached {
    /// `None` once it is a stream again.
    wire: Option<usize>,
    end: usize,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Detached {
    pub(crate) fn attach(mut self) -> io::Result<TcpStream> {
        let world = world::current().ok_or(io::ErrorKind::NotConnected)?;
        let wire = self.wire.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(TcpStream { world, wire, end: self.end, peer: self.peer, local: self.local })
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // One that nobody takes is closed.
        if let (Some(wire), Some(world)) = (self.wire.take(), world::current()) {
            drop(TcpStream { world, wire, end: self.end, peer: self.peer, local: self.local });
        }
    }
}

impl TcpStream {
    pub(crate) async fn connect(to: SocketAddr) -> io::Result<Self> {
        let world = world::current().ok_or(io::ErrorKind::NotConnected)?;
        if world.happens(world.plan.descriptors) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let port = world.next_port.replace(world.next_port.get().wrapping_add(1));
        let local = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), port));
        let window = |world: &World| world.within(&world.plan.window);
        let [own, other] = [window(&world), window(&world)];
        let asking = End { address: Some(local), window: own, ..End::default() };
        let asked = End { address: Some(to), window: other, ..End::default() };
        let wire = world.wires.borrow().len();
        world.wires.borrow_mut().push(Wire { ends: [asking, asked] });
        let stream = Self { world: world.clone(), wire, end: 0, peer: to, local };
        world.schedule(world.elapsed() + world.latency(), Event::Asked { wire, to });
        let outcome = poll_fn(|cx| {
            stream.with(|end, _| match end.connected {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    end.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
        });
        match outcome.await {
            Outcome::Made => Ok(stream),
            Outcome::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    pub(crate) fn accepted(world: &Rc<World>, wire: usize, local: SocketAddr) -> Self {
        let peer = world.wires.borrow().get(wire).and_then(|wire| wire.ends[0].address);
        Self { world: world.clone(), wire, end: 1, peer: peer.unwrap_or(local), local }
    }

    /// Looks at this end and the other.
    fn with<T>(&self, look: impl FnOnce(&mut End, &mut End) -> T) -> T {
        let mut wires = self.world.wires.borrow_mut();
        #[allow(clippy::indexing_slicing)] // wires are never taken away
        let [asking, asked] = &mut wires[self.wire].ends;
        match self.end {
            0 => look(asking, asked),
            _ => look(asked, asking),
        }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn total_written(&self) -> u64 {
        self.with(|own, _| own.sent)
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|own, _| {
            if own.received.is_empty() && !own.ended && !own.reset {
                own.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let taken = match self.poll_take(cx, buffer.len()) {
            Poll::Ready(Ok(taken)) => taken,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        for (place, byte) in buffer.iter_mut().zip(&taken) {
            *place = *byte;
        }
        Poll::Ready(Ok(taken.len()))
    }

    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        beyond: usize,
    ) -> Poll<io::Result<usize>> {
        self.with(|own, _| {
            let there = own.received.len().min(buffer.len());
            if there <= beyond && there < buffer.len() && !own.ended && !own.reset {
                own.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            for (place, byte) in buffer.iter_mut().zip(&own.received) {
                *place = *byte;
            }
            Poll::Ready(Ok(there))
        })
    }

    /// Takes up to `max` bytes of what has arrived; none is the end.
    fn poll_take(&self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Vec<u8>>> {
        let short = self.world.happens(self.world.plan.short);
        let share = self.world.draw() as usize;
        let taken = self.with(|own, _| {
            let there = own.received.len().min(max);
            if there > 0 {
                let take = if short { 1 + share % there } else { there };
                let was_full = own.room() == 0;
                let bytes: Vec<u8> = own.received.drain(..take).collect();
                return Poll::Ready(Ok((bytes, was_full)));
            }
            if max == 0 && !own.received.is_empty() {
                return Poll::Ready(Ok((Vec::new(), false)));
            }
            if own.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if own.ended {
                return Poll::Ready(Ok((Vec::new(), false)));
            }
            own.reader = Some(cx.waker().clone());
            Poll::Pending
        });
        taken.map_ok(|(bytes, was_full)| {
            if was_full {
                let at = self.world.elapsed() + self.world.latency();
                self.world.schedule(at, Event::Room { wire: self.wire, to: 1 - self.end });
            }
            bytes
        })
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.with(|own, other| {
            if own.reset || own.end_sent {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            match other.room() {
                0 if !bytes.is_empty() => {
                    own.writer = Some(cx.waker().clone());
                    Poll::Pending
                }
                room => Poll::Ready(Ok(room.min(bytes.len()))),
            }
        });
        room.map_ok(|room: usize| {
            let short = self.world.happens(self.world.plan.short);
            let taken = if short && room > 1 { 1 + self.world.below(room) } else { room };
            self.push(bytes.get(..taken).unwrap_or_default());
            taken
        })
    }

    /// Sends, in one segment or two.
    fn push(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.with(|own, _| own.sent += bytes.len() as u64);
        let cut = match self.world.happens(self.world.plan.short) {
            true => self.world.below(bytes.len()),
            false => 0,
        };
        let (first, second) = bytes.split_at(cut);
        for piece in [first, second] {
            if !piece.is_empty() {
                send(&self.world, self.wire, self.end, Segment::Data(piece.to_vec()));
            }
        }
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &bytes)
    }

    pub(crate) fn write_now(&self, bytes: &[u8]) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let _ = self.poll_write(&mut context, bytes);
    }

    pub(crate) fn has_input(&self) -> bool {
        self.with(|own, _| !own.received.is_empty() || own.ended || own.reset)
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        let (reset, said) = self.with(|own, _| {
            let said = std::mem::replace(&mut own.end_sent, true);
            (own.reset, said)
        });
        if reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if !said {
            send(&self.world, self.wire, self.end, Segment::End);
        }
        Ok(())
    }

    pub(crate) fn abort(&self) {
        self.with(|own, _| own.abort = true);
    }

    pub(crate) fn peer_took_nothing_since(&self, written_before: u64) -> bool {
        self.with(|own, _| own.acknowledged <= written_before)
    }

    pub(crate) fn detach(mut self) -> Detached {
        let wire = std::mem::replace(&mut self.wire, NOWHERE); // dropping it would close it
        Detached { wire: Some(wire), end: self.end, peer: self.peer, local: self.local }
    }

    pub(crate) fn poll_splice_from(
        &self,
        cx: &mut Context<'_>,
        pipe: &pipe::Pipe,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let pipe = pipe.sim()?;
        let room = PIPE.saturating_sub(pipe.held());
        self.poll_take(cx, max.min(room)).map_ok(|bytes| {
            pipe.bytes.borrow_mut().extend(&bytes);
            bytes.len()
        })
    }

    pub(crate) fn poll_splice_to(
        &self,
        cx: &mut Context<'_>,
        pipe: &pipe::Pipe,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let mut held = pipe.sim()?.bytes.borrow_mut();
        let bytes: Vec<u8> = held.iter().copied().take(length).collect();
        self.poll_write(cx, &bytes).map_ok(|written| {
            held.drain(..written.min(bytes.len()));
            written
        })
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        if self.wire == NOWHERE {
            return;
        }
        let farewell = self.with(|own, _| {
            own.closed = true;
            let unread = !own.received.is_empty();
            own.reader = None;
            own.writer = None;
            match (own.reset, own.abort || unread, own.end_sent) {
                (true, _, _) | (false, false, true) => None,
                (false, true, _) => Some(Segment::Reset),
                (false, false, false) => Some(Segment::End),
            }
        });
        if let Some(segment) = farewell {
            send(&self.world, self.wire, self.end, segment);
        }
    }
}

/// A queue that behaves like the kernel's pipe.
pub(crate) struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
}

impl Pipe {
    pub(crate) fn new() -> Self {
        Self { bytes: RefCell::default() }
    }

    pub(crate) fn held(&self) -> usize {
        self.bytes.borrow().len()
    }
}
