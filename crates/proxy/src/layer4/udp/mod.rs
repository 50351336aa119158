//! Datagrams of one socket, to servers and back: one task for each worker and address, whatever the
//! number of sessions. Owns the loop, the order of things and the ends of sessions; one session's
//! server is in `session.rs`, who may have a session in `evenkeel_balancer::sessions`.

mod line;
mod session;
mod settings;

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use evenkeel_balancer::{ServerId, SessionId, SessionLimits, Sessions};
use evenkeel_config::model::{Reply, UdpSession};
use evenkeel_runtime::{
    self as runtime, Arrived, Inbox, Outbox, Readiness, Timer, UdpBound, UdpSocket,
};

use self::session::{Ended, Session};
use self::settings::Settings;
use crate::counters::ListenerCounters;
use crate::listener::{Entrance, REST};
use crate::worker::Worker;

/// Datagrams, or runs, that one session's server is heard for in one turn: others wait.
const ANSWERS_MAX: usize = 8;

/// Whose datagrams belong together: a client's, from one port to one of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    client: SocketAddr,
    /// `None` where the socket has but one.
    local: Option<IpAddr>,
}

/// Starts reading `socket`.
pub(crate) fn spawn(
    worker: &Rc<Worker>,
    entrance: Rc<Entrance>,
    socket: UdpBound,
    counters: Arc<ListenerCounters>,
) {
    entrance.accepts.set(true);
    let worker = worker.clone();
    runtime::spawn(async move {
        guard(&worker, &entrance, &socket, &counters).await;
        entrance.accepts.set(false);
    });
}

/// Carries until the entrance is left. A courier that is lost is replaced.
async fn guard(
    worker: &Rc<Worker>,
    entrance: &Rc<Entrance>,
    socket: &UdpBound,
    counters: &Arc<ListenerCounters>,
) {
    let address = entrance.address;
    loop {
        let own = socket.duplicate();
        let courier = own
            .and_then(|own| Courier::new(worker.clone(), entrance.clone(), own, counters.clone()));
        let mut courier = match courier {
            Ok(courier) => courier,
            Err(error) => {
                tracing::error!(%address, %error, "cannot take datagrams");
                return;
            }
        };
        let Err(panic) = runtime::isolate(courier.run()).await else { return };
        worker.counters.panics.add(1);
        tracing::error!(%address, %panic, "sessions of datagrams were lost");
        drop(courier);
        runtime::sleep(REST).await;
    }
}

/// See the module's head.
struct Courier {
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    counters: Arc<ListenerCounters>,
    socket: UdpSocket,
    readiness: Readiness,
    inbox: Inbox,
    outbox: Outbox,
    /// Sessions whose servers have sent.
    named: Vec<u64>,
    sessions: Sessions<Key, Session>,
    /// Where each client's sessions go, and how many there are; if they go by client.
    bound: HashMap<IpAddr, (ServerId, u32)>,
    /// Of new sessions.
    settings: Option<Settings>,
    timer: Timer,
}

impl Courier {
    fn new(
        worker: Rc<Worker>,
        entrance: Rc<Entrance>,
        socket: UdpBound,
        counters: Arc<ListenerCounters>,
    ) -> io::Result<Self> {
        let none = SessionLimits { most: 1, idle: std::time::Duration::ZERO };
        Ok(Self {
            worker,
            entrance,
            counters,
            socket: UdpSocket::adopt(socket)?,
            readiness: Readiness::new()?,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            named: Vec::new(),
            sessions: Sessions::new(none),
            bound: HashMap::new(),
            settings: None,
            timer: Timer::new(),
        })
    }

    /// Until it is left and nothing goes on, or the time for that is over.
    async fn run(&mut self) {
        while !self.is_over() {
            self.set_timer();
            if let Err(error) = poll_fn(|cx| self.poll_turn(cx)).await {
                tracing::warn!(address = %self.entrance.address, %error, "datagrams stand still");
                runtime::sleep(REST).await;
            }
            // A busy socket lets others have their turn.
            runtime::yield_now().await;
        }
    }

    fn drain(&self) -> Option<crate::worker::Drain> {
        self.worker.drain.get().or_else(|| self.entrance.drain())
    }

    fn is_over(&self) -> bool {
        let is_late = |at: Instant| runtime::now() >= at;
        self.drain().is_some_and(|d| self.sessions.is_empty() || is_late(d.tunnels_until))
    }

    fn set_timer(&self) {
        let ends = [self.sessions.next_expiry(), self.drain().map(|drain| drain.tunnels_until)];
        match ends.into_iter().flatten().min() {
            Some(at) => self.timer.set(at),
            None => self.timer.clear(),
        }
    }

    /// What clients and servers have sent by now, each a batch at most; ready if there was anything.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut is_idle = true;
        if self.entrance.wake().poll_expired(cx).is_ready() {
            self.entrance.wake().clear();
            self.cut();
            is_idle = false;
        }
        match self.socket.poll_receive(cx, &mut self.inbox) {
            Poll::Ready(Ok(())) => {
                is_idle = false;
                self.bring();
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {}
        }
        match self.readiness.poll(cx, &mut self.named) {
            Poll::Ready(Ok(())) => {
                is_idle = false;
                self.bring_back();
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {}
        }
        if self.timer.poll_expired(cx).is_ready() {
            is_idle = false;
            self.expire();
        }
        if is_idle { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Brings what was received to servers.
    fn bring(&mut self) {
        self.refresh();
        let now = runtime::now();
        let inbox = std::mem::take(&mut self.inbox);
        for arrived in inbox.arrived() {
            let key = Key { client: arrived.from, local: arrived.to };
            self.counters.datagrams_in.add(datagrams(arrived.bytes.len(), arrived.segment));
            self.counters.bytes_in.add(arrived.bytes.len() as u64);
            match self.sessions.heard(&key, now) {
                Some(id) => self.pass(id, &arrived, now),
                None => self.open(key, &arrived, now),
            }
        }
        self.inbox = inbox;
    }

    /// Brings a datagram to its session's server, or to another if that one is out.
    fn pass(&mut self, id: SessionId, arrived: &Arrived<'_>, now: Instant) {
        let Some((_, session)) = self.sessions.value_mut(id) else { return };
        if !session.is_welcome() {
            session.keep(arrived.bytes, arrived.segment, now);
            return self.fail(id, None, now);
        }
        match session.send(arrived.bytes, arrived.segment, now) {
            Ok(()) => {}
            Err(error) if is_verdict(&error) => self.fail(id, Some(&error), now),
            Err(_) => self.counters.datagrams_dropped.add(1),
        }
    }

    /// A new client, if there is room for one, and a server.
    fn open(&mut self, key: Key, arrived: &Arrived<'_>, now: Instant) {
        let is_left = self.drain().is_some();
        let Some(settings) = self.settings.as_ref().filter(|_| !is_left) else {
            return self.counters.datagrams_dropped.add(1);
        };
        let ip = key.client.ip();
        if !self.worker.shared.senders.enter(ip, settings.udp.sessions_per_ip) {
            self.counters.refused.add(1);
            return self.counters.datagrams_dropped.add(1);
        }
        let local = SocketAddr::new(
            key.local.unwrap_or(self.entrance.address.ip()),
            self.entrance.address.port(),
        );
        let by_client = settings.udp.session == UdpSession::Client;
        let bound = self.bound.get(&ip.to_canonical()).filter(|_| by_client).map(|(id, _)| *id);
        let begun = Session::begin(settings, (key.client, local), bound, arrived, now);
        let opened = begun.and_then(|session| self.sessions.open(key, session, now).ok());
        let Some(opened) = opened else {
            self.worker.shared.senders.leave(ip);
            self.counters.refused.add(1);
            return self.counters.datagrams_dropped.add(1);
        };
        self.worker.counters.accepted.add(1);
        self.counters.sessions.add(1);
        self.entrance.connections.enter();
        self.entrance.open.set(self.entrance.open.get().saturating_add(1));
        if let Some((key, session)) = opened.evicted {
            self.close(key, session, Ended::Evicted);
        }
        let Some((_, session)) = self.sessions.value_mut(opened.id) else { return };
        if by_client {
            let entry = self.bound.entry(ip.to_canonical()).or_insert((session.server(), 0));
            *entry = (session.server(), entry.1.saturating_add(1));
        }
        if self.readiness.watch(session.flow(), opened.id.to_u64()).is_err() {
            self.end(opened.id, Ended::Failed);
        }
    }

    /// Brings answers to clients.
    fn bring_back(&mut self) {
        let now = runtime::now();
        let named = std::mem::take(&mut self.named);
        for name in &named {
            self.hear(SessionId::from_u64(*name), now);
        }
        self.named = named;
        self.flush();
    }

    /// What a session's server has sent.
    fn hear(&mut self, id: SessionId, now: Instant) {
        for _ in 0..ANSWERS_MAX {
            if self.outbox.is_full() {
                self.flush();
            }
            let Some((key, session)) = self.sessions.value_mut(id) else { return };
            let (length, segment) = match self.outbox.take(session.flow(), key.client, key.local) {
                Ok(taken) => taken,
                Err(error) if is_verdict(&error) => return self.fail(id, Some(&error), now),
                Err(_) => return, // nothing more
            };
            let (reply, is_busy) = (session.reply(), session.answered(length, segment, now));
            self.sessions.answered(id, now);
            if reply == Reply::Never {
                self.outbox.forget_last();
                continue;
            }
            self.counters.datagrams_out.add(datagrams(length, segment));
            self.counters.bytes_out.add(length as u64);
            if reply == Reply::Once {
                return self.end(id, Ended::Answered);
            }
            if !is_busy {
                return; // asked again if there is more
            }
        }
    }

    fn flush(&mut self) {
        if !self.outbox.is_empty() {
            let lost = self.socket.send(&mut self.outbox);
            self.counters.datagrams_dropped.add(lost as u64);
        }
    }

    /// A session's server is not there, or takes no more: it goes on with another, if there is one.
    fn fail(&mut self, id: SessionId, error: Option<&io::Error>, now: Instant) {
        let Some((key, session)) = self.sessions.value_mut(id) else { return };
        let ip = key.client.ip().to_canonical();
        if !session.move_on(error, now) {
            return self.end(id, Ended::Failed);
        }
        if let Some(bound) = self.bound.get_mut(&ip) {
            bound.0 = session.server();
        }
        if self.readiness.watch(session.flow(), id.to_u64()).is_err() {
            self.end(id, Ended::Failed);
        }
    }

    fn expire(&mut self) {
        let now = runtime::now();
        while let Some((key, session)) = self.sessions.expire(now) {
            self.close(key, session, Ended::Silent);
        }
    }

    /// Ends what runs at servers that are to be left.
    fn cut(&mut self) {
        for cut in self.entrance.take_cuts() {
            let is = |session: &Session| session.is_at(&cut.pool, &cut.server);
            let of = self.sessions.ids().filter(|(_, session)| is(session)).map(|(id, _)| id);
            for id in of.collect::<Vec<_>>() {
                self.end(id, Ended::Drained);
            }
        }
    }

    fn end(&mut self, id: SessionId, why: Ended) {
        if let Some((key, session)) = self.sessions.end(id) {
            self.close(key, session, why);
        }
    }

    fn close(&mut self, key: Key, session: Session, why: Ended) {
        let ip = key.client.ip();
        self.worker.shared.senders.leave(ip);
        self.worker.counters.closed.add(1);
        self.entrance.connections.leave();
        self.entrance.open.set(self.entrance.open.get().saturating_sub(1));
        if let Some(bound) = self.bound.get_mut(&ip.to_canonical()) {
            bound.1 = bound.1.saturating_sub(1);
            if bound.1 == 0 {
                self.bound.remove(&ip.to_canonical());
            }
        }
        match why {
            Ended::Evicted => self.counters.evicted.add(1),
            Ended::Failed => self.counters.failed.add(1),
            _ => {}
        }
        let now = runtime::now();
        if let Some(settings) = &self.settings {
            line::record(&self.worker, settings, &key, &session, why, now);
        }
        session.finish(why, now);
    }

    /// Settings for new sessions: others if the listener may be another than before.
    fn refresh(&mut self) {
        let Some((generation, id)) = self.entrance.serving(&self.worker) else { return };
        if self.settings.as_ref().is_some_and(|settings| settings.is_of(&generation)) {
            return;
        }
        self.settings = Settings::of(generation, id);
        if let Some(settings) = &self.settings {
            self.sessions.set_limits(settings.limits(&self.worker.shared));
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        let left: Vec<_> = self.sessions.ids().map(|(id, _)| id).collect();
        for id in left {
            self.end(id, Ended::Drained);
        }
    }
}

/// How many datagrams a run is.
fn datagrams(length: usize, segment: usize) -> u64 {
    length.div_ceil(segment.max(1)).max(1) as u64
}

/// Whether an error says that the server is not there; else a datagram is lost, and no more.
fn is_verdict(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kind = error.kind();
    matches!(kind, Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable)
}
