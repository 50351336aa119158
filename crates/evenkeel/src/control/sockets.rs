//! The listening sockets of the process: bound here, one for each worker and address, and a
//! duplicate of each kept, so that a successor can be given all of them. Owns which are held; what
//! is accepted from them is the workers' business.

use std::net::SocketAddr;

use evenkeel_config::model::Listener;
use evenkeel_proxy::shared::{ListenerKey, Publication};
use evenkeel_proxy::worker::Opening;
use evenkeel_runtime::Bound;

use super::bind;
use super::udp_sockets::{self, UdpSockets};
use crate::failure::{Exit, Failure};
use crate::upgrade::{Inherited, Share};

/// One address of a listener.
pub(crate) struct Held {
    /// The listener's name.
    pub(crate) listener: String,
    /// As written: maybe with port 0.
    pub(crate) configured: SocketAddr,
    /// As bound.
    pub(crate) address: SocketAddr,
    /// By worker: a duplicate of each socket that the worker accepts from.
    pub(crate) sockets: Vec<Vec<Bound>>,
    /// Workers that accept from another's socket until they may bind their own.
    missing: Vec<usize>,
}

impl Held {
    fn inherited(listener: &str, configured: SocketAddr, share: Share) -> Self {
        let Share { by_worker: sockets, missing } = share;
        let first = sockets.iter().flatten().next();
        let address = first.map_or(configured, Bound::local_addr);
        Self { listener: listener.into(), configured, address, sockets, missing }
    }

    /// The same sockets for another listener.
    fn renamed(&self, listener: &str, configured: SocketAddr) -> Result<Self, String> {
        let duplicates = |sockets: &Vec<Bound>| sockets.iter().map(Bound::duplicate).collect();
        let sockets = self.sockets.iter().map(duplicates).collect::<std::io::Result<_>>();
        Ok(Self {
            listener: listener.into(),
            configured,
            address: self.address,
            sockets: sockets.map_err(|error| bind::explain(listener, configured, &error))?,
            missing: self.missing.clone(),
        })
    }

    /// Binds what workers miss; gives each its new one. What cannot be bound is told and done
    /// without.
    fn complete(&mut self) -> Vec<(usize, Bound)> {
        let mut bound = Vec::new();
        for worker in std::mem::take(&mut self.missing) {
            let own = Bound::bind(self.address).and_then(|own| Ok((own.duplicate()?, own)));
            match (own, self.sockets.get_mut(worker)) {
                (Ok((own, kept)), Some(place)) => {
                    place.push(kept);
                    bound.push((worker, own));
                }
                (Ok(_), None) => {}
                (Err(error), _) => {
                    let listener = &self.listener;
                    tracing::warn!(%listener, worker, %error, "shares the socket of another worker");
                }
            }
        }
        bound
    }
}

/// What one worker is to accept from.
pub(crate) type Offer = Vec<(String, Bound)>;

/// See the module's head.
pub(crate) struct Sockets {
    workers: usize,
    held: Vec<Held>,
    /// At the same addresses.
    pub(crate) udp: UdpSockets,
}

/// What a change of the listeners asks for.
pub(crate) struct Plan {
    /// Bound, not yet accepted from.
    pub(crate) opened: Vec<Held>,
    /// Of these a duplicate for each worker, by worker, with the listener's name.
    pub(crate) offers: Vec<Offer>,
    /// Listener and address as bound.
    pub(crate) left: Vec<(String, SocketAddr)>,
    pub(crate) udp: udp_sockets::Plan,
}

impl Sockets {
    /// For a process with this many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, held: Vec::new(), udp: UdpSockets::new(workers) }
    }

    /// Binds what these listeners need beyond what is held; nothing changes yet. Listeners for
    /// which `is_closed` holds need nothing.
    ///
    /// # Errors
    /// When an address cannot be had; then none of the new ones is.
    pub(crate) fn plan(
        &self,
        listeners: &[Listener],
        is_closed: impl Fn(&str) -> bool,
        inherited: &mut Inherited,
    ) -> Result<Plan, Failure> {
        let open = listeners
            .iter()
            .filter(|listener| !is_closed(&listener.name) && !listener.kind.is_udp());
        let wanted: Vec<(&str, SocketAddr)> = open
            .flat_map(|listener| listener.bind.iter().map(|at| (listener.name.as_str(), *at)))
            .collect();
        let is_wanted = |held: &Held| wanted.contains(&(held.listener.as_str(), held.configured));
        let left = self.held.iter().filter(|held| !is_wanted(held));
        let left = left.map(|held| (held.listener.clone(), held.address)).collect();
        let mut opened = Vec::new();
        let mut refused = Vec::new();
        for &(listener, configured) in &wanted {
            let is_held = |held: &Held| held.listener == listener && held.configured == configured;
            if self.held.iter().any(is_held) {
                continue;
            }
            // Renamed: what waits in the queues of its old name is not to be lost.
            let same_address = |held: &&Held| held.address == configured && !is_wanted(held);
            let opening = match self.held.iter().find(same_address) {
                Some(held) => held.renamed(listener, configured),
                None => self.open(listener, configured, inherited),
            };
            match opening {
                Ok(held) => opened.push(held),
                Err(why) => refused.push(why),
            }
        }
        let all = || self.held.iter().chain(&opened);
        let bound = |listener: &str, configured: SocketAddr| {
            all().find(|held| held.listener == listener && held.configured == configured)
        };
        let address = |name: &str, at: SocketAddr| bound(name, at).map(|held| held.address);
        let speaking = listeners.iter().filter(|listener| !is_closed(&listener.name));
        let udp = match self.udp.plan(speaking, address, inherited) {
            Ok(udp) => udp,
            Err(why) => {
                refused.extend(why);
                udp_sockets::Plan::default()
            }
        };
        if !refused.is_empty() {
            return Err(Failure::new(Exit::Bind, refused.join("\nerror: ")));
        }
        let offers = self.offers(&opened).map_err(|error| {
            let message = format!("cannot give the workers their sockets: {error}");
            Failure::new(Exit::Runtime, message)
        })?;
        Ok(Plan { opened, offers, left, udp })
    }

    fn open(
        &self,
        listener: &str,
        configured: SocketAddr,
        inherited: &mut Inherited,
    ) -> Result<Held, String> {
        let explain = |e: std::io::Error| bind::explain(listener, configured, &e);
        if let Some(share) = inherited.take(listener, configured, self.workers).map_err(explain)? {
            return Ok(Held::inherited(listener, configured, share));
        }
        let mut sockets: Vec<Vec<Bound>> = (0..self.workers).map(|_| Vec::new()).collect();
        let mut address = configured;
        // What we hold ourselves, maybe for a listener that goes, is no other process.
        let is_ours = self.held.iter().any(|held| held.address.port() == configured.port());
        if configured.port() != 0 && !is_ours {
            bind::probe(listener, configured)?;
        }
        for place in &mut sockets {
            // Port 0 becomes a real port with the first socket; the others share it.
            let socket =
                Bound::bind(address).map_err(|error| bind::explain(listener, address, &error))?;
            address = socket.local_addr();
            place.push(socket);
        }
        Ok(Held { listener: listener.into(), configured, address, sockets, missing: Vec::new() })
    }

    /// A duplicate of each of these for each worker.
    fn offers(&self, opened: &[Held]) -> std::io::Result<Vec<Offer>> {
        let offer = |worker: usize| {
            let mut offer = Offer::new();
            for held in opened {
                for socket in held.sockets.get(worker).into_iter().flatten() {
                    offer.push((held.listener.clone(), socket.duplicate()?));
                }
            }
            Ok(offer)
        };
        (0..self.workers).map(offer).collect()
    }

    /// Duplicates of everything that is held, for each worker.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn offer_all(&self) -> std::io::Result<Vec<Offer>> {
        self.offers(&self.held)
    }

    /// Binds what inherited listeners have too few sockets of; gives each worker what it is to accept
    /// from besides.
    pub(crate) fn complete(&mut self, publication: &Publication) -> Vec<Vec<Opening>> {
        let mut openings: Vec<Vec<Opening>> = (0..self.workers).map(|_| Vec::new()).collect();
        for held in &mut self.held {
            let Some(listener) = key_of(publication, &held.listener) else { continue };
            for (worker, socket) in held.complete() {
                if let Some(place) = openings.get_mut(worker) {
                    place.push(Opening { listener, socket });
                }
            }
        }
        openings
    }

    /// Keeps what is opened and closes the duplicates of what is left.
    pub(crate) fn commit(&mut self, plan: Plan) {
        let Plan { opened, left, udp, .. } = plan;
        self.udp.commit(udp);
        let is_left = |held: &Held| {
            left.iter().any(|(name, address)| *name == held.listener && *address == held.address)
        };
        self.held.retain(|held| !is_left(held));
        self.held.extend(opened);
    }

    /// Closes all duplicates: from now on only workers hold sockets.
    pub(crate) fn close(&mut self) {
        self.held.clear();
    }

    /// What is listened on: listener, address as written, address as bound.
    pub(crate) fn addresses(&self) -> Vec<(String, SocketAddr, SocketAddr)> {
        let tcp =
            self.held.iter().map(|held| (held.listener.clone(), held.configured, held.address));
        tcp.chain(self.udp.addresses()).collect()
    }

    /// Everything that is listened on over TCP.
    pub(crate) fn held(&self) -> &[Held] {
        &self.held
    }
}

/// An offer in the words of workers.
pub(crate) fn openings(offer: Offer, publication: &Publication) -> Vec<Opening> {
    let opening = |(name, socket): (String, Bound)| {
        Some(Opening { listener: key_of(publication, &name)?, socket })
    };
    offer.into_iter().filter_map(opening).collect()
}

/// What identifies the listener `name` to workers.
pub(crate) fn key_of(publication: &Publication, name: &str) -> Option<ListenerKey> {
    let at = publication.snapshot.listeners.iter().position(|l| l.config.name == name)?;
    publication.listeners.get(at).map(|shared| shared.key)
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    fn listeners(yaml: &str) -> Vec<Listener> {
        let text = format!("listeners: {{ {yaml} }}\nroutes: [ {{ respond: {{ status: 204 }} }} ]");
        let source = evenkeel_config::Source { name: "test".into(), text };
        evenkeel_config::load(&[source], &|_| None).unwrap().config.listeners
    }

    fn change(sockets: &mut Sockets, yaml: &str) {
        let (open, nothing) = (|_: &str| false, &mut Inherited::default());
        let plan = sockets.plan(&listeners(yaml), open, nothing).map_err(|failure| failure.said());
        sockets.commit(plan.unwrap());
    }

    /// What tells the sockets of a listener apart, whatever descriptors there are of them.
    fn cookies(sockets: &Sockets, listener: &str) -> Vec<u64> {
        let held = sockets.held().iter().filter(|held| held.listener == listener);
        let bound = held.flat_map(|held| held.sockets.iter().flatten());
        bound.map(|b| SockRef::from(&b.descriptor().unwrap()).cookie().unwrap()).collect()
    }

    #[test]
    fn listeners_that_change_their_names_keep_their_queues() {
        let free = || Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr();
        let (a, b) = (free(), free());
        let mut sockets = Sockets::new(2);
        change(&mut sockets, &format!("one: {{ bind: '{a}' }}, two: {{ bind: '{b}' }}"));
        let (one, two) = (cookies(&sockets, "one"), cookies(&sockets, "two"));
        assert_eq!((one.len(), two.len()), (2, 2));
        change(&mut sockets, &format!("two: {{ bind: '{a}' }}, one: {{ bind: '{b}' }}"));
        assert_eq!((cookies(&sockets, "two"), cookies(&sockets, "one")), (one.clone(), two));
        change(&mut sockets, &format!("three: {{ bind: '{a}' }}"));
        assert_eq!((cookies(&sockets, "three"), sockets.held().len()), (one, 1));
    }
}
