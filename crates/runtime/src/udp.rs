//! UDP sockets: bound here, several to an address, and what decides which of them gets a datagram.
//! Only the kernel's: a simulated world has no UDP. Owns no I/O; who reads them is the caller's.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::os::steering;

/// Asked of the kernel for each direction; it gives what `net.core.{r,w}mem_max` allow. A worker that
/// is busy for a few milliseconds loses nothing.
const BUFFER: usize = 2 * 1024 * 1024;

/// A socket that belongs to no worker. May cross threads and, by its descriptor, processes.
pub struct UdpBound {
    socket: Socket,
    local: SocketAddr,
}

/// Which of the sockets of one address gets a datagram. New senders are spread over the places of one
/// set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    /// What of a datagram decides.
    pub by: SteerBy,
    /// Place, in order of binding, of the first socket that gets new senders.
    pub first: u8,
    /// How many do, from there on; at least 1.
    pub count: u8,
}

/// What of a datagram decides which socket gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteerBy {
    /// The connection ID of QUIC (RFC 9000 §5.2). A server's own connection IDs are shorter than any
    /// that a client makes up (8 bytes, §7.2), and their first byte is the place of the socket that
    /// they belong to: so a connection stays with its socket wherever its client goes. First packets,
    /// with an ID of the client's, go to the set.
    ConnectionId {
        /// Length of our own connection IDs; 1 to 7.
        length: u8,
    },
    /// Its sender, who stays with one socket of the set.
    Sender {
        /// Of one address, those of each port for themselves.
        ports: bool,
    },
}

impl UdpBound {
    /// Binds `address`; port 0 is any free one. An IPv6 address takes IPv6 only. Others of this user
    /// may bind the same address (SO_REUSEPORT).
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(true)?;
        let _ = socket.set_recv_buffer_size(BUFFER); // less is slower, not wrong
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.bind(&address.into())?;
        Self::of(socket)
    }

    /// A socket that nobody else shares, for what is asked of others.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn own(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        let _ = socket.set_recv_buffer_size(BUFFER); // less is slower, not wrong
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.bind(&address.into())?;
        Self::of(socket)
    }

    /// A socket that another process has bound.
    ///
    /// # Errors
    /// When it is something else.
    pub fn received(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        if socket.r#type()? != Type::DGRAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no UDP socket"));
        }
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        Self::of(socket)
    }

    fn of(socket: Socket) -> io::Result<Self> {
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { socket, local })
    }

    /// Where it is bound, with the port the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Another descriptor of the same socket: it keeps its place until all of them are closed.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, local: self.local })
    }

    /// Decides for all sockets of its address, until somebody decides otherwise.
    ///
    /// # Errors
    /// When the kernel cannot (no `SO_ATTACH_REUSEPORT_CBPF`).
    pub fn steer(&self, steering: Steering) -> io::Result<()> {
        let is_ipv6 = self.local.is_ipv6();
        steering::attach(self.socket.as_fd(), &steering::program(steering, is_ipv6))
    }

    /// For whoever reads it.
    pub fn into_std(self) -> UdpSocket {
        self.socket.into()
    }
}

impl AsFd for UdpBound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BY_ID: SteerBy = SteerBy::ConnectionId { length: 7 };

    fn group(count: usize) -> Vec<UdpSocket> {
        group_at("127.0.0.1:0", count, BY_ID)
    }

    fn group_at(address: &str, count: usize, by: SteerBy) -> Vec<UdpSocket> {
        let first = UdpBound::bind(address.parse().unwrap()).unwrap();
        let address = first.local_addr();
        let more = (1..count).map(|_| UdpBound::bind(address).unwrap());
        let sockets: Vec<_> = std::iter::once(first).chain(more).collect();
        // New senders go to the second half.
        let half = u8::try_from(count / 2).unwrap();
        sockets[0].steer(Steering { by, first: half, count: half }).unwrap();
        let plain = |bound: UdpBound| {
            let socket = bound.into_std();
            socket.set_nonblocking(false).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            socket
        };
        sockets.into_iter().map(plain).collect()
    }

    /// The place of the socket that gets `datagram`.
    fn place_of(group: &[UdpSocket], datagram: &[u8]) -> Option<usize> {
        place_from(group, &UdpSocket::bind("127.0.0.1:0").unwrap(), datagram)
    }

    fn place_from(group: &[UdpSocket], client: &UdpSocket, datagram: &[u8]) -> Option<usize> {
        client.send_to(datagram, group[0].local_addr().unwrap()).unwrap();
        let mut buffer = [0; 64];
        (0..20).find_map(|_| group.iter().position(|socket| socket.recv(&mut buffer).is_ok()))
    }

    #[test]
    fn a_short_header_goes_where_its_connection_id_says_rfc_9000_17_3() {
        let group = group(4);
        for place in 0..4 {
            let datagram = [0x40, place, 1, 2, 3, 4, 5, 6, 7];
            assert_eq!(place_of(&group, &datagram), Some(usize::from(place)));
        }
    }

    #[test]
    fn a_long_header_with_an_id_of_ours_goes_there_too_rfc_9000_17_2() {
        let group = group(4);
        for place in 0..4 {
            let datagram = [0xc0, 0, 0, 0, 1, 7, place, 1, 2, 3, 4, 5, 6];
            assert_eq!(place_of(&group, &datagram), Some(usize::from(place)));
        }
    }

    #[test]
    fn a_first_packet_goes_to_the_set_for_new_connections_always_to_the_same_socket() {
        let group = group(4);
        for byte in [0, 1, 2, 255] {
            let datagram = [0xc0, 0, 0, 0, 1, 8, byte, 1, 2, 3, 4, 5, 6, 7];
            assert_eq!(place_of(&group, &datagram), Some(2 + usize::from(byte) % 2));
        }
    }

    #[test]
    fn what_is_too_short_or_points_nowhere_harms_nobody() {
        let group = group(4);
        for datagram in [&[][..], &[0x40], &[0xc0, 0, 0], &[0xc0, 0, 0, 0, 1, 7]] {
            place_of(&group, datagram);
        }
        place_of(&group, &[0x40, 250, 0, 0, 0]);
        assert_eq!(place_of(&group, &[0x40, 3, 0, 0, 0]), Some(3));
    }

    #[test]
    fn senders_are_spread_over_the_set_and_each_stays_with_its_socket() {
        for (own, loopback) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0")] {
            let group = group_at(own, 4, SteerBy::Sender { ports: true });
            let mut heard = [0; 4];
            for _ in 0..32 {
                let client = UdpSocket::bind(loopback).unwrap();
                let place = place_from(&group, &client, b"one").unwrap();
                assert_eq!(place_from(&group, &client, &[0xff; 60]), Some(place));
                heard[place] += 1;
            }
            assert_eq!((heard[0], heard[1]), (0, 0), "the other set");
            assert!(heard[2] > 4 && heard[3] > 4, "{heard:?}");
        }
    }

    #[test]
    fn a_sender_stays_with_its_socket_whatever_its_port_if_that_is_wanted() {
        let group = group_at("127.0.0.1:0", 4, SteerBy::Sender { ports: false });
        let place =
            |address: &str| place_from(&group, &UdpSocket::bind(address).unwrap(), b"one").unwrap();
        let mut all = std::collections::HashSet::new();
        for n in 1..20 {
            let address = format!("127.0.0.{n}:0");
            assert_eq!(place(&address), place(&address));
            all.insert(place(&address));
        }
        assert_eq!(all.len(), 2, "{all:?}");
    }
}
