//! Connections of HTTP/2 and HTTP/3 to the servers of one pool and worker: which of them an exchange's stream goes
//! on, when there has to be another one, and who waits for it. Owns their number and their
//! retirement; a connection's own life is in [`link`].

mod h2;
#[cfg(feature = "http3")]
mod h3;
mod link;
mod opening;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use evenkeel_balancer::{Connection, ServerId};
use evenkeel_config::model::PoolProtocol;
use evenkeel_runtime as runtime;

#[cfg(feature = "http3")]
pub(crate) use self::h3::{Dialer, H3Broken, H3Receiving, H3Sending};
pub(crate) use self::link::Lent;
use self::link::{Link, STREAMS_MAX};
use self::opening::Opening;
pub(crate) use self::opening::Plain;
use super::{UpstreamConnection, connect};
use crate::channel::Channel;
use crate::failure::{Failure, Reason};
use crate::generation::Leased;
use crate::http::exchange::Exchange;
use crate::http::multiplex::client::ClientStream;
use crate::snapshot::PoolSettings;

/// See the module's head. By slot of the server.
#[derive(Default)]
pub(crate) struct Links {
    slots: RefCell<Vec<Slot>>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    links: Vec<Rc<Link>>,
    /// Connections being opened.
    openings: Vec<Rc<Opening>>,
    /// Streams that the last one took at a time.
    streams_max: Option<usize>,
}

impl Links {
    /// A place for a stream on a connection to the server, and whether others had one before. The
    /// fullest connection that has room is taken, so that those not needed become idle.
    fn lend(
        &self,
        server: ServerId,
        now: Instant,
        may_serve: impl Fn(&Link) -> bool,
    ) -> Option<(Lent, bool)> {
        self.with(server, |slot| {
            let links = slot.links.iter().filter(|link| may_serve(link) && link.has_room(now));
            links.max_by_key(|link| link.streams()).and_then(|link| link.lend(now))
        })
    }

    /// Whether a stream to the server would need no connection more than there are.
    pub(crate) fn has_room(&self, server: ServerId, now: Instant) -> bool {
        self.with(server, |slot| {
            slot.links.iter().any(|link| link.has_room(now))
                || slot.openings.iter().any(|opening| opening.has_room())
        })
    }

    /// A connection being opened that has room for one more.
    fn join(&self, server: ServerId) -> Option<Rc<Opening>> {
        self.with(server, |slot| slot.openings.iter().find(|opening| opening.join()).cloned())
    }

    /// Notes that one is being opened.
    fn begin(&self, server: ServerId) -> Rc<Opening> {
        self.with(server, |slot| {
            let opening = Rc::new(Opening::new(slot.streams_max.unwrap_or(STREAMS_MAX)));
            slot.openings.push(opening.clone());
            opening
        })
    }

    /// One is open, or will not be.
    fn settle(&self, server: ServerId, opening: &Rc<Opening>, opened: Option<Rc<Link>>) {
        self.with(server, |slot| {
            slot.openings.retain(|other| !Rc::ptr_eq(other, opening));
            if let Some(link) = opened {
                slot.streams_max = Some(link.streams_max().max(1));
                slot.links.push(link);
            }
        });
    }

    /// The server takes HTTP/1 alone: nobody else waits for the connections to it.
    fn expect_one(&self, server: ServerId) {
        self.with(server, |slot| slot.streams_max = Some(1));
    }

    fn with<T>(&self, server: ServerId, what: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slots = self.slots.borrow_mut();
        let at = server.slot as usize;
        while slots.len() <= at {
            slots.push(Slot::default()); // as many as the pool has servers
        }
        let mut fresh = Slot::default();
        // A server that has left, of which an opening ends only now, must not push out who took its
        // place.
        let current = slots.get_mut(at).filter(|slot| slot.generation <= server.generation);
        let slot = current.unwrap_or(&mut fresh);
        if slot.generation < server.generation {
            slot.retire(); // connections of a server that had this slot before
            *slot = Slot { generation: server.generation, ..Slot::default() };
        }
        what(slot)
    }

    /// Retires the connections of all other servers: what runs on them goes on.
    pub(crate) fn keep_of(&self, stays: impl Fn(ServerId) -> bool) {
        for (at, slot) in self.slots.borrow_mut().iter_mut().enumerate() {
            let id = ServerId { slot: at as u32, generation: slot.generation };
            if !stays(id) {
                slot.retire();
            }
        }
    }

    /// Retires those that may not be used any more; those without streams too when `idle`.
    pub(crate) fn sweep(&self, now: Instant, idle: bool) {
        for slot in self.slots.borrow_mut().iter_mut() {
            slot.links.retain(|link| {
                let stays = link.is_usable(now) && !(idle && link.streams() == 0);
                if !stays {
                    link.retire();
                }
                stays
            });
        }
    }
}

impl Slot {
    fn retire(&mut self) {
        self.links.drain(..).for_each(|link| link.retire());
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.slots.borrow_mut().iter_mut().for_each(Slot::retire);
    }
}

/// Whether requests share connections to the servers, or may turn out to.
pub(crate) fn may_speak(settings: &PoolSettings) -> bool {
    settings.config.protocol != PoolProtocol::H1
}

/// A stream of a connection that is open already, and whether others had one before.
pub(crate) fn take(
    settings: &PoolSettings,
    lease: &Leased,
) -> Option<(Box<UpstreamConnection>, bool)> {
    let now = runtime::now();
    let addresses = &lease.known().target.addresses;
    let may_serve = |link: &Link| link.may_serve(settings, addresses);
    let (lent, used) = lease.pool().links.lend(lease.server, now, may_serve)?;
    let stream = Channel::Request(Box::new(ClientStream::new(lent)));
    Some((connect::into_connection(stream, settings, None), used))
}

/// A stream for one request, or a connection if the server turns out to take HTTP/1 alone; and
/// whether others had one before.
pub(super) async fn reach(
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
) -> Result<(Box<UpstreamConnection>, bool), Failure> {
    let state = &exchange.connection.state;
    let mut limited = false;
    loop {
        if let Some((taken, used)) = take(settings, lease) {
            let is_tunnel = exchange.head.upgrade.is_some();
            if let Channel::Request(stream) = &taken.stream
                && is_tunnel
                && !stream.takes_tunnels()
            {
                return Err(Failure::unsent(Reason::NoTunnel));
            }
            return Ok((taken, used));
        }
        if !std::mem::replace(&mut limited, true) {
            state.allow_until(connect::limit(exchange, settings));
        }
        let opening = match lease.pool().links.join(lease.server) {
            Some(opening) => opening,
            None => open(exchange, lease)?,
        };
        let opened = poll_fn(|cx| {
            if let Poll::Ready(opened) = opening.poll(cx) {
                return Poll::Ready(Some(opened));
            }
            state.timer.poll_expired(cx).map(|()| None)
        });
        match opened.await {
            None => return Err(Failure::unsent(Reason::ConnectTimeout)),
            Some(Err(reason)) => return Err(Failure::unsent(reason)),
            Some(Ok(Some(Plain { channel, counted }))) => {
                return Ok((connect::into_connection(channel, settings, Some(counted)), false));
            }
            // Whoever comes first takes a place; one of HTTP/1 has a single one.
            Some(Ok(None)) => {}
        }
    }
}

/// A stream for a second try, once there is a connection for it. The pool's settings and its servers
/// may change meanwhile, its exchange must not be waited with.
pub(crate) fn second(
    exchange: &Exchange<'_>,
    lease: &Leased,
) -> Result<impl Future<Output = Result<(Channel, Option<Connection>), Reason>> + 'static, Failure>
{
    let opening = match lease.pool().links.join(lease.server) {
        Some(opening) => opening,
        None => open(exchange, lease)?,
    };
    let (links, server) = (lease.pool().links.clone(), lease.server);
    let (settings, known) = (settings_of(exchange)?, lease.known().clone());
    Ok(async move {
        let may_serve = |link: &Link| link.may_serve(&settings, &known.target.addresses);
        match poll_fn(|cx| opening.poll(cx)).await? {
            Some(Plain { channel, counted }) => Ok((channel, Some(counted))),
            None => {
                let lent = links.lend(server, runtime::now(), may_serve);
                let (lent, _) = lent.ok_or(Reason::ServerConnections)?;
                Ok((Channel::Request(Box::new(ClientStream::new(lent))), None))
            }
        }
    })
}

/// The settings of the exchange's pool, to be kept.
fn settings_of(exchange: &Exchange<'_>) -> Result<Arc<PoolSettings>, Failure> {
    let pools = &exchange.generation.snapshot.pools;
    let settings = exchange.pool.and_then(|id| pools.get(id.0 as usize));
    settings.map(Arc::clone).ok_or_else(|| Failure::new(Reason::NoServers))
}

/// Has another connection opened. It is opened to its end whatever becomes of who asked, since
/// others may wait for it too.
pub(crate) fn open(exchange: &Exchange<'_>, lease: &Leased) -> Result<Rc<Opening>, Failure> {
    let counted = connect::count(lease)?;
    let settings = settings_of(exchange)?;
    let links = lease.pool().links.clone();
    let opening = links.begin(lease.server);
    let task = opening::run(opening::Task {
        worker: exchange.connection.worker.clone(),
        known: lease.known().clone(),
        server: lease.server,
        settings,
        links,
        counted,
        opening: opening.clone(),
    });
    runtime::spawn(task);
    Ok(opening)
}
