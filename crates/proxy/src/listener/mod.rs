//! Accepts connections: one socket for each worker and address, limits, and handing over to a
//! less busy worker. Owns what happens before the first byte is read.

mod entrance;
#[cfg(feature = "http3")]
pub(crate) mod quic;
mod rate;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use evenkeel_runtime::{self as runtime, TcpListener, TcpStream};

pub(crate) use self::entrance::{Entrance, Transport};
pub(crate) use self::rate::ConnectionRate;
use crate::channel::Channel;
use crate::connection::{self, Connection};
use crate::failure::Reason;
use crate::http::{downstream, local_reply};
use crate::layer4;
use crate::proxy_header::{self, Expected};
use crate::tls::ServerTls;
use crate::worker::{Command, Handover, Worker};

/// A worker keeps a connection unless it has this many more than the least loaded one; so at the
/// moment of an accept no two workers differ by more than this and the few connections that are
/// being accepted at the same time.
pub const IMBALANCE_MAX: u32 = 8;

/// Length of the connection IDs that we give QUIC clients: shorter than any that one makes up (RFC 9000
/// §7.2), by which the two are told apart.
pub const QUIC_ID_LENGTH: u8 = 7;

/// How long accepting rests when there is no room or no descriptor left: the kernel's queue holds
/// new clients meanwhile, and nobody spins.
pub(crate) const REST: Duration = Duration::from_millis(25);

/// A lack of descriptors is told of once in this time.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Starts accepting.
pub(crate) fn spawn(worker: &Rc<Worker>, entrance: Rc<Entrance>, socket: TcpListener) {
    entrance.accepts.set(true);
    let worker = worker.clone();
    runtime::spawn(async move {
        accept_loop(&worker, &entrance, socket).await;
        entrance.accepts.set(false);
    });
}

enum Accepted {
    /// No room for another connection.
    Full,
    /// The loop is to stop.
    Woken,
    Done(io::Result<(TcpStream, SocketAddr)>),
}

async fn accept_loop(worker: &Rc<Worker>, entrance: &Rc<Entrance>, socket: TcpListener) {
    let is_left = || entrance.drain().is_some() || worker.is_draining();
    let mut told = None;
    loop {
        let accepted = poll_fn(|cx| {
            // Asked at each wake-up: another worker may have filled the listener meanwhile.
            if !is_left() && is_full(worker, entrance) {
                return Poll::Ready(Accepted::Full);
            }
            // The queue first: what is in it was promised a connection by the kernel.
            if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                return Poll::Ready(Accepted::Done(accepted));
            }
            entrance.wake().poll_expired(cx).map(|()| Accepted::Woken)
        });
        match accepted.await {
            Accepted::Full => runtime::sleep(REST).await,
            Accepted::Woken if is_left() => return,
            Accepted::Woken => {}
            Accepted::Done(Ok((stream, peer))) => admit(worker, entrance, stream, peer),
            Accepted::Done(Err(error)) if runtime::is_out_of_descriptors(&error) => {
                let now = runtime::now();
                if told.is_none_or(|told| now.saturating_duration_since(told) > TELL_AGAIN) {
                    told = Some(now);
                    tracing::warn!(address = %entrance.address, %error, "cannot accept: out of descriptors");
                }
                worker.sweep_idle(true);
                runtime::sleep(REST).await;
            }
            Accepted::Done(Err(error)) => {
                tracing::debug!(address = %entrance.address, %error, "accept failed");
                runtime::yield_now().await;
            }
        }
    }
}

/// Whether the listener has all the connections it may have.
fn is_full(worker: &Worker, entrance: &Entrance) -> bool {
    let limit = entrance
        .serving(worker)
        .and_then(|(generation, id)| generation.snapshot.listener(id)?.config.limits.connections)
        .unwrap_or(worker.shared.connections_max);
    entrance.connections.value() >= limit
}

/// Counts a new connection and gives it to whoever serves it.
fn admit(worker: &Rc<Worker>, entrance: &Rc<Entrance>, stream: TcpStream, peer: SocketAddr) {
    worker.counters.accepted.add(1);
    let Some((generation, id)) = entrance.serving(worker) else { return };
    let Some(listener) = generation.snapshot.listener(id) else { return };
    // Of who speaks for others, each client is counted once it is known.
    let limit = match Expected::of(listener, peer) {
        Expected::Yes => None,
        Expected::No => Some(listener.config.limits.connections_per_ip),
        Expected::Refused => {
            worker.counters.refused.add(1);
            tracing::debug!(%peer, "refused: nobody believes its header of the PROXY protocol");
            return;
        }
    };
    if limit.is_some() && !listener.admits(peer.ip()) {
        worker.counters.refused.add(1);
        tracing::debug!(client = %peer.ip(), "refused: connections too fast");
        if listener.config.tls.is_none() && listener.config.kind.is_http() {
            local_reply::refuse(&stream, Reason::ConnectionRate);
        }
        return;
    }
    if !worker.shared.clients.enter(peer.ip(), limit.unwrap_or(u32::MAX)) {
        worker.counters.refused.add(1);
        tracing::debug!(client = %peer.ip(), "refused: too many connections");
        if listener.config.tls.is_none() && listener.config.kind.is_http() {
            local_reply::refuse(&stream, Reason::TooManyConnections); // else nobody could read it
        }
        return;
    }
    entrance.connections.enter();
    let server = choose(worker, entrance, generation.number);
    if let Some(gauge) = worker.shared.workers.get(server) {
        gauge.enter();
    }
    if server == worker.index {
        start(worker, entrance, stream);
        return;
    }
    if let Err(error) = hand_over(worker, server, entrance, stream) {
        tracing::warn!(%error, "a connection was lost on its way to another worker");
        if let Some(gauge) = worker.shared.workers.get(server) {
            gauge.leave();
        }
        if let Some(gauge) = worker.shared.workers.get(worker.index) {
            gauge.enter();
        }
        connection::uncount(worker, &entrance.connections, peer.ip());
    }
}

/// The worker to serve the next connection: this one, unless another has far fewer and serves by
/// the same publication, so that it has the same listeners.
fn choose(worker: &Worker, entrance: &Entrance, number: u64) -> usize {
    let own = worker.shared.workers.get(worker.index).map_or(0, |gauge| gauge.value());
    match worker.shared.least_loaded() {
        Some((other, load))
            if load.saturating_add(IMBALANCE_MAX) <= own
                && !worker.is_draining()
                && entrance.drain().is_none()
                && worker.shared.adopted(other) == number =>
        {
            other
        }
        _ => worker.index,
    }
}

fn hand_over(
    worker: &Rc<Worker>,
    to: usize,
    entrance: &Rc<Entrance>,
    stream: TcpStream,
) -> io::Result<()> {
    let handover = Handover {
        peer: stream.peer_addr(),
        stream: stream.detach()?,
        listener: entrance.key,
        address: entrance.address,
        connections: entrance.connections.clone(),
    };
    let Some(peer) = worker.peers.get(to) else { return Err(io::ErrorKind::NotFound.into()) };
    match peer.try_send(Command::Take(handover)) {
        Ok(()) => {
            worker.counters.handed_over.add(1);
            Ok(())
        }
        Err(Command::Take(handover)) => {
            // Its inbox is full: it is busier than its count says. Serve the connection here.
            let stream = handover.stream.attach()?;
            let gauges = &worker.shared.workers;
            if let (Some(other), Some(own)) = (gauges.get(to), gauges.get(worker.index)) {
                other.leave();
                own.enter();
            }
            start(worker, entrance, stream);
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

/// Serves a connection that another worker accepted and counted.
pub(crate) fn take_over(worker: &Rc<Worker>, handover: Handover) {
    let Some(entrance) = worker.entrance_of(&handover) else {
        // Left, drained and forgotten since it was sent: as if it had come a moment later.
        return connection::uncount(worker, &handover.connections, handover.peer.ip());
    };
    match handover.stream.attach() {
        Ok(stream) => {
            worker.counters.taken_over.add(1);
            start(worker, &entrance, stream);
        }
        Err(error) => {
            tracing::warn!(%error, "a connection was lost on its way to this worker");
            connection::uncount(worker, &handover.connections, handover.peer.ip());
        }
    }
}

fn start(worker: &Rc<Worker>, entrance: &Rc<Entrance>, stream: TcpStream) {
    let peer = stream.peer_addr();
    let channel = match tls(worker, entrance) {
        Secrecy::None => Channel::Plain(stream),
        Secrecy::Missing => {
            tracing::error!(address = %entrance.address, "no key material: a connection is refused");
            return connection::uncount(worker, &entrance.connections, peer.ip());
        }
        Secrecy::Tls(tls) => match tls.accept(stream) {
            Ok(stream) => Channel::Tls(Box::new(stream)),
            Err(error) => {
                tracing::error!(%error, "a TLS session cannot be made");
                return connection::uncount(worker, &entrance.connections, peer.ip());
            }
        },
    };
    let (is_http, expected) = serving(worker, entrance, peer);
    let mut connection = Connection::new(worker.clone(), channel, entrance.clone(), runtime::now());
    match (expected, is_http) {
        (Expected::No, true) => runtime::spawn(downstream::serve(connection)),
        (Expected::No, false) => runtime::spawn(layer4::serve(connection)),
        _ => runtime::spawn(async move {
            if !Box::pin(proxy_header::receive(&mut connection)).await {
                return connection.stream.abort();
            }
            match is_http {
                true => downstream::serve(connection).await,
                false => layer4::serve(connection).await,
            }
        }),
    };
}

/// Whether a connection is one of HTTP, and what it begins with.
fn serving(worker: &Worker, entrance: &Entrance, peer: SocketAddr) -> (bool, Expected) {
    let serving = entrance.serving(worker);
    let listener = serving.as_ref().and_then(|(generation, id)| generation.snapshot.listener(*id));
    match listener {
        Some(listener) => (listener.config.kind.is_http(), Expected::of(listener, peer)),
        None => (true, Expected::No),
    }
}

/// How a listener's connections are kept secret.
enum Secrecy {
    None,
    Tls(Arc<ServerTls>),
    /// They are to be, and cannot: then nobody is served.
    Missing,
}

fn tls(worker: &Worker, entrance: &Entrance) -> Secrecy {
    let serving = entrance.serving(worker);
    let listener = serving.as_ref().and_then(|(generation, id)| generation.snapshot.listener(*id));
    match listener {
        Some(listener) if listener.config.tls.is_some() => {
            listener.tls.clone().map_or(Secrecy::Missing, Secrecy::Tls)
        }
        _ => Secrecy::None,
    }
}
