//! One try at one server: a kept or a new connection, the request out, the response head back.
//! Owns what a try's failure means; not whether there is another one.

pub(crate) mod conn_pool;
mod connect;

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{
    BodyLength, ChunkedDecoder, Field, HeadLimits, Known, Method, Parse, RequestContext,
    ResponseError, ResponseHead, TrailerLimits,
};
use evenkeel_runtime::{self as runtime, TcpStream};

use crate::buffer::Buffer;
use crate::counters::ServerCounters;
use crate::failure::{Failure, Reason};
use crate::generation::Leased;
use crate::http::body::{Pump, PumpError};
use crate::http::exchange::Exchange;
use crate::http::patience::Patience;
use crate::http::{forwarded, interim};
use crate::snapshot::PoolSettings;

/// Largest response head: 64 KiB in 200 fields. Beyond: 502.
const RESPONSE_LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, line: 16 * 1024, fields: 200 };

/// A connection to a server.
pub(crate) struct UpstreamConnection {
    pub(crate) stream: TcpStream,
    opened: Instant,
    /// When it was last given back.
    idle_since: Instant,
    /// How long it is kept without a request; the server may have asked for less.
    idle_max: Duration,
    age_max: Duration,
}

impl UpstreamConnection {
    /// Nothing has arrived on it, and it is neither too old nor idle for too long.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) < self.idle_max
            && now.saturating_duration_since(self.opened) < self.age_max
            && (!self.stream.has_input() || plant::is(Bug::ReuseUnread))
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
}

/// Sends the request to the leased server and waits for its final response head.
pub(crate) async fn send(
    exchange: &mut Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
    pump: &mut Pump,
) -> Attempt {
    let known = lease.known();
    let target = &known.target;
    let mut head = exchange.connection.worker.stock.take_scratch();
    forwarded::write_request(&mut head, exchange, settings, target);
    exchange.connection.worker.stock.give_scratch(pump.replay(head));
    exchange.connection.state.send_to(known.clone());
    exchange.server = Some(known.clone());
    let mut fresh = false;
    loop {
        let kept = if fresh { None } else { take_kept(exchange, lease, pump) };
        let reused = kept.is_some();
        exchange.reused = reused;
        let connection = match kept {
            Some(connection) => connection,
            None => match connect::connect(exchange, settings, target).await {
                Ok(connection) => connection,
                Err(failure) => return Attempt::ServerFailed(failure),
            },
        };
        count_try(&known.counters, reused);
        let before = connection.stream.total_written();
        let mut buffer = Buffer::default();
        let mut response = exchange.connection.worker.heads.response();
        let waited =
            receive(exchange, settings, &connection.stream, pump, &mut buffer, &mut response);
        let received = waited.await;
        match received {
            Received::Head { request_sent, request_broken, body_unasked } => {
                return Attempt::Answered(Answer {
                    head: response,
                    buffer,
                    connection,
                    request_sent,
                    request_broken,
                    body_unasked,
                });
            }
            Received::Lost { reason, silent, closed } => {
                let untouched = silent && buffer.is_empty();
                give_back(exchange, buffer, response);
                let unsent = pump.is_unsent()
                    || (closed && connection.stream.peer_took_nothing_since(before));
                let idempotent = exchange.head.method.is_idempotent();
                let may_repeat = idempotent || unsent || plant::is(Bug::RepeatsPosts);
                if reused && untouched && pump.is_replayable() && may_repeat {
                    // It died while it was idle; the server is not to blame.
                    known.counters.stale.add(1);
                    let head = pump.replay(Vec::new());
                    pump.replay(head);
                    fresh = true;
                    continue;
                }
                let failure = if unsent { Failure::unsent(reason) } else { Failure::sent(reason) };
                return Attempt::ServerFailed(failure);
            }
            Received::Refused(reason) => {
                give_back(exchange, buffer, response);
                return Attempt::ServerFailed(Failure::new(reason));
            }
            Received::ClientFailed(reason) => {
                give_back(exchange, buffer, response);
                return Attempt::ClientFailed(Failure::new(reason));
            }
        }
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

fn give_back(exchange: &Exchange<'_>, buffer: Buffer, response: Box<ResponseHead>) {
    exchange.connection.worker.stock.give(buffer);
    exchange.connection.worker.heads.give_response(response);
}

/// A request that could not be sent again is only sent on a connection that was in use within this
/// time: no server closes that soon, so the two do not meet on the way.
const RECENT: Duration = Duration::from_secs(1);

fn take_kept(
    exchange: &Exchange<'_>,
    lease: &Leased,
    pump: &Pump,
) -> Option<Box<UpstreamConnection>> {
    let mut idle = lease.pool().idle.borrow_mut();
    let now = runtime::now();
    // A body that is still arriving cannot be sent again either, once it has passed through.
    if exchange.head.method.is_idempotent() && pump.fits(exchange.buffer.filled().len()) {
        return idle.take(lease.server, |kept| kept.is_usable(now));
    }
    let newest = idle.newest(lease.server)?;
    if now.saturating_duration_since(newest.idle_since) > RECENT {
        return None; // the others are older still; they stay for requests that can be repeated
    }
    idle.take(lease.server, |kept| kept.is_usable(now))
}

/// Keeps a connection for the next request.
pub(crate) fn keep(lease: &Leased, mut connection: Box<UpstreamConnection>, head: &ResponseHead) {
    connection.idle_since = runtime::now();
    if let Some(seconds) = head.keep_alive_timeout {
        // Retire well before the server does, whatever the clocks and the network do.
        let asked = Duration::from_secs(u64::from(seconds)) * 4 / 5;
        connection.idle_max = connection.idle_max.min(asked);
    }
    lease.pool().idle.borrow_mut().put(lease.server, connection);
}

fn count_try(counters: &ServerCounters, reused: bool) {
    counters.requests.add(1);
    if reused {
        counters.reused.add(1);
    } else {
        counters.connections.add(1);
    }
}

enum Received {
    /// The final head is complete.
    Head {
        request_sent: bool,
        request_broken: bool,
        body_unasked: bool,
    },
    /// The connection ended first. `silent`: not a byte of a response came. `closed`: in order.
    Lost {
        reason: Reason,
        silent: bool,
        closed: bool,
    },
    /// The server will not, or not in time, give a usable response.
    Refused(Reason),
    ClientFailed(Reason),
}

enum Event {
    Head(usize),
    Lost { reason: Reason, closed: bool },
    Refused(Reason),
    ClientFailed(Reason),
}

/// Writes the request while watching for the response; interim responses are passed on.
async fn receive(
    exchange: &mut Exchange<'_>,
    settings: &PoolSettings,
    server: &TcpStream,
    pump: &mut Pump,
    buffer: &mut Buffer,
    response: &mut ResponseHead,
) -> Received {
    let mut waiter = Waiter {
        context: RequestContext {
            is_head: exchange.head.method == Method::Head && !plant::is(Bug::HeadHasContent),
            offers_upgrade: exchange.head.upgrade.is_some(),
        },
        patience: Patience::new(exchange, &settings.config.timeouts),
        request_sent: false,
        request_broken: false,
        client_ended: false,
    };
    let interims_before = exchange.interims.count();
    let mut body_unasked = exchange.head.expects_continue;
    loop {
        let event = poll_fn(|cx| waiter.poll(cx, exchange, server, pump, buffer, response)).await;
        match event {
            Event::Head(length)
                if (100..200).contains(&response.status) && response.status != 101 =>
            {
                match interim::pass_on(exchange, response, buffer.filled(), length).await {
                    Ok(()) => {}
                    Err(interim::Refusal::TooMany) => {
                        return Received::Refused(Reason::BadResponse(
                            ResponseError::TooManyInterim,
                        ));
                    }
                    Err(interim::Refusal::Client) => {
                        return Received::ClientFailed(Reason::ClientGone);
                    }
                }
                if response.status == 100 {
                    waiter.patience.server_continues();
                    body_unasked = false;
                }
                buffer.consume(length);
                buffer.release();
                response.clear();
            }
            Event::Head(_)
                if response.status == 101
                    && !is_offered(exchange, response, buffer)
                    && !plant::is(Bug::UnaskedUpgrade) =>
            {
                let error = ResponseError::UnexpectedUpgrade;
                return Received::Refused(Reason::BadResponse(error));
            }
            Event::Head(length) => {
                buffer.keep(length);
                return Received::Head {
                    request_sent: waiter.request_sent,
                    request_broken: waiter.request_broken,
                    body_unasked,
                };
            }
            Event::Lost { reason, closed } => {
                return Received::Lost {
                    reason,
                    silent: exchange.interims.count() == interims_before,
                    closed,
                };
            }
            Event::Refused(reason) => return Received::Refused(reason),
            Event::ClientFailed(reason) => return Received::ClientFailed(reason),
        }
    }
}

/// A server may only switch to a protocol that the client offered (RFC 9110 §7.8).
fn is_offered(exchange: &Exchange<'_>, response: &ResponseHead, buffer: &Buffer) -> bool {
    exchange.head.upgrade.is_some_and(|offered| {
        response.is_upgrade_to(buffer.filled(), offered.of(exchange.buffer.all()))
    })
}

struct Waiter {
    context: RequestContext,
    patience: Patience,
    request_sent: bool,
    request_broken: bool,
    client_ended: bool,
}

impl Waiter {
    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        exchange: &mut Exchange<'_>,
        server: &TcpStream,
        pump: &mut Pump,
        buffer: &mut Buffer,
        response: &mut ResponseHead,
    ) -> Poll<Event> {
        let client = &exchange.connection.stream;
        if !self.request_sent && !self.request_broken {
            match pump.poll(cx, client, server, &mut exchange.buffer) {
                Poll::Ready(Ok(())) => self.request_sent = true,
                // The server may have answered before it stopped reading.
                Poll::Ready(Err(PumpError::Sink)) => self.request_broken = true,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Event::ClientFailed(of_client(&error)));
                }
                Poll::Pending => {}
            }
        }
        // What came behind an interim response is here already.
        if !buffer.is_empty()
            && let Some(event) = self.parse(buffer, response)
        {
            return Poll::Ready(event);
        }
        loop {
            let stock = &exchange.connection.worker.stock;
            if buffer.is_absent() {
                *buffer = stock.take();
            } else if buffer.is_full() {
                buffer.grow(buffer.size() * 2); // the parser stops it at RESPONSE_LIMITS
            }
            match server.poll_read(cx, buffer.spare()) {
                // Who waits holds no block: the same few, warm ones serve all.
                Poll::Pending if buffer.is_empty() => {
                    stock.give(std::mem::take(buffer));
                    if self.request_sent {
                        stock.shrink(&mut exchange.buffer);
                    }
                    break;
                }
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Event::Lost {
                        reason: Reason::UpstreamClosed,
                        closed: true,
                    });
                }
                Poll::Ready(Err(_)) => {
                    return Poll::Ready(Event::Lost {
                        reason: Reason::UpstreamReset,
                        closed: false,
                    });
                }
                Poll::Ready(Ok(read)) => buffer.extend(read),
            }
            if let Some(event) = self.parse(buffer, response) {
                return Poll::Ready(event);
            }
        }
        if self.request_sent && self.poll_client(cx, exchange).is_ready() {
            return Poll::Ready(Event::ClientFailed(Reason::ClientGone));
        }
        self.patience.watch(exchange, pump, self.request_sent);
        match exchange.connection.state.timer.poll_expired(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if self.patience.blames_client(pump, self.request_sent) => {
                Poll::Ready(Event::ClientFailed(Reason::BodyTimeout))
            }
            Poll::Ready(()) if self.request_sent => {
                Poll::Ready(Event::Refused(Reason::ResponseTimeout))
            }
            Poll::Ready(()) => Poll::Ready(Event::Refused(Reason::UpstreamIdle)),
        }
    }

    fn parse(&self, buffer: &Buffer, response: &mut ResponseHead) -> Option<Event> {
        match response.parse(buffer.filled(), &RESPONSE_LIMITS, &self.context) {
            Ok(Parse::Complete(length)) => Some(Event::Head(length)),
            Ok(Parse::Partial) => None,
            Err(error) => Some(Event::Refused(Reason::BadResponse(error))),
        }
    }

    /// Ready when the client has broken the connection. What it sends meanwhile is its next
    /// request and waits; ending its half is its right (RFC 9112 §9.6).
    fn poll_client(
        &mut self,
        cx: &mut std::task::Context<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Poll<()> {
        while !self.client_ended && !exchange.buffer.is_full() {
            match exchange.connection.stream.poll_read(cx, exchange.buffer.spare()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => self.client_ended = true,
                Poll::Ready(Ok(read)) => exchange.buffer.extend(read),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

/// What a pump's error means when it is not the receiver's.
pub(crate) fn of_client(error: &PumpError) -> Reason {
    match error {
        PumpError::Malformed(error) => Reason::BadRequestBody(*error),
        PumpError::TooLarge => Reason::BodyTooLarge,
        PumpError::Source | PumpError::Truncated | PumpError::Sink => Reason::ClientGone,
    }
}

/// How a response body of this length arrives.
pub(crate) fn response_source(head: &ResponseHead, bytes: &[u8]) -> crate::http::body::Source {
    use crate::http::body::Source;
    match head.body {
        BodyLength::None => Source::Done,
        BodyLength::Exact(length) => Source::Exact(length),
        BodyLength::Chunked => {
            Source::Chunked(decoder(TrailerLimits::default(), &head.fields, bytes))
        }
        BodyLength::UntilClose => Source::UntilClose,
    }
}
