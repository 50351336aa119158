//! UDP sockets for QUIC, at the addresses of listeners that speak HTTP/3. Two sets of them for each
//! address: one is read by this process; the other will be by the next one, so that during an upgrade
//! the datagrams of each reach it and no other. Owns which are held and which set gets new
//! connections; a kernel that cannot steer gets one socket, read by one worker.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evenkeel_config::model::Listener;
use evenkeel_proxy::listener::QUIC_ID_LENGTH;
use evenkeel_proxy::shared::Publication;
use evenkeel_proxy::worker::QuicOpening;
use evenkeel_runtime::{self as runtime, Steering, UdpBound};

use super::{bind, sockets};
use crate::upgrade::QuicPlace;

/// Sockets in a set at most: a place is one byte, and there are two sets.
const PER_SET_MAX: usize = 100;
/// Sockets that are not needed any more are kept at least so long: connections that drain have their
/// places among them. More than a drain takes.
const REST: Duration = Duration::from_secs(600);

/// The sockets of one address.
pub(crate) struct Group {
    /// The listener's name.
    listener: String,
    /// As written: maybe with port 0.
    configured: SocketAddr,
    /// As bound.
    address: SocketAddr,
    /// By place: first one set, then the other. One alone if the kernel cannot steer.
    sockets: Vec<UdpBound>,
    /// Which set is read here, and gets new connections.
    set: usize,
    /// Nobody is to read them, until then at least.
    left: Option<Instant>,
}

impl Group {
    /// Binds both sets, or one socket.
    fn bind(listener: &str, at: (SocketAddr, SocketAddr), workers: usize) -> Result<Self, String> {
        let (configured, address) = at;
        let explain = |error: io::Error| bind::explain_udp(listener, address, &error);
        bind::probe_udp(address).map_err(explain)?;
        let per_set = workers.clamp(1, PER_SET_MAX);
        let bind = |_| UdpBound::bind(address);
        let sockets =
            (0..2 * per_set).map(bind).collect::<io::Result<Vec<_>>>().map_err(explain)?;
        let listener = listener.to_owned();
        let mut group = Self { listener, configured, address, sockets, set: 0, left: None };
        if let Err(error) = group.steer() {
            tracing::warn!(
                %address, %error,
                "this kernel cannot steer datagrams: one worker serves QUIC here, and an upgrade \
                 ends its connections"
            );
            group.sockets.truncate(1);
        }
        Ok(group)
    }

    /// A predecessor's: the set that it does not read.
    fn inherited(
        listener: &str,
        configured: SocketAddr,
        found: Vec<(QuicPlace, UdpBound)>,
    ) -> Option<Self> {
        let set = if found.first()?.0.set == 0 { 1 } else { 0 };
        let address = found.first()?.1.local_addr();
        let sockets = found.into_iter().map(|(_, socket)| socket).collect();
        Some(Self { listener: listener.into(), configured, address, sockets, set, left: None })
    }

    fn is_steered(&self) -> bool {
        self.sockets.len() > 1
    }

    fn per_set(&self) -> usize {
        (self.sockets.len() / 2).max(1)
    }

    /// Places of the set that is read here.
    fn places(&self) -> std::ops::Range<usize> {
        match self.is_steered() {
            true => self.set * self.per_set()..(self.set + 1) * self.per_set(),
            false => 0..1,
        }
    }

    /// From now on new connections come to the set that is read here.
    fn steer(&self) -> io::Result<()> {
        let places = self.places();
        let byte = |n: usize| u8::try_from(n).map_err(|_| io::ErrorKind::InvalidInput);
        let steering = Steering {
            id_length: QUIC_ID_LENGTH,
            first: byte(places.start)?,
            count: byte(places.len())?,
        };
        self.sockets.first().map_or(Ok(()), |socket| socket.steer(steering))
    }

    /// The same sockets, the other set: what drains has the one that was read so far.
    fn again(&self, listener: &str, configured: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            listener: listener.into(),
            configured,
            address: self.address,
            sockets: self.sockets.iter().map(UdpBound::duplicate).collect::<io::Result<_>>()?,
            set: 1 - self.set,
            left: None,
        })
    }

    fn is_for(&self, listener: &str, configured: SocketAddr) -> bool {
        self.left.is_none() && self.listener == listener && self.configured == configured
    }
}

/// What one worker is to read: the listener's name, the socket, its place if it has one.
pub(crate) type Offer = Vec<(String, UdpBound, Option<u8>)>;

/// What a change of the listeners asks for.
#[derive(Default)]
pub(crate) struct Plan {
    opened: Vec<Group>,
    /// By worker.
    pub(crate) offers: Vec<Offer>,
    /// Listener and address as bound.
    pub(crate) left: Vec<(String, SocketAddr)>,
}

/// Where a predecessor's sockets are asked for.
pub(crate) trait Estate {
    /// Those of an address, by place; empty if there are none.
    fn take(&mut self, listener: &str, at: SocketAddr) -> Vec<(QuicPlace, UdpBound)>;
}

/// See the module's head.
pub(crate) struct QuicSockets {
    workers: usize,
    groups: Vec<Group>,
}

impl QuicSockets {
    /// For a process with this many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, groups: Vec::new() }
    }

    /// Binds what these listeners need beyond what is held; nothing changes yet. `address` tells where
    /// TCP is bound.
    ///
    /// # Errors
    /// Why addresses cannot be had; then none of the new ones is.
    pub(crate) fn plan<'l>(
        &self,
        listeners: impl Iterator<Item = &'l Listener>,
        address: impl Fn(&str, SocketAddr) -> Option<SocketAddr>,
        estate: &mut impl Estate,
    ) -> Result<Plan, Vec<String>> {
        let speaks = |listener: &&Listener| {
            cfg!(feature = "http3") && listener.protocols.h3 && listener.tls.is_some()
        };
        let wanted: Vec<(&str, SocketAddr)> = listeners
            .filter(speaks)
            .flat_map(|listener| listener.bind.iter().map(|at| (listener.name.as_str(), *at)))
            .collect();
        let (mut plan, mut refused) = (Plan::default(), Vec::new());
        for &(listener, configured) in &wanted {
            if self.groups.iter().any(|group| group.is_for(listener, configured)) {
                continue;
            }
            let address = address(listener, configured).unwrap_or(configured);
            match self.open(listener, (configured, address), estate) {
                Ok(group) => plan.opened.push(group),
                Err(why) => refused.push(why),
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        let is_wanted = |group: &Group| wanted.iter().any(|(l, at)| group.is_for(l, *at));
        let left = self.groups.iter().filter(|group| group.left.is_none() && !is_wanted(group));
        plan.left = left.map(|group| (group.listener.clone(), group.address)).collect();
        plan.offers = self.offers(&plan.opened).map_err(|error| vec![cannot_offer(&error)])?;
        Ok(plan)
    }

    fn open(
        &self,
        listener: &str,
        at: (SocketAddr, SocketAddr),
        estate: &mut impl Estate,
    ) -> Result<Group, String> {
        let (configured, address) = at;
        let found = estate.take(listener, address);
        if let Some(group) = Group::inherited(listener, configured, found) {
            return Ok(group);
        }
        match self.groups.iter().rev().find(|group| group.address == address) {
            Some(group) => group
                .again(listener, configured)
                .map_err(|error| bind::explain_udp(listener, address, &error)),
            None => Group::bind(listener, at, self.workers),
        }
    }

    /// A duplicate for each worker of what it is to read of these.
    fn offers<'g>(&self, groups: impl IntoIterator<Item = &'g Group>) -> io::Result<Vec<Offer>> {
        let mut offers: Vec<Offer> = (0..self.workers).map(|_| Offer::new()).collect();
        for group in groups {
            for (turn, place) in group.places().enumerate() {
                let worker = turn.checked_rem(self.workers).unwrap_or_default();
                let (Some(offer), Some(socket)) =
                    (offers.get_mut(worker), group.sockets.get(place))
                else {
                    continue;
                };
                let place = u8::try_from(place).ok().filter(|_| group.is_steered());
                offer.push((group.listener.clone(), socket.duplicate()?, place));
            }
        }
        Ok(offers)
    }

    /// Duplicates of everything that is to be read, for each worker.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn offer_all(&self) -> io::Result<Vec<Offer>> {
        self.offers(self.groups.iter().filter(|group| group.left.is_none()))
    }

    /// Keeps what is opened; what is left rests, and is closed once nothing can need it.
    pub(crate) fn commit(&mut self, plan: Plan) {
        let now = runtime::now();
        self.groups.retain(|group| group.left.is_none_or(|until| now < until));
        for group in &mut self.groups {
            let is_left = |(listener, address): &(String, SocketAddr)| {
                *listener == group.listener && *address == group.address
            };
            if group.left.is_none() && plan.left.iter().any(is_left) {
                group.left = Some(now + REST);
            }
        }
        // The same sockets are held once: a place is lost when the last descriptor is closed.
        let is_again = |group: &Group| plan.opened.iter().any(|o| o.address == group.address);
        self.groups.retain(|group| group.left.is_none() || !is_again(group));
        self.groups.extend(plan.opened);
    }

    /// New connections come to this process: when it begins to serve, and when a successor that had
    /// begun to has failed.
    pub(crate) fn steer(&self) {
        for group in self.groups.iter().filter(|group| group.left.is_none() && group.is_steered()) {
            if let Err(error) = group.steer() {
                tracing::error!(address = %group.address, %error, "cannot steer datagrams");
            }
        }
    }

    /// What a successor is given: name, address as configured, place, socket.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&str, SocketAddr, QuicPlace, &UdpBound)> {
        self.groups.iter().filter(|group| group.left.is_none()).flat_map(|group| {
            let sockets = group.sockets.iter().enumerate();
            sockets.map(|(place, socket)| {
                let place = QuicPlace { place, set: group.set };
                (group.listener.as_str(), group.configured, place, socket)
            })
        })
    }
}

fn cannot_offer(error: &io::Error) -> String {
    format!("cannot give the workers their sockets: {error}")
}

/// An offer in the words of workers.
pub(crate) fn openings(offer: Offer, publication: &Publication) -> Vec<QuicOpening> {
    let opening = |(name, socket, place): (String, UdpBound, Option<u8>)| {
        Some(QuicOpening { listener: sockets::key_of(publication, &name)?, socket, place })
    };
    offer.into_iter().filter_map(opening).collect()
}
