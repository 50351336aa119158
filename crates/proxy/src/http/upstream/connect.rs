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
use crate::proxy_header;
use crate::snapshot::PoolSettings;
use crate::tls::{ClientTls, Complaint, Offer, TlsStream};
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
    let header = settings.config.proxy_protocol.as_ref();
    let header = header.map(|out| proxy_header::write_for(out, exchange));
    let way = Way { header: header.as_deref(), ..Way::new(settings.tls.as_deref(), true) };
    let mut opening = pin!(open(worker, way, lease.known(), &progress));
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

/// How a connection to a server is opened.
pub(crate) struct Way<'o> {
    pub(crate) tls: Option<&'o ClientTls>,
    pub(crate) offer: Offer,
    /// What is said before anything else: a header of the PROXY protocol.
    pub(crate) header: Option<&'o [u8]>,
    pub(crate) options: ConnectOptions,
}

impl<'o> Way<'o> {
    /// For HTTP. With `h1`, HTTP/1 is to be spoken on it whatever the pool would rather.
    pub(crate) fn new(tls: Option<&'o ClientTls>, h1: bool) -> Self {
        let offer = if h1 { Offer::Http1 } else { Offer::Pool };
        Self { tls, offer, header: None, options: ConnectOptions::default() }
    }
}

/// Tries one address after the other; has no time limit of its own.
pub(crate) async fn open(
    worker: &Worker,
    way: Way<'_>,
    known: &KnownServer,
    progress: &Progress,
) -> Result<Channel, Reason> {
    let mut last = Reason::ConnectFailed;
    for address in known.target.addresses.iter() {
        let tcp = match TcpStream::connect(*address, &way.options).await {
            Ok(tcp) => tcp,
            Err(error) => {
                last = classify(worker, &error);
                continue;
            }
        };
        if let Some(header) = way.header
            && write_all(&tcp, header).await.is_err()
        {
            last = Reason::ConnectFailed;
            continue;
        }
        let Some(tls) = way.tls else { return Ok(Channel::Plain(tcp)) };
        progress.has_answered(true);
        match shake_hands(tls, tcp, known, way.offer).await {
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
    offer: Offer,
) -> Result<Box<TlsStream>, Complaint> {
    let stream = Box::new(tls.connect(tcp, known.target.name.as_ref(), offer)?);
    let shaken = poll_fn(|cx| stream.poll_handshake(cx)).await;
    shaken.map_err(|error| Complaint::of_io(&error))?;
    if offer == Offer::Nothing {
        return Ok(stream);
    }
    match tls.complain(&stream) {
        Some(complaint) => Err(complaint),
        None => Ok(stream),
    }
}

/// A few bytes, which a connection that nothing was written to takes at once.
async fn write_all(tcp: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|cx| tcp.poll_write(cx, bytes)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
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
