//! A new connection to a server, with its TLS session if the pool wants one, within the pool's
//! connect timeout.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use evenkeel_balancer::Connection;
use evenkeel_runtime::{self as runtime, ConnectOptions, TcpStream};

use super::UpstreamConnection;
use crate::channel::Channel;
use crate::failure::{Failure, Reason};
use crate::generation::{KnownServer, Leased};
use crate::http::exchange::Exchange;
use crate::snapshot::PoolSettings;
use crate::tls::{ClientTls, Complaint, TlsStream};
use crate::worker::Worker;

/// Connects to the first of the server's addresses that answers. The timeout is for all of them.
pub(super) async fn connect(
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    lease: &Leased,
) -> Result<Box<UpstreamConnection>, Failure> {
    let counted = count(lease)?;
    let state = &exchange.connection.state;
    state.allow_until(limit(exchange, settings));
    let progress = Progress::default();
    let worker = &exchange.connection.worker;
    let mut opening = pin!(open(worker, settings.tls.as_deref(), lease.known(), &progress, true));
    let opened = poll_fn(|cx| {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(Some(opened));
        }
        state.timer.poll_expired(cx).map(|()| None)
    });
    match opened.await {
        None => Err(Failure::unsent(progress.is_late(lease.known()))),
        Some(Err(reason)) => Err(Failure::unsent(reason)),
        Some(Ok(stream)) => Ok(into_connection(stream, settings, Some(counted))),
    }
}

/// When a connection has to stand.
pub(super) fn limit(exchange: &Exchange<'_>, settings: &PoolSettings) -> Instant {
    let retry = &settings.config.retry;
    let limit = settings.config.timeouts.connect;
    let own = retry.try_timeout.filter(|_| exchange.tries <= retry.attempts);
    runtime::now() + own.map_or(limit, |time| limit.min(time))
}

/// Counts a connection that is about to be opened. At the server's limit, one that is kept makes
/// room.
pub(crate) fn count(lease: &Leased) -> Result<Connection, Failure> {
    let full = || Failure::unsent(Reason::ServerConnections);
    lease.connect().ok_or_else(full)
}

/// How far the opening of a connection has come.
#[derive(Default)]
pub(crate) struct Progress {
    /// The connection stands, its TLS session does not yet.
    shaking: Cell<bool>,
}

impl Progress {
    /// Something came from the server.
    pub(super) fn has_answered(&self, yes: bool) {
        self.shaking.set(yes);
    }

    /// Why there is no connection when its time is over.
    pub(crate) fn is_late(&self, known: &KnownServer) -> Reason {
        if !self.shaking.get() {
            return Reason::ConnectTimeout;
        }
        known.complain("it did not finish the handshake within `timeouts.connect`".into());
        Reason::UpstreamTlsTimeout
    }
}

/// Tries one address after the other; has no time limit of its own. With `h1`, HTTP/1 is to be spoken
/// on it whatever the pool would rather.
pub(crate) async fn open(
    worker: &Worker,
    tls: Option<&ClientTls>,
    known: &KnownServer,
    progress: &Progress,
    h1: bool,
) -> Result<Channel, Reason> {
    let options = ConnectOptions::default();
    let mut last = Reason::ConnectFailed;
    for address in known.target.addresses.iter() {
        let tcp = match TcpStream::connect(*address, &options).await {
            Ok(tcp) => tcp,
            Err(error) => {
                last = classify(worker, &error);
                continue;
            }
        };
        let Some(tls) = tls else { return Ok(Channel::Plain(tcp)) };
        progress.has_answered(true);
        match shake_hands(tls, tcp, known, h1).await {
            Ok(stream) => return Ok(Channel::Tls(stream)),
            Err(complaint) => {
                last = complaint.reason;
                known.complain(complaint.text);
            }
        }
        progress.has_answered(false);
    }
    Err(last)
}

async fn shake_hands(
    tls: &ClientTls,
    tcp: TcpStream,
    known: &KnownServer,
    h1: bool,
) -> Result<Box<TlsStream>, Complaint> {
    let stream = Box::new(tls.connect(tcp, known.target.name.as_ref(), h1)?);
    let shaken = poll_fn(|cx| stream.poll_handshake(cx)).await;
    shaken.map_err(|error| Complaint::of_io(&error))?;
    match tls.complain(&stream) {
        Some(complaint) => Err(complaint),
        None => Ok(stream),
    }
}

/// A connection that has just been opened, or a stream of one that is counted already.
pub(crate) fn into_connection(
    stream: Channel,
    settings: &PoolSettings,
    counted: Option<Connection>,
) -> Box<UpstreamConnection> {
    let now = runtime::now();
    let keep = &settings.config.keep_alive;
    Box::new(UpstreamConnection {
        stream,
        tls: settings.tls.clone(),
        opened: now,
        idle_since: now,
        idle_max: keep.idle,
        age_max: keep.age_max,
        counted,
    })
}

pub(super) fn classify(worker: &Worker, error: &io::Error) -> Reason {
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
