//! What the kernel alone costs: a relay that reads and writes as often as a balancer must, and knows
//! nothing of HTTP. One thread, one connection to the server for each client.
#![allow(clippy::disallowed_methods)] // not the data path

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Reads and writes that are under way at the same time.
const EVENTS: usize = 512;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, listen, to] = arguments.as_slice() else {
        return Err(io::Error::other("usage: floor LISTEN TO"));
    };
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let address: std::net::SocketAddr = listen.parse().map_err(io::Error::other)?;
    socket.bind(&address.into())?;
    socket.listen(16_384)?;
    let listener: TcpListener = socket.into();
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(u64::MAX), EventFlags::IN)?;
    let mut pairs: Vec<Option<[TcpStream; 2]>> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let token = event.data.u64();
            if token == u64::MAX {
                while let Ok((client, _)) = listener.accept() {
                    let server = TcpStream::connect(to)?;
                    let at = pairs.len() as u64;
                    for (side, stream) in [&client, &server].into_iter().enumerate() {
                        stream.set_nodelay(true)?;
                        stream.set_nonblocking(true)?;
                        let data = EventData::new_u64(at * 2 + side as u64);
                        epoll::add(&poll, stream.as_fd(), data, EventFlags::IN | EventFlags::ET)?;
                    }
                    pairs.push(Some([client, server]));
                }
                continue;
            }
            let Some(place) = pairs.get_mut((token / 2) as usize) else { continue };
            if let Some([client, server]) = place
                && !relay(
                    if token % 2 == 0 { (client, server) } else { (server, client) },
                    &mut buffer,
                )
            {
                *place = None;
            }
        }
    }
}

/// `false` when the connection has ended.
fn relay((from, to): (&mut TcpStream, &mut TcpStream), buffer: &mut [u8]) -> bool {
    loop {
        match from.read(buffer) {
            Ok(0) => return false,
            Ok(read) => {
                let mut left = buffer.get(..read).unwrap_or_default();
                while !left.is_empty() {
                    match to.write(left) {
                        Ok(written) => left = left.get(written..).unwrap_or_default(),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            std::thread::yield_now();
                        }
                        Err(_) => return false,
                    }
                }
                if read < buffer.len() {
                    return true; // edge-triggered: a short read has emptied the socket
                }
            }
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
