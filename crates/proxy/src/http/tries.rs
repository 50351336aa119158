//! Which servers an exchange is sent to, one after the other: chosen or waited for, asked, judged,
//! and another asked if that is allowed and may help. Owns the order; the steps belong to others.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_balancer::{Outcome, Pick, ServerId, Unavailable};
use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{BodyLength, Method, ResponseHead};
use evenkeel_config::model::PoolId;
use evenkeel_runtime as runtime;

use crate::counters::count_status;
use crate::failure::{Failure, Reason, Retry};
use crate::generation::{KnownServer, Leased, PoolState};
use crate::http::body::{Pump, Sink, Source};
use crate::http::client_watch::ClientWatch;
use crate::http::downstream::h1::Next;
use crate::http::exchange::{self, Exchange};
use crate::http::upstream::{self, Answer, Attempt};
use crate::http::{grpc, hedge, queue, relay};
use crate::snapshot::PoolSettings;

/// Tries servers until one answers or another try is not allowed, then passes its answer on.
pub(crate) async fn forward(exchange: &mut Exchange<'_>, id: PoolId) -> Result<Next, Failure> {
    exchange.pool = Some(id);
    let generation = exchange.generation.clone();
    let (Some(pool), Some(settings)) = (generation.pool(id), generation.snapshot.pool(id)) else {
        return Err(Failure::new(Reason::NoServers));
    };
    let mut pump = pump(exchange);
    let mut tries = Tries::new(exchange, pool, settings, &pump);
    match tries.seek(exchange, &mut pump).await {
        Ok(found) => pass_on(exchange, found, &mut pump).await,
        Err(failure) => {
            settle(exchange, &mut pump);
            Err(failure)
        }
    }
}

/// The request on its way to servers.
fn pump(exchange: &mut Exchange<'_>) -> Pump {
    let source = match exchange.head.body {
        BodyLength::None | BodyLength::UntilClose => Source::Done,
        BodyLength::Exact(length) => Source::Exact(length),
        BodyLength::Chunked => Source::Chunked(upstream::request_decoder(exchange)),
    };
    let sink = match exchange.head.body {
        BodyLength::Chunked => Sink::Chunked,
        _ => Sink::Identity,
    };
    let brake = exchange.changed.as_mut().and_then(|changes| changes.upload.take());
    Pump::new(Vec::new(), source, sink, exchange::body_max(exchange)).slowed(brake)
}

/// What all tries of an exchange have in common.
pub(super) struct Tries<'p> {
    pub(super) pool: &'p Rc<PoolState>,
    pub(super) settings: &'p PoolSettings,
    key: Option<u64>,
    affinity: Option<u64>,
    bound: Option<ServerId>,
    replayable: bool,
    tried: Tried,
}

/// An answer, and whose it is.
struct Found {
    lease: Leased,
    answer: Answer,
    latency: Duration,
}

/// What the last try came to.
#[derive(Default)]
enum Last {
    /// There was none.
    #[default]
    Nothing,
    Failed(Failure),
    /// An answer that another server may improve on.
    Answered(Box<Found>),
}

/// When somebody else may be asked while a server's answer is waited for.
#[derive(Clone, Copy, Default)]
struct Alarm {
    at: Option<Instant>,
    /// The first one goes on.
    hedges: bool,
}

impl<'p> Tries<'p> {
    fn new(
        exchange: &mut Exchange<'_>,
        pool: &'p Rc<PoolState>,
        settings: &'p PoolSettings,
        pump: &Pump,
    ) -> Self {
        exchange.bound = settings.stickiness.as_ref().and_then(|sticky| sticky.read(exchange));
        let view = exchange.view();
        Self {
            pool,
            settings,
            key: crate::balance::key(&settings.config.balance, &view),
            affinity: crate::balance::affinity(settings.config.sticky.as_ref(), &view),
            bound: exchange.bound.and_then(|bound| pool.find(bound.server)),
            replayable: exchange.head.method.is_idempotent()
                && pump.fits(exchange.buffer.filled().len()),
            tried: Tried::default(),
        }
    }

    /// A server that was not tried yet.
    pub(super) fn lease(&self) -> Result<Leased, Unavailable> {
        self.lease_but(self.tried.servers())
    }

    /// The same for who has waited at the head of the queue: where all others are full, one that
    /// was tried will do, or everybody behind would wait with it.
    pub(super) fn lease_first(&self) -> Result<Leased, Unavailable> {
        match self.lease() {
            Err(Unavailable::Saturated) => self.lease_but(&[]),
            found => found,
        }
    }

    fn lease_but(&self, tried: &[ServerId]) -> Result<Leased, Unavailable> {
        self.pool.lease(Pick {
            key: self.key,
            affinity: self.affinity,
            bound: self.bound,
            tried,
            replayable: self.replayable,
            now: runtime::now(),
        })
    }

    /// Asks one server after the other until there is an answer to pass on.
    async fn seek(
        &mut self,
        exchange: &mut Exchange<'_>,
        pump: &mut Pump,
    ) -> Result<Found, Failure> {
        let mut last = Last::Nothing;
        loop {
            // Nobody overtakes those who wait.
            let leased = match self.pool.queue.is_waiting() {
                false => self.lease(),
                true => Err(Unavailable::Saturated),
            };
            let lease = match leased {
                Ok(lease) => lease,
                Err(why) => match Box::pin(self.otherwise(exchange, pump, why, &last)).await {
                    Ok(lease) => lease,
                    Err(failure) => return last.or(failure),
                },
            };
            if let Last::Answered(found) = std::mem::take(&mut last) {
                upstream::discard(exchange, &found.lease, found.answer, pump);
            }
            match self.ask(exchange, pump, lease).await {
                (Attempt::Answered(answer), mut lease, begun) => {
                    let status = grpc::status(exchange, &answer.head, answer.buffer.all());
                    let latency = judge(&mut lease, &answer.head, status, begun);
                    let found = Found { lease, answer, latency };
                    if !self.may_improve_on(exchange, status, pump) {
                        return Ok(found);
                    }
                    last = Last::Answered(Box::new(found));
                }
                (Attempt::ServerFailed(failure), lease, begun) => {
                    blame(exchange, lease, failure, begun);
                    if !self.may_retry(exchange, failure, pump) {
                        return Err(failure);
                    }
                    last = Last::Failed(failure);
                }
                (Attempt::ClientFailed(failure), ..) => return Err(failure),
                (Attempt::Late, ..) => return Err(Failure::new(Reason::ResponseTimeout)),
            }
            if exchange.tries > 1 {
                Box::pin(self.back_off(exchange, pump)).await?;
            }
        }
    }

    /// Makes one try, which a second one may overtake: how it ended, whose answer it is, and when
    /// that one was asked.
    async fn ask(
        &mut self,
        exchange: &mut Exchange<'_>,
        pump: &mut Pump,
        lease: Leased,
    ) -> (Attempt, Leased, Instant) {
        self.note_binding(exchange, &lease);
        self.count(exchange, lease.server);
        if exchange.tries > 1 {
            exchange.connection.worker.counters.retries.add(1);
        }
        let begun = runtime::now();
        let mut alarm = self.alarm(exchange, pump, begun);
        let mut flight = None;
        loop {
            let sent = upstream::send(exchange, self.settings, &lease, pump, &mut flight, alarm.at);
            match sent.await {
                Attempt::Late if alarm.hedges => {
                    if let Some(second) = self.second()
                        && let Some(flight) = flight.take()
                    {
                        self.count(exchange, second.server);
                        exchange.connection.worker.counters.hedges.add(1);
                        let first = hedge::Runner::first(lease, begun, flight);
                        let race = hedge::race(exchange, self.settings, first, second);
                        return Box::pin(race).await;
                    }
                    alarm = Alarm { at: self.give_up_at(exchange, pump, begun), hedges: false };
                }
                // Only for somebody else: a late answer is better than none.
                Attempt::Late if self.may_leave() => {
                    if let Some(flight) = flight {
                        flight.give_up(exchange);
                    }
                    let failure = Failure { reason: Reason::ResponseTimeout, retry: Retry::Paid };
                    return (Attempt::ServerFailed(failure), lease, begun);
                }
                Attempt::Late if plant::is(Bug::LateIsOver) => {
                    return (Attempt::Late, lease, begun);
                }
                Attempt::Late => alarm = Alarm::default(),
                attempt => return (attempt, lease, begun),
            }
        }
    }

    fn count(&mut self, exchange: &mut Exchange<'_>, server: ServerId) {
        self.tried.note(server);
        exchange.tries = exchange.tries.saturating_add(1);
    }

    /// A client stays bound to a server that only has no room at the moment; to one that is
    /// draining its binding is not renewed.
    fn note_binding(&self, exchange: &mut Exchange<'_>, lease: &Leased) {
        let Some(bound) = &mut exchange.bound else { return };
        bound.stays = self.bound.is_some_and(|server| match lease.server == server {
            true => lease.is_draining(),
            false => !self.tried.servers().contains(&server) && self.pool.may_serve_bound(server),
        });
    }

    /// A server to race against the first one, if the budget has it.
    fn second(&self) -> Option<Leased> {
        let mut lease = self.lease().ok()?;
        if self.pool.withdraw(runtime::now()) {
            return Some(lease);
        }
        lease.put_back();
        None
    }

    /// Whether a slow server may be given up: there is another one, at once, and the budget has it.
    fn may_leave(&self) -> bool {
        if self.pool.queue.is_waiting() {
            return false;
        }
        self.lease().is_ok_and(|mut another| {
            another.put_back();
            self.pool.withdraw(runtime::now())
        })
    }

    /// When to ask somebody else.
    fn alarm(&self, exchange: &Exchange<'_>, pump: &Pump, begun: Instant) -> Alarm {
        let give_up = self.give_up_at(exchange, pump, begun);
        match self.hedge_at(exchange, begun) {
            Some(at) if give_up.is_none_or(|give_up| at < give_up) => {
                Alarm { at: Some(at), hedges: true }
            }
            _ => Alarm { at: give_up, hedges: false },
        }
    }

    fn give_up_at(&self, exchange: &Exchange<'_>, pump: &Pump, begun: Instant) -> Option<Instant> {
        let retry = &self.settings.config.retry;
        let time = retry.try_timeout.filter(|_| retry.on.timeout)?;
        self.may_send_again(exchange, pump).then(|| begun + time)
    }

    fn hedge_at(&self, exchange: &Exchange<'_>, begun: Instant) -> Option<Instant> {
        let hedge = self.settings.config.hedge.as_ref()?;
        // Who belongs to a server is as well served by no other, however fast.
        if self.bound.is_some() || self.affinity.is_some() {
            return None;
        }
        let head = &exchange.head;
        let is_safe = matches!(head.method, Method::Get | Method::Head | Method::Options)
            || plant::is(Bug::HedgesPosts);
        let is_bare = matches!(head.body, BodyLength::None | BodyLength::Exact(0));
        if !is_safe || !is_bare || head.upgrade.is_some() || exchange.tries != 1 {
            return None;
        }
        Some(begun + hedge.delay.or_else(|| self.pool.hedge_delay())?)
    }

    /// Whether a request of which a server may have seen something can be sent once more.
    fn may_send_again(&self, exchange: &Exchange<'_>, pump: &Pump) -> bool {
        let retry = &self.settings.config.retry;
        exchange.tries <= retry.attempts
            && (exchange.head.method.is_idempotent()
                || retry.non_idempotent
                || plant::is(Bug::StatusRepeatsPosts))
            && pump.is_replayable()
    }

    fn may_retry(&self, exchange: &Exchange<'_>, failure: Failure, pump: &Pump) -> bool {
        let retry = &self.settings.config.retry;
        if !failure.reason.is_among(&retry.on)
            || exchange.connection.state.is_cut()
            || grpc::is_over(exchange)
        {
            return false;
        }
        match failure.retry {
            Retry::Paid => true,
            // No server has been asked for anything, so this is no more than the one request: it
            // costs no budget, and ends where nothing succeeds at all.
            Retry::Safe => {
                let may = exchange.tries <= retry.attempts && pump.is_replayable();
                may && (!self.pool.is_hopeless() || self.pool.withdraw(runtime::now()))
            }
            Retry::IfIdempotent => {
                self.may_send_again(exchange, pump) && self.pool.withdraw(runtime::now())
            }
            Retry::Never => false,
        }
    }

    /// Whether another server may give a better answer than this.
    fn may_improve_on(&self, exchange: &Exchange<'_>, status: u16, pump: &Pump) -> bool {
        self.settings.config.retry.on.statuses.contains(&status)
            && self.may_send_again(exchange, pump)
            && self.pool.withdraw(runtime::now())
    }

    /// What to do when no server can be chosen.
    async fn otherwise(
        &mut self,
        exchange: &mut Exchange<'_>,
        pump: &Pump,
        why: Unavailable,
        last: &Last,
    ) -> Result<Leased, Failure> {
        match (why, last) {
            (why, Last::Answered(_)) => Err(why.into()),
            (Unavailable::Saturated, _) => queue::wait(exchange, self, pump).await,
            // Nobody else is left. One that broke off may do better on another connection; one that
            // cannot be reached will not.
            (
                why,
                Last::Failed(Failure {
                    reason: Reason::UpstreamClosed | Reason::UpstreamReset,
                    ..
                }),
            ) => {
                self.tried = Tried::default();
                self.lease().map_err(|_| why.into())
            }
            (why, _) => Err(why.into()),
        }
    }

    /// Waits before the third try and later ones: a random time, longer each time, so that clients
    /// that failed together do not come back together.
    async fn back_off(&self, exchange: &mut Exchange<'_>, pump: &Pump) -> Result<(), Failure> {
        let retry = &self.settings.config.retry;
        let doublings = exchange.tries.saturating_sub(2).min(16);
        let most = retry.backoff.saturating_mul(1 << doublings).min(retry.backoff_max);
        let wait = most.mul_f64(exchange.connection.worker.rng.borrow_mut().unit_f64());
        exchange.connection.state.allow_until(runtime::now() + wait);
        let mut client = ClientWatch::default();
        poll_fn(|cx| {
            if client.poll_gone_between(cx, exchange, pump).is_ready() {
                return Poll::Ready(Err(Failure::new(Reason::ClientGone)));
            }
            exchange.connection.state.timer.poll_expired(cx).map(Ok)
        })
        .await
    }
}

impl Last {
    /// What the client gets when nobody else could be asked because of `failure`: what the last
    /// server did says more.
    fn or(self, failure: Failure) -> Result<Found, Failure> {
        match self {
            Self::Answered(found) => Ok(*found),
            Self::Failed(last) if failure.reason != Reason::ClientGone => Err(last),
            _ => Err(failure),
        }
    }
}

/// On trial, the end of a body of at most so many bytes is waited for.
const SHORT: u64 = 64 * 1024;

/// Counts an answer, and says what its head tells about the server; how long it took.
/// `status` is what it says of itself, in whichever words.
pub(super) fn judge(
    lease: &mut Leased,
    head: &ResponseHead,
    status: u16,
    begun: Instant,
) -> Duration {
    let now = runtime::now();
    let latency = now.saturating_duration_since(begun);
    let counters = &lease.known().counters;
    count_status(&counters.statuses, head.status);
    counters.latency.record(latency);
    let outcome = Outcome::of_status(status, latency);
    // A good head is no success yet: what follows may break off. Only a tunnel has no end to wait
    // for, and a server on trial is not kept waiting for that of a stream.
    let is_short = matches!(head.body, BodyLength::None | BodyLength::Exact(0..=SHORT));
    if outcome.failure().is_some() || status == 101 || lease.is_trial() && !is_short {
        lease.judge(outcome, now);
    }
    latency
}

/// Passes a server's answer on to the client and accounts for it.
async fn pass_on(
    exchange: &mut Exchange<'_>,
    found: Found,
    pump: &mut Pump,
) -> Result<Next, Failure> {
    let Found { lease, answer, latency } = found;
    exchange.first_byte = Some(latency);
    let status = grpc::status(exchange, &answer.head, answer.buffer.all());
    let outcome = Outcome::of_status(status, latency);
    match relay::relay(exchange, &lease, answer, pump).await {
        relay::End::Complete(next) => {
            lease.finish(outcome, runtime::now());
            Ok(next)
        }
        relay::End::ServerFailed(reason, next) => {
            exchange.failure = Some(reason);
            note_failure(exchange, lease, reason, latency);
            Ok(next)
        }
        relay::End::Unsent(reason) => {
            note_failure(exchange, lease, reason, latency);
            Err(Failure::new(reason))
        }
        relay::End::ClientFailed(reason) => {
            exchange.failure = Some(reason);
            lease.finish(outcome, runtime::now());
            Ok(Next::Abort)
        }
    }
}

/// Takes what was received of the request off the buffer.
fn settle(exchange: &mut Exchange<'_>, pump: &mut Pump) {
    exchange.received = pump.is_received();
    exchange.body_bytes_in = pump.body_bytes;
    let head = pump.settle(&mut exchange.buffer);
    exchange.connection.worker.stock.give_scratch(head);
}

/// Counts and logs a server's failed try, whether or not the client will notice.
pub(super) fn blame(exchange: &Exchange<'_>, lease: Leased, failure: Failure, begun: Instant) {
    let latency = runtime::now().saturating_duration_since(begun);
    note_failure(exchange, lease, failure.reason, latency);
}

fn note_failure(exchange: &Exchange<'_>, lease: Leased, reason: Reason, latency: Duration) {
    let Some(kind) = reason.kind() else { return };
    if exchange.connection.state.is_cut() || grpc::is_over(exchange) {
        return; // a drain came to its end, or the client's own deadline
    }
    let now = runtime::now();
    tell(exchange, lease.known(), reason, now);
    lease.finish(Outcome::Failure { latency, kind }, now);
}

/// Counts a server's failure, and says in the process log which server did what, once in a while.
fn tell(exchange: &Exchange<'_>, known: &KnownServer, reason: Reason, now: Instant) {
    known.counters.failures.add(1);
    let why = known.complaint();
    let pool = exchange.pool.and_then(|id| exchange.generation.snapshot.pool(id));
    if let Some(untold) = known.tells(now) {
        tracing::warn!(
            pool = %pool.map_or("", |pool| pool.config.name.as_str()),
            server = %known.target.key,
            reason = %reason.word(),
            why = why.as_deref(),
            request_id = %exchange.request_id.text(),
            untold,
            "server failed"
        );
    }
}

/// Servers that an exchange was sent to. More tries than it holds are made like the last one.
#[derive(Default)]
struct Tried {
    servers: [ServerId; 8],
    count: usize,
}

impl Tried {
    fn note(&mut self, server: ServerId) {
        if let Some(place) = self.servers.get_mut(self.count)
            && !plant::is(Bug::TriesSameServer)
        {
            *place = server;
            self.count += 1;
        }
    }

    fn servers(&self) -> &[ServerId] {
        self.servers.get(..self.count).unwrap_or_default()
    }
}
