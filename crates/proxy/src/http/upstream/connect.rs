//! A new connection to a server, within the pool's connect timeout.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use evenkeel_balancer::Connection;
use evenkeel_runtime::{self as runtime, ConnectOptions, TcpStream};

use super::UpstreamConnection;
use crate::channel::Channel;
use crate::failure::{Failure, Reason};
use crate::generation::Leased;
use crate::http::exchange::Exchange;
use crate::snapshot::{PoolSettings, Target};
use crate::worker::Worker;

/// Connects to the first of the server's addresses that answers. The timeout is for all of them.
pub(super) async fn connect(
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
) -> Result<Box<UpstreamConnection>, Failure> {
    let counted = count(lease)?;
    let state = &exchange.connection.state;
    let retry = &settings.config.retry;
    let mut limit = settings.config.timeouts.connect;
    if let Some(time) = retry.try_timeout.filter(|_| exchange.tries <= retry.attempts) {
        limit = limit.min(time);
    }
    state.allow_until(runtime::now() + limit);
    let target = &lease.known().target;
    let mut opening = pin!(open(&exchange.connection.worker, target));
    let opened = poll_fn(|cx| {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(Some(opened));
        }
        state.timer.poll_expired(cx).map(|()| None)
    });
    match opened.await {
        None => Err(Failure::unsent(Reason::ConnectTimeout)),
        Some(Err(reason)) => Err(Failure::unsent(reason)),
        Some(Ok(stream)) => Ok(into_connection(stream, settings, counted)),
    }
}

/// Counts a connection that is about to be opened. At the server's limit, one that is kept makes
/// room.
pub(crate) fn count(lease: &Leased) -> Result<Connection, Failure> {
    let full = || Failure::unsent(Reason::ServerConnections);
    lease.connect().ok_or_else(full)
}

/// Tries one address after the other; has no time limit of its own.
pub(crate) async fn open(worker: &Worker, target: &Target) -> Result<Channel, Reason> {
    let options = ConnectOptions::default();
    let mut last = Reason::ConnectFailed;
    for address in target.addresses.iter() {
        match TcpStream::connect(*address, &options).await {
            Ok(stream) => return Ok(Channel::Plain(stream)),
            Err(error) => last = classify(worker, &error),
        }
    }
    Err(last)
}

/// A connection that has just been opened.
pub(crate) fn into_connection(
    stream: Channel,
    settings: &PoolSettings,
    counted: Connection,
) -> Box<UpstreamConnection> {
    let now = runtime::now();
    let keep = &settings.config.keep_alive;
    Box::new(UpstreamConnection {
        stream,
        opened: now,
        idle_since: now,
        idle_max: keep.idle,
        age_max: keep.age_max,
        counted,
    })
}

fn classify(worker: &Worker, error: &io::Error) -> Reason {
    if runtime::is_out_of_descriptors(error) {
        tracing::warn!(%error, "cannot connect: out of descriptors");
        worker.sweep_idle(true);
        return Reason::OutOfDescriptors;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}
