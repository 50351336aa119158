//! Accepts QUIC connections: one endpoint for each socket, limits, address validation under pressure,
//! handshakes in time. Owns what happens before HTTP/3 begins. A connection belongs to the worker
//! whose socket its first packet came to: the kernel is told to bring all later ones there
//! ([`evenkeel_runtime::Steering`]), so nothing is ever handed over.

mod event_loop;
mod settings;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use evenkeel_codec::h3::Code;
use evenkeel_config::model::ForwardedCertificate;
use evenkeel_runtime::{self as runtime, Timer, UdpBound};
use quinn::{ConnectionError, Endpoint, Incoming, ServerConfig};

pub(crate) use self::event_loop::EventLoop;
use super::{Entrance, REST, is_full};
use crate::channel::{Channel, quic::Ends};
use crate::connection::Connection;
use crate::http::downstream::h3;
use crate::tls::Session;
use crate::worker::Worker;

/// Handshakes under way in one worker from which on new clients prove their address first (RFC 9000
/// §8.1.2): one more round trip for them, and nothing at all for whoever invents addresses.
const VALIDATE_FROM: usize = 64;
/// Beyond so many, new ones are not answered until some have ended; clients ask again.
const HANDSHAKES_MAX: usize = 1024;

/// Starts accepting from `socket`, the one at `place` among those of its address.
pub(crate) fn spawn(
    worker: &Rc<Worker>,
    entrance: Rc<Entrance>,
    socket: UdpBound,
    place: Option<u8>,
) {
    let threshold = Threshold {
        worker: worker.clone(),
        entrance,
        place,
        handshakes: Rc::default(),
        settings: None,
    };
    runtime::spawn(threshold.guard(socket));
}

/// One socket, as its accept loop sees it.
struct Threshold {
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    /// `None`: the socket is shared with whoever comes after us.
    place: Option<u8>,
    /// Under way.
    handshakes: Rc<Cell<usize>>,
    /// Of new connections, and of which publication they are.
    settings: Option<(u64, Arc<ServerConfig>)>,
}

impl Threshold {
    /// Accepts until the entrance is left. An endpoint that is lost is replaced.
    async fn guard(mut self, socket: UdpBound) {
        let address = self.entrance.address;
        while !self.is_left() {
            let endpoint = match self.open(&socket) {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    tracing::error!(%address, %error, "cannot accept QUIC connections");
                    return;
                }
            };
            self.accept_from(&endpoint).await;
            if self.is_left() {
                endpoint.set_server_config(None); // nobody accepts any more
            }
            if self.is_left() && self.place.is_none() {
                endpoint.close(h3::code(Code::NoError), b"");
            }
            if !self.is_left() {
                self.worker.counters.panics.add(1);
                tracing::error!(%address, "a QUIC endpoint was lost with its connections");
                runtime::sleep(REST).await;
            }
        }
    }

    fn is_left(&self) -> bool {
        self.entrance.drain().is_some() || self.worker.is_draining()
    }

    fn open(&mut self, socket: &UdpBound) -> io::Result<Endpoint> {
        let config =
            settings::endpoint(self.place.unwrap_or_default()).ok_or(io::ErrorKind::Unsupported)?;
        let settings = self.refresh().ok_or(io::ErrorKind::Unsupported)?;
        let settings = ServerConfig::clone(&settings);
        let socket = socket.duplicate()?.into_std();
        Endpoint::new(config, Some(settings), socket, Arc::new(EventLoop))
    }

    async fn accept_from(&mut self, endpoint: &Endpoint) {
        loop {
            let next = {
                let mut accept = pin!(endpoint.accept());
                poll_fn(|cx| {
                    if let Poll::Ready(incoming) = accept.as_mut().poll(cx) {
                        return Poll::Ready(Some(incoming));
                    }
                    self.entrance.wake().poll_expired(cx).map(|()| None)
                })
                .await
            };
            match next {
                Some(Some(incoming)) if self.is_left() => incoming.refuse(),
                Some(Some(incoming)) => self.admit(incoming),
                Some(None) => return,
                None if self.is_left() => return,
                None => self.entrance.wake().clear(),
            }
        }
    }

    /// Lets a new client shake hands, or not.
    fn admit(&mut self, incoming: Incoming) {
        let under_way = self.handshakes.get();
        if under_way >= HANDSHAKES_MAX {
            return incoming.ignore();
        }
        if under_way >= VALIDATE_FROM && !incoming.remote_address_validated() {
            let _ = incoming.retry(); // possible: it is not validated
            return;
        }
        if is_full(&self.worker, &self.entrance) {
            return incoming.refuse();
        }
        match self.admits(&incoming) {
            Some(true) => {}
            Some(false) => return incoming.refuse(),
            None => {
                let _ = incoming.retry(); // possible: it is not validated
                return;
            }
        }
        let Some(settings) = self.refresh() else { return incoming.refuse() };
        let under_way = UnderWay::one_more(&self.handshakes);
        let (worker, entrance) = (self.worker.clone(), self.entrance.clone());
        let rules = entrance.rules(); // those of the settings
        runtime::spawn(shake_hands(worker, entrance, incoming, (settings, rules), under_way));
    }

    /// Whether the client makes connections no faster than it may; `None` if it has to prove first that
    /// the address is its own, since only then it is counted.
    fn admits(&self, incoming: &Incoming) -> Option<bool> {
        let serving = self.entrance.serving(&self.worker);
        let listener = serving.as_ref().and_then(|(g, id)| g.snapshot.listener(*id));
        let Some(rate) = listener.and_then(|listener| listener.connection_rate.as_ref()) else {
            return Some(true);
        };
        let proven = incoming.remote_address_validated();
        let admitted = proven.then(|| rate.admits(incoming.remote_address().ip()));
        if admitted == Some(false) {
            self.worker.counters.refused.add(1);
        }
        admitted
    }

    /// Settings for the next connection: others if the listener may be another than before.
    fn refresh(&mut self) -> Option<Arc<ServerConfig>> {
        let (generation, id) = self.entrance.serving(&self.worker)?;
        let listener = generation.snapshot.listener(id)?;
        let tls = listener.tls.as_ref()?;
        if let Some((number, settings)) = &self.settings
            && *number == generation.number
        {
            return Some(settings.clone());
        }
        match settings::server(tls, &listener.config) {
            Ok(settings) => {
                let settings = Arc::new(settings);
                self.settings = Some((generation.number, settings.clone()));
                Some(settings)
            }
            Err(error) => {
                tracing::error!(listener = %listener.config.name, %error, "no QUIC with this TLS");
                None
            }
        }
    }
}

/// A handshake that is counted for as long as it lasts.
struct UnderWay(Rc<Cell<usize>>);

impl UnderWay {
    fn one_more(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get().saturating_add(1));
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Until both sides have agreed, in time; then HTTP/3 is spoken. Only now is the client's address
/// proven, and counted (RFC 9000 §8.1): nobody fills another's share.
async fn shake_hands(
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    incoming: Incoming,
    (settings, rules): (Arc<ServerConfig>, u64),
    under_way: UnderWay,
) {
    let Some(((limit, timeout), forward, early)) =
        entrance.serving(&worker).and_then(|(generation, id)| {
            let listener = &generation.snapshot.listener(id)?.config;
            let auth = listener.tls.as_ref().and_then(|tls| tls.client_auth.as_ref());
            let forward = auth.map(|auth| auth.forward).unwrap_or_default();
            // Not where a certificate is asked for: an answer could leave before it is shown.
            let early = settings::takes_early_data(listener)
                && auth.is_none()
                && incoming.remote_address_validated();
            let limits = (listener.limits.connections_per_ip, listener.timeouts.handshake);
            Some((limits, forward, early))
        })
    else {
        return incoming.refuse();
    };
    let peer = incoming.remote_address();
    let opened = runtime::now();
    let Ok(mut connecting) = incoming.accept_with(settings) else { return };
    let deadline = Timer::new();
    deadline.set(opened + timeout);
    if early {
        // What the client asks for is known then; what it sends early comes after that.
        let asked = in_time(&deadline, connecting.handshake_data()).await;
        if !matches!(asked, Some(Ok(_))) {
            return tell_failure(&worker, peer, asked.and_then(Result::err));
        }
        match connecting.into_0rtt() {
            Ok((connection, accepted)) => {
                let (begun, watched) = (connection.clone(), worker.clone());
                runtime::spawn(async move {
                    if in_time(&deadline, accepted).await.is_none() {
                        tell_failure(&watched, peer, None);
                        h3::close(&begun, Code::RequestCancelled);
                    }
                    drop(under_way);
                });
                return begin(worker, entrance, connection, (peer, opened, rules), limit, forward)
                    .await;
            }
            Err(later) => connecting = later,
        }
    }
    match in_time(&deadline, connecting).await {
        Some(Ok(connection)) => {
            drop(under_way);
            begin(worker, entrance, connection, (peer, opened, rules), limit, forward).await;
        }
        failed => tell_failure(&worker, peer, failed.and_then(Result::err)),
    }
}

async fn in_time<T>(deadline: &Timer, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    poll_fn(|cx| {
        if let Poll::Ready(done) = what.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        deadline.poll_expired(cx).map(|()| None)
    })
    .await
}

/// `None` is a client that was too slow.
fn tell_failure(worker: &Worker, client: SocketAddr, error: Option<ConnectionError>) {
    worker.counters.handshakes_failed.add(1);
    let Some(untold) = worker.handshakes_told.tells(runtime::now()) else { return };
    let untold = (untold > 0).then_some(untold);
    let why = error.map_or_else(|| "the client was too slow".into(), |error| error.to_string());
    tracing::info!(%client, untold, "no QUIC connection: {why}");
}

/// Counts a connection, and serves it to its end.
async fn begin(
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    connection: quinn::Connection,
    (peer, opened, rules): (SocketAddr, Instant, u64),
    limit: u32,
    forward: ForwardedCertificate,
) {
    worker.counters.handshakes.add(1);
    worker.counters.accepted.add(1);
    if !worker.shared.clients.enter(peer.ip(), limit) {
        worker.counters.refused.add(1);
        tracing::debug!(client = %peer.ip(), "refused: too many connections");
        return h3::close(&connection, Code::ExcessiveLoad);
    }
    entrance.connections.enter();
    if let Some(gauge) = worker.shared.workers.get(worker.index) {
        gauge.enter();
    }
    let local = connection
        .local_ip()
        .map_or(entrance.address, |ip| SocketAddr::new(ip, entrance.address.port()));
    let channel = Channel::Quic(Ends { peer, local });
    let session = Session::of_quic(&connection, forward);
    let is_over = session.has_ended(runtime::wall_clock());
    let trunk = Connection::new(worker, channel, entrance, opened);
    trunk.state.admitted_by(rules);
    if is_over {
        tracing::debug!(client = %peer, "refused: its session's certificate has expired");
        return h3::close(&connection, Code::NoError);
    }
    let _ = trunk.tls.set(session.into()); // it is new
    h3::serve(Rc::new(trunk), connection).await;
}
