//! The way to a server: one chosen or waited for, connected to, and another tried if that failed.
//! Nothing of the client's has been sent yet, so another try is always safe.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use evenkeel_balancer::{Connection as Counted, Outcome, Pick, ServerId, Unavailable};
use evenkeel_config::model::{Relay, SourceAddress};
use evenkeel_runtime::{self as runtime, ConnectOptions};

use super::Session;
use crate::balance;
use crate::channel::Channel;
use crate::failure::{Failure, Reason};
use crate::generation::{KnownServer, Leased, PoolState};
use crate::http::queue;
use crate::http::upstream::connect::{self, Progress, Way};
use crate::proxy_header;
use crate::snapshot::PoolSettings;
use crate::tls::Offer;

/// A server that was reached.
pub(super) struct Reached {
    pub(super) lease: Leased,
    pub(super) channel: Channel,
    /// Counts the connection for as long as it is open.
    _counted: Counted,
}

/// Servers tried are remembered up to this many.
const TRIED_MAX: usize = 16;

/// Tries servers until one is connected, or another try is not allowed.
pub(super) async fn reach(
    session: &mut Session<'_>,
    pool: &Rc<PoolState>,
    settings: &PoolSettings,
    relay: &Relay,
) -> Result<Reached, Reason> {
    let connection = session.connection;
    let key = balance::connection_key(&settings.config.balance, connection.peer, connection.local);
    let affinity = balance::connection_affinity(
        settings.config.sticky.as_ref(),
        connection.peer,
        connection.local,
    );
    let mut tried: Vec<ServerId> = Vec::new();
    let mut last = None;
    loop {
        let lease = || {
            let now = runtime::now();
            let pick = Pick { key, affinity, bound: None, tried: &tried, replayable: true, now };
            pool.lease(pick)
        };
        let leased = match pool.queue.is_waiting() {
            false => lease(),
            true => Err(Unavailable::Saturated),
        };
        let lease = match leased {
            Ok(lease) => lease,
            Err(Unavailable::Saturated) => {
                let wait = settings.config.queue.timeout;
                connection.worker.counters.queued.add(1);
                let waited = queue::wait_in_line(pool, wait, &connection.state, lease).await;
                waited.map_err(|failure| last.unwrap_or(failure.reason))?
            }
            Err(why) => return Err(last.unwrap_or(Failure::from(why).reason)),
        };
        session.tries = session.tries.saturating_add(1);
        if session.tries > 1 {
            connection.worker.counters.retries.add(1);
        }
        if tried.len() < TRIED_MAX {
            tried.push(lease.server);
        }
        let reason = match try_one(session, settings, relay, lease).await {
            Ok(reached) => return Ok(reached),
            Err(reason) => reason,
        };
        last = Some(reason);
        if !may_retry(session, pool, settings, reason) {
            return Err(reason);
        }
    }
}

fn may_retry(
    session: &Session<'_>,
    pool: &PoolState,
    settings: &PoolSettings,
    reason: Reason,
) -> bool {
    let retry = &settings.config.retry;
    reason.is_among(&retry.on)
        && !session.connection.state.is_cut()
        && session.tries <= retry.attempts
        && (!pool.is_hopeless() || pool.withdraw(runtime::now()))
}

/// Connects to one server, and tells its pool how that went.
async fn try_one(
    session: &mut Session<'_>,
    settings: &PoolSettings,
    relay: &Relay,
    mut lease: Leased,
) -> Result<Reached, Reason> {
    let known = lease.known().clone();
    known.counters.requests.add(1);
    session.connection.state.send_to(known.clone());
    session.server = Some(known.clone());
    let begun = runtime::now();
    let opened = match connect::count(&lease) {
        Ok(counted) => open(session, settings, relay, &known).await.map(|it| (it, counted)),
        Err(failure) => Err(failure.reason),
    };
    let now = runtime::now();
    let latency = now.saturating_duration_since(begun);
    match opened {
        Ok((channel, counted)) => {
            known.counters.connections.add(1);
            known.counters.latency.record(latency);
            session.connected = Some(latency);
            lease.judge(Outcome::Success { latency }, now);
            Ok(Reached { lease, channel, _counted: counted })
        }
        Err(reason) => {
            if let Some(kind) = reason.kind().filter(|_| !session.connection.state.is_cut()) {
                tell(&known, reason, now);
                lease.finish(Outcome::Failure { latency, kind }, now);
            }
            Err(reason)
        }
    }
}

async fn open(
    session: &Session<'_>,
    settings: &PoolSettings,
    relay: &Relay,
    known: &KnownServer,
) -> Result<Channel, Reason> {
    let connection = session.connection;
    let state = &connection.state;
    state.allow_until(runtime::now() + settings.config.timeouts.connect);
    let header = settings.config.proxy_protocol.as_ref().map(|out| {
        let name = session.server_name.as_deref();
        proxy_header::write(out, connection, name, session.offers.as_deref())
    });
    let source: Option<IpAddr> = match relay.source {
        SourceAddress::Own => None,
        SourceAddress::Client => Some(connection.peer_ip()),
    };
    let progress = Progress::default();
    let way = Way {
        tls: settings.tls.as_deref(),
        offer: Offer::Nothing,
        header: header.as_deref(),
        options: ConnectOptions { source, ..ConnectOptions::default() },
    };
    let mut opening = pin!(connect::open(&connection.worker, way, known, &progress));
    let opened = poll_fn(|cx| {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(Some(opened));
        }
        state.timer.poll_expired(cx).map(|()| None)
    });
    let opened = opened.await;
    opened.unwrap_or_else(|| Err(progress.is_late(known)))
}

/// Counts a server's failure, and says in the process log which server did what, once in a while.
fn tell(known: &KnownServer, reason: Reason, now: Instant) {
    known.counters.failures.add(1);
    let why = known.complaint();
    if let Some(untold) = known.tells(now) {
        let (pool, server, reason) = (&*known.pool, &*known.target.key, reason.word());
        tracing::warn!(%pool, %server, %reason, why = why.as_deref(), untold, "server failed");
    }
}
