//! One exchange, from request head to log line: start reading here. This file owns the order;
//! the steps belong to others.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{BodyLength, Method, RequestHead, Version, path};
use evenkeel_config::model::{Action, EncodedSlash, ListenerId, PoolId, RouteId};
use evenkeel_runtime as runtime;

use crate::access_log;
use crate::buffer::Buffer;
use crate::connection::{Connection, Protocol};
use crate::counters::count_status;
use crate::failure::{Failure, Fault, Reason};
use crate::generation::{Generation, KnownServer};
use crate::http::affinity::Bound;
use crate::http::downstream::h1::Next;
#[cfg(feature = "fault-injection")]
use crate::http::fault;
use crate::http::forwarded::{self, RequestId};
use crate::http::grpc::Call;
use crate::http::interim::Interims;
use crate::http::{cache, challenge, hops, local_reply, tries};
use crate::policy::{Chain, Changes, Verdict};
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
    /// It is a call of gRPC.
    pub(crate) call: Option<Call>,
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
    /// What policies change about it.
    pub(crate) changed: Option<Box<Changes>>,
    /// It is a request of our own: no policy sees it.
    pub(crate) is_own: bool,
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
            call: None,
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
            changed: None,
            is_own: false,
        }
    }

    /// The listener it came in through.
    pub(crate) fn listener(&self) -> Option<&ListenerSettings> {
        self.generation.snapshot.listener(self.listener)
    }

    /// The listener's place in the generation.
    pub(crate) fn listener_id(&self) -> ListenerId {
        self.listener
    }

    /// What policies change about it, to be added to.
    pub(crate) fn changes(&mut self) -> &mut Changes {
        self.changed.get_or_insert_default()
    }

    /// Its route's settings, once it has one.
    pub(crate) fn route(&self) -> Option<&RouteSettings> {
        self.generation.snapshot.route(self.route?)
    }

    /// The policies it is subject to: the listener's, then the route's.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Chain> + Clone {
        let listener = self.listener().filter(|_| !self.is_own).map(|listener| &listener.chain);
        listener.into_iter().chain(self.route().map(|route| &route.chain))
    }

    /// The normalised path, as matched and as forwarded.
    pub(crate) fn path(&self) -> &[u8] {
        match &self.path {
            Some(path) => path,
            None => self.head.path(self.buffer.all()),
        }
    }

    /// The path without its first bytes. What is asked about the whole server has none (RFC 9112
    /// §3.2.4), and a `*` behind a host would be part of it.
    pub(crate) fn path_from(&self, from: usize) -> &[u8] {
        match self.path() {
            b"*" => b"/",
            path => path.get(from..).unwrap_or_default(),
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
            claims: self.changed.as_ref().and_then(|changes| changes.claims.as_deref()),
            country: self.changed.as_ref().and_then(|changes| changes.country),
        }
    }

    /// The version of HTTP that the client speaks, as logs name it.
    pub(crate) fn protocol(&self) -> &'static str {
        match self.connection.protocol.get() {
            Protocol::H1 if self.head.version == Version::Http10 => "HTTP/1.0",
            Protocol::H1 => "HTTP/1.1",
            Protocol::H2 => "HTTP/2",
            Protocol::H3 => "HTTP/3",
        }
    }

    /// Whether the client's connection may serve another request after this response.
    pub(crate) fn may_persist(&self) -> bool {
        let connection = self.connection;
        let Some(listener) = self.listener() else { return false };
        self.head.persistent
            && (self.received || plant::is(Bug::AnsweredContentIsARequest))
            && connection.drain().is_none()
            && !connection.state.is_cut()
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
    exchange.call = Call::of(&exchange.head, exchange.buffer.all(), exchange.started);
    exchange.connection.state.end_by(exchange.call.and_then(Call::deadline));
    #[cfg(feature = "fault-injection")]
    fault::inject(exchange);
    hops::refuse_loop(&exchange.head, exchange.buffer.all())?;
    normalise_path(exchange)?;
    if let Some(answer) = challenge::answer(exchange) {
        return Ok(local_reply::give(exchange, &answer).await);
    }
    let generation = exchange.generation.clone();
    let listener = generation.snapshot.listener(exchange.listener);
    if let Some(redirect) = listener.and_then(|listener| listener.to_https.as_ref())
        && !forwarded::was_encrypted(exchange)
    {
        return Ok(local_reply::redirect(exchange, redirect).await);
    }
    refuse_long_body(exchange)?;
    if let Some(listener) = listener
        && let Some(next) = admit(exchange, &listener.chain).await?
    {
        return Ok(next);
    }
    let found = generation.snapshot.table.find(&exchange.view());
    let found = found.ok_or_else(|| Failure::new(Reason::NoRoute))?;
    exchange.route = Some(found.route);
    exchange.prefix_len = found.prefix_len;
    let Some(route) = generation.snapshot.route(found.route) else {
        return Err(Failure::new(Reason::NoRoute));
    };
    refuse_long_body(exchange)?;
    if let Some(next) = admit(exchange, &route.chain).await? {
        return Ok(next);
    }
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

/// Has a server answer, or the cache.
async fn forward(exchange: &mut Exchange<'_>, pool: PoolId) -> Result<Next, Failure> {
    match cache::of(exchange) {
        None => tries::forward(exchange, pool).await,
        // In a box of its own: it would make every exchange larger.
        Some(cache) => Box::pin(cache::serve(exchange, &cache, pool)).await,
    }
}

/// Asks the policies of a chain; `Some` if one of them has answered.
async fn admit(exchange: &mut Exchange<'_>, chain: &Chain) -> Result<Option<Next>, Failure> {
    if chain.admits_all() {
        return Ok(None);
    }
    // In a box of its own: what policies need is no part of every exchange.
    match Box::pin(chain.admit(exchange)).await {
        Verdict::Answer(reply) => Ok(Some(local_reply::give(exchange, &reply).await)),
        Verdict::Refuse(failure) => Err(failure),
        Verdict::Pass | Verdict::Later(_) => Ok(None),
    }
}

/// Once, before anything looks at the path: what is matched is what is forwarded.
fn normalise_path(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let Some(listener) = exchange.listener() else { return Ok(()) };
    let rules = path_rules(listener);
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

/// How a listener's paths are made comparable.
pub(crate) fn path_rules(listener: &ListenerSettings) -> path::Rules {
    path::Rules {
        encoded_slash: match listener.config.path.encoded_slash {
            EncodedSlash::Reject => path::EncodedSlash::Reject,
            EncodedSlash::Keep => path::EncodedSlash::Keep,
            EncodedSlash::Decode => path::EncodedSlash::Decode,
        },
        merge_slashes: listener.config.path.merge_slashes,
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

/// The longest request body that is taken.
pub(crate) fn body_max(exchange: &Exchange<'_>) -> u64 {
    let limit = exchange.listener().and_then(|listener| listener.config.limits.body);
    // Before there is a route, only what holds for all of them.
    let policy = exchange.route().and_then(|_| exchange.chains().filter_map(|c| c.body_max).last());
    limit.into_iter().chain(policy).min().unwrap_or(u64::MAX)
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
    exchange.chains().for_each(|chain| chain.over(exchange));
}

/// Whether the response to this request has no content whatever its head says.
pub(crate) fn is_head(exchange: &Exchange<'_>) -> bool {
    exchange.head.method == Method::Head
}
