//! Listening sockets of a world.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::stream::TcpStream;
use super::world::{self, World};

/// Connections waiting to be accepted.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: RefCell<VecDeque<usize>>,
    acceptor: RefCell<Option<Waker>>,
}

impl Queue {
    pub(crate) fn arrive(&self, wire: usize) {
        self.waiting.borrow_mut().push_back(wire);
        if let Some(waker) = self.acceptor.take() {
            waker.wake();
        }
    }
}

/// A listening socket.
pub(crate) struct TcpListener {
    world: Rc<World>,
    address: SocketAddr,
    queue: Rc<Queue>,
}

/// An address that a listening socket will have: its queue is made by whoever adopts it.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
}

impl Bound {
    pub(crate) fn bind(mut address: SocketAddr) -> io::Result<Self> {
        let world = world::current().ok_or(io::ErrorKind::NotConnected)?;
        if address.port() == 0 {
            address.set_port(world.next_port.replace(world.next_port.get().wrapping_add(1)));
        }
        Ok(Self { address })
    }
}

impl TcpListener {
    pub(crate) fn adopt(bound: Bound) -> io::Result<Self> {
        let world = world::current().ok_or(io::ErrorKind::NotConnected)?;
        let Bound { address } = bound;
        let queue = Rc::new(Queue::default());
        world.listeners.borrow_mut().entry(address).or_default().push(queue.clone());
        Ok(Self { world, address, queue })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        if self.queue.waiting.borrow().is_empty() {
            self.queue.acceptor.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        if self.world.happens(self.world.plan.descriptors) {
            self.world.note("emfile", 0, b"");
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EMFILE)));
        }
        let Some(wire) = self.queue.waiting.borrow_mut().pop_front() else { return Poll::Pending };
        let stream = TcpStream::accepted(&self.world, wire, self.address);
        let peer = stream.peer_addr();
        Poll::Ready(Ok((stream, peer)))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let mut listeners = self.world.listeners.borrow_mut();
        if let Some(group) = listeners.get_mut(&self.address) {
            group.retain(|queue| !Rc::ptr_eq(queue, &self.queue));
        }
        drop(listeners);
        // What nobody accepted is reset.
        for wire in self.queue.waiting.take() {
            let stream = TcpStream::accepted(&self.world, wire, self.address);
            stream.abort();
        }
    }
}
