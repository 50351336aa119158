//! QUIC connections to servers: the worker's own socket for each family of addresses, what such
//! connections are like, and why there is none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use evenkeel_runtime::{self as runtime, Timer, UdpBound};
use quinn::{
    ClientConfig, ConnectError, Connecting, Connection, ConnectionError, Endpoint, EndpointConfig,
    IdleTimeout, TransportConfig, VarInt,
};

use crate::failure::Reason;
use crate::generation::KnownServer;
use crate::http::upstream::connect::{self, Progress};
use crate::listener::quic::EventLoop;
use crate::snapshot::PoolSettings;
use crate::tls::{ClientTls, Complaint};
use crate::worker::Worker;

/// What a server may send before it is read, for each stream; and for all, so that streams whose
/// clients are slow never stop the others.
const STREAM_WINDOW: u32 = 64 * 1024;
const WINDOW: u32 = STREAM_WINDOW * super::STREAMS_MAX as u32;
/// Unacknowledged bytes of a connection.
const SEND_WINDOW: u64 = 1024 * 1024;
/// Streams of the server's own: control, QPACK's two, and some that mean nothing.
const UNI_STREAMS_MAX: u32 = 8;
/// A silent server is asked so often whether it is still there …
const PING_EVERY: Duration = Duration::from_secs(3);
/// … and given up after so long a silence.
const SILENCE_MAX: Duration = Duration::from_secs(7);

/// Where a worker's QUIC connections to servers start.
#[derive(Default)]
pub(crate) struct Dialer {
    v4: RefCell<Option<Endpoint>>,
    v6: RefCell<Option<Endpoint>>,
}

impl Dialer {
    fn place(&self, is_ipv6: bool) -> &RefCell<Option<Endpoint>> {
        if is_ipv6 { &self.v6 } else { &self.v4 }
    }

    /// Opened when it is first needed.
    fn endpoint(&self, is_ipv6: bool) -> io::Result<Endpoint> {
        let mut place = self.place(is_ipv6).borrow_mut();
        if let Some(endpoint) = &*place {
            return Ok(endpoint.clone());
        }
        let any = if is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let socket = UdpBound::own(SocketAddr::new(any, 0))?.into_std();
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(EventLoop))?;
        *place = Some(endpoint.clone());
        Ok(endpoint)
    }
}

/// Connects to the first of the server's addresses that answers. An address that says nothing takes
/// no more than its share of the time.
pub(super) async fn dial(
    worker: &Worker,
    known: &KnownServer,
    settings: &PoolSettings,
    timeout: Duration,
    progress: &Progress,
) -> Result<Connection, Reason> {
    let tls = settings.tls.as_deref().ok_or(Reason::ConnectFailed)?; // checked with the configuration
    let addresses = &known.target.addresses;
    let share = timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = Reason::ConnectFailed;
    for (at, address) in addresses.iter().enumerate() {
        let is_last = at.saturating_add(1) == addresses.len();
        let connecting = connect(worker, tls, known, *address).map_err(|complaint| {
            known.complain(complaint.text);
            complaint.reason
        })?;
        // For the last the opening's own deadline holds.
        let share = (!is_last).then_some(share);
        match shake_hands(connecting, share, progress).await {
            Ok(connection) => return Ok(connection),
            Err(Some(error)) => last = of_failure(known, &error),
            Err(None) => last = progress.is_late(known),
        }
        progress.has_answered(false);
    }
    Err(last)
}

fn connect(
    worker: &Worker,
    tls: &ClientTls,
    known: &KnownServer,
    address: SocketAddr,
) -> Result<Connecting, Complaint> {
    let (crypto, name) = tls.for_quic(known.target.name.as_ref())?;
    let mut config = ClientConfig::new(crypto);
    config.transport_config(Arc::new(transport()));
    let of = |reason, text: String| Complaint { reason, text: text.into() };
    for _ in 0..2 {
        let endpoint = worker.dialer.endpoint(address.is_ipv6()).map_err(|error| {
            let reason = connect::classify(worker, &error);
            of(reason, format!("there is no socket for QUIC: {error}"))
        })?;
        match endpoint.connect_with(config.clone(), address, &name) {
            Ok(connecting) => return Ok(connecting),
            // It is lost with all of its connections: there is another one.
            Err(ConnectError::EndpointStopping) => {
                worker.dialer.place(address.is_ipv6()).take();
            }
            Err(error) => return Err(of(Reason::ConnectFailed, error.to_string())),
        }
    }
    Err(of(Reason::ConnectFailed, "QUIC ends as soon as it begins".into()))
}

/// `None`: its share of the time is over.
async fn shake_hands(
    mut connecting: Connecting,
    share: Option<Duration>,
    progress: &Progress,
) -> Result<Connection, Option<ConnectionError>> {
    let timer = Timer::new();
    if let Some(share) = share {
        timer.set(runtime::now() + share);
    }
    let answered = {
        let mut data = pin!(connecting.handshake_data());
        poll_fn(|cx| {
            if let Poll::Ready(data) = data.as_mut().poll(cx) {
                return Poll::Ready(Some(data.is_ok()));
            }
            timer.poll_expired(cx).map(|()| None)
        })
        .await
    };
    progress.has_answered(answered.ok_or(None)?);
    let mut connecting = pin!(connecting);
    poll_fn(|cx| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            return Poll::Ready(connected.map_err(Some));
        }
        timer.poll_expired(cx).map(|()| Err(None))
    })
    .await
}

/// Why there is no connection.
fn of_failure(known: &KnownServer, error: &ConnectionError) -> Reason {
    if let Some(Complaint { reason, text }) = Complaint::of_quic(error) {
        known.complain(text);
        return reason;
    }
    match error {
        ConnectionError::ConnectionClosed(closed)
            if closed.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED =>
        {
            Reason::ConnectRefused
        }
        ConnectionError::TimedOut => Reason::ConnectTimeout,
        error => {
            known.complain(format!("there is no QUIC connection: {error}").into());
            Reason::ConnectFailed
        }
    }
}

fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(0)) // servers ask nothing (RFC 9114 §6.1)
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(PING_EVERY))
        .max_idle_timeout(IdleTimeout::try_from(SILENCE_MAX).ok());
    config
}

/// Where a connection starts.
pub(super) fn local(worker: &Worker, connection: &Connection) -> SocketAddr {
    let is_ipv6 = connection.remote_address().is_ipv6();
    let bound = worker.dialer.endpoint(is_ipv6).and_then(|endpoint| endpoint.local_addr());
    let bound = bound.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    connection.local_ip().map_or(bound, |ip| SocketAddr::new(ip, bound.port()))
}
