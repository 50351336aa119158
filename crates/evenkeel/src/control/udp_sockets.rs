//! UDP sockets, at the addresses of listeners that take datagrams or speak HTTP/3. Two sets of them for
//! each address: one is read by this process; the other will be by the next one, so that during an
//! upgrade the datagrams of each reach it and no other. Owns which are held and which set gets new
//! senders; a kernel that cannot steer gets one socket, read by one worker.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evenkeel_config::model::{Listener, ListenerKind, UdpSession};
use evenkeel_proxy::listener::QUIC_ID_LENGTH;
use evenkeel_proxy::shared::Publication;
use evenkeel_proxy::worker::UdpOpening;
use evenkeel_runtime::{self as runtime, SteerBy, Steering, UdpBound};

use super::{bind, sockets};
use crate::upgrade::UdpPlace;

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
    /// Which datagrams belong to one of them.
    by: SteerBy,
    /// By place: first one set, then the other. One alone if the kernel cannot steer.
    sockets: Vec<UdpBound>,
    /// Which set is read here, and gets new connections.
    set: usize,
    /// Nobody is to read them, until then at least.
    left: Option<Instant>,
}

impl Group {
    /// Binds both sets, or one socket.
    fn bind(listener: &str, at: At, workers: usize) -> Result<Self, String> {
        let At { configured, address, by } = at;
        let explain = |error: io::Error| bind::explain_udp(listener, address, by, &error);
        bind::probe_udp(address).map_err(explain)?;
        let per_set = workers.clamp(1, PER_SET_MAX);
        // Port 0 becomes a real port with the first socket; the others share it.
        let (mut sockets, mut address) = (Vec::new(), address);
        for _ in 0..2 * per_set {
            let socket = UdpBound::bind(address).map_err(explain)?;
            address = socket.local_addr();
            sockets.push(socket);
        }
        let listener = listener.to_owned();
        let mut group = Self { listener, configured, address, by, sockets, set: 0, left: None };
        if let Err(error) = group.steer() {
            tracing::warn!(
                %address, %error,
                "this kernel cannot steer datagrams: one worker serves UDP here, and an upgrade \
                 ends its connections and sessions"
            );
            group.sockets.truncate(1);
        }
        Ok(group)
    }

    /// A predecessor's: the set that it does not read.
    fn inherited(listener: &str, at: At, found: Vec<(UdpPlace, UdpBound)>) -> Option<Self> {
        let set = if found.first()?.0.set == 0 { 1 } else { 0 };
        let address = found.first()?.1.local_addr();
        let sockets = found.into_iter().map(|(_, socket)| socket).collect();
        let At { configured, by, .. } = at;
        Some(Self { listener: listener.into(), configured, address, by, sockets, set, left: None })
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
        let steering =
            Steering { by: self.by, first: byte(places.start)?, count: byte(places.len())? };
        self.sockets.first().map_or(Ok(()), |socket| socket.steer(steering))
    }

    /// The same sockets, the other set: what drains has the one that was read so far.
    fn again(&self, listener: &str, at: At) -> io::Result<Self> {
        Ok(Self {
            listener: listener.into(),
            configured: at.configured,
            address: self.address,
            by: at.by,
            sockets: self.sockets.iter().map(UdpBound::duplicate).collect::<io::Result<_>>()?,
            set: 1 - self.set,
            left: None,
        })
    }

    fn is_for(&self, listener: &str, configured: SocketAddr, by: SteerBy) -> bool {
        let is_same = self.configured == configured && self.by == by;
        self.left.is_none() && self.listener == listener && is_same
    }
}

/// Where a group of sockets is wanted.
#[derive(Clone, Copy)]
struct At {
    /// As written: maybe with port 0.
    configured: SocketAddr,
    /// As bound, where TCP is already.
    address: SocketAddr,
    by: SteerBy,
}

/// What decides between the sockets of a listener; `None` if it takes no datagrams.
fn steer_by(listener: &Listener) -> Option<SteerBy> {
    match &listener.kind {
        ListenerKind::Udp(udp) => Some(SteerBy::Sender { ports: udp.session == UdpSession::Ports }),
        ListenerKind::Http if listener.protocols.h3 && listener.tls.is_some() => {
            cfg!(feature = "http3").then_some(SteerBy::ConnectionId { length: QUIC_ID_LENGTH })
        }
        _ => None,
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
    fn take(&mut self, listener: &str, at: SocketAddr) -> Vec<(UdpPlace, UdpBound)>;
}

/// See the module's head.
pub(crate) struct UdpSockets {
    workers: usize,
    groups: Vec<Group>,
}

impl UdpSockets {
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
        let each = |listener: &'l Listener| {
            let name = listener.name.as_str();
            let by = steer_by(listener);
            listener.bind.iter().filter_map(move |at| Some((name, *at, by?)))
        };
        let wanted: Vec<(&str, SocketAddr, SteerBy)> = listeners.flat_map(each).collect();
        let (mut plan, mut refused) = (Plan::default(), Vec::new());
        for &(listener, configured, by) in &wanted {
            if self.groups.iter().any(|group| group.is_for(listener, configured, by)) {
                continue;
            }
            let address = address(listener, configured).unwrap_or(configured);
            match self.open(listener, At { configured, address, by }, estate) {
                Ok(group) => plan.opened.push(group),
                Err(why) => refused.push(why),
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        let is_wanted = |group: &Group| wanted.iter().any(|(l, at, by)| group.is_for(l, *at, *by));
        let left = self.groups.iter().filter(|group| group.left.is_none() && !is_wanted(group));
        plan.left = left.map(|group| (group.listener.clone(), group.address)).collect();
        plan.offers = self.offers(&plan.opened).map_err(|error| vec![cannot_offer(&error)])?;
        Ok(plan)
    }

    fn open(&self, listener: &str, at: At, estate: &mut impl Estate) -> Result<Group, String> {
        let found = estate.take(listener, at.address);
        if let Some(group) = Group::inherited(listener, at, found) {
            return Ok(group);
        }
        match self.groups.iter().rev().find(|group| group.address == at.address) {
            Some(group) => group
                .again(listener, at)
                .map_err(|error| bind::explain_udp(listener, at.address, at.by, &error)),
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

    /// Where datagrams are taken: listener, address as written, address as bound. Where QUIC is, TCP is
    /// too.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (String, SocketAddr, SocketAddr)> {
        let is_own =
            |group: &&Group| group.left.is_none() && matches!(group.by, SteerBy::Sender { .. });
        let of = |group: &Group| (group.listener.clone(), group.configured, group.address);
        self.groups.iter().filter(is_own).map(of)
    }

    /// What a successor is given: name, address as configured, place, socket.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&str, SocketAddr, UdpPlace, &UdpBound)> {
        self.groups.iter().filter(|group| group.left.is_none()).flat_map(|group| {
            let sockets = group.sockets.iter().enumerate();
            sockets.map(|(place, socket)| {
                let place = UdpPlace { place, set: group.set };
                (group.listener.as_str(), group.configured, place, socket)
            })
        })
    }
}

fn cannot_offer(error: &io::Error) -> String {
    format!("cannot give the workers their sockets: {error}")
}

/// An offer in the words of workers.
pub(crate) fn openings(offer: Offer, publication: &Publication) -> Vec<UdpOpening> {
    let opening = |(name, socket, place): (String, UdpBound, Option<u8>)| {
        Some(UdpOpening { listener: sockets::key_of(publication, &name)?, socket, place })
    };
    offer.into_iter().filter_map(opening).collect()
}
