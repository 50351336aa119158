//! Servers that take a fixed time for each request and work on so many at once; what comes beyond
//! that waits its turn. One thread for all of them: `paced SLOTS PORT=MILLISECONDS…`.
#![allow(clippy::disallowed_methods)] // not the data path

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n\
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
/// More than a balancer sends for a request of the benchmark.
const HEAD_MAX: usize = 4096;
/// Events taken from the kernel at once.
const EVENTS: usize = 512;

/// A server; requests are answered in the order in which they came.
struct Server {
    listener: TcpListener,
    takes: Duration,
    /// When a request is done, and on which connection it came: each takes as long, so the first
    /// that begins is the first that ends.
    working: VecDeque<(Instant, usize)>,
    waiting: VecDeque<usize>,
}

/// A connection and the part of a head that was received; it has one request at a time.
struct Connection {
    stream: TcpStream,
    server: usize,
    head: Vec<u8>,
    /// Its request has not been answered.
    is_busy: bool,
    /// To be closed when it has been.
    has_ended: bool,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || io::Error::other("usage: paced SLOTS PORT=MILLISECONDS...");
    let [slots, servers @ ..] = arguments.as_slice() else { return Err(usage()) };
    let slots = slots.parse::<usize>().map_err(|_| usage())?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut all = All { servers: Vec::new(), connections: Vec::new(), free: Vec::new(), slots };
    for (at, server) in servers.iter().enumerate() {
        let (port, millis) = server.split_once('=').ok_or_else(usage)?;
        let port = port.parse::<u16>().map_err(|_| usage())?;
        let takes = Duration::from_millis(millis.parse().map_err(|_| usage())?);
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        // Listeners have the even numbers, connections the odd ones.
        epoll::add(&poll, &listener, EventData::new_u64(at as u64 * 2), EventFlags::IN)?;
        all.servers.push(Server { listener, takes, working: [].into(), waiting: [].into() });
    }
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        // epoll's own timeout is in whole milliseconds.
        let timeout = all.next().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        rustix::event::poll(&mut [PollFd::new(&poll, PollFlags::IN)], timeout.as_ref())?;
        events.clear();
        let now = Some(&Timespec { tv_sec: 0, tv_nsec: 0 });
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), now)?;
        for event in &events {
            let number = event.data.u64();
            let at = (number / 2) as usize;
            match number % 2 {
                0 => all.accept(at, &poll)?,
                _ => all.receive(at),
            }
        }
        all.finish(Instant::now());
    }
}

struct All {
    servers: Vec<Server>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    slots: usize,
}

impl All {
    /// When the next request is done.
    fn next(&self) -> Option<Instant> {
        self.servers.iter().filter_map(|server| Some(server.working.front()?.0)).min()
    }

    fn accept(&mut self, server: usize, poll: impl AsFd) -> io::Result<()> {
        let Some(listener) = self.servers.get(server).map(|server| &server.listener) else {
            return Ok(());
        };
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let at = self.free.pop().unwrap_or(self.connections.len());
            let data = EventData::new_u64(at as u64 * 2 + 1);
            epoll::add(&poll, &stream, data, EventFlags::IN | EventFlags::ET)?;
            let new =
                Connection { stream, server, head: Vec::new(), is_busy: false, has_ended: false };
            match self.connections.get_mut(at) {
                Some(place) => *place = Some(new),
                None => self.connections.push(Some(new)),
            }
        }
        Ok(())
    }

    /// Reads all there is; a whole head is a request.
    fn receive(&mut self, at: usize) {
        let Some(Some(connection)) = self.connections.get_mut(at) else { return };
        let mut buffer = [0; HEAD_MAX];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => connection.has_ended = true,
                Ok(read) => {
                    connection.head.extend_from_slice(buffer.get(..read).unwrap_or_default());
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => connection.has_ended = true,
            }
            break;
        }
        if connection.head.len() > HEAD_MAX {
            connection.has_ended = true;
        } else if connection.head.ends_with(b"\r\n\r\n") {
            connection.head.clear();
            connection.is_busy = true;
            let server = connection.server;
            if let Some(server) = self.servers.get_mut(server) {
                server.waiting.push_back(at);
                server.begin(self.slots, Instant::now());
            }
        }
        self.close_if_ended(at);
    }

    /// Answers what is done and begins what waited.
    fn finish(&mut self, now: Instant) {
        for at in 0..self.servers.len() {
            while let Some(server) = self.servers.get_mut(at)
                && let Some((_, connection)) = server.working.pop_front_if(|(done, _)| *done <= now)
            {
                server.begin(self.slots, now);
                self.answer(connection);
            }
        }
    }

    fn answer(&mut self, at: usize) {
        let Some(Some(connection)) = self.connections.get_mut(at) else { return };
        // It fits into the socket's empty buffer.
        connection.has_ended |= connection.stream.write_all(RESPONSE).is_err();
        connection.is_busy = false;
        self.close_if_ended(at);
    }

    fn close_if_ended(&mut self, at: usize) {
        if let Some(place) = self.connections.get_mut(at)
            && place.as_ref().is_some_and(|connection| connection.has_ended && !connection.is_busy)
        {
            *place = None;
            self.free.push(at);
        }
    }
}

impl Server {
    fn begin(&mut self, slots: usize, now: Instant) {
        while self.working.len() < slots
            && let Some(connection) = self.waiting.pop_front()
        {
            self.working.push_back((now + self.takes, connection));
        }
    }
}
