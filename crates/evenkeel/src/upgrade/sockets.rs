//! Listening sockets that were not bound here: a predecessor's, or systemd's (socket activation).
//! Owns which listener gets which, and how they are spread over the workers. No queue is lost: with
//! fewer workers than before a worker takes several sockets of one address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use evenkeel_runtime::{Bound, UdpBound};
use socket2::SockRef;

use super::message::{SocketEntry, UdpPlace};
use crate::control::udp_sockets::Estate;

/// Sockets nobody has asked for yet.
#[derive(Default)]
pub(crate) struct Inherited {
    listeners: Vec<Socket>,
    /// For QUIC, with the names of their listeners.
    quic: Vec<(String, UdpPlace, UdpBound)>,
    /// Who bound them, for the log.
    from: &'static str,
    /// systemd was asked to bind what is listened on.
    is_activated: bool,
}

struct Socket {
    name: String,
    /// As it was configured; `None` if that is not known.
    bind: Option<SocketAddr>,
    worker: usize,
    bound: Bound,
    kin: Kin,
}

/// What the kernel says about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kin {
    /// The same for all descriptors of one socket.
    cookie: u64,
    /// Whether more sockets can be bound to its address.
    may_share: bool,
}

/// The sockets of one address of a listener, spread over the workers.
pub(crate) struct Share {
    /// By worker; each has at least one.
    pub(crate) by_worker: Vec<Vec<Bound>>,
    /// Workers that accept from another's socket and could bind their own, once this process is in
    /// charge: a socket bound before would take its queue with it if the process failed.
    pub(crate) missing: Vec<usize>,
}

impl Inherited {
    /// A predecessor's, with what it says about them; what does not listen is told and closed.
    pub(super) fn from_predecessor(entries: Vec<SocketEntry>, sockets: Vec<OwnedFd>) -> Self {
        let mut inherited = Self { from: "the old process", ..Self::default() };
        for (entry, descriptor) in entries.into_iter().zip(sockets) {
            let bind = entry.bind.parse().ok();
            if let Some(place) = entry.quic {
                match UdpBound::received(descriptor) {
                    Ok(socket) => inherited.quic.push((entry.listener, place, socket)),
                    Err(error) => {
                        tracing::warn!(listener = %entry.listener, %error, "socket not used");
                    }
                }
                continue;
            }
            inherited.add(entry.listener, bind, entry.worker, descriptor);
        }
        inherited
    }

    /// What systemd bound, with the names it gives them.
    pub(crate) fn from_activation(sockets: Vec<(String, OwnedFd)>) -> Self {
        let is_activated = !sockets.is_empty();
        let mut inherited = Self { from: "systemd", is_activated, ..Self::default() };
        for (name, descriptor) in sockets {
            inherited.add(name, None, 0, descriptor);
        }
        inherited
    }

    fn add(&mut self, name: String, bind: Option<SocketAddr>, worker: usize, socket: OwnedFd) {
        let received = Bound::received(socket).and_then(|bound| Ok((kin(&bound)?, bound)));
        match received {
            Ok((kin, bound)) => {
                self.listeners.push(Socket { name, bind, worker, bound, kin });
            }
            Err(error) => {
                tracing::warn!(listener = %name, from = self.from, %error, "socket not used");
            }
        }
    }

    /// How many listening sockets are left.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// The sockets for a listener's address, spread over `workers` of them; `None` if there are none
    /// and it has to be bound.
    pub(crate) fn take(
        &mut self,
        listener: &str,
        bind: SocketAddr,
        workers: usize,
    ) -> io::Result<Option<Share>> {
        let matching = self.matching(listener, bind);
        let mut found = Vec::with_capacity(matching.len());
        for at in matching.into_iter().rev() {
            found.push(self.listeners.swap_remove(at));
        }
        if found.is_empty() {
            if self.is_activated {
                tracing::info!(listener, %bind, "systemd gave no socket for this address: bound here");
            }
            return Ok(None);
        }
        found.sort_by_key(|socket| socket.worker);
        let kin: Vec<Kin> = found.iter().map(|socket| socket.kin).collect();
        let Plan { given, missing } = spread(&kin, workers);
        let mut by_worker: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
        for (worker, at) in given {
            if let (Some(place), Some(socket)) = (by_worker.get_mut(worker), found.get(at)) {
                place.push(socket.bound.duplicate()?);
            }
        }
        Ok(Some(Share { by_worker, missing }))
    }

    /// Tells of what nobody wants, and closes it.
    pub(crate) fn close(self) {
        for socket in &self.listeners {
            let address = socket.bound.local_addr();
            let (name, from) = (&socket.name, self.from);
            match self.is_activated {
                true => tracing::warn!(
                    "the socket `{name}` ({address}) of systemd is closed: no listener has this \
                     address or this name"
                ),
                false => tracing::info!(socket = %name, %address, from, "no longer listened on"),
            }
        }
    }

    /// Those of this name and address; else of this address; else, if only the name is known, one
    /// address of this name.
    fn matching(&self, listener: &str, bind: SocketAddr) -> Vec<usize> {
        let all = |is: &dyn Fn(&Socket) -> bool| -> Vec<usize> {
            let sockets = self.listeners.iter().enumerate();
            sockets.filter(|(_, socket)| is(socket)).map(|(at, _)| at).collect()
        };
        let same = all(&|s| s.name == listener && s.bind == Some(bind));
        if !same.is_empty() {
            return same;
        }
        let at_address = all(&|s| bind.port() != 0 && s.bound.local_addr() == bind);
        if !at_address.is_empty() {
            return at_address;
        }
        let named = all(&|s| s.name == listener && s.bind.is_none());
        let first = named.first().and_then(|at| self.listeners.get(*at));
        let Some(address) = first.map(|socket| socket.bound.local_addr()) else { return named };
        all(&|s| s.name == listener && s.bind.is_none() && s.bound.local_addr() == address)
    }
}

impl Estate for Inherited {
    fn take(&mut self, listener: &str, at: SocketAddr) -> Vec<(UdpPlace, UdpBound)> {
        let all = std::mem::take(&mut self.quic);
        // Any port is the one that the listener has.
        let is_any = |name: &str| at.port() == 0 && name == listener;
        let is_at = |(name, _, socket): &(String, _, UdpBound)| {
            let local = socket.local_addr();
            local == at || is_any(name) && local.ip() == at.ip()
        };
        let (found, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_at);
        self.quic = rest;
        let mut found: Vec<_> =
            found.into_iter().map(|(_, place, socket)| (place, socket)).collect();
        found.sort_by_key(|(place, _)| place.place);
        found
    }
}

fn kin(bound: &Bound) -> io::Result<Kin> {
    let descriptor = bound.descriptor().ok_or(io::ErrorKind::Unsupported)?;
    let socket = SockRef::from(&descriptor);
    Ok(Kin { cookie: socket.cookie()?, may_share: socket.reuse_port()? })
}

/// Which worker gets which socket (by its place among those found), and which get one that is
/// another's too although they could bind their own.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    given: Vec<(usize, usize)>,
    missing: Vec<usize>,
}

fn spread(found: &[Kin], workers: usize) -> Plan {
    let mut distinct: Vec<usize> = Vec::new();
    for (at, kin) in found.iter().enumerate() {
        let is_same = |&other: &usize| found.get(other).is_some_and(|o| o.cookie == kin.cookie);
        if !distinct.iter().any(is_same) {
            distinct.push(at);
        }
    }
    let places = workers.max(distinct.len());
    let given = (0..places).filter_map(|place| {
        let at = distinct.get(place.checked_rem(distinct.len())?)?;
        Some((place.checked_rem(workers)?, *at))
    });
    let missing = match found.iter().all(|kin| kin.may_share) {
        true => (distinct.len().min(workers)..workers).collect(),
        false => Vec::new(),
    };
    Plan { given: given.collect(), missing }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn found(cookies: &[u64], may_share: bool) -> Vec<Kin> {
        cookies.iter().map(|&cookie| Kin { cookie, may_share }).collect()
    }

    #[test]
    fn as_many_workers_as_before_keep_their_sockets() {
        let plan = spread(&found(&[1, 2], true), 2);
        assert_eq!(plan, Plan { given: vec![(0, 0), (1, 1)], missing: vec![] });
    }

    #[test]
    fn fewer_workers_take_all_sockets_between_them() {
        let plan = spread(&found(&[1, 2, 3], true), 2);
        assert_eq!(plan, Plan { given: vec![(0, 0), (1, 1), (0, 2)], missing: vec![] });
    }

    #[test]
    fn more_workers_share_until_they_bind_what_is_missing() {
        let plan = spread(&found(&[1], true), 3);
        assert_eq!(plan, Plan { given: vec![(0, 0), (1, 0), (2, 0)], missing: vec![1, 2] });
    }

    #[test]
    fn a_socket_that_cannot_be_shared_by_address_is_shared_itself() {
        let plan = spread(&found(&[1, 1], false), 3);
        assert_eq!(plan, Plan { given: vec![(0, 0), (1, 0), (2, 0)], missing: vec![] });
    }

    #[test]
    fn the_same_socket_twice_counts_once() {
        let plan = spread(&found(&[7, 7, 8], true), 2);
        assert_eq!(plan, Plan { given: vec![(0, 0), (1, 2)], missing: vec![] });
        assert_eq!(spread(&found(&[7, 7], true), 1).given, [(0, 0)]);
    }

    fn listening(count: usize) -> (SocketAddr, Vec<OwnedFd>) {
        let first = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr();
        let more = (1..count).map(|_| Bound::bind(address).unwrap());
        let all = std::iter::once(first).chain(more).collect::<Vec<_>>();
        let owned = |bound: &Bound| bound.descriptor().unwrap().try_clone_to_owned().unwrap();
        (address, all.iter().map(owned).collect())
    }

    fn entry(name: &str, bind: &str, worker: usize) -> SocketEntry {
        SocketEntry { listener: name.into(), bind: bind.into(), worker, quic: None }
    }

    #[test]
    fn a_listener_gets_what_had_its_name_and_address_whatever_the_port_became() {
        let (address, sockets) = listening(2);
        let entries = vec![entry("web", "127.0.0.1:0", 0), entry("web", "127.0.0.1:0", 1)];
        let mut inherited = Inherited::from_predecessor(entries, sockets);
        let bind = "127.0.0.1:0".parse().unwrap();
        assert!(inherited.take("api", bind, 2).unwrap().is_none());
        let share = inherited.take("web", bind, 2).unwrap().unwrap();
        let counts: Vec<usize> = share.by_worker.iter().map(Vec::len).collect();
        assert_eq!(counts, [1, 1]);
        assert!(share.by_worker.iter().flatten().all(|bound| bound.local_addr() == address));
        assert_eq!(inherited.len(), 0);
    }

    #[test]
    fn a_listener_with_a_new_name_gets_what_has_its_address() {
        let (address, sockets) = listening(1);
        let entries = vec![entry("web", &address.to_string(), 0)];
        let mut inherited = Inherited::from_predecessor(entries, sockets);
        assert!(inherited.take("shop", address, 1).unwrap().is_some());
    }

    #[test]
    fn what_systemd_bound_is_matched_by_address_and_else_by_name() {
        let ((a, sockets_a), (b, sockets_b)) = (listening(1), listening(1));
        let sockets = sockets_a.into_iter().chain(sockets_b);
        let named = ["other", "web"].map(String::from).into_iter().zip(sockets).collect();
        let mut inherited = Inherited::from_activation(named);
        let wished: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let share = inherited.take("web", wished, 1).unwrap().unwrap();
        assert_eq!(share.by_worker[0][0].local_addr(), b);
        assert!(inherited.take("web", wished, 1).unwrap().is_none());
        assert!(inherited.take("unnamed", a, 1).unwrap().is_some());
    }

    #[test]
    fn what_does_not_listen_is_not_used() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = socket.as_fd().try_clone_to_owned().unwrap();
        assert_eq!(Inherited::from_activation(vec![("web".into(), socket)]).len(), 0);
    }
}
