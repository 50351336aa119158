//! One try at one server: a kept or a new connection, the request out, the response head back.
//! Owns what a try's failure means; not whether there is another one.

pub(crate) mod conn_pool;
pub(crate) mod connect;
mod flight;
pub(crate) mod links;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use evenkeel_balancer::Connection;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{
    BodyLength, ChunkedDecoder, Field, Known, RequestContext, ResponseHead, TrailerLimits,
};
use evenkeel_config::model::PoolProtocol;
use evenkeel_runtime as runtime;

pub(crate) use self::flight::{Arrived, Flight, Verdict, context};

use crate::buffer::Buffer;
use crate::channel::Channel;
use crate::counters::ServerCounters;
use crate::failure::{Failure, Reason};
use crate::generation::Leased;
use crate::http::body::{Pump, PumpError, Sink, Source};
use crate::http::client_watch::ClientWatch;
use crate::http::exchange::Exchange;
use crate::http::patience::Patience;
use crate::http::{forwarded, sign_in};
use crate::snapshot::PoolSettings;
use crate::tls::ClientTls;

/// A connection to a server.
pub(crate) struct UpstreamConnection {
    pub(crate) stream: Channel,
    /// By what its TLS session was made.
    tls: Option<Arc<ClientTls>>,
    opened: Instant,
    /// When it was last given back.
    idle_since: Instant,
    /// How long it is kept without a request; the server may have asked for less.
    idle_max: Duration,
    age_max: Duration,
    /// Counts it, for as long as it is open; a stream's connection counts itself.
    counted: Option<Connection>,
}

impl UpstreamConnection {
    /// Nothing has arrived on it, it is neither too old nor idle for too long, and the server was
    /// not found down since.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) < self.idle_max
            && now.saturating_duration_since(self.opened) < self.age_max
            && self.counted.as_ref().is_some_and(Connection::is_trusted)
            && (!self.stream.has_input() || plant::is(Bug::ReuseUnread))
    }

    /// Usable, and to where the leased server is now and as it is spoken to now: its name may mean
    /// another address by now, and others may be trusted.
    fn may_serve(&self, lease: &Leased, settings: &PoolSettings, now: Instant) -> bool {
        let addresses = &lease.known().target.addresses;
        let is_same = self.tls.as_ref().map(Arc::as_ptr) == settings.tls.as_ref().map(Arc::as_ptr);
        is_same && addresses.contains(&self.stream.peer_addr()) && self.is_usable(now)
    }
}

/// A server's answer: its head, and the connection on which the body follows.
pub(crate) struct Answer {
    pub(crate) head: Box<ResponseHead>,
    /// Begins with the head's bytes, kept.
    pub(crate) buffer: Buffer,
    pub(crate) connection: Box<UpstreamConnection>,
    /// All of the request has been written.
    pub(crate) request_sent: bool,
    /// The server takes no more of the request.
    pub(crate) request_broken: bool,
    /// The server was to ask for the body and did not: it may take it for the next request.
    pub(crate) body_unasked: bool,
}

/// How a try ended.
#[allow(clippy::large_enum_variant)] // lives for one match; a box would be an allocation a request
pub(crate) enum Attempt {
    Answered(Answer),
    ServerFailed(Failure),
    ClientFailed(Failure),
    /// The alarm went off while the answer was waited for; it may be waited for on.
    Late,
}

/// Sends the request to the leased server and waits for its final response head, or for the `alarm`.
/// With a `flight` that an alarm interrupted: waits on. An interrupted flight is left in its place.
pub(crate) async fn send(
    exchange: &mut Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
    pump: &mut Pump,
    flight: &mut Option<Flight>,
    alarm: Option<Instant>,
) -> Attempt {
    let known = lease.known();
    if flight.is_none() {
        let mut head = exchange.connection.worker.stock.take_scratch();
        forwarded::write_request(&mut head, exchange, settings, &known.target);
        exchange.connection.worker.stock.give_scratch(pump.replay(head));
        exchange.connection.state.send_to(known.clone());
        exchange.server = Some(known.clone());
    }
    let mut fresh = false;
    let mut repeats: u32 = 0;
    loop {
        if flight.is_none() {
            let shares = links::may_speak(settings) && exchange.head.upgrade.is_none();
            let shared = if shares { links::take(settings, lease) } else { None };
            let kept = || if fresh { None } else { take_kept(exchange, settings, lease, pump) };
            let reached = match shared.or_else(|| kept().map(|kept| (kept, true))) {
                Some(reached) => Ok(reached),
                None => reach(exchange, settings, lease).await,
            };
            let (connection, reused) = match reached {
                Ok(reached) => reached,
                Err(failure) => return Attempt::ServerFailed(failure),
            };
            exchange.reused = reused;
            count_try(&known.counters, reused);
            *flight = Some(Flight::new(exchange, connection, reused));
        }
        let Some(under_way) = flight.as_mut() else { continue };
        let received = receive(exchange, settings, under_way, pump, alarm).await;
        if let Received::Late = received {
            return Attempt::Late;
        }
        let Some(ended) = flight.take() else { continue };
        match received {
            Received::Head => return Attempt::Answered(ended.into_answer()),
            Received::Late => return Attempt::Late,
            Received::Lost { reason, closed } => {
                // Whoever refuses our certificate has read nothing of the request.
                let unsent = ended.is_unsent()
                    || (closed && ended.was_not_seen())
                    || reason == Reason::UpstreamTlsHandshake;
                let idempotent = exchange.head.method.is_idempotent();
                let may_repeat = idempotent || unsent || plant::is(Bug::RepeatsPosts);
                let repeats_max = ended.repeats_max(reason, unsent);
                if let Some(complaint) = ended.give_up(exchange) {
                    known.complain(complaint);
                }
                if repeats < repeats_max && pump.is_replayable() && may_repeat {
                    // The server is not to blame.
                    known.counters.stale.add(1);
                    let head = pump.replay(Vec::new());
                    pump.replay(head);
                    fresh = true;
                    repeats = repeats.saturating_add(1);
                    continue;
                }
                let failure = if unsent { Failure::unsent(reason) } else { Failure::sent(reason) };
                return Attempt::ServerFailed(failure);
            }
            Received::Refused(failure) => {
                ended.give_up(exchange);
                return Attempt::ServerFailed(failure);
            }
            Received::ClientFailed(reason) => {
                ended.give_up(exchange);
                return Attempt::ClientFailed(Failure::new(reason));
            }
        }
    }
}

/// A new connection to the server, or a stream of one that others have; and whether they had it
/// before.
async fn reach(
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
) -> Result<(Box<UpstreamConnection>, bool), Failure> {
    // What becomes a tunnel is better off with a connection of its own, where there may be one.
    let is_tunnel =
        settings.config.protocol == PoolProtocol::Auto && exchange.head.upgrade.is_some();
    match links::may_speak(settings) && !is_tunnel {
        true => Box::pin(links::reach(exchange, settings, lease)).await,
        false => connect::connect(exchange, settings, lease).await.map(|own| (own, false)),
    }
}

/// A decoder for a chunked request body, with the listener's bounds on trailers.
pub(crate) fn request_decoder(exchange: &Exchange<'_>) -> Box<ChunkedDecoder> {
    let fields = exchange.listener().map_or(100, |listener| listener.config.limits.fields);
    let limits = TrailerLimits { fields, ..TrailerLimits::default() };
    decoder(limits, &exchange.head.fields, exchange.buffer.all())
}

fn decoder(limits: TrailerLimits, fields: &[Field], bytes: &[u8]) -> Box<ChunkedDecoder> {
    let mut decoder = Box::new(ChunkedDecoder::new(limits));
    for field in fields.iter().filter(|field| field.known == Known::Connection) {
        decoder.nominate(field.value.of(bytes));
    }
    decoder
}

/// A request that could not be sent again is only sent on a connection that was in use within this
/// time: no server closes that soon, so the two do not meet on the way.
const RECENT: Duration = Duration::from_secs(1);

/// A kept connection on which this request may be sent.
fn take_kept(
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
    pump: &Pump,
) -> Option<Box<UpstreamConnection>> {
    let mut idle = lease.pool().idle.borrow_mut();
    let now = runtime::now();
    // A body that is still arriving cannot be sent again either, once it has passed through.
    if exchange.head.method.is_idempotent() && pump.fits(exchange.buffer.filled().len()) {
        return idle.take(lease.server, |kept| kept.may_serve(lease, settings, now));
    }
    let newest = idle.newest(lease.server)?;
    if now.saturating_duration_since(newest.idle_since) > RECENT {
        return None; // the others are older still; they stay for requests that can be repeated
    }
    idle.take(lease.server, |kept| kept.may_serve(lease, settings, now))
}

/// Puts away an answer that nobody gets. Its connection is kept if all of it is here already: what is
/// not is not waited for.
pub(crate) fn discard(exchange: &Exchange<'_>, lease: &Leased, answer: Answer, pump: &Pump) {
    let Answer { head, mut buffer, connection, request_sent, body_unasked, .. } = answer;
    let source = response_source(&head, buffer.all());
    let is_whole = Pump::new(Vec::new(), source, Sink::Identity, u64::MAX).takes_all(&mut buffer);
    let clean = request_sent && pump.is_received() && !body_unasked;
    let bound = sign_in::is_bound(exchange, &head, buffer.all());
    if (is_whole || plant::is(Bug::DiscardKeepsUnread))
        && clean
        && head.persistent
        && !bound
        && head.status != 101
    {
        keep(lease, connection, &head);
    }
    exchange.connection.worker.stock.give(buffer);
    exchange.connection.worker.heads.give_response(head);
}

/// Keeps a connection for the next request.
pub(crate) fn keep(lease: &Leased, mut connection: Box<UpstreamConnection>, head: &ResponseHead) {
    if let Channel::Request(_) = connection.stream {
        return; // its connection is kept anyway
    }
    connection.idle_since = runtime::now();
    if let Some(seconds) = head.keep_alive_timeout {
        // Retire well before the server does, whatever the clocks and the network do.
        let asked = Duration::from_secs(u64::from(seconds)) * 4 / 5;
        connection.idle_max = connection.idle_max.min(asked);
    }
    if lease.pool().has(lease.server) {
        lease.pool().idle.borrow_mut().put(lease.server, connection);
    }
}

/// A kept connection, or a stream of one, for a request that can be sent again.
pub(crate) fn take_any_kept(
    lease: &Leased,
    settings: &PoolSettings,
) -> Option<Box<UpstreamConnection>> {
    let now = runtime::now();
    if links::may_speak(settings)
        && let Some((stream, _)) = links::take(settings, lease)
    {
        return Some(stream);
    }
    lease.pool().idle.borrow_mut().take(lease.server, |kept| kept.may_serve(lease, settings, now))
}

/// Counts a request that goes out.
pub(crate) fn count_try(counters: &ServerCounters, reused: bool) {
    counters.requests.add(1);
    if reused {
        counters.reused.add(1);
    } else {
        counters.connections.add(1);
    }
}

enum Received {
    /// The final head is complete.
    Head,
    /// The connection ended first. `closed`: in order.
    Lost {
        reason: Reason,
        closed: bool,
    },
    /// The server will not, or not in time, give a usable response.
    Refused(Failure),
    ClientFailed(Reason),
    Late,
}

enum Event {
    Arrived(Arrived),
    Refused(Failure),
    ClientFailed(Reason),
    Late,
}

/// Writes the request while watching for the response; interim responses are passed on.
async fn receive(
    exchange: &mut Exchange<'_>,
    settings: &PoolSettings,
    flight: &mut Flight,
    pump: &mut Pump,
    alarm: Option<Instant>,
) -> Received {
    let patience = Patience::new(exchange, &settings.config.timeouts);
    let mut waiter = Waiter {
        context: context(exchange),
        patience: patience.with_alarm(alarm, flight.sent_at),
        client: ClientWatch::default(),
    };
    loop {
        let event = poll_fn(|cx| waiter.poll(cx, exchange, flight, pump)).await;
        let length = match event {
            Event::Arrived(Arrived::Head(length)) => length,
            Event::Arrived(Arrived::Lost { reason, closed }) => {
                return Received::Lost { reason, closed };
            }
            Event::Arrived(Arrived::Malformed(error)) => {
                return Received::Refused(Failure::new(Reason::BadResponse(error)));
            }
            Event::Refused(failure) => return Received::Refused(failure),
            Event::ClientFailed(reason) => return Received::ClientFailed(reason),
            Event::Late => {
                flight.sent_at = waiter.patience.sent_at;
                return Received::Late;
            }
        };
        match flight.judge(exchange, length).await {
            Verdict::Final => return Received::Head,
            Verdict::Interim { is_continue: true } => waiter.patience.server_continues(),
            Verdict::Interim { is_continue: false } => {}
            Verdict::Malformed(error) => {
                return Received::Refused(Failure::new(Reason::BadResponse(error)));
            }
            Verdict::ClientGone => return Received::ClientFailed(Reason::ClientGone),
        }
    }
}

struct Waiter {
    context: RequestContext,
    patience: Patience,
    client: ClientWatch,
}

impl Waiter {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        flight: &mut Flight,
        pump: &mut Pump,
    ) -> Poll<Event> {
        if !flight.request_sent && !flight.request_broken {
            let (client, server) = (&exchange.connection.stream, &flight.connection.stream);
            match pump.poll(cx, client, server, &mut exchange.buffer) {
                Poll::Ready(Ok(())) => flight.request_sent = true,
                // The server may have answered before it stopped reading.
                Poll::Ready(Err(PumpError::Sink)) => flight.request_broken = true,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Event::ClientFailed(of_client(&error)));
                }
                Poll::Pending => {}
            }
        }
        let stock = &exchange.connection.worker.stock;
        if let Poll::Ready(arrived) = flight.poll_head(cx, &self.context, exchange.connection) {
            return Poll::Ready(Event::Arrived(arrived));
        }
        let sent = flight.request_sent;
        if sent && flight.buffer.is_absent() {
            stock.shrink(&mut exchange.buffer);
        }
        if sent && self.client.poll_gone(cx, exchange).is_ready() {
            return Poll::Ready(Event::ClientFailed(Reason::ClientGone));
        }
        self.patience.watch(exchange, pump, sent);
        exchange.connection.state.timer.poll_expired(cx).map(|()| {
            if self.patience.is_alarmed(sent) {
                Event::Late
            } else if self.patience.blames_client(pump, sent) {
                Event::ClientFailed(Reason::BodyTimeout)
            } else if sent {
                Event::Refused(Failure::sent(Reason::ResponseTimeout))
            } else {
                Event::Refused(Failure::sent(Reason::UpstreamIdle))
            }
        })
    }
}

/// What a pump's error means when it is not the receiver's.
pub(crate) fn of_client(error: &PumpError) -> Reason {
    match error {
        PumpError::Malformed(error) => Reason::BadRequestBody(*error),
        PumpError::TooLarge => Reason::BodyTooLarge,
        PumpError::Source | PumpError::Truncated | PumpError::Broken | PumpError::Sink => {
            Reason::ClientGone
        }
    }
}

/// How a response body of this length arrives.
pub(crate) fn response_source(head: &ResponseHead, bytes: &[u8]) -> Source {
    match head.body {
        BodyLength::None => Source::Done,
        BodyLength::Exact(length) => Source::Exact(length),
        BodyLength::Chunked => {
            Source::Chunked(decoder(TrailerLimits::default(), &head.fields, bytes))
        }
        BodyLength::UntilClose => Source::UntilClose,
    }
}
