//! Two servers race for one safe request, once the first has been slow: the first good head wins,
//! the other connection is closed. Owns the race; not whether there is one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use evenkeel_balancer::Connection;
use evenkeel_codec::RequestContext;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_runtime as runtime;

use crate::buffer::Buffer;
use crate::channel::Channel;
use crate::failure::{Failure, Reason};
use crate::generation::Leased;
use crate::http::body::{Pump, Sink, Source};
use crate::http::client_watch::ClientWatch;
use crate::http::exchange::Exchange;
use crate::http::upstream::connect::{self, Progress};
use crate::http::upstream::links;
use crate::http::upstream::{self, Arrived, Attempt, Flight, Verdict};
use crate::http::{forwarded, grpc, tries};
use crate::proxy_header;
use crate::snapshot::PoolSettings;

/// One of the two.
pub(super) struct Runner {
    lease: Leased,
    begun: Instant,
    stage: Stage,
}

/// A connection and its count, or a stream of one that counts itself.
type Opened = (Channel, Option<Connection>);
type Opening = Pin<Box<dyn Future<Output = Result<Opened, Reason>>>>;

#[allow(clippy::large_enum_variant)] // two of them, in a race that is in a box as a whole
enum Stage {
    Connecting {
        opening: Opening,
        progress: Rc<Progress>,
        until: Instant,
    },
    /// `request` is what is still to be written.
    Running {
        flight: Flight,
        request: Option<Pump>,
    },
}

enum Event {
    Connected(Result<Opened, Reason>),
    Arrived(Arrived),
}

/// How a race went on.
enum Step {
    Runner(usize, Event),
    TimedOut,
    ClientGone,
}

struct Race<'s> {
    settings: &'s PoolSettings,
    context: RequestContext,
    runners: [Option<Runner>; 2],
    client: ClientWatch,
    /// Neither has answered by then.
    until: Instant,
}

impl Runner {
    /// The one that was asked first and has not answered.
    pub(super) fn first(lease: Leased, begun: Instant, flight: Flight) -> Self {
        Self { lease, begun, stage: Stage::Running { flight, request: None } }
    }

    /// The one that is asked now.
    fn second(
        exchange: &Exchange<'_>,
        settings: &PoolSettings,
        lease: Leased,
    ) -> Result<Self, (Leased, Failure)> {
        let now = runtime::now();
        if let Some(kept) = upstream::take_any_kept(&lease, settings) {
            let flight = Flight::new(exchange, kept, true);
            let mut runner = Self::first(lease, now, flight);
            runner.start(exchange, settings);
            return Ok(runner);
        }
        let progress = Rc::new(Progress::default());
        let opening = match opening(exchange, settings, &lease, progress.clone()) {
            Ok(opening) => opening,
            Err(failure) => return Err((lease, failure)),
        };
        let until = now + settings.config.timeouts.connect;
        let stage = Stage::Connecting { opening, progress, until };
        Ok(Self { lease, begun: now, stage })
    }

    /// Has its request written.
    fn start(&mut self, exchange: &Exchange<'_>, settings: &PoolSettings) {
        let known = self.lease.known();
        if let Stage::Running { flight, request } = &mut self.stage {
            upstream::count_try(&known.counters, flight.reused);
            let mut head = exchange.connection.worker.stock.take_scratch();
            forwarded::write_request(&mut head, exchange, settings, &known.target);
            *request = Some(Pump::new(head, Source::Done, Sink::Identity, 0));
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &Exchange<'_>,
        context: &RequestContext,
    ) -> Poll<Event> {
        match &mut self.stage {
            Stage::Connecting { opening, progress, until, .. } => {
                if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                    return Poll::Ready(Event::Connected(opened));
                }
                match *until <= runtime::now() {
                    true => {
                        let reason = progress.is_late(self.lease.known());
                        Poll::Ready(Event::Connected(Err(reason)))
                    }
                    false => Poll::Pending,
                }
            }
            Stage::Running { flight, request } => {
                if let Some(pump) = request {
                    let (from, to) = (&exchange.connection.stream, &flight.connection.stream);
                    match pump.poll(cx, from, to, &mut Buffer::default()) {
                        Poll::Ready(Ok(())) => flight.request_sent = true,
                        Poll::Ready(Err(_)) => flight.request_broken = true,
                        Poll::Pending => {}
                    }
                    if flight.request_sent || flight.request_broken {
                        let head = pump.settle(&mut Buffer::default());
                        exchange.connection.worker.stock.give_scratch(head);
                        *request = None;
                    }
                }
                flight.poll_head(cx, context, exchange.connection).map(Event::Arrived)
            }
        }
    }

    /// Its connection is closed. What it has not said yet says nothing about its server.
    fn give_up(self, exchange: &Exchange<'_>) -> Leased {
        if let Stage::Running { flight, .. } = self.stage {
            if plant::is(Bug::HedgeLoserIsKept) && flight.request_sent {
                let idle = &self.lease.pool().idle;
                idle.borrow_mut().put(self.lease.server, flight.connection);
                return self.lease;
            }
            if let Some(complaint) = flight.give_up(exchange) {
                self.lease.known().complain(complaint);
            }
        }
        self.lease
    }

    /// A kept connection that was closed before anything came: nobody is to blame.
    fn died_idle(&self) -> bool {
        matches!(&self.stage, Stage::Running { flight, .. } if flight.reused && !flight.answered)
    }
}

/// A connection for the one that is asked now.
fn opening(
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
    progress: Rc<Progress>,
) -> Result<Opening, Failure> {
    if links::may_speak(settings) {
        return Ok(Box::pin(links::second(exchange, lease)?));
    }
    let counted = connect::count(lease)?;
    let (worker, known) = (exchange.connection.worker.clone(), lease.known().clone());
    let tls = settings.tls.clone();
    let header = settings.config.proxy_protocol.as_ref();
    let header = header.map(|out| proxy_header::write_for(out, exchange));
    Ok(Box::pin(async move {
        let how = connect::Way::new(tls.as_deref(), true);
        let how = connect::Way { header: header.as_deref(), ..how };
        let opened = connect::open(&worker, how, &known, &progress).await;
        opened.map(|channel| (channel, Some(counted)))
    }))
}

/// Asks `second` too and waits for the first good head of the two: how that attempt ended, whose it
/// is, and when that one was asked.
pub(super) async fn race(
    exchange: &mut Exchange<'_>,
    settings: &PoolSettings,
    first: Runner,
    second: Leased,
) -> (Attempt, Leased, Instant) {
    let second = Runner::second(exchange, settings, second).ok();
    let mut race = Race {
        settings,
        context: upstream::context(exchange),
        runners: [Some(first), second],
        client: ClientWatch::default(),
        until: runtime::now() + settings.config.timeouts.first_byte,
    };
    loop {
        let step = poll_fn(|cx| race.poll(cx, exchange)).await;
        let ended = match step {
            Step::Runner(who, event) => race.advance(exchange, who, event).await,
            Step::TimedOut => race.fail_all(exchange, Failure::sent(Reason::ResponseTimeout)),
            Step::ClientGone => race.end(exchange, Reason::ClientGone),
        };
        if let Some(ended) = ended {
            return ended;
        }
    }
}

type Ended = (Attempt, Leased, Instant);

impl Race<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange<'_>) -> Poll<Step> {
        let mut until = self.until;
        for (who, runner) in self.runners.iter_mut().enumerate() {
            let Some(runner) = runner else { continue };
            if let Poll::Ready(event) = runner.poll(cx, exchange, &self.context) {
                return Poll::Ready(Step::Runner(who, event));
            }
            if let Stage::Connecting { until: connected, .. } = runner.stage {
                until = until.min(connected);
            }
        }
        if self.client.poll_gone(cx, exchange).is_ready() {
            return Poll::Ready(Step::ClientGone);
        }
        exchange.connection.state.allow_until(until);
        match exchange.connection.state.timer.poll_expired(cx) {
            // Else a connection took too long, which it says when it is asked.
            Poll::Ready(()) if until < self.until && until <= runtime::now() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            expired => expired.map(|()| Step::TimedOut),
        }
    }

    /// What an event makes of the race.
    async fn advance(
        &mut self,
        exchange: &mut Exchange<'_>,
        who: usize,
        event: Event,
    ) -> Option<Ended> {
        let runner = self.runners.get_mut(who)?.as_mut()?;
        let failure = match event {
            Event::Connected(Ok(opened)) => {
                self.run(exchange, who, opened);
                return None;
            }
            Event::Connected(Err(reason)) => Failure::unsent(reason),
            Event::Arrived(Arrived::Head(length)) => {
                let Stage::Running { flight, .. } = &mut runner.stage else { return None };
                match flight.judge(exchange, length).await {
                    Verdict::Interim { .. } => return None,
                    Verdict::Final => return self.finish(exchange, who),
                    Verdict::ClientGone => return self.end(exchange, Reason::ClientGone),
                    Verdict::Malformed(error) => Failure::new(Reason::BadResponse(error)),
                }
            }
            Event::Arrived(Arrived::Lost { reason, .. }) => Failure::sent(reason),
            Event::Arrived(Arrived::Malformed(error)) => Failure::new(Reason::BadResponse(error)),
        };
        self.fail(exchange, who, failure)
    }

    /// The second one is connected.
    fn run(&mut self, exchange: &Exchange<'_>, who: usize, (stream, counted): Opened) {
        let Some(place) = self.runners.get_mut(who) else { return };
        let Some(Runner { lease, begun, stage: Stage::Connecting { .. } }) = place.take() else {
            return;
        };
        let connection = connect::into_connection(stream, self.settings, counted);
        let mut runner = Runner::first(lease, begun, Flight::new(exchange, connection, false));
        runner.start(exchange, self.settings);
        *place = Some(runner);
    }

    /// One has a final head. A server that says that it cannot serve wins only if it is alone.
    fn finish(&mut self, exchange: &mut Exchange<'_>, who: usize) -> Option<Ended> {
        let Runner { mut lease, begun, stage } = self.runners.get_mut(who)?.take()?;
        let Stage::Running { flight, .. } = stage else { return None };
        let status = grpc::status(exchange, &flight.head, flight.buffer.all());
        let retried = self.settings.config.retry.on.statuses.contains(&status);
        let is_alone = self.runners.iter().all(Option::is_none);
        if !is_alone && (retried || matches!(status, 502..=504)) {
            tries::judge(&mut lease, &flight.head, status, begun);
            flight.give_up(exchange);
            return None;
        }
        for other in self.runners.iter_mut().filter_map(Option::take) {
            let lost = other.give_up(exchange);
            if plant::is(Bug::HedgeKeepsLease) {
                std::mem::forget(lost);
            }
        }
        exchange.connection.state.send_to(lease.known().clone());
        exchange.server = Some(lease.known().clone());
        exchange.reused = flight.reused;
        Some((Attempt::Answered(flight.into_answer()), lease, begun))
    }

    /// One has failed; the other goes on, if there is one.
    fn fail(&mut self, exchange: &Exchange<'_>, who: usize, failure: Failure) -> Option<Ended> {
        let runner = self.runners.get_mut(who)?.take()?;
        let (begun, idle) = (runner.begun, runner.died_idle());
        let lease = runner.give_up(exchange);
        if self.runners.iter().all(Option::is_none) {
            return Some((Attempt::ServerFailed(failure), lease, begun));
        }
        if !idle {
            tries::blame(exchange, lease, failure, begun);
        }
        None
    }

    fn fail_all(&mut self, exchange: &Exchange<'_>, failure: Failure) -> Option<Ended> {
        self.fail(exchange, 1, failure).or_else(|| self.fail(exchange, 0, failure))
    }

    fn end(&mut self, exchange: &Exchange<'_>, reason: Reason) -> Option<Ended> {
        let mut runners = self.runners.iter_mut().filter_map(Option::take);
        let (one, other) = (runners.next()?, runners.next());
        if let Some(other) = other {
            drop(other.give_up(exchange));
        }
        let begun = one.begun;
        Some((Attempt::ClientFailed(Failure::new(reason)), one.give_up(exchange), begun))
    }
}
