//! One exchange, from request head to log line: start reading here. This file owns the order;
//! the steps belong to others.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenkeel_balancer::{Outcome, Pick, ServerId};
use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{BodyLength, Method, RequestHead, path};
use evenkeel_config::model::{Action, EncodedSlash, ListenerId, PoolId, RouteId};
use evenkeel_runtime as runtime;

use crate::access_log;
use crate::buffer::Buffer;
use crate::connection::Connection;
use crate::counters::count_status;
use crate::failure::{Failure, Fault, Reason, Retry};
use crate::generation::{Generation, KnownServer, Leased};
use crate::http::affinity::Bound;
use crate::http::body::{Pump, Sink, Source};
use crate::http::downstream::h1::Next;
#[cfg(feature = "fault-injection")]
use crate::http::fault;
use crate::http::forwarded::{self, RequestId};
use crate::http::interim::Interims;
use crate::http::upstream::{self, Answer, Attempt};
use crate::http::{hops, local_reply, relay};
use crate::policy::Chain;
use crate::route::RequestView;
use crate::snapshot::{ListenerSettings, RouteSettings};

/// A request being served, and what became known about it on the way.
pub(crate) struct Exchange<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) generation: Rc<Generation>,
    /// The listener's place in the generation.
    listener: ListenerId,
    pub(crate) head: Box<RequestHead>,
    /// The head's bytes, kept, and behind them what was read of the body.
    pub(crate) buffer: Buffer,
    pub(crate) started: Instant,
    /// The normalised path, where it differs from the one sent.
    pub(crate) path: Option<Vec<u8>>,
    /// The client, as far as trusted peers say.
    pub(crate) client: IpAddr,
    /// The peer may speak for its client.
    pub(crate) trusted: bool,
    pub(crate) request_id: RequestId,
    pub(crate) route: Option<RouteId>,
    /// Bytes of the path matched by the route's prefix.
    pub(crate) prefix_len: usize,
    pub(crate) pool: Option<PoolId>,
    pub(crate) server: Option<Rc<KnownServer>>,
    /// The server that the client's sticky cookie binds it to.
    pub(crate) bound: Option<Bound>,
    /// Servers it was sent to, or should have been.
    pub(crate) tries: u32,
    pub(crate) reused: bool,
    pub(crate) interims: Interims,
    /// The request's body has been received to its end.
    pub(crate) received: bool,
    /// Set once a response head is on its way to the client.
    pub(crate) status: u16,
    pub(crate) failure: Option<Reason>,
    pub(crate) body_bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) first_byte: Option<Duration>,
}

impl<'c> Exchange<'c> {
    pub(crate) fn new(
        connection: &'c Connection,
        generation: Rc<Generation>,
        listener: ListenerId,
        head: Box<RequestHead>,
        buffer: Buffer,
    ) -> Self {
        let client = connection.peer_ip();
        let received = matches!(head.body, BodyLength::None | BodyLength::Exact(0));
        Self {
            connection,
            generation,
            listener,
            head,
            buffer,
            started: runtime::now(),
            path: None,
            client,
            trusted: false,
            request_id: RequestId::default(),
            route: None,
            prefix_len: 0,
            pool: None,
            server: None,
            bound: None,
            tries: 0,
            reused: false,
            interims: Interims::default(),
            received,
            status: 0,
            failure: None,
            body_bytes_in: 0,
            bytes_out: 0,
            first_byte: None,
        }
    }

    /// The listener it came in through.
    pub(crate) fn listener(&self) -> Option<&ListenerSettings> {
        self.generation.snapshot.listener(self.listener)
    }

    /// Its route's settings, once it has one.
    pub(crate) fn route(&self) -> Option<&RouteSettings> {
        self.generation.snapshot.route(self.route?)
    }

    /// The policies it is subject to: the listener's, then the route's.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Chain> {
        let listener = self.listener().map(|listener| &listener.chain);
        listener.into_iter().chain(self.route().map(|route| &route.chain))
    }

    /// The normalised path, as matched and as forwarded.
    pub(crate) fn path(&self) -> &[u8] {
        match &self.path {
            Some(path) => path,
            None => self.head.path(self.buffer.all()),
        }
    }

    /// What routing may look at.
    pub(crate) fn view(&self) -> RequestView<'_> {
        let bytes = self.buffer.all();
        RequestView {
            listener: self.listener,
            method: self.head.method_text.of(bytes),
            host: self.head.host_name.of(bytes),
            path: self.path(),
            query: self.head.target.query.map(|query| query.of(bytes)),
            head: &self.head,
            bytes,
            client: self.client,
        }
    }

    /// Whether the client's connection may serve another request after this response.
    pub(crate) fn may_persist(&self) -> bool {
        let connection = self.connection;
        let Some(listener) = self.listener() else { return false };
        self.head.persistent
            && (self.received || plant::is(Bug::AnsweredContentIsARequest))
            && connection.drain().is_none()
            && connection.requests.get() < listener.config.limits.requests_per_connection
            && self.started.duration_since(connection.opened) < listener.config.timeouts.age_max
    }

    /// Gives back what was borrowed; the buffer stays with the connection if the next request has
    /// begun in it.
    pub(crate) fn finish(self, next: Next) -> Next {
        let worker = &self.connection.worker;
        worker.heads.give_request(self.head);
        if let Some(path) = self.path {
            worker.stock.give_scratch(path);
        }
        let mut buffer = self.buffer;
        if let Next::Wait = next {
            buffer.release();
            if !buffer.is_empty() && !plant::is(Bug::PipelinedIsDropped) {
                return Next::Pipelined(buffer);
            }
        }
        worker.stock.give(buffer);
        next
    }
}

/// Serves one exchange and records it. Never fails: a failure is a response, or an abort.
pub(crate) async fn serve(exchange: &mut Exchange<'_>) -> Next {
    let next = match respond(exchange).await {
        Ok(next) => next,
        Err(failure) => local_reply::send(exchange, failure).await,
    };
    record(exchange);
    next
}

/// Ends an exchange whose serving panicked: the client is told, if it was told nothing yet. What the
/// exchange borrowed is not given back, since it may be half changed.
pub(crate) async fn lose(exchange: &mut Exchange<'_>, panic: &runtime::Panic) -> Next {
    exchange.connection.worker.counters.panics.add(1);
    tracing::error!(
        request_id = %exchange.request_id.text(),
        route = %exchange.route().map_or("", |route| &route.name),
        client = %exchange.client,
        %panic,
        "an exchange was lost"
    );
    exchange.failure = Some(Reason::Panicked);
    let mut next = Next::Abort;
    if exchange.status == 0 && exchange.bytes_out == 0 {
        local_reply::send(exchange, Failure::new(Reason::Panicked)).await;
        next = Next::Linger;
    }
    record(exchange);
    next
}

async fn respond(exchange: &mut Exchange<'_>) -> Result<Next, Failure> {
    exchange.received = matches!(exchange.head.body, BodyLength::None | BodyLength::Exact(0));
    forwarded::identify(exchange);
    #[cfg(feature = "fault-injection")]
    fault::inject(exchange);
    hops::refuse_loop(&exchange.head, exchange.buffer.all())?;
    normalise_path(exchange)?;
    refuse_long_body(exchange)?;
    let generation = exchange.generation.clone();
    let found = generation.snapshot.table.find(&exchange.view());
    let found = found.ok_or_else(|| Failure::new(Reason::NoRoute))?;
    exchange.route = Some(found.route);
    exchange.prefix_len = found.prefix_len;
    let Some(route) = generation.snapshot.route(found.route) else {
        return Err(Failure::new(Reason::NoRoute));
    };
    match &route.action {
        Action::Pool(pool) => forward(exchange, *pool).await,
        Action::Split(shares) => {
            let pool = draw(exchange, shares).ok_or_else(|| Failure::new(Reason::NoServers))?;
            forward(exchange, pool).await
        }
        Action::Redirect(redirect) => Ok(local_reply::redirect(exchange, redirect).await),
        Action::Respond(respond) => Ok(local_reply::respond(exchange, respond).await),
    }
}

/// Once, before anything looks at the path: what is matched is what is forwarded.
fn normalise_path(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let Some(listener) = exchange.listener() else { return Ok(()) };
    let rules = path::Rules {
        encoded_slash: match listener.config.path.encoded_slash {
            EncodedSlash::Reject => path::EncodedSlash::Reject,
            EncodedSlash::Keep => path::EncodedSlash::Keep,
            EncodedSlash::Decode => path::EncodedSlash::Decode,
        },
        merge_slashes: listener.config.path.merge_slashes,
    };
    let mut scratch = exchange.connection.worker.stock.take_scratch();
    let sent = exchange.head.path(exchange.buffer.all());
    match path::normalise(sent, &rules, &mut scratch) {
        Ok(path::Normalised::Unchanged) => {
            exchange.connection.worker.stock.give_scratch(scratch);
            Ok(())
        }
        Ok(path::Normalised::Changed) => {
            exchange.path = Some(scratch);
            Ok(())
        }
        Err(error) => Err(Failure::new(Reason::BadPath(error.reason()))),
    }
}

/// A body that says it is too long is refused before any of it is forwarded.
fn refuse_long_body(exchange: &Exchange<'_>) -> Result<(), Failure> {
    match exchange.head.body {
        BodyLength::Exact(length) if length > body_max(exchange) => {
            Err(Failure::new(Reason::BodyTooLarge))
        }
        _ => Ok(()),
    }
}

fn body_max(exchange: &Exchange<'_>) -> u64 {
    exchange.listener().and_then(|listener| listener.config.limits.body).unwrap_or(u64::MAX)
}

/// Draws a pool by weight.
fn draw(exchange: &Exchange<'_>, shares: &[(PoolId, u32)]) -> Option<PoolId> {
    let total = shares.iter().fold(0_u32, |sum, (_, weight)| sum.saturating_add(*weight));
    if total == 0 {
        return None;
    }
    let mut at = exchange.connection.worker.rng.borrow_mut().below(total);
    for (pool, weight) in shares {
        if at < *weight {
            return Some(*pool);
        }
        at -= weight;
    }
    None
}

/// Tries servers until one answers or another try is not allowed, then passes its answer on.
async fn forward(exchange: &mut Exchange<'_>, id: PoolId) -> Result<Next, Failure> {
    exchange.pool = Some(id);
    let generation = exchange.generation.clone();
    let (Some(pool), Some(settings)) = (generation.pool(id), generation.snapshot.pool(id)) else {
        return Err(Failure::new(Reason::NoServers));
    };
    exchange.bound = settings.stickiness.as_ref().and_then(|sticky| sticky.read(exchange));
    let key = crate::balance::key(&settings.config.balance, &exchange.view());
    let source = match exchange.head.body {
        BodyLength::None | BodyLength::UntilClose => Source::Done,
        BodyLength::Exact(length) => Source::Exact(length),
        BodyLength::Chunked => Source::Chunked(upstream::request_decoder(exchange)),
    };
    let sink = match exchange.head.body {
        BodyLength::Chunked => Sink::Chunked,
        _ => Sink::Identity,
    };
    let mut pump = Pump::new(Vec::new(), source, sink, body_max(exchange));
    let mut tried = Tried::default();
    let mut failed = None;
    loop {
        let lease = pool.lease(Pick { key, ..Pick::new(exchange.started).tried(tried.servers()) });
        let lease = match (lease, failed) {
            (Ok(lease), _) => lease,
            // Nobody else is left. One that broke off may do better on another connection; one that
            // cannot be reached will not.
            (
                Err(_),
                Some(Failure { reason: Reason::UpstreamClosed | Reason::UpstreamReset, .. }),
            ) => pool.lease(Pick { key, ..Pick::new(exchange.started) })?,
            // What the last server did says more than that there is no other.
            (Err(_), Some(failure)) => {
                settle(exchange, &mut pump);
                return Err(failure);
            }
            (Err(unavailable), None) => return Err(unavailable.into()),
        };
        tried.note(lease.server);
        exchange.tries = exchange.tries.saturating_add(1);
        if failed.is_some() {
            exchange.connection.worker.counters.retries.add(1);
        }
        let begun = if exchange.tries == 1 { exchange.started } else { runtime::now() };
        match upstream::send(exchange, settings, &lease, &mut pump).await {
            Attempt::Answered(answer) => {
                return pass_on(exchange, lease, answer, &mut pump, begun).await;
            }
            Attempt::ClientFailed(failure) => {
                settle(exchange, &mut pump);
                return Err(failure);
            }
            Attempt::ServerFailed(failure) => {
                blame(exchange, lease, failure, begun);
                if may_retry(exchange, settings.config.retry.attempts, failure)
                    && pump.is_replayable()
                {
                    failed = Some(failure);
                    continue;
                }
                settle(exchange, &mut pump);
                return Err(failure);
            }
        }
    }
}

/// Passes a server's answer on to the client and accounts for it.
async fn pass_on(
    exchange: &mut Exchange<'_>,
    lease: Leased,
    answer: Answer,
    pump: &mut Pump,
    begun: Instant,
) -> Result<Next, Failure> {
    let latency = runtime::now().saturating_duration_since(begun);
    exchange.first_byte = Some(latency);
    let status = answer.head.status;
    let known = lease.known();
    count_status(&known.counters.statuses, status);
    known.counters.latency.record(latency);
    let outcome = Outcome::of_status(status, latency);
    let end = relay::relay(exchange, &lease, answer, pump).await;
    let now = runtime::now();
    if let relay::End::ServerFailed(reason, _) | relay::End::Unsent(reason) = &end {
        tell(exchange, lease.known(), *reason, now);
    }
    let (next, outcome) = match end {
        relay::End::Complete(next) => (Ok(next), outcome),
        relay::End::ServerFailed(reason, next) => {
            exchange.failure = Some(reason);
            (Ok(next), Outcome::Failure { latency, kind: reason.kind() })
        }
        relay::End::Unsent(reason) => {
            (Err(Failure::new(reason)), Outcome::Failure { latency, kind: reason.kind() })
        }
        relay::End::ClientFailed(reason) => {
            exchange.failure = Some(reason);
            (Ok(Next::Abort), outcome)
        }
    };
    lease.finish(outcome, now);
    next
}

/// Takes what was received of the request off the buffer.
fn settle(exchange: &mut Exchange<'_>, pump: &mut Pump) {
    exchange.received = pump.is_received();
    exchange.body_bytes_in = pump.body_bytes;
    let head = pump.settle(&mut exchange.buffer);
    exchange.connection.worker.stock.give_scratch(head);
}

/// Counts and logs a server's failure, whether or not the client will notice.
fn blame(exchange: &Exchange<'_>, lease: Leased, failure: Failure, begun: Instant) {
    let now = runtime::now();
    tell(exchange, lease.known(), failure.reason, now);
    let latency = now.saturating_duration_since(begun);
    lease.finish(Outcome::Failure { latency, kind: failure.reason.kind() }, now);
}

/// Servers that an exchange was sent to. More tries than it holds are made like the last one.
#[derive(Default)]
struct Tried {
    servers: [ServerId; 8],
    count: usize,
}

impl Tried {
    fn note(&mut self, server: ServerId) {
        if let Some(place) = self.servers.get_mut(self.count) {
            *place = server;
            self.count += 1;
        }
    }

    fn servers(&self) -> &[ServerId] {
        self.servers.get(..self.count).unwrap_or_default()
    }
}

/// Counts a server's failure, and says in the process log which server did what, once in a while.
fn tell(exchange: &Exchange<'_>, known: &KnownServer, reason: Reason, now: Instant) {
    known.counters.failures.add(1);
    let pool = exchange.pool.and_then(|id| exchange.generation.snapshot.pool(id));
    if let Some(untold) = known.tells(now) {
        tracing::warn!(
            pool = %pool.map_or("", |pool| pool.config.name.as_str()),
            server = %known.target.key,
            reason = %reason.word(),
            request_id = %exchange.request_id.text(),
            untold,
            "server failed"
        );
    }
}

fn may_retry(exchange: &Exchange<'_>, attempts: u32, failure: Failure) -> bool {
    let left = exchange.tries <= attempts;
    match failure.retry {
        Retry::Safe => left,
        Retry::IfIdempotent => left && exchange.head.method.is_idempotent(),
        Retry::Never => false,
    }
}

/// Counts and logs a finished exchange.
pub(crate) fn record(exchange: &Exchange<'_>) {
    let worker = &exchange.connection.worker;
    let counters = &worker.counters;
    let now = runtime::now();
    counters.exchanges.add(1);
    count_status(&counters.statuses, exchange.status);
    counters.latency.record(now.saturating_duration_since(exchange.started));
    counters.bytes_out.add(exchange.bytes_out);
    counters.body_bytes_in.add(exchange.body_bytes_in);
    if let Some(reason) = exchange.failure {
        match reason.fault() {
            Fault::Downstream if exchange.status == 0 || reason == Reason::ClientGone => {
                counters.abandoned.add(1);
            }
            _ => counters.failures.add(1),
        }
    }
    access_log::record(exchange, now);
}

/// Whether the response to this request has no content whatever its head says.
pub(crate) fn is_head(exchange: &Exchange<'_>) -> bool {
    exchange.head.method == Method::Head
}
